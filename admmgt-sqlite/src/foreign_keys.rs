//! Foreign keys: off while a migration runs, checked before its commit.
//!
//! SQLite asks for that where a table is rebuilt: with enforcement on, dropping the old table deletes
//! or breaks the rows that point to it. The pragma does nothing inside a transaction, so it is
//! switched before.

use std::collections::BTreeMap;

use rusqlite::{Connection, ErrorCode, Result};

/// How the connection had them, how they are now, and what was violated before the run.
#[derive(Debug, Default)]
pub(crate) struct ForeignKeys {
    /// As the connection had them; `None` until the first transaction.
    wanted: Option<bool>,
    enforced: bool,
    /// What was violated before the run, by table, parent and key; `None` if that cannot be told.
    before: Option<Violations>,
}

type Violations = BTreeMap<(String, String, i64), u64>;

impl ForeignKeys {
    /// Whether it is known how the connection had them.
    pub(crate) fn is_known(&self) -> bool {
        self.wanted.is_some()
    }

    /// Turns enforcement off, or on where the connection had it on.
    pub(crate) fn enforce(&mut self, db: &Connection, enforced: bool) -> Result<()> {
        if self.wanted.is_none() {
            let on = are_on(db)?;
            *self = Self { wanted: Some(on), enforced: on, before: before(db)? };
        }
        let enforced = enforced && self.wanted == Some(true);
        if self.enforced != enforced {
            db.execute_batch(if enforced { "PRAGMA foreign_keys = ON" } else { "PRAGMA foreign_keys = OFF" })?;
            self.enforced = enforced;
        }
        Ok(())
    }

    /// A body may have switched them.
    pub(crate) fn look_again(&mut self, db: &Connection) -> Result<()> {
        if self.is_known() {
            self.enforced = are_on(db)?;
        }
        Ok(())
    }

    /// What is violated that was not before the run, in words; `None` if nothing is.
    pub(crate) fn worse(&self, db: &Connection) -> Result<Option<String>> {
        let Some(before) = &self.before else { return Ok(None) };
        let now = violations(db)?;
        // A table that was renamed takes its old violations with it: then there are not more of them.
        let more = now.values().sum::<u64>() > before.values().sum();
        let worse = now.iter().find(|(key, count)| more && before.get(*key).is_none_or(|before| before < count));
        Ok(worse.map(|((table, parent, _), count)| {
            format!(
                "it would leave {count} rows of `{table}` pointing to rows of `{parent}` that are not there; \
                 `PRAGMA foreign_key_check` lists them"
            )
        }))
    }
}

fn are_on(db: &Connection) -> Result<bool> {
    db.query_row("PRAGMA foreign_keys", [], |row| row.get(0))
}

/// What is violated already; `None` where one key fits no table, so that nothing can be told.
fn before(db: &Connection) -> Result<Option<Violations>> {
    match violations(db) {
        Ok(found) => Ok(Some(found)),
        // Bare code 1, or none where rusqlite says where in the text.
        Err(error) if matches!(error.sqlite_error_code(), None | Some(ErrorCode::Unknown)) => {
            tracing::warn!(%error, "foreign keys cannot be checked before commits: one of them fits no table");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// How many rows point to nothing, by table, parent and key.
fn violations(db: &Connection) -> Result<Violations> {
    let mut statement = db.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    let mut found = Violations::new();
    while let Some(row) = rows.next()? {
        let key = (row.get(0)?, row.get(2)?, row.get(3)?);
        *found.entry(key).or_default() += 1;
    }
    Ok(found)
}
