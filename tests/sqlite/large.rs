//! SQL files that are too large to be held in memory.

use std::fmt::Write as _;
use std::sync::Mutex;

use admmgt::prelude::*;
use admmgt::{ErrorKind, Event, MigrationsDir, Resolution, TransactionMode};
use admmgt_tests::Scratch;

/// More than 4 MiB: a table, `count` rows in it, and `last`.
fn rows(count: usize, last: &str) -> String {
    let mut text = "\u{feff}create table t(a);\r\n".to_owned();
    let filling = "x;'' é ".repeat(60_000 / 8);
    for at in 0..count {
        write!(text, "/* {at}; */ insert into t values ('{filling}'); -- ;\r\n").unwrap();
    }
    text + last
}

fn folder(scratch: &Scratch, files: &[(&str, &str)]) -> Migrations {
    let folder = scratch.folder().join("migrations");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    MigrationsDir::read("app", folder, "sqlite").unwrap().migrations
}

#[tokio::test]
async fn a_large_file_runs_like_a_small_one() {
    let scratch = Scratch::new();
    let text = rows(80, "pragma foreign_keys = off");
    let migrations = folder(&scratch, &[("1_rows.sql", &text)]);
    // What is compiled in or made at run time has the same checksum.
    let inline = SqlMigration::new("app", "1_rows", text.clone()).unwrap();
    assert_eq!(migrations.metas().next().unwrap().checksum, admmgt::Migration::meta(&inline).checksum);

    let refused = scratch.migrator(migrations.clone()).up().await.unwrap_err().to_string();
    assert!(refused.contains("1_rows.sql:82:1: `PRAGMA foreign_keys` would silently do nothing"), "{refused}");

    let mut policy = Policy::default();
    policy.idle = admmgt::Verdict::Allow;
    let migrator = scratch.migrator(migrations).policy(policy);
    let plan = migrator.plan().await.unwrap();
    assert_eq!(plan.steps[0].statements, Some(81));
    migrator.up().await.unwrap();
    assert_eq!(scratch.number("select count(*) from t where a like 'x;'' é%'"), 80);
    migrator.verify().await.unwrap();
    scratch.migrator(Migrations::new([inline])).ensure_current().await.unwrap();
}

#[tokio::test]
async fn both_ways_may_stand_in_one_large_file() {
    let scratch = Scratch::new();
    let text = format!("-- +goose Up\n{}\n-- +goose Down\ndrop table t;\n", rows(80, "create table u(x);"));
    let migrator = scratch.migrator(folder(&scratch, &[("1_rows.sql", &text)]));
    for _ in 0..2 {
        migrator.up().await.unwrap();
        assert_eq!(scratch.tables(), ["t", "u"]);
        scratch.run("drop table u");
        migrator.down(Target::Nothing).await.unwrap();
        assert!(scratch.tables().is_empty());
    }
}

#[tokio::test]
async fn what_fails_in_a_large_file_is_named_by_its_line() {
    let scratch = Scratch::new();
    let text = rows(80, "insert into t values (1);\ninsert into nowhere values (1);\n");
    let migrator = scratch.migrator(folder(&scratch, &[("1_rows.sql", &text)]));
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("1_rows.sql:83"), "{error}");
    assert!(scratch.tables().is_empty());

    let broken = rows(80, "insert into t values ('");
    let refused = scratch.migrator(folder(&scratch, &[("1_rows.sql", &broken)])).up().await.unwrap_err().to_string();
    assert!(refused.contains("1_rows.sql:82:23: this string never ends"), "{refused}");
}

#[tokio::test]
async fn a_large_file_goes_on_where_it_was_interrupted() {
    let scratch = Scratch::new();
    let text = |last: &str| rows(80, last);
    let of_file = |text: &str| {
        folder(&scratch, &[("1_rows.sql", text)]);
        let file = scratch.folder().join("migrations/1_rows.sql");
        let migration = SqlMigration::from_file("app", "1_rows", file).unwrap();
        scratch.migrator(Migrations::new([
            migration.with(|meta| meta.transaction(TransactionMode::None).on_interrupt(admmgt::OnInterrupt::Retry))
        ]))
    };
    let broken = of_file(&text("insert into nowhere values (1)"));
    assert_eq!(broken.up().await.unwrap_err().kind(), ErrorKind::Interrupted);
    assert_eq!(scratch.number("select count(*) from t"), 80);

    let edited = of_file(&text("select 1").replacen("create table t(a)", "create table t(b)", 1));
    let refused = edited.up().await.unwrap_err().to_string();
    assert!(refused.contains("its statement 1 had ended well and is another one now"), "{refused}");

    let mended = of_file(&text("insert into t values (1)"));
    mended.up().await.unwrap();
    assert_eq!(scratch.number("select count(*) from t"), 81);
    assert!(mended.resolve("app/1_rows", Resolution::Applied, "no need").await.is_err());
}

#[tokio::test]
async fn a_large_file_that_is_edited_while_it_runs_is_taken_back() {
    let scratch = Scratch::new();
    let text = rows(80, "insert into t values (1)");
    let migrations = folder(&scratch, &[("1_rows.sql", &text)]);
    let edits = Mutex::new(Some((scratch.folder().join("migrations/1_rows.sql"), text.replace("'x;", "'y;"))));
    let migrator = scratch.migrator(migrations).observe(move |event: &Event| {
        if let Event::MigrationStarted { .. } = event
            && let Some((file, edited)) = edits.lock().unwrap().take()
        {
            std::fs::write(file, edited).unwrap();
        }
    });
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("1_rows.sql was edited while it was read; start again"), "{error}");
    assert!(scratch.tables().is_empty());
}
