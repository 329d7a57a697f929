//! Histories that were changed by hand, or written by a newer version: the row is named, and nothing runs.

use admmgt::prelude::*;
use admmgt::{Error, ErrorKind, Meta, Target};
use admmgt_tests::{Orders, Scratch, Sets, say, sql};
use expect_test::expect;

/// A database with two applied migrations and one that failed outside a transaction.
async fn with_history() -> (Scratch, Migrator) {
    let scratch = Scratch::new();
    let orders = Orders::new(scratch.path()).set(Sets::Small, 2);
    let half = SqlMigration::new("app", "0003", "vacuum;\ninsert into nowhere values (1)")
        .unwrap()
        .with(admmgt_tests::outside);
    let migrator = scratch.migrator(Sets::migrations(&orders).and(half));
    assert_eq!(migrator.up().await.unwrap_err().kind(), ErrorKind::Interrupted);
    // Without the constraints that would keep the damage out.
    scratch.run(
        "create table copy as select * from _admmgt_history; drop table _admmgt_history;
         alter table copy rename to _admmgt_history;
         create table copy as select * from _admmgt_format; drop table _admmgt_format; alter table copy rename to _admmgt_format;",
    );
    migrator.status().await.unwrap();
    (scratch, migrator)
}

/// What a history says with one thing wrong in it: every call the same, nobody panics, nothing runs.
async fn damaged(update: &str) -> String {
    let (scratch, migrator) = with_history().await;
    scratch.run(update);
    let before = scratch.contents();
    let error = match migrator.status().await {
        Ok(_) => return format!("{update}\n    is not noticed"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::State, "{update}: {error}");
    for other in [migrator.plan().await.map(drop), migrator.up().await.map(drop)] {
        assert_eq!(other.unwrap_err().kind(), ErrorKind::State, "{update}");
    }
    assert!(scratch.contents() == before, "{update}");
    format!("{update}\n    {}", scratch.neutral(&error))
}

async fn all_damaged(table: &str, changes: &[(&str, &[&str])]) -> String {
    let mut lines = Vec::new();
    for (column, values) in changes {
        for value in *values {
            lines.push(damaged(&format!("update {table} set {column} = {value} where rowid = 1")).await);
        }
    }
    lines.join("\n")
}

#[tokio::test]
async fn each_column_of_a_damaged_record_is_named() {
    let changes: [(&str, &[&str]); 18] = [
        ("seq", &["null", "'one'", "-1", "0", "7", "1.5"]),
        ("namespace", &["null", "7", "'a/b'", "''", "'other'", "x'ff'"]),
        ("id", &["null", "'../x'", "'0009'", "x'00'"]),
        ("kind", &["null", "'rebased'", "'reverted'", "3"]),
        ("direction", &["null", "'sideways'"]),
        ("at", &["null", "'yesterday'", "-9223372036854775808", "9223372036854775807", "x''"]),
        ("run", &["null", "1"]),
        ("checksum", &["null", "''", "'v1:sha256:00'", "'manual:9'", "x'ff'"]),
        ("origin", &["null", "'text'"]),
        ("step", &["'first'", "-1", "4294967296"]),
        ("steps", &["'all'", "-1"]),
        ("duration_us", &["'long'", "-1"]),
        ("by", &["null", "x'ff'"]),
        ("host", &["null", "1.5"]),
        ("library", &["null", "2"]),
        ("detail", &["x'00'", "9"]),
        ("body", &["null", "7", "x'ff'"]),
        ("codec", &["'zip'", "'deflate'", "8", "null"]),
    ];
    expect![[r#"
        update _admmgt_history set seq = null where rowid = 1
            the history is damaged at column `seq` of a row of `_admmgt_history`: it is NULL; restore the row from a backup
        update _admmgt_history set seq = 'one' where rowid = 1
            the history is damaged at column `seq` of a row of `_admmgt_history`: it is Text and must be an integer; restore the row from a backup
        update _admmgt_history set seq = -1 where rowid = 1
            the history is damaged at column `seq` of a row of `_admmgt_history`: it is -1; restore the row from a backup
        update _admmgt_history set seq = 0 where rowid = 1
            the history is damaged at record 0 of the history: record 1 should follow; rows were deleted or added by hand
        update _admmgt_history set seq = 7 where rowid = 1
            the history is damaged at record 2 of the history: record 1 should follow; rows were deleted or added by hand
        update _admmgt_history set seq = 1.5 where rowid = 1
            the history is damaged at column `seq` of a row of `_admmgt_history`: it is Real and must be an integer; restore the row from a backup
        update _admmgt_history set namespace = null where rowid = 1
            the history is damaged at column `namespace` of the row with seq 1 of `_admmgt_history`: it is NULL; restore the row from a backup
        update _admmgt_history set namespace = 7 where rowid = 1
            the history is damaged at the head of namespace `7`: it does not match the records; rows were changed or deleted by hand. Restore the history tables from a backup
        update _admmgt_history set namespace = 'a/b' where rowid = 1
            the history is damaged at column `namespace` of the row with seq 1 of `_admmgt_history`: it is no name: it holds '/' at byte 1; use letters, digits and `_ - . + : @`; restore the row from a backup
        update _admmgt_history set namespace = '' where rowid = 1
            the history is damaged at column `namespace` of the row with seq 1 of `_admmgt_history`: it is no name: it is empty; give it at least one letter or digit; restore the row from a backup
        update _admmgt_history set namespace = 'other' where rowid = 1
            the history is damaged at the head of namespace `app`: it does not match the records; rows were changed or deleted by hand. Restore the history tables from a backup
        update _admmgt_history set namespace = x'ff' where rowid = 1
            the history is damaged at column `namespace` of the row with seq 1 of `_admmgt_history`: it is Blob and must be text; restore the row from a backup
        update _admmgt_history set id = null where rowid = 1
            the history is damaged at column `id` of the row with seq 1 of `_admmgt_history`: it is NULL; restore the row from a backup
        update _admmgt_history set id = '../x' where rowid = 1
            the history is damaged at column `id` of the row with seq 1 of `_admmgt_history`: it is no name: it starts with '.'; start it with a letter, a digit or `_`; restore the row from a backup
        update _admmgt_history set id = '0009' where rowid = 1
            the history is damaged at the head of namespace `app`: it does not match the records; rows were changed or deleted by hand. Restore the history tables from a backup
        update _admmgt_history set id = x'00' where rowid = 1
            the history is damaged at column `id` of the row with seq 1 of `_admmgt_history`: it is Blob and must be text; restore the row from a backup
        update _admmgt_history set kind = null where rowid = 1
            the history is damaged at column `kind` of the row with seq 1 of `_admmgt_history`: it is NULL; restore the row from a backup
        update _admmgt_history set kind = 'rebased' where rowid = 1
            the history is damaged at column `kind` of the row with seq 1 of `_admmgt_history`: it is `rebased`, which this version does not know; restore the row from a backup
        update _admmgt_history set kind = 'reverted' where rowid = 1
            the history is damaged at the head of namespace `app`: it does not match the records; rows were changed or deleted by hand. Restore the history tables from a backup
        update _admmgt_history set kind = 3 where rowid = 1
            the history is damaged at column `kind` of the row with seq 1 of `_admmgt_history`: it is `3`, which this version does not know; restore the row from a backup
        update _admmgt_history set direction = null where rowid = 1
            the history is damaged at column `direction` of the row with seq 1 of `_admmgt_history`: it is NULL; restore the row from a backup
        update _admmgt_history set direction = 'sideways' where rowid = 1
            the history is damaged at column `direction` of the row with seq 1 of `_admmgt_history`: it is `sideways`; restore the row from a backup
        update _admmgt_history set at = null where rowid = 1
            the history is damaged at column `at` of the row with seq 1 of `_admmgt_history`: it is NULL; restore the row from a backup
        update _admmgt_history set at = 'yesterday' where rowid = 1
            the history is damaged at column `at` of the row with seq 1 of `_admmgt_history`: it is Text and must be an integer; restore the row from a backup
        update _admmgt_history set at = -9223372036854775808 where rowid = 1
            is not noticed
        update _admmgt_history set at = 9223372036854775807 where rowid = 1
            is not noticed
        update _admmgt_history set at = x'' where rowid = 1
            the history is damaged at column `at` of the row with seq 1 of `_admmgt_history`: it is Blob and must be an integer; restore the row from a backup
        update _admmgt_history set run = null where rowid = 1
            the history is damaged at column `run` of the row with seq 1 of `_admmgt_history`: it is NULL; restore the row from a backup
        update _admmgt_history set run = 1 where rowid = 1
            is not noticed
        update _admmgt_history set checksum = null where rowid = 1
            the history is damaged at column `checksum` of the row with seq 1 of `_admmgt_history`: it is NULL; restore the row from a backup
        update _admmgt_history set checksum = '' where rowid = 1
            the history is damaged at column `checksum` of the row with seq 1 of `_admmgt_history`: it is none: a checksum has 1 to 200 bytes; restore the row from a backup
        update _admmgt_history set checksum = 'v1:sha256:00' where rowid = 1
            the history is damaged at column `checksum` of the row with seq 1 of `_admmgt_history`: it is none: a `v1:sha256:` checksum has 64 lower-case hexadecimal digits; restore the row from a backup
        update _admmgt_history set checksum = 'manual:9' where rowid = 1
            the history is damaged at the head of namespace `app`: it does not match the records; rows were changed or deleted by hand. Restore the history tables from a backup
        update _admmgt_history set checksum = x'ff' where rowid = 1
            the history is damaged at column `checksum` of the row with seq 1 of `_admmgt_history`: it is Blob and must be text; restore the row from a backup
        update _admmgt_history set origin = null where rowid = 1
            the history is damaged at column `origin` of the row with seq 1 of `_admmgt_history`: it is NULL; restore the row from a backup
        update _admmgt_history set origin = 'text' where rowid = 1
            the history is damaged at column `origin` of the row with seq 1 of `_admmgt_history`: it is `text`; restore the row from a backup
        update _admmgt_history set step = 'first' where rowid = 1
            the history is damaged at column `step` of the row with seq 1 of `_admmgt_history`: it is Text and must be an integer; restore the row from a backup
        update _admmgt_history set step = -1 where rowid = 1
            the history is damaged at column `step` of the row with seq 1 of `_admmgt_history`: it is -1; restore the row from a backup
        update _admmgt_history set step = 4294967296 where rowid = 1
            the history is damaged at column `step` of the row with seq 1 of `_admmgt_history`: it is 4294967296; restore the row from a backup
        update _admmgt_history set steps = 'all' where rowid = 1
            the history is damaged at column `steps` of the row with seq 1 of `_admmgt_history`: it is Text and must be an integer; restore the row from a backup
        update _admmgt_history set steps = -1 where rowid = 1
            the history is damaged at column `steps` of the row with seq 1 of `_admmgt_history`: it is -1; restore the row from a backup
        update _admmgt_history set duration_us = 'long' where rowid = 1
            the history is damaged at column `duration_us` of the row with seq 1 of `_admmgt_history`: it is Text and must be an integer; restore the row from a backup
        update _admmgt_history set duration_us = -1 where rowid = 1
            the history is damaged at column `duration_us` of the row with seq 1 of `_admmgt_history`: it is -1; restore the row from a backup
        update _admmgt_history set by = null where rowid = 1
            the history is damaged at column `by` of the row with seq 1 of `_admmgt_history`: it is NULL; restore the row from a backup
        update _admmgt_history set by = x'ff' where rowid = 1
            the history is damaged at column `by` of the row with seq 1 of `_admmgt_history`: it is Blob and must be text; restore the row from a backup
        update _admmgt_history set host = null where rowid = 1
            the history is damaged at column `host` of the row with seq 1 of `_admmgt_history`: it is NULL; restore the row from a backup
        update _admmgt_history set host = 1.5 where rowid = 1
            is not noticed
        update _admmgt_history set library = null where rowid = 1
            the history is damaged at column `library` of the row with seq 1 of `_admmgt_history`: it is NULL; restore the row from a backup
        update _admmgt_history set library = 2 where rowid = 1
            is not noticed
        update _admmgt_history set detail = x'00' where rowid = 1
            the history is damaged at column `detail` of the row with seq 1 of `_admmgt_history`: it is Blob and must be text; restore the row from a backup
        update _admmgt_history set detail = 9 where rowid = 1
            is not noticed
        update _admmgt_history set body = null where rowid = 1
            the history is damaged at column `body` of the row with seq 1 of `_admmgt_history`: it is NULL; restore the row from a backup
        update _admmgt_history set body = 7 where rowid = 1
            the history is damaged at column `body` of the row with seq 1 of `_admmgt_history`: it is Integer; restore the row from a backup
        update _admmgt_history set body = x'ff' where rowid = 1
            the history is damaged at column `body` of the row with seq 1 of `_admmgt_history`: it is not UTF-8; restore the row from a backup
        update _admmgt_history set codec = 'zip' where rowid = 1
            the history is damaged at column `codec` of the row with seq 1 of `_admmgt_history`: it is `zip`, which this version does not know; restore the row from a backup
        update _admmgt_history set codec = 'deflate' where rowid = 1
            is not noticed
        update _admmgt_history set codec = 8 where rowid = 1
            the history is damaged at column `codec` of the row with seq 1 of `_admmgt_history`: it is `8`, which this version does not know; restore the row from a backup
        update _admmgt_history set codec = null where rowid = 1
            is not noticed"#]].assert_eq(&all_damaged("_admmgt_history", &changes).await);
}

#[tokio::test]
async fn the_heads_of_a_damaged_record_are_named() {
    let mut lines = Vec::new();
    for value in [
        "null",
        "''",
        "'app'",
        "7",
        "x'ff'",
        "'app 00 1 1'",
        "heads || ' 1'",
        "replace(heads, 'app', 'a/b')",
        "replace(heads, 'app', 'other')",
        "replace(heads, ' 3 ', ' -3 ')",
        "heads || char(10) || replace(heads, 'app', 'ghost')",
        "substr(heads, 1, 4) || 'x' || substr(heads, 6)",
        "substr(heads, 1, length(heads) - 1) || '99'",
    ] {
        let last = "where rowid = (select max(rowid) from _admmgt_history)";
        lines.push(damaged(&format!("update _admmgt_history set heads = {value} {last}")).await);
    }
    expect![[r#"
        update _admmgt_history set heads = null where rowid = (select max(rowid) from _admmgt_history)
            the history is damaged at the head of namespace `app`: it does not match the records; rows were changed or deleted by hand. Restore the history tables from a backup
        update _admmgt_history set heads = '' where rowid = (select max(rowid) from _admmgt_history)
            the history is damaged at the head of namespace `app`: it does not match the records; rows were changed or deleted by hand. Restore the history tables from a backup
        update _admmgt_history set heads = 'app' where rowid = (select max(rowid) from _admmgt_history)
            the history is damaged at column `heads` of the last row of `_admmgt_history`: it holds `app`, which is no head; restore the row from a backup
        update _admmgt_history set heads = 7 where rowid = (select max(rowid) from _admmgt_history)
            the history is damaged at column `heads` of the last row of `_admmgt_history`: it holds `7`, which is no head; restore the row from a backup
        update _admmgt_history set heads = x'ff' where rowid = (select max(rowid) from _admmgt_history)
            the history is damaged at column `heads` of the last row of `_admmgt_history`: it is Blob and must be text; restore the row from a backup
        update _admmgt_history set heads = 'app 00 1 1' where rowid = (select max(rowid) from _admmgt_history)
            the history is damaged at column `heads` of the last row of `_admmgt_history`: it holds `app 00 1 1`, which is no head; restore the row from a backup
        update _admmgt_history set heads = heads || ' 1' where rowid = (select max(rowid) from _admmgt_history)
            the history is damaged at column `heads` of the last row of `_admmgt_history`: it holds `app 67342101e8870383516fa0e7845f50937f578daf370a44d16358bb87884218df 3 5 1`, which is no head; restore the row from a backup
        update _admmgt_history set heads = replace(heads, 'app', 'a/b') where rowid = (select max(rowid) from _admmgt_history)
            the history is damaged at column `heads` of the last row of `_admmgt_history`: it holds `a/b 67342101e8870383516fa0e7845f50937f578daf370a44d16358bb87884218df 3 5`, which is no head; restore the row from a backup
        update _admmgt_history set heads = replace(heads, 'app', 'other') where rowid = (select max(rowid) from _admmgt_history)
            the history is damaged at the head of namespace `app`: it does not match the records; rows were changed or deleted by hand. Restore the history tables from a backup
        update _admmgt_history set heads = replace(heads, ' 3 ', ' -3 ') where rowid = (select max(rowid) from _admmgt_history)
            the history is damaged at column `heads` of the last row of `_admmgt_history`: it holds `app 67342101e8870383516fa0e7845f50937f578daf370a44d16358bb87884218df -3 5`, which is no head; restore the row from a backup
        update _admmgt_history set heads = heads || char(10) || replace(heads, 'app', 'ghost') where rowid = (select max(rowid) from _admmgt_history)
            the history is damaged at the head of namespace `ghost`: it does not match the records; rows were changed or deleted by hand. Restore the history tables from a backup
        update _admmgt_history set heads = substr(heads, 1, 4) || 'x' || substr(heads, 6) where rowid = (select max(rowid) from _admmgt_history)
            the history is damaged at column `heads` of the last row of `_admmgt_history`: it holds `app x7342101e8870383516fa0e7845f50937f578daf370a44d16358bb87884218df 3 5`, which is no head; restore the row from a backup
        update _admmgt_history set heads = substr(heads, 1, length(heads) - 1) || '99' where rowid = (select max(rowid) from _admmgt_history)
            the history is damaged at the head of namespace `app`: it does not match the records; rows were changed or deleted by hand. Restore the history tables from a backup"#]].assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn a_format_that_is_newer_or_none_is_refused() {
    let formats: &[&str] = &["null", "'one'", "0", "-1", "2", "4294967297"];
    let changes = [("format", formats), ("began", &["null", "'yes'", "0"])];
    expect![[r#"
        update _admmgt_format set format = null where rowid = 1
            the history is damaged at column `format` of a row of `_admmgt_format`: it is NULL; restore the row from a backup
        update _admmgt_format set format = 'one' where rowid = 1
            the history is damaged at table `_admmgt_format`: it cannot be read: Invalid column type Text at index: 0, name: max(format)
        update _admmgt_format set format = 0 where rowid = 1
            the history is damaged at table `_admmgt_format`: 0 is not a format
        update _admmgt_format set format = -1 where rowid = 1
            the history is damaged at table `_admmgt_format`: -1 is not a format
        update _admmgt_format set format = 2 where rowid = 1
            the history is of format 2; this version reads up to format 1. Use a newer admmgt; nothing was changed
        update _admmgt_format set format = 4294967297 where rowid = 1
            the history is damaged at table `_admmgt_format`: 4294967297 is not a format
        update _admmgt_format set began = null where rowid = 1
            is not noticed
        update _admmgt_format set began = 'yes' where rowid = 1
            is not noticed
        update _admmgt_format set began = 0 where rowid = 1
            is not noticed"#]].assert_eq(&all_damaged("_admmgt_format", &changes).await);
    let (scratch, migrator) = with_history().await;
    scratch.run("update _admmgt_format set format = 2");
    let before = scratch.contents();
    assert!(matches!(migrator.up().await.unwrap_err(), Error::NewerFormat { found: 2, supported: 1 }));
    assert!(matches!(migrator.ensure_current().await.unwrap_err(), Error::NewerFormat { .. }));
    assert!(matches!(
        migrator.resolve("app/0003", admmgt::Resolution::Applied, "x").await.unwrap_err(),
        Error::NewerFormat { .. }
    ));
    assert!(scratch.contents() == before);
}

#[tokio::test]
async fn rows_and_tables_that_were_taken_away_are_missed() {
    let mut lines = Vec::new();
    for change in [
        "delete from _admmgt_history where rowid = 1",
        "delete from _admmgt_history where rowid = (select max(rowid) from _admmgt_history)",
        "delete from _admmgt_history",
        "insert into _admmgt_history select * from _admmgt_history where rowid = 2",
        "drop table _admmgt_history",
        "drop table _admmgt_format",
        "alter table _admmgt_history drop column checksum",
        "drop table _admmgt_history; create view _admmgt_history as select 1 as seq",
    ] {
        lines.push(damaged(change).await);
    }
    expect![[r#"
        delete from _admmgt_history where rowid = 1
            the history is damaged at record 2 of the history: record 1 should follow; rows were deleted or added by hand
        delete from _admmgt_history where rowid = (select max(rowid) from _admmgt_history)
            is not noticed
        delete from _admmgt_history
            the history is damaged at table `_admmgt_history`: it is empty, and there were records; restore it from a backup
        insert into _admmgt_history select * from _admmgt_history where rowid = 2
            the history is damaged at record 2 of the history: record 3 should follow; rows were deleted or added by hand
        drop table _admmgt_history
            the history is damaged at table `_admmgt_history`: it is not there, and others of its kind are; restore it from a backup
        drop table _admmgt_format
            the history is damaged at table `_admmgt_format`: it is not there, and others of its kind are; restore it from a backup
        alter table _admmgt_history drop column checksum
            the history is damaged at the history tables: they cannot be read: no such column: checksum at offset 53
        drop table _admmgt_history; create view _admmgt_history as select 1 as seq
            the history is damaged at `_admmgt_history`: it is a view and must be a table; rename it, so that admmgt can create its own"#]].assert_eq(&lines.join("\n"));
}

/// Bytes of the file are damaged at random: an error or an answer, never a panic.
#[tokio::test]
async fn a_damaged_file_is_an_error_and_never_a_panic() {
    let (whole, _) = with_history().await;
    let bytes = whole.contents().remove("app.db").unwrap();
    let mut random = fastrand::Rng::with_seed(2026);
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..150 {
        let scratch = Scratch::new();
        let mut damaged = bytes.clone();
        let at = random.usize(0..damaged.len() - 64);
        damaged[at..at + random.usize(1..64)].fill_with(|| random.u8(..));
        scratch.write("app.db", &damaged);
        let migrator = scratch.migrator(sql(&[("0001", "select 1"), ("0009", "select 1")]));
        for answer in
            [migrator.status().await.map(drop), migrator.ensure_current().await, migrator.up().await.map(drop)]
        {
            let kind = answer.map_or_else(
                |error| {
                    let text = error.to_string();
                    assert!(!text.contains("panicked") && !text.contains("cut short"), "{text}");
                    format!("{:?}", error.kind())
                },
                |()| "Ok".to_owned(),
            );
            *kinds.entry(kind).or_default() += 1;
        }
    }
    say(format_args!("450 looks at damaged files: {kinds:?}"));
    assert!(kinds.contains_key("State"), "{kinds:?}");
}

/// Unknown columns of a newer library's tables are nobody's concern.
#[tokio::test]
async fn columns_that_this_version_does_not_know_are_ignored() {
    let scratch = Scratch::new();
    let first = || sql(&[("1", "create table a(id integer)")]);
    scratch.migrator(first()).up().await.unwrap();
    scratch.run("alter table _admmgt_history add column mood text; alter table _admmgt_format add column mood text");
    let migrator = scratch.migrator(first().include(sql(&[("2", "create table b(id integer)")])));
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
    assert!(migrator.status().await.unwrap().is_current());
}

/// Of an older version's table, what it has is read, and what it lacks is added once there is something to write.
#[tokio::test]
async fn f69_columns_that_an_older_version_had_not_are_added() {
    let scratch = Scratch::new();
    let first = || sql(&[("1", "create table a(id integer)")]);
    scratch.migrator(first()).up().await.unwrap();
    for column in ["step", "steps", "duration_us", "detail", "body", "codec"] {
        scratch.run(&format!("alter table _admmgt_history drop column {column}"));
    }
    scratch.migrator(first()).ensure_current().await.unwrap();
    assert_eq!(scratch.migrator(first()).verify().await.unwrap().records, 1);
    let migrator = scratch.migrator(first().include(sql(&[("2", "create table b(id integer)")])));
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
    let history = migrator.history().await.unwrap();
    assert_eq!((history[0].duration_us, &history[0].body), (None, &None));
    assert!(history[1].duration_us.is_some() && history[1].body.is_some());
}

#[tokio::test]
async fn a_history_emptied_by_hand_is_not_taken_for_a_new_one() {
    let scratch = Scratch::new();
    let migrator = scratch.migrator(sql(&[("1", "create table a(id integer)")]));
    migrator.up().await.unwrap();
    scratch.run("delete from _admmgt_history");
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State);
    assert!(error.to_string().contains("it is empty, and there were records"), "{error}");
}

/// `verify` reads what no run reads: the bodies that were archived.
#[tokio::test]
async fn an_archived_body_that_was_changed_is_found() {
    let text = format!("create table a(x); {}", "-- long enough to be worth it\n".repeat(50));
    for (change, problem) in [
        ("body = x'00ff00ff'", "cannot be unpacked"),
        (
            "(body, codec) = (select body, codec from _admmgt_history where id = '2')",
            "is not what its checksum was made of",
        ),
    ] {
        let scratch = Scratch::new();
        let migrator = scratch.migrator(sql(&[("1", &text), ("2", "create table b(x)")]));
        migrator.up().await.unwrap();
        assert_eq!(migrator.verify().await.unwrap().bodies, 2);
        scratch.run(&format!("update _admmgt_history set {change} where id = '1'"));
        assert_eq!(migrator.status().await.unwrap().pending().len(), 0);
        let error = migrator.verify().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State, "{error}");
        let words = error.to_string();
        assert!(words.contains("the archived body of record 1 (`app/1`)") && words.contains(problem), "{words}");
    }
}

/// What a repeatable migration was before is in the history alone.
#[tokio::test]
async fn an_earlier_form_that_was_damaged_is_not_put_back() {
    let scratch = Scratch::new();
    let view = |of: &str| {
        let long = "-- long enough to be packed\n".repeat(50);
        let text = format!("drop view if exists v;\ncreate view v as select {of};\n{long}");
        Migrations::new([SqlMigration::new("app", "v", text).unwrap().with(Meta::repeatable)])
    };
    scratch.migrator(view("1")).up().await.unwrap();
    let second = scratch.migrator(view("2"));
    second.up().await.unwrap();
    scratch.run("update _admmgt_history set body = x'00ff00ff' where seq = 1");
    let error = second.down(Target::Back(1)).await.unwrap_err();
    assert!(error.to_string().contains("the form it had before cannot be read from the history"), "{error}");
    assert_eq!(scratch.number("select * from v"), 2);
}
