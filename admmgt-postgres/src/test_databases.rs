//! [`TestDatabases`]: a fresh, migrated database for each test.

use std::str::FromStr;
use std::sync::Once;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use admmgt_core::{Error, MigrationSet, Migrations, Migrator, Result, lockfile};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use crate::error::{Asked, code};
use crate::{Postgres, place, quote, wire};

/// What the names of test databases start with; then come the second in which they were made, and what no other has.
const TEST: &str = "admmgt_test_";
/// What the names of templates start with; then comes what the set of migrations is.
const TEMPLATE: &str = "admmgt_template_";
/// What is older than this and not in use was left by a test that was killed.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// How long another process may take to make a template.
const PATIENCE: Duration = Duration::from_secs(600);
/// Of the lock that one builder of a template takes: `admt`.
const CLASS: i32 = 0x6164_6d74;

/// Makes a fresh, migrated database for each test, by copying one that is migrated once.
///
/// The template is kept in the server under a name that says which migrations made it, so the next test, and the next
/// `cargo test`, only copies it. Any number of test processes may start at once. What tests leave behind when they are
/// killed is dropped by the next ones, after an hour.
///
/// ```no_run
/// use admmgt_postgres::{TestDatabases, sqlx};
///
/// # async fn a_test() -> Result<(), Box<dyn std::error::Error>> {
/// let databases = TestDatabases::new("postgres://postgres@localhost/postgres")?;   // the registered migrations
/// let database = databases.fresh().await?;
/// let pool = database.pool().await?;
/// sqlx::query("select 1").execute(&pool).await?;
/// # Ok(()) }                                                                      // it is dropped here
/// ```
///
/// The role needs `CREATEDB`. A migration in Rust is known by its tokens: what it calls is not, so after such a change call
/// [`TestDatabases::forget`].
#[derive(Debug, Clone)]
pub struct TestDatabases {
    server: Server,
    migrations: Migrations,
}

#[derive(Clone)]
struct Server {
    options: PgConnectOptions,
    name: String,
}

impl std::fmt::Debug for Server {
    /// Without the options of `sqlx`, which show the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Server").field(&self.name).finish()
    }
}

impl TestDatabases {
    /// On the server of a URL, whose database is connected to in order to make others; with every registered migration.
    ///
    /// # Errors
    /// Where it is no URL of PostgreSQL.
    pub fn new(url: &str) -> Result<Self> {
        // Its words are the driver's.
        Postgres::connect(url)?;
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| Error::Usage { problem: "that is not a URL of PostgreSQL".to_owned() })?;
        let options = options.extra_float_digits(None).disable_statement_logging();
        let server = Server { name: place::name(&options), options };
        Ok(Self { server, migrations: Migrations::registered() })
    }

    /// With these migrations instead.
    pub fn migrations(mut self, migrations: impl Into<Migrations>) -> Self {
        self.migrations = migrations.into();
        self
    }

    /// A new database in which all migrations are applied.
    ///
    /// # Errors
    /// What is wrong with the migrations, and what the server says.
    pub async fn fresh(&self) -> Result<TestDatabase> {
        let template = self.template()?;
        let mut server = self.server.connect().await?;
        let built = self.build(&mut server, &template).await;
        let made = match built {
            Ok(()) => self.server.copy(&mut server, &template).await,
            Err(error) => Err(error),
        };
        static SWEPT: Once = Once::new();
        let mut first = false;
        SWEPT.call_once(|| first = true);
        if first {
            self.server.sweep(&mut server).await;
        }
        let _ = server.close().await;
        made
    }

    /// Drops the template, so that the next database is migrated from the start.
    ///
    /// # Errors
    /// What the server says.
    pub async fn forget(&self) -> Result<()> {
        let template = self.template()?;
        let mut server = self.server.connect().await?;
        let dropped = self.server.drop_template(&mut server, &template).await;
        let _ = server.close().await;
        dropped
    }

    /// Drops what tests that were killed have left: databases of tests that are older than an hour and not in use. The
    /// first [`TestDatabases::fresh`] of a process does it by itself.
    ///
    /// # Errors
    /// Where the server cannot be reached.
    pub async fn sweep(&self) -> Result<()> {
        let mut server = self.server.connect().await?;
        self.server.sweep(&mut server).await;
        let _ = server.close().await;
        Ok(())
    }

    /// The name of the template: the same set has the same.
    fn template(&self) -> Result<String> {
        let set = MigrationSet::new(&self.migrations).map_err(|refusals| Error::Refused { refusals })?;
        // FNV-1a, 64 bits.
        let text = lockfile(&set).to_string();
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        Ok(format!("{TEMPLATE}{hash:016x}"))
    }

    /// Makes the template, where it is not there. One process does, the others wait for it.
    async fn build(&self, server: &mut PgConnection, template: &str) -> Result<()> {
        if self.server.is_there(server, template).await? {
            return Ok(());
        }
        let lock = format!("{CLASS}, hashtext({})", quote::text(template));
        let clock = Instant::now();
        while !self.server.is(server, format!("select pg_try_advisory_lock({lock})")).await? {
            if clock.elapsed() > PATIENCE {
                let problem = format!("another process has been making the template `{template}` for {PATIENCE:?}");
                return Err(Error::Usage { problem });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let built = match self.server.is_there(server, template).await {
            Ok(true) => Ok(()),
            Ok(false) => self.build_alone(server, template).await,
            Err(error) => Err(error),
        };
        let _ = wire::run(server, format!("select pg_advisory_unlock({lock})")).await;
        built
    }

    /// Under another name until it is whole: a template that is there is whole.
    async fn build_alone(&self, server: &mut PgConnection, template: &str) -> Result<()> {
        let building = fresh_name();
        self.server.run(server, format!("create database {building}")).await?;
        let options = self.server.options.clone().database(&building);
        let migrated = Migrator::new(Postgres::with(options)).migrations(self.migrations.clone()).up().await;
        if let Err(error) = migrated {
            let _ = wire::run(server, format!("drop database if exists {building}")).await;
            return Err(error);
        }
        // So that nobody is in it when it is copied.
        self.server.run(server, format!("alter database {building} allow_connections false")).await?;
        let renamed = format!("alter database {building} rename to {template}");
        match self.server.when_unused(server, renamed).await {
            // A process that knows the server by another database was faster.
            Err(Error::Database { code: Some(code), .. }) if code == "42P04" => {
                self.server.run(server, format!("drop database if exists {building}")).await
            }
            decided => decided,
        }
    }
}

/// A name that no other database has.
fn fresh_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{TEST}{now:010x}_{:016x}", fastrand::u64(..))
}

impl Server {
    async fn connect(&self) -> Result<PgConnection> {
        let asked = Asked { what: &self.name, patience: Duration::ZERO };
        self.options.connect().await.map_err(|error| asked.unconnected(&error))
    }

    fn failed(&self, error: &sqlx::Error) -> Error {
        Asked { what: &self.name, patience: Duration::ZERO }.failed("making a test database", error)
    }

    async fn run(&self, server: &mut PgConnection, sql: String) -> Result<()> {
        wire::run(server, sql).await.map(drop).map_err(|error| self.failed(&error))
    }

    /// The answer to a question of yes or no.
    async fn is(&self, server: &mut PgConnection, sql: String) -> Result<bool> {
        let row = wire::row(server, sql).await.map_err(|error| self.failed(&error))?;
        Ok(row.is_some_and(|row| row[0].as_deref() == Some("t")))
    }

    async fn is_there(&self, server: &mut PgConnection, database: &str) -> Result<bool> {
        let name = quote::text(database);
        self.is(server, format!("select count(*) = 1 from pg_database where datname = {name}")).await
    }

    /// What needs a database that nobody is connected to: a connection that ended may be there for a moment more, and an
    /// autovacuum for as long as it takes.
    async fn when_unused(&self, server: &mut PgConnection, sql: String) -> Result<()> {
        const TRIES: usize = 200;
        for _ in 1..TRIES {
            match wire::run(server, sql.clone()).await {
                Err(error) if code(&error) == "55006" => tokio::time::sleep(Duration::from_millis(50)).await,
                decided => return decided.map(drop).map_err(|error| self.failed(&error)),
            }
        }
        self.run(server, sql).await
    }

    async fn copy(&self, server: &mut PgConnection, template: &str) -> Result<TestDatabase> {
        let name = fresh_name();
        self.when_unused(server, format!("create database {name} template {template}")).await?;
        Ok(TestDatabase { server: self.clone(), name })
    }

    async fn drop_template(&self, server: &mut PgConnection, template: &str) -> Result<()> {
        self.when_unused(server, format!("drop database if exists {template}")).await
    }

    /// Drops what tests that were killed have left. That it fails is no failure of a test.
    async fn sweep(&self, server: &mut PgConnection) {
        let query = format!(
            "select datname from pg_database d where datname like '{}%' \
             and not exists (select from pg_stat_activity a where a.datid = d.oid)",
            TEST.replace('_', "\\_")
        );
        let oldest =
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(FORGOTTEN).as_secs();
        let is_forgotten = |name: &String| {
            let made = name.strip_prefix(TEST).and_then(|rest| rest.split_once('_'));
            let made = made.filter(|(made, unique)| made.len() == 10 && unique.len() == 16);
            made.and_then(|(made, _)| u64::from_str_radix(made, 16).ok()).is_some_and(|made| made < oldest)
        };
        let names = wire::rows(server, query).await.unwrap_or_default();
        for name in names.into_iter().flatten().flatten().filter(is_forgotten) {
            let _ = wire::run(server, format!("drop database if exists {}", quote::name(&name))).await;
        }
    }
}

/// One database of [`TestDatabases`]. It is dropped with this value, whoever is still connected.
#[derive(Debug)]
pub struct TestDatabase {
    server: Server,
    name: String,
}

impl TestDatabase {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How to connect to it.
    pub fn options(&self) -> PgConnectOptions {
        self.server.options.clone().database(&self.name)
    }

    /// Its driver, to migrate it further or back.
    pub fn driver(&self) -> Postgres {
        Postgres::with(self.options())
    }

    /// A pool of connections to it.
    ///
    /// # Errors
    /// What the server says.
    pub async fn pool(&self) -> std::result::Result<PgPool, sqlx::Error> {
        PgPoolOptions::new().connect_with(self.options()).await
    }

    /// A connection to it.
    ///
    /// # Errors
    /// What the server says.
    pub async fn connection(&self) -> std::result::Result<PgConnection, sqlx::Error> {
        self.options().connect().await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (options, name) = (self.server.options.clone(), self.name.clone());
        // A test's own runtime cannot be waited for inside of it, and may be gone.
        let dropped = std::thread::Builder::new().spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            // Where it cannot be dropped now, a later test will.
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let Ok(mut server) = options.connect().await else { return };
                let forced = wire::run(&mut server, format!("drop database if exists {name} with (force)")).await;
                if forced.is_err() {
                    // Before version 13 nobody could be thrown out.
                    let _ = wire::run(&mut server, format!("drop database if exists {name}")).await;
                }
                let _ = server.close().await;
            });
        });
        if let Ok(dropped) = dropped {
            let _ = dropped.join();
        }
    }
}
