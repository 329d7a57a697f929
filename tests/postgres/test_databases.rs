//! `Postgres::tests`, as an application's own tests use it.

use admmgt::ErrorKind;
use admmgt::postgres::PgTestServer;
use admmgt::prelude::*;
use admmgt::sqlx::{self, Executor};
use admmgt::testkit::{TestDatabase, TestDatabases};
use admmgt_tests::{Database, sql};

fn set(table: &str) -> Migrations {
    sql(&[
        ("1", &format!("create table {table}(id int)")),
        ("2", "create index concurrently found on users(id)"),
        ("0", "create table users(id int)"),
    ])
}

async fn on(db: &Database, table: &str) -> TestDatabases<PgTestServer> {
    Postgres::tests(&db.url()).unwrap().migrations(set(table))
}

async fn databases(db: &Database, like: &str) -> i64 {
    db.number(&format!("select count(*) from pg_database where datname like '{like}%'")).await
}

/// The tests of a server of their own count databases.
async fn alone() -> Option<(admmgt_tests::Cluster, Database)> {
    Database::ours().await?;
    let cluster = admmgt_tests::Cluster::start()?;
    let db = Database::at(&cluster.url("postgres"));
    Some((cluster, db))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_test_has_a_database_of_its_own_and_the_migrations_ran_once() {
    let Some((_cluster, db)) = alone().await else { return };
    let all = on(&db, "a").await;
    let made: Vec<_> = (0..6)
        .map(|_| {
            let all = all.clone();
            tokio::spawn(async move { all.fresh().await })
        })
        .collect();
    let mut fresh = Vec::new();
    for one in made {
        fresh.push(one.await.unwrap().unwrap());
    }
    for (number, one) in fresh.iter().enumerate() {
        assert_eq!(databases(&db, one.name()).await, 1);
        let pool = one.pool().await.unwrap();
        pool.execute("insert into a values (1)").await.unwrap();
        let count: i64 = sqlx::query_scalar("select count(*) from a").fetch_one(&pool).await.unwrap();
        assert_eq!(count, 1, "{number}");
        let report = Migrator::new(one.driver()).migrations(set("a")).up().await.unwrap();
        assert_eq!(report.ran.len(), 0);
    }
    // All are copies of one.
    let runs: std::collections::BTreeSet<_> = {
        let mut runs = std::collections::BTreeSet::new();
        for one in &fresh {
            let mut connection = one.connection().await.unwrap();
            let run: String =
                sqlx::query_scalar("select run from _admmgt_history limit 1").fetch_one(&mut connection).await.unwrap();
            runs.insert(run);
        }
        runs
    };
    assert_eq!(runs.len(), 1);
    assert_eq!(databases(&db, "admmgt_template_").await, 1);
    assert_eq!(databases(&db, "admmgt_test_").await, 6);
    drop(fresh);
    assert_eq!(databases(&db, "admmgt_test_").await, 0);
    assert_eq!(databases(&db, "admmgt_template_").await, 1);
}

#[tokio::test]
async fn another_set_has_another_template_and_a_forgotten_one_is_made_again() {
    let Some((_cluster, db)) = alone().await else { return };
    on(&db, "a").await.fresh().await.unwrap();
    on(&db, "b").await.fresh().await.unwrap();
    assert_eq!(databases(&db, "admmgt_template_").await, 2);
    on(&db, "a").await.forget().await.unwrap();
    assert_eq!(databases(&db, "admmgt_template_").await, 1);
    on(&db, "a").await.fresh().await.unwrap();
    assert_eq!(databases(&db, "admmgt_template_").await, 2);
}

#[tokio::test]
async fn a_set_that_fails_leaves_no_template() {
    let Some((_cluster, db)) = alone().await else { return };
    let all = Postgres::tests(&db.url()).unwrap().migrations(sql(&[("1", "insert into nowhere values (1)")]));
    for _ in 0..2 {
        assert_eq!(all.fresh().await.unwrap_err().kind(), ErrorKind::Failed);
    }
    assert_eq!(databases(&db, "admmgt_t").await, 0);
}

/// What a killed test left is dropped by a later one, if nobody is in it.
#[tokio::test]
async fn what_killed_tests_left_is_dropped() {
    let Some((_cluster, db)) = alone().await else { return };
    let server = PgTestServer::new(&db.url()).unwrap();
    for age in ["0000000001", "00ffffffff"] {
        db.run(&format!("create database admmgt_test_{age}_0123456789abcdef")).await;
    }
    server.sweep().await.unwrap();
    assert_eq!(databases(&db, "admmgt_test_0000000001").await, 0);
    assert_eq!(databases(&db, "admmgt_test_00ffffffff").await, 1);
}
