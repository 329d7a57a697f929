//! A new database of a PostgreSQL server.

use admmgt::prelude::*;
use admmgt::sqlx::postgres::PgConnectOptions;
use admmgt::sqlx::{AssertSqlSafe, Connection, Row, raw_sql};

use crate::{Ground, Left, Orders, Sets, say};

/// A new database, dropped at the end.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
    /// The server is the tests' own: processes of it may be killed, and roles made.
    pub ours: bool,
    stays: bool,
}

/// Says that a test of PostgreSQL did nothing, and how it would.
pub fn skipped(test: &str) {
    say(format_args!(
        "SKIPPED {test}: no PostgreSQL. `./tests/run test` starts one; or set ADMMGT_PG_URL=postgres://user@host/database"
    ));
}

/// The server's address: the tests' own, or the one of `ADMMGT_PG_URL`.
pub fn server_url() -> Option<String> {
    std::env::var("ADMMGT_TEST_PG").or_else(|_| std::env::var("ADMMGT_PG_URL")).ok()
}

impl Database {
    /// A new one; where there is no server, says that the test is skipped.
    pub async fn new() -> Option<Self> {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let (server, ours) = match (std::env::var("ADMMGT_TEST_PG"), std::env::var("ADMMGT_PG_URL")) {
            (Ok(server), _) => (server, true),
            (_, Ok(server)) => (server, false),
            _ => {
                skipped(&test);
                return None;
            }
        };
        Some(Self::on(&server, ours).await)
    }

    /// As [`Database::new`], for tests that kill and stop, or make roles: only where the server is the tests' own.
    pub async fn ours() -> Option<Self> {
        let database = Self::new().await?;
        if !database.ours {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            say(format_args!("SKIPPED {test}: it needs a server of its own; `./tests/run test` starts one"));
            return None;
        }
        Some(database)
    }

    /// A new one on a server.
    pub async fn on(server: &str, ours: bool) -> Self {
        let name = format!("t_{:016x}", fastrand::u64(..));
        run_at(server, &format!("create database {name}")).await;
        Self { server: server.to_owned(), name, ours, stays: false }
    }

    /// One that is there already, and stays.
    pub fn at(url: &str) -> Self {
        let (_, name) = url.rsplit_once('/').expect("a database in the URL");
        Self { server: url.to_owned(), name: name.to_owned(), ours: true, stays: true }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.url_of(&self.name)
    }

    /// The port of its server.
    pub fn port(&self) -> u16 {
        let place = self.server.rsplit_once('@').map_or(&*self.server, |(_, place)| place);
        let host = place.split('/').next().unwrap_or_default();
        host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(5432)
    }

    /// Its address for another role.
    pub fn url_as(&self, role: &str) -> String {
        let url = self.url();
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (_, place) = rest.split_once('@').expect("a user");
        format!("{scheme}://{role}@{place}")
    }

    fn url_of(&self, database: &str) -> String {
        let (server, _) = self.server.rsplit_once('/').expect("a database in the URL");
        format!("{server}/{database}")
    }

    /// The driver.
    pub fn driver(&self) -> Postgres {
        Postgres::connect(&self.url()).expect("a URL")
    }

    /// A migrator of the database with these migrations.
    pub fn migrator(&self, migrations: impl Into<Migrations>) -> Migrator {
        Migrator::new(self.driver()).migrations(migrations)
    }

    /// A connection, as the application has one.
    pub async fn connection(&self) -> PgConnection {
        connect(&self.url()).await
    }

    /// Runs statements as the application would.
    pub async fn run(&self, sql: &str) {
        run_at(&self.url(), sql).await;
    }

    /// The rows of a query, each as its columns with a `|` between them.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let mut connection = self.connection().await;
        let rows = raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.expect("the query runs");
        let column = |row: &admmgt::sqlx::postgres::PgRow, at| {
            row.try_get_unchecked::<Option<String>, _>(at).expect("a text").unwrap_or_default()
        };
        let row = |row: &admmgt::sqlx::postgres::PgRow| {
            (0..row.len()).map(|at| column(row, at)).collect::<Vec<_>>().join("|")
        };
        let texts = rows.iter().map(row).collect();
        let _ = connection.close().await;
        texts
    }

    /// The only value of a query.
    pub async fn text(&self, sql: &str) -> String {
        let mut texts = self.texts(sql).await;
        assert_eq!(texts.len(), 1, "{sql}: {texts:?}");
        texts.remove(0)
    }

    /// One number.
    pub async fn number(&self, sql: &str) -> i64 {
        self.text(sql).await.parse().expect("a number")
    }

    /// The application's own tables in the schema `public`, in order.
    pub async fn tables(&self) -> Vec<String> {
        self.texts(r"select tablename from pg_tables where schemaname = 'public' and tablename not like '\_admmgt%' order by 1")
            .await
    }

    /// The kinds of the records of one migration, in the order they were written.
    pub async fn records(&self, id: &str) -> Vec<String> {
        self.texts(&format!("select kind from _admmgt_history where namespace || '/' || id = '{id}' order by seq"))
            .await
    }

    /// Waits until no server process works for a migrator any more, alive or dead.
    pub async fn quiet(&self) {
        self.quiet_but(0).await;
    }

    /// Waits until no more than so many do.
    pub async fn quiet_but(&self, count: i64) {
        let busy = "select count(*) from pg_stat_activity where datname = current_database() and application_name like 'admmgt/%'";
        for _ in 0..3000 {
            if self.number(busy).await <= count {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("a server process still works for a migrator");
    }

    /// How many locks of ours are held in this database.
    pub async fn leases(&self) -> i64 {
        self.number(
            "select count(*) from pg_locks where locktype = 'advisory' and classid = 1633971565 \
             and database = (select oid from pg_database where datname = current_database())",
        )
        .await
    }

    /// Indexes that nobody can use.
    pub async fn invalid_indexes(&self) -> Vec<String> {
        self.texts("select indexrelid::regclass from pg_index where not indisvalid").await
    }
}

impl Ground for Database {
    fn new() -> Self {
        now(Self::ours()).expect("there is a server, or the test is skipped before")
    }

    fn left(&self, orders: &Orders) -> Left {
        now(async {
            self.quiet().await;
            let status = self.migrator(Sets::migrations(orders)).status().await.expect("the history can be read");
            let mut tables = self.tables().await;
            let has_log = tables.iter().any(|table| table == "log");
            let log = if has_log { self.texts("select * from log order by 1").await } else { Vec::new() };
            tables.retain(|table| table != "log");
            Left { tables, log, status }
        })
    }

    fn repair(&self, sql: &str) {
        now(self.run(sql));
    }

    fn with_value(&self, value: i64) -> usize {
        now(self.texts(&format!("select count(*) from big where value = {value}")))[0].parse().expect("a count")
    }
}

/// One value of a database, asked for on another thread: a test's runtime cannot wait for it here. `None` where there
/// is none.
pub fn now_elsewhere(url: String, sql: &'static str) -> Option<String> {
    let asked = std::thread::spawn(move || {
        now(async {
            let mut connection = connect(&url).await;
            let row = raw_sql(sql).fetch_optional(&mut connection).await.ok()??;
            row.try_get_unchecked::<Option<String>, _>(0).ok()?
        })
    });
    asked.join().ok()?
}

/// The result of a future, waited for on this thread.
pub fn now<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        let (server, name) = (self.server.clone(), self.name.clone());
        // A runtime cannot be waited for inside of another one.
        let dropped = std::thread::spawn(move || {
            now(async {
                if let Ok(mut connection) = PgConnection::connect(&server).await {
                    let sql = format!("drop database if exists {name} with (force)");
                    let _ = raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
                }
            });
        });
        let _ = dropped.join();
    }
}

async fn connect(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().expect("a URL");
    // A pooler refuses what it does not know.
    PgConnection::connect_with(&options.extra_float_digits(None)).await.expect("the server answers")
}

/// Runs statements at an address.
pub async fn run_at(url: &str, sql: &str) {
    let mut connection = connect(url).await;
    raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect("the statements run");
    let _ = connection.close().await;
}
