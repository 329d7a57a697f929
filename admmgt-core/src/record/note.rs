//! What the detail of a record says that decides something: fixed words, behind which a person's reason may stand.

use std::fmt;

use super::Record;
use crate::MigrationId;

/// The fixed words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note {
    /// The migration runs again each time it changes.
    Repeatable,
    /// The form is put back that the record of this number applied.
    AsItWas(u64),
    /// It was applied under this name before.
    RenamedFrom(MigrationId),
    /// This one stands for it.
    ReplacedBy(MigrationId),
}

const REPEATABLE: &str = "repeatable";
const AS_IT_WAS: &str = "as it was applied by record ";
const RENAMED_FROM: &str = "renamed from ";
const REPLACED_BY: &str = "replaced by ";

impl Note {
    /// What the detail of a record begins with.
    pub(crate) fn of(record: &Record) -> Option<Self> {
        let words = record.detail.as_deref()?.split(": ").next()?;
        if words == REPEATABLE {
            return Some(Self::Repeatable);
        }
        let after = |start: &str| words.strip_prefix(start);
        let number = after(AS_IT_WAS).and_then(|number| number.parse().ok()).map(Self::AsItWas);
        let renamed = || after(RENAMED_FROM).and_then(|id| id.parse().ok()).map(Self::RenamedFrom);
        let replaced = || after(REPLACED_BY).and_then(|id| id.parse().ok()).map(Self::ReplacedBy);
        number.or_else(renamed).or_else(replaced)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeatable => f.write_str(REPEATABLE),
            Self::AsItWas(seq) => write!(f, "{AS_IT_WAS}{seq}"),
            Self::RenamedFrom(id) => write!(f, "{RENAMED_FROM}{id}"),
            Self::ReplacedBy(id) => write!(f, "{REPLACED_BY}{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Author, RecordKind};
    use crate::{Checksum, Direction, Origin};

    #[test]
    fn what_is_written_is_read_with_a_reason_and_without() {
        let id: MigrationId = "app/0001_a:b".parse().unwrap();
        for note in [Note::Repeatable, Note::AsItWas(7), Note::RenamedFrom(id.clone()), Note::ReplacedBy(id.clone())] {
            for reason in ["", ": it was meant: really"] {
                let (checksum, author) = (Checksum::of_sql(""), Author::of_this_process());
                let kind = RecordKind::Baseline;
                let mut record = Record::new(1, id.clone(), kind, Direction::Up, checksum, Origin::Sql, &author);
                record.detail = Some(format!("{note}{reason}"));
                assert_eq!(Note::of(&record), Some(note.clone()));
                record.detail = Some("made by hand".to_owned());
                assert_eq!(Note::of(&record), None);
            }
        }
    }
}
