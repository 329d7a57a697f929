//! Folders of SQL files as lists of migrations, where something is wrong with them.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use std::fs;
use std::path::Path;

use admmgt_core::{MemoryDriver, MigrationsDir, Migrator, Refusal};

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn read(folder: &Path) -> Result<MigrationsDir, String> {
    let here = folder.display().to_string();
    MigrationsDir::read("app", folder, "memory").map_err(|error| error.to_string().replace(&here, "$"))
}

#[test]
fn what_is_no_migration_is_refused_where_that_is_asked_for() {
    let clean = folder(&[("1_users.sql", b"a")]);
    let strict = read(clean.path()).unwrap().strict(clean.path()).unwrap();
    assert_eq!(format!("{:?}", strict.migrations), "[\"app/1_users\"]");
    let mixed = folder(&[("1_users.sql", b"a"), ("notes.txt", b"b")]);
    let read = read(mixed.path()).unwrap();
    assert_eq!(read.ignored.len(), 1);
    let error = read.strict(mixed.path()).unwrap_err();
    assert_eq!(error.problems.len(), 1);
    assert!(error.to_string().contains("notes.txt: "), "{error}");
}

#[test]
fn a_name_that_no_migration_can_have_is_refused() {
    let folder = folder(&[("1_users.sql", b"a"), ("2_a \"b\".sql", b"b")]);
    assert_eq!(format!("{:?}", read(folder.path()).unwrap().migrations), "[\"app/1_users\", \"app/2_a__b_\"]");
    let error = MigrationsDir::read("no name", folder.path(), "memory").unwrap_err();
    assert_eq!(error.problems.len(), 2);
    assert!(error.to_string().contains("`no name` cannot name a migration or a namespace"), "{error}");
}

/// A file that cannot be read as a text is told with everything else that is wrong, at its line.
#[tokio::test]
async fn a_file_that_is_no_text_is_refused_when_it_runs() {
    let folder = folder(&[
        ("1_users.up.sql", b"a\nb\xff"),
        ("1_users.down.sql", b"a"),
        ("2_plans.up.sql", b"a"),
        ("2_plans.down.sql", b"a\nb\nc\xff"),
    ]);
    let database = MemoryDriver::new();
    let migrator = Migrator::new(database.clone()).migrations(read(folder.path()).unwrap().migrations);
    let error = migrator.up().await.unwrap_err();
    let lines = error.refusals().iter().map(|refusal| match refusal {
        Refusal::Unreadable { id, line, problem, .. } => (id.id(), *line, problem.starts_with("its way back: ")),
        other => panic!("{other}"),
    });
    assert_eq!(lines.collect::<Vec<_>>(), [("1_users", 2, false), ("2_plans", 3, true)]);
    assert!(database.journal().is_empty());
}

/// A driver that cannot read piece by piece reads it as a whole.
#[tokio::test]
async fn a_large_file_runs_on_any_driver() {
    let text = format!("one\n{}two\n", "-- nothing, and that in more than forty bytes\n".repeat(100_000));
    let folder = folder(&[("1_users.sql", text.as_bytes())]);
    let database = MemoryDriver::new();
    let migrator = Migrator::new(database.clone()).migrations(read(folder.path()).unwrap().migrations);
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
    assert_eq!(database.journal(), ["one", "two"]);
    fs::remove_file(folder.path().join("1_users.sql")).unwrap();
    let gone = Migrator::new(MemoryDriver::new()).migrations(migrator.listed());
    let error = gone.up().await.unwrap_err();
    assert!(error.to_string().contains("1_users.sql"), "{error}");

    let path = folder.path().join("2_plans.sql");
    fs::write(&path, [text.as_bytes(), b"\xff"].concat()).unwrap();
    let unusable = admmgt_core::SqlMigration::from_file("app", "2_plans", &path).unwrap();
    let error = Migrator::new(MemoryDriver::new()).migrations(admmgt_core::Migrations::new([unusable])).up().await;
    assert!(matches!(error.unwrap_err().refusals(), [Refusal::Unreadable { line: 100_003, .. }]));
}
