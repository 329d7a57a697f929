//! What a body can set in a connection that would change what the next ones do.

use rusqlite::{Connection, OptionalExtension, Result};

const NAMES: [&str; 13] = [
    "automatic_index",
    "busy_timeout",
    "cell_size_check",
    "ignore_check_constraints",
    "legacy_alter_table",
    "query_only",
    "read_uncommitted",
    "recursive_triggers",
    "reverse_unordered_selects",
    "secure_delete",
    "synchronous",
    "trusted_schema",
    "writable_schema",
];

/// The settings of a connection; those that its SQLite does not know are left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings(Vec<(&'static str, i64)>);

impl Settings {
    /// As they are.
    pub(crate) fn read(db: &Connection) -> Result<Self> {
        let mut found = Vec::with_capacity(NAMES.len());
        for name in NAMES {
            let value = db.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).optional()?;
            found.extend(value.map(|value| (name, value)));
        }
        Ok(Self(found))
    }

    /// Puts back what has changed since.
    pub(crate) fn restore(&self, db: &Connection) -> Result<()> {
        let now = Self::read(db)?;
        let changed = self.0.iter().filter(|setting| !now.0.contains(setting));
        let restore: String = changed.map(|(name, value)| format!("PRAGMA {name} = {value};")).collect();
        db.execute_batch(&restore)
    }
}
