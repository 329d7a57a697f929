//! [`Sqlite`]: which database, and how it is opened.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use admmgt_core::{
    Access, Backend, BoxFuture, Dialect, Driver, Error, Head, Namespace, Result, Session, SessionOptions, StateStore,
    async_trait,
};
use rusqlite::Connection;

use crate::SqliteDialect;
use crate::host;
use crate::journal::Journal;
use crate::place::{self, Place};
use crate::session::SqliteSession;
use crate::store::{self, SqliteStore};

pub(crate) const BACKEND: Backend = Backend::new("sqlite");

/// A SQLite database: a file, or a connection of the caller's.
///
/// ```
/// use admmgt_core::{Migrations, Migrator, SqlMigration};
/// use admmgt_sqlite::Sqlite;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("app.db");
/// let notes = SqlMigration::new("app", "0001_notes", "create table notes(id integer primary key, text)")?;
/// let report = Migrator::new(Sqlite::open(path)?).migrations(Migrations::new([notes])).up().await?;
/// assert_eq!(report.ran.len(), 1);
/// # Ok(()) }
/// ```
///
/// A run happens on a thread of its own, which owns the connection and the lease: a lock of the
/// operating system on the file `<database>-admmgt.lock`, freed when the process dies, however it
/// dies. Foreign keys are off while a migration runs, as SQLite asks for when tables are rebuilt,
/// and are checked before its commit.
///
/// Clones share a caller's connection.
#[derive(Debug, Clone)]
pub struct Sqlite {
    pub(crate) place: Arc<Place>,
    pub(crate) journal: Journal,
}

impl Sqlite {
    /// A file. It is created by the first migration; its folder must exist.
    ///
    /// # Errors
    /// Where the path cannot be that of a file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::at(Place::path(path.as_ref())?))
    }

    /// A file by its URL: `sqlite:app.db`, `sqlite:///var/lib/app.db?mode=rw`, `sqlite::memory:`.
    /// `mode` is `rwc` (the default: create it if it is not there), `rw`, `ro` or `memory`.
    ///
    /// # Errors
    /// Where it is not a URL of that form. Values of parameters are never repeated.
    pub fn url(url: &str) -> Result<Self> {
        Ok(Self::at(Place::url(url)?))
    }

    /// A new database in memory. [`Sqlite::take_connection`] gives it back after the run.
    ///
    /// # Errors
    /// Where SQLite cannot make one.
    pub fn memory() -> Result<Self> {
        Ok(Self::connection(place::memory()?))
    }

    /// A connection of the caller's, for a database in memory above all. While a run has it, its
    /// authorizer, its commit, rollback and progress hooks are replaced; afterwards they are unset.
    ///
    /// ```
    /// use admmgt_core::{Migrations, Migrator, SqlMigration};
    /// use admmgt_sqlite::{rusqlite::Connection, Sqlite};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let database = Sqlite::connection(Connection::open_in_memory()?);
    /// let notes = SqlMigration::new("app", "0001_notes", "create table notes(id integer primary key, text)")?;
    /// Migrator::new(database.clone()).migrations(Migrations::new([notes])).up().await?;
    ///
    /// let connection = database.take_connection().expect("the run ended cleanly");
    /// connection.execute("insert into notes(text) values ('hello')", [])?;
    /// # Ok(()) }
    /// ```
    pub fn connection(connection: Connection) -> Self {
        Self::at(Place::given(connection))
    }

    /// The caller's connection, back: `None` for a file, while a run has it, and after a run that
    /// did not end cleanly, whose connection was closed.
    pub fn take_connection(&self) -> Option<Connection> {
        self.place.take()
    }

    /// The journal mode that migrations leave the file in.
    pub fn journal(mut self, journal: Journal) -> Self {
        self.journal = journal;
        self
    }

    fn at(place: Place) -> Self {
        Self { place: Arc::new(place), journal: Journal::default() }
    }
}

fn peek(place: &Place, patience: Duration) -> Result<Option<Head>> {
    let connection = place.open(Access::Read, patience)?;
    let head = store::head(&connection, &place.name(), patience);
    place.give_back(Some(connection));
    head
}

#[async_trait]
impl Driver for Sqlite {
    fn backend(&self) -> Backend {
        BACKEND
    }

    fn dialect(&self) -> Arc<dyn Dialect> {
        Arc::new(SqliteDialect)
    }

    fn store(&self) -> Arc<dyn StateStore> {
        Arc::new(SqliteStore)
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        Ok(Box::new(SqliteSession::open(self, options)?))
    }

    /// Here and now where that takes a fraction of a millisecond: waking another thread would take as
    /// long. What may have to wait, for a lock or for what a crash left over, goes to a thread that may
    /// block.
    async fn peek(&self, options: &SessionOptions, _: &[Namespace]) -> Result<Option<Head>> {
        if self.place.is_quick() {
            match peek(&self.place, Duration::ZERO) {
                Err(Error::Busy { .. }) => {}
                decided => return decided,
            }
        }
        let (place, patience) = (Arc::clone(&self.place), options.lock_timeout);
        host::briefly(move || peek(&place, patience)).await
    }

    async fn host(&self, run: BoxFuture<'static, ()>) -> Result<()> {
        host::host(run).await
    }
}
