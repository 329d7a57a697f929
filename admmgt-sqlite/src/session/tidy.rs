//! What is put right around bodies: settings, foreign keys, what was temporary, and the caller's own connection.

use admmgt_core::{Error, Result};
use rusqlite::Connection;

use super::{SqliteSession, closed};
use crate::guard::Guard;
use crate::place::Place;

impl SqliteSession {
    /// Puts the settings back, if anybody may have changed them.
    pub(super) fn tune_as_found(&self) -> Result<()> {
        if self.guard.take_rewritten() {
            // What SQLite knows of the schema is not what stands in it any more.
            self.batch("reading the schema again", "PRAGMA writable_schema = RESET")?;
            // Which was a value given to it.
            self.guard.take_rewritten();
        }
        if self.guard.has_of_session() {
            let restored = self.temporary.restore(self.db()?);
            restored.map_err(|error| self.failed("dropping what was temporary", error))?;
            if self.db()?.is_autocommit() {
                self.guard.take_of_session();
            }
        }
        if self.guard.take_likened() && !matches!(*self.place, Place::Given(_)) {
            // It cannot be read, so a caller's own setting cannot be told from a body's.
            self.batch("restoring how LIKE compares", "PRAGMA case_sensitive_like = 0")?;
            self.guard.take_likened();
        }
        if !self.guard.take_tuned() {
            return Ok(());
        }
        let restored = self.settings.restore(self.db()?);
        restored.map_err(|error| self.failed("restoring the settings", error))?;
        // Restoring gives values to pragmas too.
        self.guard.take_tuned();
        Ok(())
    }

    /// Turns enforcement of foreign keys on or off; possible outside of transactions only.
    pub(super) fn enforce(&mut self, enforced: bool) -> Result<()> {
        let db = self.connection.as_ref().ok_or_else(closed)?;
        let done = self.foreign_keys.enforce(db, enforced);
        done.map_err(|error| self.failed("switching foreign keys", error))
    }

    /// Refuses to commit rows that point to nothing, unless they did so before the run.
    pub(super) fn check_foreign_keys(&mut self) -> Result<()> {
        let db = self.connection.as_ref().ok_or_else(closed)?;
        let before = std::mem::replace(&mut self.changes, db.total_changes());
        if !self.guard.take_reshaped() && self.changes == before {
            return Ok(());
        }
        let worse = self.foreign_keys.worse(db).map_err(|error| self.failed("checking foreign keys", error))?;
        worse.map_or(Ok(()), |words| Err(Error::database("checking foreign keys", None, words)))
    }

    /// What one body did must not reach the next one, unless it is the change itself.
    pub(super) fn leave_nothing_behind(&mut self) -> Result<()> {
        self.check_foreign_keys()?;
        self.tune_as_found()?;
        if std::mem::take(&mut self.lent) { self.protect() } else { Ok(()) }
    }

    /// Writes records of ours without a trace in `last_insert_rowid()`. (`changes()` cannot be put back.)
    pub(crate) fn without_a_trace(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let rowid = self.db()?.last_insert_rowid();
        work()?;
        if !self.between_checkpoints || self.db()?.last_insert_rowid() == rowid {
            return Ok(());
        }
        // SQLite has a function for this, which rusqlite does not offer.
        self.batch("keeping the last rowid", "CREATE TEMP TABLE IF NOT EXISTS _admmgt_rowid (id INTEGER PRIMARY KEY)")?;
        let set = self.db()?.execute("INSERT INTO temp._admmgt_rowid VALUES (?1)", [rowid]);
        set.map_err(|error| self.failed("keeping the last rowid", error))?;
        self.batch("keeping the last rowid", "DELETE FROM temp._admmgt_rowid")
    }

    /// Puts back what the run changed in a caller's connection.
    pub(super) fn restore(&mut self) -> Result<Connection> {
        self.undo()?;
        self.tune_as_found()?;
        self.enforce_as_found()?;
        if let Some(timeout) = self.busy_timeout_ms {
            self.batch("restoring the busy timeout", &format!("PRAGMA busy_timeout = {timeout}"))?;
        }
        if let Some(found) = self.query_only {
            self.batch("restoring whether the connection may write", &format!("PRAGMA query_only = {found}"))?;
        }
        let mut connection = self.connection.take().ok_or_else(closed)?;
        Guard::uninstall(&mut connection).map_err(|error| self.failed("removing the hooks", error))?;
        Ok(connection)
    }

    pub(super) fn enforce_as_found(&mut self) -> Result<()> {
        if self.foreign_keys.is_known() { self.enforce(true) } else { Ok(()) }
    }
}
