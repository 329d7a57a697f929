//! Programs of several ages, and services beside each other, over one database.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use admmgt_core::*;

fn sql(namespace: &str, id: &str) -> SqlMigration {
    SqlMigration::new(namespace, id, format!("do {id}")).unwrap()
}

fn one(id: &str) -> SqlMigration {
    sql("app", id)
}

fn view(form: &str) -> SqlMigration {
    SqlMigration::new("app", "view", form.to_owned()).unwrap().with(Meta::repeatable)
}

fn program(database: &MemoryDriver, migrations: impl IntoIterator<Item = SqlMigration>) -> Migrator {
    Migrator::new(database.clone()).migrations(Migrations::new(migrations))
}

/// Of each migration, whether it will run again, and whether another form is left in place.
async fn told(program: &Migrator) -> Vec<(String, bool, bool)> {
    let rows = program.status().await.unwrap().migrations;
    rows.into_iter().map(|row| (row.migration.id().to_owned(), row.again, row.held_back)).collect()
}

fn row(id: &str, again: bool, held_back: bool) -> (String, bool, bool) {
    (id.to_owned(), again, held_back)
}

#[tokio::test]
async fn a_program_that_is_behind_leaves_the_newer_form_and_says_of_which() {
    let database = MemoryDriver::new();
    let newer = program(&database, [one("1"), one("2"), view("new")]);
    newer.up().await.unwrap();
    assert_eq!(told(&newer).await, [row("1", false, false), row("2", false, false), row("view", false, false)]);
    let older = program(&database, [one("1"), view("old")]);
    assert_eq!(told(&older).await, [row("1", false, false), row("view", false, true)]);
    assert!(older.up().await.unwrap().ran.is_empty());
}

#[tokio::test]
async fn a_program_with_something_pending_is_not_behind() {
    let database = MemoryDriver::new();
    program(&database, [one("1"), one("2"), view("theirs")]).up().await.unwrap();
    let ours = program(&database, [one("1"), one("3"), view("ours")]);
    assert_eq!(told(&ours).await, [row("1", false, false), row("3", false, false), row("view", true, false)]);
    // What is pending elsewhere says nothing of this namespace, nor what is applied there.
    let both = program(&database, [one("1"), view("ours"), sql("other", "1")]);
    assert_eq!(told(&both).await, [row("1", false, false), row("1", false, false), row("view", false, true)]);
}

#[tokio::test]
async fn a_file_that_was_deleted_is_older_and_what_another_service_does_is_not_ours() {
    let database = MemoryDriver::new();
    program(&database, [one("0"), one("1"), view("first")]).up().await.unwrap();
    program(&database, [sql("other", "9")]).up().await.unwrap();
    let ours = program(&database, [one("1"), view("second")]);
    assert_eq!(told(&ours).await, [row("1", false, false), row("view", true, false)]);
    let report = ours.up().await.unwrap();
    assert_eq!(report.ran.len(), 1, "{report}");
}
