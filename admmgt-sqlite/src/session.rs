//! One connection for one run.

mod recorded;
mod tidy;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use admmgt_core::{
    Access, Atomicity, Backend, Batch, Batches, BlockingJob, BoxError, Capabilities, Error, FromBlocking, MakeBatch,
    Origin, Outcome, Recorded, Result, Rows, Session, SessionOptions, Statement, async_trait,
};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::Sqlite;
use crate::driver::BACKEND;
use crate::error::{self, Asked};
use crate::foreign_keys::ForeignKeys;
use crate::guard::Guard;
use crate::host::Stop;
use crate::journal::{self, Journal};
use crate::place::Place;
use crate::rows::SqliteRows;
use crate::settings::Settings;
use crate::statement::{names_savepoint, only_one, run};
use crate::store::{self, Insert};
use crate::temporary::Temporary;

/// A connection, its guard, and what has to be put back in the end.
#[derive(Debug)]
pub(crate) struct SqliteSession {
    /// `None` only after the session was closed.
    connection: Option<Connection>,
    place: Arc<Place>,
    name: String,
    options: SessionOptions,
    journal: Journal,
    capabilities: Capabilities,
    stop: Arc<Stop>,
    guard: Guard,
    foreign_keys: ForeignKeys,
    /// What `total_changes` was when foreign keys were known to be fine.
    changes: u64,
    /// The last record that this session has seen or written.
    seq: Option<u64>,
    /// SQLite's own mark of the database's contents when that was checked last.
    version: Option<i64>,
    /// How records are written.
    pub(crate) insert: Insert,
    /// A body had the connection in its hands, or a statement ran that no transaction takes back.
    lent: bool,
    settings: Settings,
    temporary: Temporary,
    /// Statements run between checkpoints, and what they ask of the one before must not be told of a checkpoint.
    between_checkpoints: bool,
    /// The caller's setting, where the connection is the caller's.
    busy_timeout_ms: Option<i64>,
    /// The caller's setting, where this session only reads.
    query_only: Option<i64>,
}

impl FromBlocking<Sqlite> for Connection {
    const BACKEND: Option<Backend> = Some(BACKEND);
}

impl SqliteSession {
    pub(crate) fn open(driver: &Sqlite, options: &SessionOptions) -> Result<Self> {
        let connection = driver.place.open(options.access, options.lock_timeout)?;
        let stop = Stop::current();
        stop.watch(connection.get_interrupt_handle());
        let mut session = Self {
            connection: Some(connection),
            place: Arc::clone(&driver.place),
            name: driver.place.name(),
            options: options.clone(),
            journal: driver.journal,
            capabilities: Capabilities::new(format!("SQLite {}", rusqlite::version())).transactions(),
            guard: Guard::new(Arc::clone(&stop)),
            stop,
            foreign_keys: ForeignKeys::default(),
            changes: 0,
            seq: None,
            version: None,
            insert: Insert::default(),
            lent: false,
            settings: Settings::default(),
            temporary: Temporary::default(),
            between_checkpoints: false,
            busy_timeout_ms: None,
            query_only: None,
        };
        session.set_up()?;
        Ok(session)
    }

    fn set_up(&mut self) -> Result<()> {
        if let Place::Given(_) = *self.place {
            let timeout = self.db()?.query_row("PRAGMA busy_timeout", [], |row| row.get(0));
            self.busy_timeout_ms = Some(timeout.map_err(|error| self.failed("reading the busy timeout", error))?);
            let found = Temporary::read(self.db()?);
            self.temporary = found.map_err(|error| self.failed("reading what is temporary", error))?;
        }
        if self.options.access == Access::Read {
            let found = self.db()?.query_row("PRAGMA query_only", [], |row| row.get(0));
            self.query_only = Some(found.map_err(|error| self.failed("reading the settings", error))?);
            return self.batch("making the connection read-only", "PRAGMA query_only = 1");
        }
        self.protect()?;
        if self.options.access == Access::Create {
            let db = self.db()?;
            let found = Settings::read(db).and_then(|found| Ok((found, ForeignKeys::of(db)?)));
            (self.settings, self.foreign_keys) = found.map_err(|error| self.failed("reading the settings", error))?;
        }
        Ok(())
    }

    /// The guard's hooks and the busy timeout, as this run needs them.
    fn protect(&mut self) -> Result<()> {
        let patience = self.options.lock_timeout;
        let connection = self.connection.as_mut().ok_or_else(closed)?;
        let set = self.guard.install(connection).and_then(|()| connection.busy_timeout(error::patience(patience)));
        set.map_err(|error| self.failed("setting up the connection", error))
    }

    /// The connection.
    pub(crate) fn db(&self) -> Result<&Connection> {
        self.connection.as_ref().ok_or_else(closed)
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn journal(&self) -> Journal {
        self.journal
    }

    pub(crate) fn patience(&self) -> Duration {
        self.options.lock_timeout
    }

    /// The error of an answer.
    pub(crate) fn failed(&self, action: &str, error: rusqlite::Error) -> Error {
        Asked { what: &self.name, patience: self.options.lock_timeout }.failed(action, error)
    }

    /// Runs statements of our own.
    pub(crate) fn batch(&self, action: &str, sql: &str) -> Result<()> {
        self.db()?.execute_batch(sql).map_err(|error| self.failed(action, error))
    }

    /// The last record that is known to be there.
    pub(crate) fn saw(&mut self, seq: u64) {
        self.seq = Some(seq);
    }

    /// Rolls back whatever is open; that there is nothing to roll back is fine.
    pub(crate) fn undo(&self) -> Result<()> {
        if self.db()?.is_autocommit() { Ok(()) } else { self.batch("rolling back", "ROLLBACK") }
    }

    /// Nothing but our lease keeps another program from writing between the look at the history and the
    /// transaction. Inside of it nobody else writes.
    fn check_history(&mut self) -> Result<()> {
        let Some(seen) = self.seq else { return Ok(()) };
        // Much cheaper than a look at the history: it moves when another connection has committed.
        let version = self.db()?.query_row("PRAGMA data_version", [], |row| row.get(0));
        let version = version.map_err(|error| self.failed("reading the history again", error))?;
        if self.version == Some(version) {
            return Ok(());
        }
        let last = store::last_seq(self.db()?).map_err(|error| self.failed("reading the history again", error))?;
        if last == seen {
            self.version = Some(version);
            return Ok(());
        }
        let problem = format!("its last record was {seen} and is {last}");
        Err(Error::HistoryMoved { problem })
    }

    /// The first row of a query for a body, which may take as long as a statement of its.
    pub(crate) async fn look<T>(
        &mut self,
        action: &str,
        sql: &str,
        row: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        self.stop.checkpoint().await;
        self.guard.allow(self.options.statement_timeout);
        let found = self.db()?.prepare(sql).and_then(|mut found| found.query_row([], row).optional());
        let late = self.guard.is_late();
        self.guard.allow(None);
        self.stop.checkpoint().await;
        found.map_err(|error| if late { self.too_late(action) } else { self.failed(action, error) })
    }

    /// Writes something of ours while the body has not ended, into the transaction of ours where one was begun.
    pub(crate) fn aside(&self, action: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        if self.guard.is_armed() && self.db()?.is_autocommit() {
            return Err(rolled_back(action));
        }
        self.guard.aside(work)
    }

    fn too_late(&self, action: &str) -> Error {
        let limit = self.options.statement_timeout.unwrap_or_default();
        Error::database(
            action,
            None,
            format!("it ran longer than {limit:?}; allow more with `Policy::statement_timeout`"),
        )
    }

    /// What can take the hooks away gets a savepoint, which tells if it ended the transaction.
    fn stand_guard(&mut self) -> Result<()> {
        let db = self.connection.as_ref().ok_or_else(closed)?;
        let stood = self.guard.stand(db);
        stood.map_err(|error| self.failed("guarding the transaction", error))
    }

    /// Closes the connection, without its hooks: rusqlite 0.41 lets SQLite free them (rusqlite#1791)
    /// before it rolls back what is open, and calls the rollback hook.
    fn hang_up(&mut self) -> bool {
        let connection = self.connection.take();
        connection.map(|mut connection| drop(Guard::uninstall(&mut connection))).is_some()
    }
}

#[async_trait]
impl Session for SqliteSession {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn begin(&mut self, origin: Origin) -> Result<()> {
        self.stop.checkpoint().await;
        self.enforce(false)?;
        // IMMEDIATE: a deferred transaction that turns into a writer fails at once when another
        // connection has written since, whatever the busy timeout says.
        self.batch("beginning a transaction", "BEGIN IMMEDIATE")?;
        // SQL notices when its record cannot be written.
        if origin == Origin::Code
            && let Err(error) = self.check_history()
        {
            self.undo()?;
            return Err(error);
        }
        self.changes = self.db()?.total_changes();
        self.guard.arm();
        Ok(())
    }

    async fn begin_batch(&mut self) -> Result<()> {
        self.stop.checkpoint().await;
        self.enforce_as_found()?;
        self.lent = true;
        self.batch("beginning a transaction", "BEGIN IMMEDIATE")?;
        self.guard.arm();
        Ok(())
    }

    fn batches(&self, rows: &Rows) -> Result<Box<dyn Batches>> {
        Ok(Box::new(SqliteRows(rows.clone())))
    }

    async fn body_done(&mut self) -> Result<()> {
        self.stop.checkpoint().await;
        if self.db()?.is_autocommit() {
            // The body ended the transaction; whoever ends it now finds out.
            return Ok(());
        }
        // A body that went on after it was refused something takes it for done.
        let swallowed = self.guard.denied().map(|denied| Error::database("ending a migration", None, denied));
        let done = swallowed.map_or(Ok(()), Err).and_then(|()| self.leave_nothing_behind());
        // Interrupted because nobody waits any more: not a failure of the migration.
        self.stop.checkpoint().await;
        done
    }

    async fn commit(&mut self, batch: &Batch) -> Result<Atomicity> {
        self.guard.disarm();
        self.stop.checkpoint().await;
        if self.db()?.is_autocommit() {
            if !self.guard.saw_rollback() {
                return Ok(Atomicity::Broken);
            }
            return Err(rolled_back("committing"));
        }
        if !self.guard.is_unbroken(self.db()?, "RELEASE") {
            self.stop.checkpoint().await;
            self.undo()?;
            return Ok(Atomicity::Broken);
        }
        if let Err(error) = self.finish(batch) {
            // Interrupted because nobody waits any more: not a failure of the migration.
            self.stop.checkpoint().await;
            self.undo()?;
            return Err(error);
        }
        Ok(Atomicity::Kept)
    }

    async fn rollback(&mut self) -> Result<Atomicity> {
        self.guard.disarm();
        self.stop.checkpoint().await;
        if self.db()?.is_autocommit() {
            return Ok(if self.guard.saw_rollback() { Atomicity::Kept } else { Atomicity::Broken });
        }
        let whole = self.guard.is_unbroken(self.db()?, "ROLLBACK TO");
        // What somebody else did may be why the body failed.
        let moved = if whole { self.check_history().err() } else { None };
        self.stop.checkpoint().await;
        self.undo()?;
        match moved {
            Some(moved @ Error::HistoryMoved { .. }) => Err(moved),
            _ => Ok(if whole { Atomicity::Kept } else { Atomicity::Broken }),
        }
    }

    async fn execute(&mut self, statement: &Statement) -> Result<Outcome> {
        self.stop.checkpoint().await;
        only_one(&statement.text)?;
        if self.db()?.is_autocommit() {
            self.enforce_as_found()?;
            self.lent = true;
        } else if names_savepoint(&statement.text) {
            // One of the body's own must stand inside of the guard's, or its release would be the guard's.
            self.stand_guard()?;
        }
        let before = self.db()?.total_changes();
        self.guard.allow(self.options.statement_timeout);
        let result = run(self.db()?, &statement.text);
        let late = self.guard.is_late();
        self.guard.allow(None);
        self.stop.checkpoint().await;
        if let Some(denied) = self.guard.denied() {
            return Err(Error::database("running a statement", None, denied));
        }
        match result {
            Ok(()) => Ok(Outcome::rows(self.db()?.total_changes() - before)),
            Err(_) if late => Err(self.too_late("running a statement")),
            Err(error) => Err(self.failed("running a statement", error)),
        }
    }

    async fn reset(&mut self) -> Result<()> {
        self.stop.checkpoint().await;
        self.between_checkpoints = false;
        let lent = std::mem::take(&mut self.lent);
        if lent && !self.db()?.is_autocommit() {
            self.undo()?;
            let words = "a migration left a transaction open; commit it in the body that began it";
            return Err(Error::database("cleaning up after a migration", None, words));
        }
        self.tune_as_found()?;
        if !lent {
            return Ok(());
        }
        let db = self.connection.as_ref().ok_or_else(closed)?;
        let looked = self.foreign_keys.look_again(db);
        looked.map_err(|error| self.failed("reading whether foreign keys are on", error))?;
        self.protect()
    }

    fn connection(&mut self) -> &mut (dyn Any + Send) {
        self
    }

    async fn blocking(&mut self, job: &mut BlockingJob<'_>) -> Result<()> {
        self.stop.checkpoint().await;
        if self.db()?.is_autocommit() {
            self.enforce_as_found()?;
        } else {
            self.stand_guard()?;
        }
        self.lent = true;
        self.guard.allow(self.options.statement_timeout);
        job(self.connection.as_mut().ok_or_else(closed)?);
        let late = self.guard.is_late();
        self.guard.allow(None);
        self.stop.checkpoint().await;
        match self.guard.denied() {
            Some(denied) => Err(Error::database("running a migration", None, denied)),
            None if late => Err(self.too_late("running a migration")),
            None => Ok(()),
        }
    }

    async fn execute_recorded(
        &mut self,
        statement: &Statement,
        batch: &mut MakeBatch<'_>,
    ) -> Result<(Outcome, Recorded)> {
        self.run_recorded(statement, batch).await
    }

    fn in_transaction(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.is_autocommit())
    }

    fn is_transient(&self, error: &BoxError) -> bool {
        error::is_transient(error)
    }

    fn describe(&self, error: &BoxError) -> String {
        error::describe(error)
    }

    /// The client's own words may repeat the whole statement.
    fn may_be_shown(&self, error: &BoxError) -> bool {
        !error::is_the_clients(error)
    }

    async fn notices(&mut self) -> Vec<String> {
        self.connection.as_ref().and_then(|db| journal::starved(db, &self.name)).into_iter().collect()
    }

    async fn close(mut self: Box<Self>) {
        if let Place::Given(_) = *self.place {
            // A connection that cannot be put right is closed, not given back.
            let connection = self.restore().ok();
            self.hang_up();
            self.place.give_back(connection);
        } else {
            self.hang_up();
        }
    }
}

impl Drop for SqliteSession {
    /// The run did not end cleanly: SQLite rolls back when the connection closes.
    fn drop(&mut self) {
        if self.hang_up() {
            self.place.give_back(None);
        }
    }
}

fn rolled_back(action: &str) -> Error {
    let words = "SQLite rolled its transaction back while it ran (`OR ROLLBACK`, `RAISE(ROLLBACK)` or a full disk), and it \
                 went on as if nothing had happened";
    Error::database(action, None, words)
}

fn closed() -> Error {
    Error::Usage { problem: "the session was closed already".to_owned() }
}
