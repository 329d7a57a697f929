//! What the engine asks of a driver, call by call.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use admmgt_core::{ErrorKind, MemoryDriver, Migrations, Migrator, Policy, SqlMigration, TransactionMode};
use admmgt_testkit::{Fault, FaultyDriver};

fn migrator(driver: &FaultyDriver, group: bool) -> Migrator {
    let one = |id: &str| SqlMigration::new("app", id, format!("do {id}")).unwrap();
    let mut policy = Policy::default();
    policy.group = group;
    Migrator::new(driver.clone()).migrations(Migrations::new(["1", "2", "3"].map(one))).policy(policy)
}

fn count(driver: &FaultyDriver, call: &str) -> usize {
    driver.calls().iter().filter(|name| **name == call).count()
}

/// So that it can make good what the first has changed in the connection.
#[tokio::test]
async fn between_two_bodies_of_one_transaction_a_driver_is_asked() {
    for (group, between, commits) in [(true, 2, 1), (false, 0, 3)] {
        let driver = FaultyDriver::new(MemoryDriver::new());
        migrator(&driver, group).up().await.unwrap();
        let done = count(&driver, "body_done");
        assert_eq!((count(&driver, "between_bodies"), count(&driver, "commit"), done), (between, commits, 3));
    }
}

/// What a database says at the commit is said of the migration: a constraint that is only checked there.
#[tokio::test]
async fn an_error_of_a_commit_is_a_failed_migration() {
    for group in [false, true] {
        let driver = FaultyDriver::new(MemoryDriver::new());
        migrator(&driver, group).up().await.unwrap();
        let commit = driver.calls().iter().position(|call| *call == "commit").unwrap() + 1;
        let database = MemoryDriver::new();
        let driver = FaultyDriver::new(database.clone()).fault(commit, Fault::Error);
        let error = migrator(&driver, group).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
        let kinds: Vec<String> = database.history().records.iter().map(|record| record.kind.to_string()).collect();
        assert_eq!((kinds, database.journal()), (vec!["failed".to_owned()], Vec::new()));
    }
}

/// What has ended and is not on record waits for a person, with what the database said of the record.
#[tokio::test]
async fn a_record_that_cannot_be_written_is_told_with_its_reason() {
    let run = |driver: FaultyDriver| async move {
        let text = SqlMigration::new("app", "1", "one\ntwo").unwrap();
        let outside = text.with(|meta| meta.transaction(TransactionMode::None));
        let mut policy = Policy::default();
        policy.retries = 0;
        Migrator::new(driver).migrations(Migrations::new([outside])).policy(policy).up().await
    };
    let driver = FaultyDriver::new(MemoryDriver::without_transactions());
    run(driver.clone()).await.unwrap();
    let calls = driver.calls();
    let first = calls.iter().position(|call| *call == "execute_recorded").unwrap();
    let append = first + calls[first..].iter().position(|call| *call == "append").unwrap() + 1;
    let database = MemoryDriver::without_transactions();
    let error = run(FaultyDriver::new(database.clone()).fault(append, Fault::Error)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    assert!(error.to_string().contains("an injected fault"), "{error}");
    assert_eq!(database.journal(), ["one"]);
}
