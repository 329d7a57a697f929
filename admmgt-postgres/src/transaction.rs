//! The transaction of one migration, in two round trips beyond the body's own; where SQL follows, in one.
//!
//! ```text
//! begin; savepoint admmgt_…                                                              1
//! the body: its statements; its own `connection.begin()` makes a savepoint
//! release admmgt_…; settings; is the lease ours?; records; commit; begin; savepoint …    2
//! ```
//!
//! The savepoint is the guard: a body that ended the transaction took it away, and the message stops at its release. The
//! transaction that the last message begins is the next migration's; where none follows, or one that needs another
//! beginning, it is rolled back with the next message. (Something has to be begun: `sqlx` counts one level, and taking
//! that off sends a rollback.)

use admmgt_core::{Atomicity, Batch, Error, Origin, Result};
use sqlx::Connection;

use crate::depth;
use crate::error::{Marked, code};
use crate::session::PgSession;
use crate::wire;

/// The savepoint between the transaction and the body. Nobody can know its name.
#[derive(Debug)]
pub(crate) struct Guard {
    savepoint: String,
}

impl Guard {
    fn new() -> Self {
        Self { savepoint: format!("admmgt_{:016x}", fastrand::u64(..)) }
    }
}

const FORGOTTEN: &str = "it began a transaction on its connection (`connection.begin()`) and neither committed nor dropped \
                         it, so what it did in there would be committed without a word; end it in the body";

impl PgSession {
    pub(crate) async fn begin_guarded(&mut self, origin: Origin) -> Result<()> {
        // Code has to know first that the history has not moved.
        if origin == Origin::Sql && !self.littered && self.next.is_some() {
            self.guard = self.next.take();
            return Ok(());
        }
        // What an earlier body prepared may return other columns by now.
        if origin == Origin::Code && self.connection.cached_statements_size() > 0 {
            let cleared = self.wire().clear_cached_statements().await;
            cleared.map_err(|error| self.failed("beginning a transaction", &error))?;
        }
        let guard = Guard::new();
        let mut sql = format!("{}; savepoint {}", self.beginning(), guard.savepoint);
        if std::mem::take(&mut self.littered) {
            sql.push_str("; discard temp; close all; unlisten *");
        }
        if let (Origin::Code, Some(seen)) = (origin, self.seen) {
            sql.push_str(&self.still_last(seen)?);
        }
        match depth::begin(self.wire(), sql).await {
            Ok(()) => {
                self.guard = Some(guard);
                Ok(())
            }
            Err(error) => {
                let failed = self.failed("beginning a transaction", &error);
                self.give_up().await;
                Err(failed)
            }
        }
    }

    /// Fails where the last record is another one. Code can do what no rollback takes back.
    fn still_last(&self, seen: u64) -> Result<String> {
        let history = self.table(admmgt_core::stored::HISTORY)?;
        Ok(format!(
            "; select (case when coalesce((select max(seq) from {history}), 0) = {seen} then '1' else '{}' end)::int",
            Marked::HistoryMoved.text()
        ))
    }

    pub(crate) async fn commit_guarded(&mut self, batch: &Batch) -> Result<Atomicity> {
        let guard = self.guard.take().ok_or_else(nothing_begun)?;
        if depth::depth(&self.connection) > 1 {
            self.give_up().await;
            return Err(Error::database("committing", None, FORGOTTEN));
        }
        let next = Guard::new();
        let sql = format!(
            "release savepoint {}; {}; {}; commit; {}; savepoint {}",
            guard.savepoint,
            self.settings.restoring(&self.facts),
            self.writing(batch)?,
            self.beginning(),
            next.savepoint
        );
        let committed = wire::run(&mut self.connection, sql).await;
        match committed {
            Ok(_) => {
                self.next = Some(next);
                self.wrote(batch);
                Ok(Atomicity::Kept)
            }
            Err(error) => {
                let broken = is_broken(&error);
                let failed = self.failed("committing", &error);
                if !matches!(failed, Error::ConnectionLost { .. } | Error::LeaseLost { .. }) {
                    self.give_up().await;
                }
                if broken { Ok(Atomicity::Broken) } else { Err(failed) }
            }
        }
    }

    pub(crate) async fn rollback_guarded(&mut self) -> Result<Atomicity> {
        let guard = self.guard.take().ok_or_else(nothing_begun)?;
        while depth::depth(&self.connection) > 1 {
            // Its savepoint is inside of the guard's, and may be gone already.
            depth::leave(&mut self.connection);
            let _ = self.connection.ping().await;
        }
        let sql = format!("rollback to savepoint {}; rollback; begin", guard.savepoint);
        match wire::run(&mut self.connection, sql).await {
            Ok(_) => {
                depth::leave(&mut self.connection);
                Ok(Atomicity::Kept)
            }
            Err(error) if is_broken(&error) => {
                self.give_up().await;
                Ok(Atomicity::Broken)
            }
            Err(error) => Err(self.failed("rolling back", &error)),
        }
    }
}

/// The guard is gone: 25P01, no transaction is open; 3B001, there is no such savepoint.
fn is_broken(error: &sqlx::Error) -> bool {
    matches!(code(error), "25P01" | "3B001")
}

fn nothing_begun() -> Error {
    Error::Usage { problem: "no transaction was begun in this session".to_owned() }
}
