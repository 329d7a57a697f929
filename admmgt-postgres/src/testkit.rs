//! Databases for tests: on a server, each copied from one that is migrated once.

mod look;

use std::str::FromStr;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use admmgt_core::{Driver, Error, Result, async_trait};
use admmgt_testkit::{Data, Schema, TestDatabase, TestDatabases, TestServer};
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
/// A template that nobody has copied for so long is of a set that is gone.
const UNUSED: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long another process may take to make a template.
const PATIENCE: Duration = Duration::from_secs(600);
/// Of the lock that one builder of a template takes: `admt`.
const CLASS: i32 = 0x6164_6d74;

impl Postgres {
    /// A fresh, migrated database for each test, with every registered migration, on the server of a URL, whose database
    /// is connected to in order to make others.
    ///
    /// ```no_run
    /// use admmgt_postgres::{Postgres, sqlx};
    ///
    /// # async fn a_test() -> Result<(), Box<dyn std::error::Error>> {
    /// let database = Postgres::tests("postgres://postgres@localhost/postgres")?.fresh().await?;
    /// let pool = database.pool().await?;
    /// sqlx::query("select 1").execute(&pool).await?;
    /// # Ok(()) }                                                                      // it is dropped here
    /// ```
    ///
    /// The role needs `CREATEDB`. Templates stay on the server, under names that start with `admmgt_template_`, until
    /// nobody has used them for a week. What tests leave behind when they are killed is dropped by the next ones, after
    /// an hour.
    ///
    /// # Errors
    /// Where it is no URL of PostgreSQL.
    pub fn tests(url: &str) -> Result<TestDatabases<PgTestServer>> {
        Ok(TestDatabases::of(PgTestServer::new(url)?))
    }
}

/// A server on which tests make databases.
#[derive(Clone)]
pub struct PgTestServer {
    options: PgConnectOptions,
    name: String,
}

impl std::fmt::Debug for PgTestServer {
    /// Without the options of `sqlx`, which show the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PgTestServer").field(&self.name).finish()
    }
}

impl PgTestServer {
    /// The server of a URL.
    ///
    /// # Errors
    /// Where it is no URL of PostgreSQL.
    pub fn new(url: &str) -> Result<Self> {
        // Its words are the driver's.
        Postgres::connect(url)?;
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| Error::Usage { problem: "that is not a URL of PostgreSQL".to_owned() })?;
        let options = options.extra_float_digits(None).disable_statement_logging();
        Ok(Self { name: place::name(&options), options })
    }

    /// Drops what tests that were killed have left: databases that are older than an hour and not in use, and templates
    /// that nobody has copied for a week. The first database of a process does it by itself.
    ///
    /// # Errors
    /// Where the server cannot be reached.
    pub async fn sweep(&self) -> Result<()> {
        let mut server = self.connect().await?;
        self.sweep_by(&mut server).await;
        wire::say_goodbye(server).await;
        Ok(())
    }

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

    /// Also one that is no template; `name` is in quotes.
    async fn drop_template(&self, server: &mut PgConnection, name: &str) -> Result<()> {
        match self.run(server, format!("alter database {name} is_template false")).await {
            Err(Error::Database { code: Some(code), .. }) if code == "3D000" => return Ok(()),
            decided => decided?,
        }
        self.when_unused(server, format!("drop database if exists {name}")).await
    }

    async fn made(&self, name: String) -> PgTest {
        static SWEPT: Once = Once::new();
        let mut first = false;
        SWEPT.call_once(|| first = true);
        if first && let Ok(mut server) = self.connect().await {
            self.sweep_by(&mut server).await;
            wire::say_goodbye(server).await;
        }
        PgTest { server: self.clone(), name }
    }

    /// That it fails is no failure of a test.
    async fn sweep_by(&self, server: &mut PgConnection) {
        let query = format!(
            "select datname, shobj_description(d.oid, 'pg_database') from pg_database d \
             where (datname like '{}%' or datname like '{}%') \
             and not exists (select from pg_stat_activity a where a.datid = d.oid)",
            TEST.replace('_', "\\_"),
            TEMPLATE.replace('_', "\\_")
        );
        for row in wire::rows(server, query).await.unwrap_or_default() {
            let [Some(name), comment] = &row[..] else { continue };
            if is_forgotten(name, comment.as_deref()) {
                let _ = self.drop_template(server, &quote::name(name)).await;
            }
        }
    }
}

/// Whether a database of ours is not needed any more: made too long ago, or, of a template, not used for too long.
fn is_forgotten(name: &str, comment: Option<&str>) -> bool {
    let older = |since: Option<&str>, limit: Duration| {
        let since = since.and_then(|since| u64::from_str_radix(since, 16).ok());
        since.is_some_and(|since| since < now().saturating_sub(limit.as_secs()))
    };
    if let Some(rest) = name.strip_prefix(TEST) {
        let parts = rest.split_once('_').filter(|(made, unique)| made.len() == 10 && unique.len() == 16);
        return older(parts.map(|(made, _)| made), FORGOTTEN);
    }
    older(comment.and_then(|comment| comment.strip_prefix(USED)), UNUSED)
}

/// The comment on a template; then comes the second in which it was used last.
const USED: &str = "admmgt: a template of test databases, used last at ";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The name of a template, as SQL.
fn template_of(template: &str) -> String {
    quote::name(&format!("{TEMPLATE}{template}"))
}

/// Notes that a template is used.
fn used_now(template: &str) -> String {
    format!("comment on database {} is {}", template_of(template), quote::text(&format!("{USED}{:x}", now())))
}

/// A name that no other database has.
fn fresh_name() -> String {
    format!("{TEST}{:010x}_{:016x}", now(), fastrand::u64(..))
}

#[async_trait]
impl TestServer for PgTestServer {
    type Database = PgTest;

    async fn empty(&self) -> Result<PgTest> {
        let (mut server, name) = (self.connect().await?, fresh_name());
        let made = self.run(&mut server, format!("create database {name}")).await;
        wire::say_goodbye(server).await;
        made?;
        Ok(self.made(name).await)
    }

    async fn copy(&self, template: &str) -> Result<Option<PgTest>> {
        let (mut server, name) = (self.connect().await?, fresh_name());
        let copied =
            self.when_unused(&mut server, format!("create database {name} template {}", template_of(template))).await;
        if copied.is_ok() {
            let _ = wire::run(&mut server, used_now(template)).await;
        }
        wire::say_goodbye(server).await;
        match copied {
            Ok(()) => Ok(Some(self.made(name).await)),
            Err(Error::Database { code: Some(code), .. }) if code == "3D000" => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn keep(&self, template: &str, database: PgTest) -> Result<()> {
        let mut server = self.connect().await?;
        let name = &database.name;
        // So that nobody is in it when it is copied.
        self.run(&mut server, format!("alter database {name} allow_connections false")).await?;
        let named = format!("alter database {name} rename to {}", template_of(template));
        let kept = match self.when_unused(&mut server, named).await {
            // A process that knows the server by another database was faster.
            Err(Error::Database { code: Some(code), .. }) if code == "42P04" => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                // Other roles may copy it too; and it is noted when it was used last.
                let copied =
                    format!("alter database {} is_template true; {}", template_of(template), used_now(template));
                self.run(&mut server, copied).await
            }
        };
        wire::say_goodbye(server).await;
        kept
    }

    async fn forget(&self, template: &str) -> Result<()> {
        let mut server = self.connect().await?;
        let dropped = self.drop_template(&mut server, &template_of(template)).await;
        wire::say_goodbye(server).await;
        dropped
    }

    async fn turn(&self, template: &str) -> Result<Box<dyn Send>> {
        let mut server = self.connect().await?;
        let lock = format!("select pg_try_advisory_lock({CLASS}, hashtext({}))", quote::text(template));
        let clock = Instant::now();
        while !self.is(&mut server, lock.clone()).await? {
            if clock.elapsed() > PATIENCE {
                let problem = format!("another process has been making the template `{template}` for {PATIENCE:?}");
                return Err(Error::Usage { problem });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // The lock is its connection's.
        Ok(Box::new(server))
    }
}

/// A PostgreSQL database for one test. It is dropped with this value, whoever is still connected.
#[derive(Debug)]
pub struct PgTest {
    server: PgTestServer,
    name: String,
}

impl PgTest {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How to connect to it.
    pub fn options(&self) -> PgConnectOptions {
        self.server.options.clone().database(&self.name)
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

    async fn asked<T>(
        &self,
        question: impl AsyncFnOnce(&mut PgConnection) -> std::result::Result<T, sqlx::Error>,
    ) -> Result<T> {
        let asked = Asked { what: &self.name, patience: Duration::ZERO };
        let mut connection = self.connection().await.map_err(|error| asked.unconnected(&error))?;
        let answer = question(&mut connection).await;
        // It may be dropped next.
        wire::say_goodbye(connection).await;
        answer.map_err(|error| asked.failed("asking a test database", &error))
    }
}

#[async_trait]
impl TestDatabase for PgTest {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(Postgres::with(self.options()))
    }

    async fn run(&self, text: &str) -> Result<()> {
        self.asked(async |db| wire::run(db, text.to_owned()).await.map(drop)).await
    }

    async fn schema(&self) -> Result<Schema> {
        self.asked(look::schema).await
    }

    async fn data(&self) -> Result<Data> {
        self.asked(look::data).await
    }
}

impl Drop for PgTest {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_and_old_is_forgotten() {
        let ago = |seconds: u64| now() - seconds;
        let test = |made: u64| format!("{TEST}{made:010x}_0123456789abcdef");
        assert!(is_forgotten(&test(ago(2 * 3600)), None));
        assert!(!is_forgotten(&test(ago(60)), None));
        for other in ["admmgt_test_data", "admmgt_test_0000000001_0123", "admmgt_test_000000zzzz_0123456789abcdef"] {
            assert!(!is_forgotten(other, None), "{other}");
        }
        let (day, template) = (24 * 3600, format!("{TEMPLATE}0123456789abcdef"));
        let used = |at: u64| format!("{USED}{at:x}");
        assert!(is_forgotten(&template, Some(&used(ago(8 * day)))));
        assert!(!is_forgotten(&template, Some(&used(ago(6 * day)))));
        // What has no mark of ours is not ours.
        for comment in
            [None, Some("invoices"), Some(USED), Some("admmgt: a template of test databases, used last at never")]
        {
            assert!(!is_forgotten(&template, comment), "{comment:?}");
        }
    }
}
