//! The shortest stories.

use admmgt::prelude::*;
use admmgt::{Error, ErrorKind, Refusal, Resolution, Standing};
use admmgt_tests::{Database, sql};

#[tokio::test]
async fn pending_migrations_are_applied_once() {
    let Some(db) = Database::new().await else { return };
    let migrator = db.migrator(sql(&[("1", "create table a(id integer)"), ("2", "create table b(id integer)")]));
    let report = migrator.up().await.unwrap();
    assert_eq!(report.ran.len(), 2);
    assert_eq!(db.tables().await, ["a", "b"]);
    assert_eq!(migrator.up().await.unwrap().to_string(), "nothing to do: 2 migrations are applied");
    migrator.ensure_current().await.unwrap();
    assert_eq!(db.leases().await, 0);
}

#[tokio::test]
async fn a_failing_migration_is_rolled_back_and_the_ones_before_it_stay() {
    let Some(db) = Database::new().await else { return };
    let migrator = db.migrator(sql(&[
        ("1", "create table a(id integer)"),
        ("2", "create table b(id integer);\ninsert into nowhere values (1);"),
        ("3", "create table c(id integer)"),
    ]));
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert_eq!(error.report().unwrap().ran.len(), 1);
    let text = error.to_string();
    assert!(
        text.contains("`app/2` (up) failed at tests/postgres/first.rs") && text.contains("statement 2 of 2"),
        "{text}"
    );
    assert_eq!(db.tables().await, ["a"]);
    assert_eq!(db.leases().await, 0);
    let status = migrator.status().await.unwrap();
    assert!(status.migrations[1].last_error.as_ref().unwrap().contains("nowhere"));
}

#[tokio::test]
async fn an_interrupted_migration_is_refused_until_resolved() {
    let Some(db) = Database::new().await else { return };
    let none = |meta: admmgt::Meta| meta.transaction(admmgt::TransactionMode::None);
    let first =
        SqlMigration::new("app", "1", "create table a(id integer);\nvacuum a;\ninsert into nowhere values (1);");
    let migrator = db.migrator(Migrations::new([first.unwrap().with(none)]));
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    let again = migrator.up().await.unwrap_err();
    assert!(matches!(again.refusals(), [Refusal::Interrupted { done: 2, steps: Some(3), .. }]), "{again}");
    assert!(matches!(migrator.status().await.unwrap().migrations[0].standing, Standing::Interrupted { .. }));
    migrator.resolve("app/1", Resolution::Applied, "inserted by hand").await.unwrap();
    assert_eq!(migrator.up().await.unwrap().ran.len(), 0);
    assert!(matches!(migrator.resolve("app/1", Resolution::Applied, "again").await, Err(Error::Usage { .. })));
}
