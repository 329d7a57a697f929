//! The history read again, record by record, and held against what is registered.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::history::State;
use crate::plan;
use crate::record::{Record, RecordKind};
use crate::registry::MigrationSet;
use crate::{Checksum, Error, Origin, Result};

/// What [`crate::Migrator::verify`] looked at, and found whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verified {
    /// How many records, of all namespaces.
    pub records: usize,
    /// How many archived bodies were unpacked and held against their checksums.
    pub bodies: usize,
    /// How many applied migrations were held against the registered ones.
    pub migrations: usize,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, verb) = crate::report::counted(self.migrations);
        let Self { records, bodies, .. } = self;
        write!(f, "{count} {verb} as applied; {records} records and {bodies} archived bodies are whole")
    }
}

pub(crate) fn verify(set: &MigrationSet, state: &State, records: &[Record]) -> Result<Verified> {
    let mut verified = Verified { records: records.len(), bodies: 0, migrations: 0 };
    for record in records {
        let Some(body) = &record.body else { continue };
        let text = body.unpack().ok_or_else(|| damaged(record, "cannot be unpacked"))?;
        verified.bodies += 1;
        if record.origin == Origin::Sql && is_of_the_body(record) && Checksum::of_sql(&text) != record.checksum {
            return Err(damaged(record, "is not what its checksum was made of"));
        }
    }
    let mut refusals = Vec::new();
    for migration in set.iter() {
        let known = state.get(&migration.meta().id).filter(|known| known.standing == crate::Standing::Applied);
        let Some(known) = known else { continue };
        verified.migrations += 1;
        // A repeatable one that has changed is to run again.
        refusals.extend(plan::edited(migration, known).filter(|_| !migration.meta().repeatable));
    }
    if refusals.is_empty() { Ok(verified) } else { Err(Error::Refused { refusals }) }
}

/// The checksum of a record is that of `up`; what a way back ran is kept beside it.
fn is_of_the_body(record: &Record) -> bool {
    let puts_back = record.kind == RecordKind::Applied;
    (puts_back || record.direction == crate::Direction::Up) && record.checksum.as_str().starts_with("v1:sha256:")
}

fn damaged(record: &Record, problem: &str) -> Error {
    Error::corrupt(
        format!("the archived body of record {} (`{}`)", record.seq, record.migration),
        format!("it {problem}; the row was changed by hand. Restore it from a backup"),
    )
}
