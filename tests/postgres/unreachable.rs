//! Servers that cannot be reached, that refuse, or are not what is needed.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use admmgt::prelude::*;
use admmgt::sqlx::Connection;
use admmgt::{Error, ErrorKind};
use admmgt_tests::{Cluster, Database, free_port, sql};

fn one() -> Migrations {
    sql(&[("1", "create table a(id int)")])
}

async fn refused(url: &str) -> Error {
    let mut policy = Policy::default();
    policy.connect_wait = Duration::from_millis(100);
    Migrator::new(Postgres::connect(url).unwrap()).migrations(one()).policy(policy).up().await.unwrap_err()
}

#[tokio::test]
async fn why_there_is_no_connection_is_told_apart() {
    let Some(db) = Database::ours().await else { return };
    let server = format!("127.0.0.1:{}", db.port());
    let error = refused(&format!("postgres://me:SECRET@127.0.0.1:{}/x", free_port())).await;
    assert!(
        matches!(&error, Error::Unreachable { .. }) && error.to_string().contains("nothing listens there"),
        "{error}"
    );
    assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
    let error = refused("postgres://me:SECRET@no-such-host.invalid/x").await;
    assert!(matches!(&error, Error::Unreachable { .. }) && error.to_string().contains("cannot be resolved"), "{error}");
    let error = refused(&format!("postgres://postgres@{server}/no_such_database")).await;
    assert!(
        matches!(&error, Error::Unreachable { .. }) && error.to_string().contains("create the database first"),
        "{error}"
    );
    let error = refused(&format!("postgres://no_such_role:SECRET@{server}/postgres")).await;
    assert!(matches!(&error, Error::Rejected { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
    let error = refused(&format!("postgres://postgres@{server}/postgres?sslmode=require")).await;
    assert!(matches!(&error, Error::Unreachable { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let error = refused("postgres://postgres@%2Fno%2Fsuch%2Ffolder/postgres").await;
    assert!(matches!(&error, Error::Unreachable { .. }) && error.to_string().contains("no such socket"), "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_no_failed_migration() {
    if Database::ours().await.is_none() {
        return;
    }
    let cluster = Cluster::start_with("password_encryption = 'scram-sha-256'\n").unwrap();
    let admin = Database::on(&cluster.url("postgres"), true).await;
    admin.run("create role app login password 'right'").await;
    cluster.authenticate("scram-sha-256");
    let url = |password: &str| format!("postgres://app:{password}@127.0.0.1:{}/postgres", cluster.port());
    let error = refused(&url("wrong")).await;
    assert!(matches!(&error, Error::Rejected { .. }) && error.to_string().contains("28P01"), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("wrong"), "{error:?}");
    let driver = Postgres::connect(&url("right")).unwrap();
    assert_eq!(Migrator::new(driver).migrations(one()).status().await.unwrap().migrations.len(), 1);
}

#[tokio::test]
async fn a_server_that_starts_late_is_waited_for() {
    if Database::ours().await.is_none() {
        return;
    }
    let mut cluster = Cluster::start().unwrap();
    let url = cluster.url("postgres");
    cluster.stop_immediately();
    let mut policy = Policy::default();
    policy.connect_wait = Duration::from_secs(30);
    let migrator = Migrator::new(Postgres::connect(&url).unwrap()).migrations(one()).policy(policy);
    let run = tokio::spawn(async move { migrator.up().await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.run();
    assert_eq!(run.await.unwrap().unwrap().ran.len(), 1);
}

#[tokio::test]
async fn too_many_connections_is_a_kind_of_its_own() {
    if Database::ours().await.is_none() {
        return;
    }
    let cluster = Cluster::start_with(
        "max_connections = 8\nsuperuser_reserved_connections = 0\nmax_wal_senders = 0\nwal_level = minimal\n",
    )
    .unwrap();
    let url = cluster.url("postgres");
    let mut crowd = Vec::new();
    while let Ok(connection) = PgConnection::connect(&url).await {
        crowd.push(connection);
    }
    let error = refused(&url).await;
    assert!(matches!(&error, Error::Crowded { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    crowd.truncate(1);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let migrator = Migrator::new(Postgres::connect(&url).unwrap()).migrations(one());
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused_up_front() {
    let Some(db) = Database::new().await else { return };
    let driver = db.driver().min_server_version(99);
    let error = Migrator::new(driver).migrations(one()).up().await.unwrap_err();
    assert!(
        matches!(&error, Error::Unreachable { .. }) && error.to_string().contains("99 or newer is needed"),
        "{error}"
    );
    assert!(db.texts("select 1 from pg_class where relname like '\\_admmgt%'").await.is_empty());
}

#[test]
fn addresses_and_names_that_are_none_are_refused_and_passwords_are_not_shown() {
    let url = "postgres://me:SECRET@127.0.0.1/shop";
    let shown = format!("{:?} {:?}", Postgres::connect(url).unwrap(), Postgres::tests(url).unwrap());
    assert!(!shown.contains("SECRET") && shown.contains("shop"), "{shown}");
    for wrong in ["mysql://me:SECRET@127.0.0.1/shop", "postgres://me:SECRET@127.0.0.1:port/shop", "shop"] {
        let error = Postgres::connect(wrong).unwrap_err().to_string();
        assert!(!error.contains("SECRET") && error.contains("postgres://user:password@host"), "{error}");
    }
    let error = Postgres::connect(url).unwrap().schema("a\0b").unwrap_err();
    assert!(error.to_string().contains("NUL"), "{error}");
}

#[tokio::test]
async fn a_search_path_that_leads_nowhere_is_told() {
    let Some(db) = Database::new().await else { return };
    db.run(&format!("alter database {} set search_path = nowhere", db.name())).await;
    let error = db.migrator(sql(&[("1", "create table a(id int)")])).up().await.unwrap_err();
    assert!(error.to_string().contains("no schema of the `search_path` exists"), "{error}");
}

/// What a connection comes to at which something answers with these bytes, and ends the conversation.
async fn answered(bytes: Vec<u8>) -> Error {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            let _ = connection.read(&mut [0; 1024]);
            let _ = connection.write_all(&bytes);
        }
    });
    refused(&format!("postgres://me@127.0.0.1:{port}/x?sslmode=disable")).await
}

/// A server says so for a second while it starts; there is no other way to be sure of that second.
fn error_response(code: &str, words: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0VFATAL\0C{code}\0M{words}\0\0");
    let length = u32::try_from(fields.len() + 4).unwrap().to_be_bytes();
    [b"E", &length[..], fields.as_bytes()].concat()
}

#[tokio::test]
async fn a_server_that_starts_and_one_that_hangs_up_are_told_apart() {
    let error = answered(error_response("57P03", "the database system is starting up")).await;
    assert!(matches!(&error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("the server starts, stops or recovers"), "{error}");
    let error = answered(Vec::new()).await;
    assert!(matches!(&error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("the server ended the conversation; look at its log"), "{error}");
}

#[tokio::test]
async fn who_only_looks_is_told_too() {
    let url = format!("postgres://me@127.0.0.1:{}/x", free_port());
    let mut policy = Policy::default();
    policy.connect_wait = Duration::ZERO;
    let migrator = Migrator::new(Postgres::connect(&url).unwrap()).migrations(one()).policy(policy);
    let errors = [
        migrator.foreign().await.map(drop).unwrap_err(),
        migrator.wait_until_current(Duration::from_millis(50)).await.unwrap_err(),
        migrator.status().await.map(drop).unwrap_err(),
    ];
    assert!(errors.iter().all(|error| matches!(error, Error::Unreachable { .. })), "{errors:?}");
}
