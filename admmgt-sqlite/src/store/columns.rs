//! The rows of our tables as [`stored`] reads them.

use admmgt_core::stored::{self, check_format};
use admmgt_core::{Error, Namespace, NamespaceHead, Result};
use rusqlite::Row;
use rusqlite::types::ValueRef;

/// One row of a query.
pub(super) struct SqliteRow<'a>(pub(super) &'a Row<'a>);

/// The heads of a row with the format and the heads of the last record; none without records.
pub(super) fn heads(row: &Row<'_>) -> Result<Vec<(Namespace, NamespaceHead)>> {
    use stored::Row;
    let row = SqliteRow(row);
    let place = |column: &str, row: &str, table: &str| format!("column `{column}` of {row} row of `{table}`");
    let format = row.number(0).and_then(|format| format.ok_or_else(|| "is NULL".to_owned()));
    let format = format.map_err(|problem| garbage(place("format", "a", stored::FORMATS), &problem))?;
    check_format(place("format", "a", stored::FORMATS), format)?;
    let text = row.text(1).map_err(|problem| garbage(place("heads", "the last", stored::HISTORY), &problem))?;
    stored::heads(text.as_deref())
}

fn garbage(place: String, problem: &str) -> Error {
    Error::corrupt(place, format!("it {problem}; restore the row from a backup"))
}

impl SqliteRow<'_> {
    fn value(&self, at: usize) -> Result<ValueRef<'_>, String> {
        self.0.get_ref(at).map_err(|error| format!("cannot be read ({error})"))
    }
}

impl stored::Row for SqliteRow<'_> {
    fn text(&self, at: usize) -> Result<Option<String>, String> {
        match self.value(at)? {
            ValueRef::Null => Ok(None),
            ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => Err("is not UTF-8".to_owned()),
            },
            other => Err(format!("is {} and must be text", other.data_type())),
        }
    }

    fn number(&self, at: usize) -> Result<Option<i64>, String> {
        match self.value(at)? {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(value) => Ok(Some(value)),
            other => Err(format!("is {} and must be an integer", other.data_type())),
        }
    }

    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, String> {
        match self.value(at)? {
            ValueRef::Null => Ok(None),
            ValueRef::Blob(bytes) | ValueRef::Text(bytes) => Ok(Some(bytes.to_vec())),
            other => Err(format!("is {}", other.data_type())),
        }
    }
}
