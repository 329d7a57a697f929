//! [`TestDatabases`]: a fresh, migrated database for each test.

use std::fmt::Debug;
use std::sync::Arc;

use admmgt_core::{Driver, Error, MigrationSet, Migrations, Migrator, Result, lockfile};
use async_trait::async_trait;

use crate::{Data, Schema};

/// Where tests can have as many databases as they want: a server, a folder. Backends implement it, with their feature
/// `testkit`; tests use [`TestDatabases`], which stands on it.
///
/// A template is a database that is kept under a name of hexadecimal digits, to be copied. Where one is, it is whole: it is
/// made under another name, and gets its own in one step.
#[async_trait]
pub trait TestServer: Debug + Send + Sync + 'static {
    /// One of its databases.
    type Database: TestDatabase;

    /// A new database with nothing in it.
    ///
    /// # Errors
    /// What the database says.
    async fn empty(&self) -> Result<Self::Database>;

    /// A copy of a template; `None` where there is none of that name.
    ///
    /// # Errors
    /// What the database says.
    async fn copy(&self, template: &str) -> Result<Option<Self::Database>>;

    /// Makes a database the template of that name. Where another process was faster, its template stays.
    ///
    /// # Errors
    /// What the database says.
    async fn keep(&self, template: &str, database: Self::Database) -> Result<()>;

    /// Takes a template away, where there is one.
    ///
    /// # Errors
    /// What the database says.
    async fn forget(&self, template: &str) -> Result<()>;

    /// Waits until no other process makes this template; others wait as long as the value lives. Default: nobody waits,
    /// and the slower ones have worked in vain.
    ///
    /// # Errors
    /// Where that took too long.
    async fn turn(&self, template: &str) -> Result<Box<dyn Send>> {
        let _ = template;
        Ok(Box::new(()))
    }
}

/// A database of a [`TestServer`]. It is gone with the value.
#[async_trait]
pub trait TestDatabase: Debug + Send + Sync + 'static {
    /// Its driver, to migrate it further or back.
    fn driver(&self) -> Arc<dyn Driver>;

    /// Runs a text, as the application would: fixtures.
    ///
    /// # Errors
    /// What the database says.
    async fn run(&self, text: &str) -> Result<()>;

    /// What it looks like, without the history of migrations: everything that a migration could make or change has a line,
    /// and what is too rare to be described one that says that it is there.
    ///
    /// # Errors
    /// What the database says.
    async fn schema(&self) -> Result<Schema>;

    /// What it holds, without the history of migrations.
    ///
    /// # Errors
    /// What the database says.
    async fn data(&self) -> Result<Data>;
}

/// Makes a fresh, migrated database for each test, by copying one that is migrated once.
///
/// The copied one is kept under a name that says which migrations and fixtures made it, so the next test, and the next
/// `cargo test`, only copies it. Any number of tests may ask at once, in any number of processes.
///
/// ```
/// use admmgt_core::{Migrations, SqlMigration};
/// use admmgt_testkit::{MemoryServer, TestDatabases};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let users = SqlMigration::new("app", "0001_users", "create users")?;
/// // An application writes `Sqlite::tests()` or `Postgres::tests(url)?`, and has the registered migrations.
/// let databases = TestDatabases::of(MemoryServer::default()).migrations(Migrations::new([users])).fixture("ada");
/// let database = databases.fresh().await?;
/// assert_eq!(database.memory().journal(), ["create users", "ada"]);
/// # Ok(()) }
/// ```
///
/// A migration in Rust is known by its tokens: what it calls is not, so after such a change call
/// [`TestDatabases::forget`].
#[derive(Debug)]
pub struct TestDatabases<S> {
    server: Arc<S>,
    migrations: Migrations,
    fixtures: Vec<String>,
}

impl<S> Clone for TestDatabases<S> {
    fn clone(&self) -> Self {
        let Self { server, migrations, fixtures } = self;
        Self { server: Arc::clone(server), migrations: migrations.clone(), fixtures: fixtures.clone() }
    }
}

impl<S: TestServer> TestDatabases<S> {
    /// With every registered migration.
    pub fn of(server: S) -> Self {
        Self { server: Arc::new(server), migrations: Migrations::registered(), fixtures: Vec::new() }
    }

    /// With these migrations instead.
    pub fn migrations(mut self, migrations: impl Into<Migrations>) -> Self {
        self.migrations = migrations.into();
        self
    }

    /// Runs this text too, after the migrations, once: rows that every test needs. What only one needs it runs by
    /// itself, with [`TestDatabase::run`].
    pub fn fixture(mut self, text: impl Into<String>) -> Self {
        self.fixtures.push(text.into());
        self
    }

    /// Where they are.
    pub fn server(&self) -> &S {
        &self.server
    }

    /// Its migrations, in order.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn set(&self) -> Result<MigrationSet> {
        MigrationSet::new(&self.migrations).map_err(|refusals| Error::Refused { refusals })
    }

    /// Its migrations, as they were listed.
    pub(crate) fn listed(&self) -> Migrations {
        self.migrations.clone()
    }

    /// A new database with nothing in it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn empty(&self) -> Result<S::Database> {
        self.server.empty().await
    }

    /// A new database in which all migrations are applied, and the fixtures are.
    ///
    /// # Errors
    /// What is wrong with the migrations, and what the database says.
    pub async fn fresh(&self) -> Result<S::Database> {
        let template = self.template()?;
        if let Some(database) = self.server.copy(&template).await? {
            return Ok(database);
        }
        let turn = self.server.turn(&template).await?;
        if let Some(database) = self.server.copy(&template).await? {
            return Ok(database);
        }
        let database = self.server.empty().await?;
        Migrator::new(database.driver()).migrations(self.migrations.clone()).up().await?;
        for fixture in &self.fixtures {
            database.run(fixture).await?;
        }
        self.server.keep(&template, database).await?;
        drop(turn);
        let gone = || Error::Usage { problem: format!("the template `{template}` was taken away while it was made") };
        self.server.copy(&template).await?.ok_or_else(gone)
    }

    /// Takes the kept one away, so that the next database is migrated from the start.
    ///
    /// # Errors
    /// What the database says.
    pub async fn forget(&self) -> Result<()> {
        self.server.forget(&self.template()?).await
    }

    /// The same migrations and fixtures have the same name.
    fn template(&self) -> Result<String> {
        let locked = lockfile(&self.set()?).to_string();
        let parts = std::iter::once(&locked).chain(&self.fixtures);
        // FNV-1a, 64 bits, with the length of each part before it.
        let bytes = parts.flat_map(|part| part.len().to_le_bytes().into_iter().chain(part.bytes()));
        let hash =
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        Ok(format!("{hash:016x}"))
    }
}
