//! Histories that were changed by hand, and tables that are not ours.

use std::fmt::Write;

use admmgt::prelude::*;
use admmgt::{Error, ErrorKind};
use admmgt_tests::{Database, sql};
use expect_test::expect;

fn set() -> Migrations {
    let long = format!("create table b(id int);\n{}", "insert into b values (1);\n".repeat(100));
    sql(&[("1", "create table a(id int)"), ("2", &long)])
}

/// What `verify` says of a history after a change, and that nothing panics.
async fn damaged(changes: &[&str]) -> Option<String> {
    let db = Database::new().await?;
    db.migrator(set()).up().await.unwrap();
    db.run("create table kept as table _admmgt_history").await;
    let mut said = String::new();
    for change in changes {
        db.run(change).await;
        let words = match db.migrator(set()).verify().await {
            Ok(verified) => format!("is not noticed: {verified}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::State, "{change}: {error}");
                error.to_string()
            }
        };
        let _ = write!(said, "{change}\n    {words}\n");
        db.run("truncate _admmgt_history; insert into _admmgt_history select * from kept").await;
    }
    Some(said)
}

#[tokio::test]
async fn a_damaged_record_is_named_by_its_row_and_column() {
    let Some(said) = damaged(&[
        "update _admmgt_history set namespace = null where seq = 1",
        "update _admmgt_history set namespace = 'no name' where seq = 1",
        "update _admmgt_history set id = '' where seq = 1",
        "update _admmgt_history set kind = 'rebased' where seq = 1",
        "update _admmgt_history set direction = 'sideways' where seq = 1",
        "update _admmgt_history set at = null where seq = 1",
        "update _admmgt_history set at = 'infinity' where seq = 1",
        "update _admmgt_history set checksum = 'x' where seq = 1",
        "update _admmgt_history set origin = 'paper' where seq = 1",
        "update _admmgt_history set steps = -1 where seq = 1",
        "update _admmgt_history set duration_us = -1 where seq = 1",
        "update _admmgt_history set body = null where seq = 2",
        "update _admmgt_history set body = '\\xff' where seq = 1",
        "update _admmgt_history set codec = 'zip' where seq = 2",
        "update _admmgt_history set heads = 'app' where seq = 2",
        "update _admmgt_history set heads = null where seq = 2",
        "update _admmgt_history set seq = 7 where seq = 2",
        "delete from _admmgt_history where seq = 1",
        "delete from _admmgt_history",
        "update _admmgt_history set format = 99 where seq = 2",
        "update _admmgt_format set format = 99",
    ])
    .await
    else {
        return;
    };
    expect![[r#"
        update _admmgt_history set namespace = null where seq = 1
            the history is damaged at column `namespace` of the row with seq 1 of `_admmgt_history`: it is NULL; restore the row from a backup
        update _admmgt_history set namespace = 'no name' where seq = 1
            the history is damaged at column `namespace` of the row with seq 1 of `_admmgt_history`: it is no name: it holds ' ' at byte 2; use letters, digits and `_ - . + : @`; restore the row from a backup
        update _admmgt_history set id = '' where seq = 1
            the history is damaged at column `id` of the row with seq 1 of `_admmgt_history`: it is no name: it is empty; give it at least one letter or digit; restore the row from a backup
        update _admmgt_history set kind = 'rebased' where seq = 1
            the history is damaged at column `kind` of the row with seq 1 of `_admmgt_history`: it is `rebased`, which this version does not know; restore the row from a backup
        update _admmgt_history set direction = 'sideways' where seq = 1
            the history is damaged at column `direction` of the row with seq 1 of `_admmgt_history`: it is `sideways`; restore the row from a backup
        update _admmgt_history set at = null where seq = 1
            the history is damaged at column `at` of the row with seq 1 of `_admmgt_history`: it is NULL; restore the row from a backup
        update _admmgt_history set at = 'infinity' where seq = 1
            the history is damaged at column `at` of the row with seq 1 of `_admmgt_history`: it is `infinity` and must be an integer; restore the row from a backup
        update _admmgt_history set checksum = 'x' where seq = 1
            the history is damaged at column `checksum` of the row with seq 1 of `_admmgt_history`: it is none: start it with a scheme, such as `manual:1`; restore the row from a backup
        update _admmgt_history set origin = 'paper' where seq = 1
            the history is damaged at column `origin` of the row with seq 1 of `_admmgt_history`: it is `paper`; restore the row from a backup
        update _admmgt_history set steps = -1 where seq = 1
            the history is damaged at column `steps` of the row with seq 1 of `_admmgt_history`: it is -1; restore the row from a backup
        update _admmgt_history set duration_us = -1 where seq = 1
            the history is damaged at column `duration_us` of the row with seq 1 of `_admmgt_history`: it is -1; restore the row from a backup
        update _admmgt_history set body = null where seq = 2
            the history is damaged at column `body` of the row with seq 2 of `_admmgt_history`: it is NULL; restore the row from a backup
        update _admmgt_history set body = '\xff' where seq = 1
            the history is damaged at column `body` of the row with seq 1 of `_admmgt_history`: it is not UTF-8; restore the row from a backup
        update _admmgt_history set codec = 'zip' where seq = 2
            the history is damaged at column `codec` of the row with seq 2 of `_admmgt_history`: it is `zip`, which this version does not know; restore the row from a backup
        update _admmgt_history set heads = 'app' where seq = 2
            the history is damaged at column `heads` of the last row of `_admmgt_history`: it holds `app`, which is no head; restore the row from a backup
        update _admmgt_history set heads = null where seq = 2
            the history is damaged at the head of namespace `app`: it does not match the records; rows were changed or deleted by hand. Restore the history tables from a backup
        update _admmgt_history set seq = 7 where seq = 2
            the history is damaged at record 7 of the history: record 2 should follow; rows were deleted or added by hand
        delete from _admmgt_history where seq = 1
            the history is damaged at record 2 of the history: record 1 should follow; rows were deleted or added by hand
        delete from _admmgt_history
            the history is damaged at table `_admmgt_history`: it is empty, and there were records; restore it from a backup
        update _admmgt_history set format = 99 where seq = 2
            is not noticed: 2 migrations are as applied; 2 records and 2 archived bodies are whole
        update _admmgt_format set format = 99
            the history is of format 99; this version reads up to format 1. Use a newer admmgt; nothing was changed
    "#]].assert_eq(&said);
}

#[tokio::test]
async fn a_history_of_a_newer_version_is_not_touched() {
    let Some(db) = Database::new().await else { return };
    db.migrator(set()).up().await.unwrap();
    db.run("update _admmgt_format set format = 2; update _admmgt_history set format = 2").await;
    for result in [
        db.migrator(set()).up().await.map(drop),
        db.migrator(sql(&[("1", "create table a(id int)")])).up().await.map(drop),
        db.migrator(set()).status().await.map(drop),
        db.migrator(set()).ensure_current().await,
        db.migrator(set()).resolve("app/1", admmgt::Resolution::Pending, "no").await,
    ] {
        assert!(matches!(result, Err(Error::NewerFormat { found: 2, .. })), "{result:?}");
    }
    assert_eq!(db.number("select count(*) from _admmgt_history").await, 2);
}

#[tokio::test]
async fn columns_that_are_missing_are_added_and_others_left_alone() {
    let Some(db) = Database::new().await else { return };
    db.migrator(set()).up().await.unwrap();
    db.run(
        "alter table _admmgt_history drop column detail; alter table _admmgt_history drop column codec;
         alter table _admmgt_history add column note text default 'theirs'; alter table _admmgt_format add column extra int",
    )
    .await;
    db.migrator(set()).ensure_current().await.unwrap();
    let more = set().and(SqlMigration::new("app", "3", "create table c(id int)").unwrap());
    assert_eq!(db.migrator(more.clone()).up().await.unwrap().ran.len(), 1);
    assert_eq!(db.text("select note || coalesce(detail, '') from _admmgt_history where seq = 3").await, "theirs");
    assert_eq!(db.migrator(more).history().await.unwrap().len(), 3);
}

#[tokio::test]
async fn something_else_with_the_name_of_our_table_is_told() {
    for made in [
        "create view _admmgt_history as select 1 as one",
        "create materialized view _admmgt_history as select 1 as one",
        "create sequence _admmgt_format",
        "create table _admmgt_history(seq bigint) partition by range (seq)",
    ] {
        let Some(db) = Database::new().await else { return };
        db.run(made).await;
        let error = db.migrator(set()).up().await.unwrap_err();
        assert!(error.kind() == ErrorKind::State && error.to_string().contains("must be a table"), "{made}: {error}");
        assert!(db.tables().await.is_empty());
        assert_eq!(db.leases().await, 0);
    }
}

#[tokio::test]
async fn half_of_our_tables_is_not_taken_for_none() {
    for lost in ["_admmgt_history", "_admmgt_format"] {
        let Some(db) = Database::new().await else { return };
        db.migrator(set()).up().await.unwrap();
        db.run(&format!("drop table {lost}")).await;
        let result = db.migrator(sql(&[("9", "create table nine(id int)")])).up().await;
        let error = result.unwrap_err();
        assert!(error.kind() == ErrorKind::State && error.to_string().contains(lost), "{lost}: {error}");
    }
}

/// Somebody writes the history without asking for the lease: SQL is taken back, code does not begin.
#[tokio::test]
async fn a_history_written_behind_our_back_stops_the_run() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    for code in [true, false] {
        let Some(db) = Database::new().await else { return };
        let (url, ran) = (db.url(), Arc::new(AtomicBool::new(false)));
        let runs = Arc::clone(&ran);
        let second = admmgt_tests::pg("2", move |_| {
            runs.store(true, Ordering::SeqCst);
            Box::pin(async { Ok(()) })
        });
        let list = sql(&[("1", "create table a(id int)")]);
        let list = if code {
            list.and(second)
        } else {
            list.and(SqlMigration::new("app", "2", "create table b(id int)").unwrap())
        };
        let migrator = db.migrator(list).observe(move |event: &admmgt::Event| {
            if matches!(event, admmgt::Event::MigrationDone { migration, .. } if migration.id() == "1") {
                let intrude = "insert into _admmgt_history select 2, 'ghost', id, kind, direction, at, run, checksum, origin, step,
                               steps, duration_us, by, host, library, detail, body, codec, format, heads from _admmgt_history
                               returning 'done'";
                assert!(admmgt_tests::now_elsewhere(url.clone(), intrude).is_some());
            }
        });
        let error = migrator.up().await.unwrap_err();
        let Error::Stopped { cause, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(**cause, Error::HistoryMoved { .. }), "{error}");
        assert_eq!((db.tables().await, ran.load(Ordering::SeqCst)), (vec!["a".to_owned()], false));
        assert_eq!(db.leases().await, 0);
    }
}

/// Two histories of one database, in schemas of their own.
#[tokio::test]
async fn two_histories_of_one_database_are_independent() {
    let Some(db) = Database::new().await else { return };
    let on = |schema: &str, name: &str| {
        let text = format!("create table public.{name}(id int)");
        Migrator::new(db.driver().history_schema(schema).unwrap()).migrations(sql(&[("1", &text)]))
    };
    let mut policy = Policy::default();
    policy.foreign = admmgt::Verdict::Allow;
    assert_eq!(on("one", "a").up().await.unwrap().ran.len(), 1);
    assert_eq!(on("two", "b").policy(policy).up().await.unwrap().ran.len(), 1);
    assert_eq!(on("one", "a").up().await.unwrap().ran.len(), 0);
    assert_eq!(db.tables().await, ["a", "b"]);
    assert_eq!(
        db.texts("select nspname from pg_namespace where nspname in ('one', 'two') order by 1").await,
        ["one", "two"]
    );
}

#[tokio::test]
async fn names_that_look_like_sql_stay_names() {
    let Some(db) = Database::new().await else { return };
    let hostile = "te\"n'ant; drop schema public cascade; --";
    let driver = db.driver().schema(hostile).unwrap();
    let one = SqlMigration::new("app", "1_its", "create table mine(id int)").unwrap();
    let migrator = Migrator::new(driver).migrations(Migrations::new([one])).by("o'hara\\ \u{1F600}\0x");
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
    assert_eq!(migrator.up().await.unwrap().ran.len(), 0);
    assert_eq!(migrator.history().await.unwrap()[0].by.as_str(), "o'hara\\ \u{1F600}\u{fffd}x");
    let found = db.texts("select schemaname from pg_tables where tablename = 'mine'").await;
    assert_eq!(found, [hostile]);
    let error = db.driver().schema("x".repeat(64)).unwrap_err();
    assert!(error.to_string().contains("63"), "{error}");
    assert!(db.driver().schema("").is_err());
}

#[tokio::test]
async fn tables_whose_columns_were_changed_are_told() {
    for change in ["rename column format to shape", "alter column format type text using 'one'"] {
        let Some(db) = Database::new().await else { return };
        db.migrator(set()).up().await.unwrap();
        db.run(&format!("alter table _admmgt_format {change}")).await;
        for error in [
            db.migrator(set()).status().await.map(drop).unwrap_err(),
            db.migrator(set()).verify().await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::State, "{change}: {error}");
        }
    }
}
