//! Foreign keys: off while a migration runs, checked before its commit.
//!
//! SQLite asks for that where a table is rebuilt: with enforcement on, dropping the old table deletes
//! or breaks the rows that point to it. The pragma does nothing inside a transaction, so it is
//! switched before.

use std::collections::BTreeMap;

use rusqlite::{Connection, Error, ErrorCode, Result};

/// How the connection had them, how they are now, and what was violated before the run.
#[derive(Debug, Default)]
pub(crate) struct ForeignKeys {
    /// As the connection had them; `None` while only looking.
    wanted: Option<bool>,
    enforced: bool,
    /// What was violated already: `None` until somebody looked.
    before: Option<Violations>,
}

/// Table, parent, and the number of the key in its table.
type Key = (String, String, i64);
type Violations = BTreeMap<Key, u64>;

impl ForeignKeys {
    /// Whether it is known how the connection had them.
    pub(crate) fn is_known(&self) -> bool {
        self.wanted.is_some()
    }

    /// As the connection has them, before any body ran.
    pub(crate) fn of(db: &Connection) -> Result<Self> {
        let on = are_on(db)?;
        Ok(Self { wanted: Some(on), enforced: on, before: None })
    }

    /// Turns enforcement off, or on where the connection had it on.
    pub(crate) fn enforce(&mut self, db: &Connection, enforced: bool) -> Result<()> {
        if !enforced && self.before.is_none() {
            self.before = Some(violations(db)?);
        }
        let enforced = enforced && self.wanted == Some(true);
        if self.enforced != enforced {
            db.execute_batch(if enforced { "PRAGMA foreign_keys = ON" } else { "PRAGMA foreign_keys = OFF" })?;
            self.enforced = enforced;
        }
        Ok(())
    }

    /// A body without a transaction may have switched them, and left violations of its own.
    pub(crate) fn look_again(&mut self, db: &Connection) -> Result<()> {
        self.enforced = are_on(db)?;
        self.before = None;
        Ok(())
    }

    /// What is violated that was not before, in words; `None` if nothing is.
    pub(crate) fn worse(&self, db: &Connection) -> Result<Option<String>> {
        let Some(before) = &self.before else { return Ok(None) };
        let now = violations(db)?;
        let mut gone: Vec<(&Key, u64)> =
            before.iter().filter(|(key, _)| !now.contains_key(*key)).map(|(key, count)| (key, *count)).collect();
        for (key, count) in &now {
            if before.get(key).is_some_and(|before| before >= count) {
                continue;
            }
            // A table that was renamed or rebuilt takes its old violations with it, under another key.
            let mut moved = None;
            for (at, (old, old_count)) in gone.iter().enumerate() {
                if old_count >= count && is_the_same(db, old, key)? {
                    moved = Some(at);
                    break;
                }
            }
            match moved {
                Some(at) => drop(gone.swap_remove(at)),
                None => return Ok(Some(dangling(key, *count))),
            }
        }
        Ok(None)
    }
}

fn dangling((table, parent, _): &Key, count: u64) -> String {
    let rows = if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
    format!(
        "it would leave {rows} of `{table}` pointing to rows of `{parent}` that are not there; \
                 `PRAGMA foreign_key_check` lists them"
    )
}

/// Whether two keys are one key before and after a table was renamed or rebuilt: one name is the same, and
/// the other is no table's any more.
fn is_the_same(db: &Connection, old: &Key, new: &Key) -> Result<bool> {
    let is_gone = |name: &str| {
        let found = "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE";
        db.query_row(found, [name], |row| row.get::<_, i64>(0)).map(|count| count == 0)
    };
    Ok((old.0 == new.0 || is_gone(&old.0)?) && (old.1 == new.1 || is_gone(&old.1)?))
}

fn are_on(db: &Connection) -> Result<bool> {
    db.query_row("PRAGMA foreign_keys", [], |row| row.get(0))
}

/// How many rows point to nothing, by table, parent and key. A key that fits no table (its columns there are
/// not unique, or there is no such table) is no violation, and hides what else its table violates.
fn violations(db: &Connection) -> Result<Violations> {
    let mut found = Violations::new();
    match count(db, None, &mut found) {
        // Bare code 1, or none where rusqlite says where in the text.
        Err(error) if is_mismatch(&error) => {
            tracing::warn!(%error, "a foreign key fits no table; those of its table are not checked before commits");
            found.clear();
        }
        other => return other.map(|()| found),
    }
    let mut tables = db.prepare("SELECT name FROM main.sqlite_schema WHERE type = 'table'")?;
    let tables: Vec<String> = tables.query_map([], |row| row.get(0))?.collect::<Result<_>>()?;
    for table in tables {
        let mut of_table = Violations::new();
        match count(db, Some(&table), &mut of_table) {
            Err(error) if is_mismatch(&error) => continue,
            other => other?,
        }
        found.append(&mut of_table);
    }
    Ok(found)
}

fn is_mismatch(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), None | Some(ErrorCode::Unknown))
}

/// Of one table, or of all.
fn count(db: &Connection, table: Option<&str>, found: &mut Violations) -> Result<()> {
    let sql = match table {
        Some(_) => "SELECT \"table\", rowid, parent, fkid FROM pragma_foreign_key_check(?1)",
        None => "PRAGMA foreign_key_check",
    };
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(table))?;
    while let Some(row) = rows.next()? {
        let key = (row.get(0)?, row.get(2)?, row.get(3)?);
        *found.entry(key).or_default() += 1;
    }
    Ok(())
}
