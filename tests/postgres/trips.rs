//! Round trips, counted by a proxy.

use admmgt::prelude::*;
use admmgt::sqlx::{self, Executor};
use admmgt_tests::{Database, Proxy, outside, pg, sql};

struct Counted {
    db: Database,
    proxy: Proxy,
}

impl Counted {
    async fn new() -> Option<Self> {
        let db = Database::new().await?;
        let proxy = Proxy::to(db.port());
        Some(Self { db, proxy })
    }

    fn migrator(&self, migrations: impl Into<Migrations>) -> Migrator {
        let driver = Postgres::connect(&self.proxy.url(&self.db.url())).unwrap();
        Migrator::new(driver).migrations(migrations)
    }

    /// The round trips of a call, and its connections.
    async fn trips<T>(&self, call: impl Future<Output = admmgt::Result<T>>) -> (usize, usize) {
        let _before = (self.proxy.trips(), self.proxy.connections());
        call.await.unwrap();
        (self.proxy.trips(), self.proxy.connections())
    }
}

fn texts(count: usize) -> Migrations {
    let one = |number| SqlMigration::new("app", format!("{number:04}"), "select 1").unwrap();
    (1..=count).fold(Migrations::default(), |all, number| all.and(one(number)))
}

/// The server trusts this user: the start of a connection is one round trip, and the question is the second.
#[tokio::test]
async fn nothing_to_do_is_a_connection_and_one_query() {
    let Some(counted) = Counted::new().await else { return };
    for count in [1, 50] {
        counted.migrator(texts(count)).up().await.unwrap();
        assert_eq!(counted.trips(counted.migrator(texts(count)).up()).await, (2, 1));
        assert_eq!(counted.trips(counted.migrator(texts(count)).ensure_current()).await, (2, 1));
    }
}

#[tokio::test]
async fn a_migration_of_one_statement_takes_two_round_trips() {
    let Some(counted) = Counted::new().await else { return };
    counted.migrator(texts(1)).up().await.unwrap();
    let few = counted.trips(counted.migrator(texts(11)).up()).await.0;
    let many = counted.trips(counted.migrator(texts(111)).up()).await.0;
    // 100 - 10 more migrations, of one statement each: one for it, and one for its commit, which begins the next.
    assert_eq!(many - few, 90 * 2);
}

#[tokio::test]
async fn a_function_takes_two_beyond_its_own() {
    let Some(counted) = Counted::new().await else { return };
    let body = |number: usize| {
        pg(&format!("{number:04}"), |db| {
            Box::pin(async move {
                db.execute(sqlx::raw_sql("select 1")).await?;
                db.execute(sqlx::raw_sql("select 2")).await?;
                Ok(())
            })
        })
    };
    let set = |count| (1..=count).fold(Migrations::default(), |all, number| all.and(body(number)));
    counted.migrator(set(1)).up().await.unwrap();
    let few = counted.trips(counted.migrator(set(6)).up()).await.0;
    let many = counted.trips(counted.migrator(set(26)).up()).await.0;
    assert_eq!(many - few, 15 * 4);
}

/// A transaction of its own for each statement: one to begin it, one for the statement, one for both its ends.
#[tokio::test]
async fn a_statement_outside_takes_three_round_trips() {
    let Some(counted) = Counted::new().await else { return };
    let set = |statements: usize| {
        let text = "select 1;\n".repeat(statements);
        Migrations::new([SqlMigration::new("app", format!("{statements:04}"), text).unwrap().with(outside)])
    };
    counted.migrator(sql(&[("0000", "select 1")])).up().await.unwrap();
    let few = counted.trips(counted.migrator(set(5)).up()).await.0;
    let many = counted.trips(counted.migrator(set(25)).up()).await.0;
    assert_eq!(many - few, 20 * 3);
}

/// Two connections: one for the first question, one for the run. (Behind a proxy, one more looks for a pooler.)
#[tokio::test]
async fn the_work_around_the_migrations_is_bounded() {
    let Some(counted) = Counted::new().await else { return };
    counted.migrator(texts(1)).up().await.unwrap();
    let (trips, connections) = counted.trips(counted.migrator(texts(2)).up()).await;
    if std::env::var_os("SHOW").is_some() {
        eprintln!("{}", counted.proxy.said().replace('\0', " ").replace("Q ", "\nQ "));
    }
    assert!(trips <= 22 && connections == 3, "{trips} round trips, {connections} connections");
}
