//! [`TestDatabases`]: a fresh, migrated database for each test.

use std::fmt::{self, Debug};
use std::sync::Arc;

use admmgt_core::{Driver, Error, MigrationSet, Migrations, Migrator, Origin, Policy, Result, lockfile};
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
/// What a migration in Rust calls is not known of it: where there is one, the kept database is that of this very program,
/// and one that is built anew migrates once more. Files that a migration reads while it runs are not known either: after
/// a change of theirs call [`TestDatabases::forget`].
pub struct TestDatabases<S: TestServer> {
    server: Arc<S>,
    migrations: Migrations,
    fixtures: Vec<String>,
    policy: Policy,
    driver: Option<Arc<MakeDriver<S>>>,
}

type MakeDriver<S> = dyn Fn(&<S as TestServer>::Database) -> Result<Arc<dyn Driver>> + Send + Sync;

impl<S: TestServer> Clone for TestDatabases<S> {
    fn clone(&self) -> Self {
        Self {
            server: Arc::clone(&self.server),
            migrations: self.migrations.clone(),
            fixtures: self.fixtures.clone(),
            policy: self.policy.clone(),
            driver: self.driver.clone(),
        }
    }
}

impl<S: TestServer> Debug for TestDatabases<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestDatabases").field("server", &self.server).finish_non_exhaustive()
    }
}

impl<S: TestServer> TestDatabases<S> {
    /// With every registered migration.
    pub fn of(server: S) -> Self {
        Self {
            server: Arc::new(server),
            migrations: Migrations::registered(),
            fixtures: Vec::new(),
            policy: Policy::default(),
            driver: None,
        }
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

    /// Migrates with the limits and choices of the application, here and in every claim. Default: the default policy.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Migrates with a driver like the application's, where that has settings of its own: a schema, another place for the
    /// history. Default: [`TestDatabase::driver`].
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use admmgt_testkit::{MemoryServer, TestDatabases};
    ///
    /// let databases = TestDatabases::of(MemoryServer::default());
    /// // With PostgreSQL: `Ok(Arc::new(Postgres::with(database.options()).schema("shop")?))`.
    /// let databases = databases.driven_by(|database| Ok(Arc::new(database.memory().clone())));
    /// ```
    pub fn driven_by(
        mut self,
        driver: impl Fn(&S::Database) -> Result<Arc<dyn Driver>> + Send + Sync + 'static,
    ) -> Self {
        self.driver = Some(Arc::new(driver));
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

    /// Of one of the databases, with everything of the application's.
    pub(crate) fn migrator(&self, database: &S::Database) -> Result<Migrator> {
        let driver = match &self.driver {
            Some(driver) => driver(database)?,
            None => database.driver(),
        };
        Ok(Migrator::new(driver).migrations(self.migrations.clone()).policy(self.policy.clone()))
    }

    /// The limits and choices of the application.
    pub(crate) fn chosen(&self) -> Policy {
        self.policy.clone()
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
        self.migrator(&database)?.up().await?;
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

    /// What makes the same database has the same name.
    fn template(&self) -> Result<String> {
        let set = self.set()?;
        let mut parts = vec![lockfile(&set).to_string(), format!("{:?}", self.policy)];
        parts.extend(self.fixtures.iter().cloned());
        if self.driver.is_some() || set.metas().any(|meta| meta.origin == Origin::Code) {
            parts.push(this_program());
        }
        // FNV-1a, 64 bits, with the length of each part before it.
        let bytes = parts.iter().flat_map(|part| part.len().to_le_bytes().into_iter().chain(part.bytes()));
        let hash =
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        Ok(format!("{hash:016x}"))
    }
}

/// What no other build of a program has. Where it cannot be told, each process is another one.
fn this_program() -> String {
    let file = std::env::current_exe().and_then(std::fs::metadata);
    let built = file.and_then(|file| Ok((file.len(), file.modified()?)));
    built.map_or_else(|_| std::process::id().to_string(), |(length, at)| format!("{length} {at:?}"))
}
