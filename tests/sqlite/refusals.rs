//! Bad input: refused before anything ran, all of it together, with file and line, and nothing made.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use admmgt::prelude::*;
use admmgt::{Checksum, Error, ErrorKind, Meta, MigrationId};
use admmgt_tests::{Orders, Scratch, Sets, Verb, code, id, say, snapshot, sql};
use expect_test::{Expect, expect};

/// Migrations from files of these names and bytes; the id is the name without `.sql`.
fn files(scratch: &Scratch, files: &[(&str, &[u8])]) -> Migrations {
    let written = files.iter().map(|(name, bytes)| (name.trim_end_matches(".sql"), scratch.write(name, bytes)));
    Migrations::new(written.map(|(id, path)| SqlMigration::from_file("app", id, path).unwrap()))
}

/// Refused, and no database was made.
async fn refused(scratch: &Scratch, migrations: impl Into<Migrations>) -> String {
    let migrator = scratch.migrator(migrations);
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    let plan = migrator.plan().await.unwrap_err();
    assert_eq!(plan.to_string(), error.to_string(), "plan says the same");
    assert!(scratch.files().iter().all(|name| !name.starts_with("app.db")), "{:?}", scratch.files());
    snapshot(&scratch.neutral(&error))
}

async fn check(bad: &[(&str, &str)], expected: Expect) {
    let scratch = Scratch::new();
    let bad: Vec<(&str, &[u8])> = bad.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    expected.assert_eq(&refused(&scratch, files(&scratch, &bad)).await);
}

#[tokio::test]
async fn text_that_never_ends_is_refused_where_it_starts() {
    check(
        &[
            ("1.sql", "create table a(id integer);\n\ninsert into a values ('it''s gone);\n"),
            ("2.sql", "select 1; /* never\nends"),
            ("3.sql", "select \"name from a"),
            ("4.sql", "create trigger t after insert on a begin\n  select 1;\n"),
        ],
        expect![[r#"
            nothing ran, for 4 reasons:
              - $/1.sql:3:23: this string never ends; close it with `'`, and write a `'` inside it twice: `''` (in `app/1`)
              - $/2.sql:1:11: this comment never ends; close it with `*/` (in `app/2`)
              - $/3.sql:1:8: this quoted name never ends; close it with `"` (in `app/3`)
              - $/4.sql:1:1: this `create trigger` never ends; close its body with `end;` after the `;` of its last statement (in `app/4`)"#]],
    )
    .await;
}

#[tokio::test]
async fn statements_that_break_or_miss_the_transaction_are_refused_by_line() {
    check(
        &[
            ("1.sql", "create table a(id integer);\nvacuum;"),
            ("2.sql", "create table b(id integer);\ncommit;"),
            ("3.sql", "pragma foreign_keys = off;\ncreate table c(id integer);"),
            ("4.sql", "begin;\ncreate table d(id integer);\nrollback;"),
            ("5.sql", "create table e(id integer);\npragma journal_mode = delete;"),
            ("6.sql", ".read other.sql\nselect 1;"),
        ],
        expect![[r#"
            nothing ran, for 7 reasons:
              - $/1.sql:2:1: `VACUUM` cannot run in a transaction (SQLite: "cannot VACUUM from within a transaction"); move it to a file of its own, or write `transaction = "none"` (in `app/1`)
              - $/2.sql:2:1: `COMMIT` would end the transaction of the migration before its record is written; delete it, or write `transaction = "none"` to keep it (in `app/2`)
              - $/3.sql:1:1: `PRAGMA foreign_keys` would silently do nothing: foreign keys are already off while a migration runs and are checked before its commit, so delete the line (in `app/3`)
              - $/4.sql:1:1: `BEGIN`: the migration already runs in a transaction; delete it, or write `transaction = "none"` to keep it (in `app/4`)
              - $/4.sql:3:1: `ROLLBACK` would take back what ran before it; delete it, or roll back to a savepoint (in `app/4`)
              - $/5.sql:2:1: `PRAGMA journal_mode` cannot run in a transaction (SQLite: "cannot change into wal mode from within a transaction", or silently nothing); move it to a file of its own, or write `transaction = "none"` (in `app/5`)
              - $/6.sql:1:1: `.read` is a command of the sqlite3 shell, not SQL; put the SQL of that file here, or make it a migration of its own (in `app/6`)"#]],
    )
    .await;
}

#[tokio::test]
async fn files_without_a_statement_are_refused() {
    check(
        &[("1.sql", ""), ("2.sql", "-- soon\n/* or later */\n;;\n")],
        expect![[r#"
        nothing ran, for 2 reasons:
          - $/1.sql:1: `app/1` has no statement. Write one, delete the migration, or allow it with `Policy::empty`
          - $/2.sql:1: `app/2` has no statement. Write one, delete the migration, or allow it with `Policy::empty`"#]],
    )
    .await;
    let scratch = Scratch::new();
    let mut policy = Policy::default();
    policy.empty = admmgt::Verdict::Allow;
    let report = scratch.migrator(files(&scratch, &[("1.sql", b"-- soon")])).policy(policy).up().await.unwrap();
    assert_eq!((report.ran.len(), scratch.tables().len()), (1, 0));
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused() {
    let scratch = Scratch::new();
    let utf16 = |text: &str, mark: [u8; 2], bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        mark.into_iter().chain(text.encode_utf16().flat_map(bytes)).collect()
    };
    let little = utf16("create table a(id integer)", [0xff, 0xfe], u16::to_le_bytes);
    let big = utf16("create table a(id integer)", [0xfe, 0xff], u16::to_be_bytes);
    let bad: [(&str, &[u8]); 5] = [
        ("1.sql", b"create table a(id integer);\ninsert into a values ('caf\xe9');"),
        ("2.sql", &little),
        ("3.sql", &big),
        ("4.sql", b"select 1;\nselect\0 2;"),
        ("5.sql", &little[2..]),
    ];
    expect![[r#"
        nothing ran, for 5 reasons:
          - $/1.sql:2: `app/1`: line 2, byte 27 is not UTF-8; save the file as UTF-8
          - $/2.sql:1: `app/2`: the file is UTF-16 (little endian); save it as UTF-8
          - $/3.sql:1: `app/3`: the file is UTF-16 (big endian); save it as UTF-8
          - $/4.sql:2: `app/4`: line 2, byte 7 is a NUL byte, where the database would stop reading; remove it
          - $/5.sql:1: `app/5`: the file is UTF-16 (little endian); save it as UTF-8"#]]
    .assert_eq(&refused(&scratch, files(&scratch, &bad)).await);
}

#[tokio::test]
async fn files_that_cannot_be_read_are_refused() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.folder().join("folder.sql")).unwrap();
    let names = ["missing.sql", "folder.sql", "no/such/place.sql"];
    let paths = names.map(|name| scratch.folder().join(name));
    let migrations =
        paths.iter().zip(1..).map(|(path, at)| SqlMigration::from_file("app", format!("{at}"), path).unwrap());
    expect![[r#"
        nothing ran, for 3 reasons:
          - $/missing.sql:1: `app/1`: cannot be read: No such file or directory (os error 2)
          - $/folder.sql:1: `app/2`: cannot be read: Is a directory (os error 21)
          - $/no/such/place.sql:1: `app/3`: cannot be read: No such file or directory (os error 2)"#]]
    .assert_eq(&refused(&scratch, Migrations::new(migrations)).await);
}

/// What is wrong with the list is said at once; then, with a list, what is wrong with what is pending.
#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
    let scratch = Scratch::new();
    let unreadable = files(&scratch, &[("4.sql", b"\xff"), ("5.sql", b"select 'open")]);
    let list = unreadable.and(after("6", &["0"])).and(after("7", &["7"]));
    expect![[r#"
        nothing ran, for 4 reasons:
          - $/4.sql:1: `app/4`: line 1, byte 1 is not UTF-8; save the file as UTF-8
          - m.rs:7: `app/6` depends on `app/0`, which is not registered. Is `app/4` meant?
          - migrations wait for each other: `app/7` (m.rs:7) -> `app/7`. Remove one of these dependencies
          - $/5.sql:1:8: this string never ends; close it with `'`, and write a `'` inside it twice: `''` (in `app/5`)"#]]
    .assert_eq(&refused(&scratch, list).await);

    scratch.migrator(Migrations::new([after("2", &[]), after("5", &["2"])])).up().await.unwrap();
    let edited = after("2", &[]).with(|mut meta: Meta| {
        meta.checksum = Checksum::of_sql("select 2");
        meta
    });
    let late = files(&scratch, &[("1.sql", b""), ("3.sql", b"commit;\nselect 'open"), ("6.sql", b"select 'open")]);
    let foreign = after("7", &[]).with(|meta| meta.backend(admmgt::Backend::new("postgres")));
    let migrations = late.and(edited).and(after("4", &[])).and(after("5", &["4"])).and(foreign);
    let error = scratch.migrator(migrations).up().await.unwrap_err();
    expect![[r#"
        nothing ran, for 9 reasons:
          - m.rs:7: `app/7` is written for postgres, and this is sqlite. Leave it out with `Migrations::filter`, or write its body for `&mut Context`
          - $/1.sql:1: `app/1` is pending and sorts before `app/5`, which is applied. Rename it so that it comes last, or allow this with `Policy::out_of_order`
          - $/1.sql:1: `app/1` has no statement. Write one, delete the migration, or allow it with `Policy::empty`
          - m.rs:7: `app/2` was applied on <time> and has been edited since (v1:sha256:… was applied, v1:sha256:… is registered). Restore it, and write the change as a new migration
          - $/3.sql:1: `app/3` is pending and sorts before `app/5`, which is applied. Rename it so that it comes last, or allow this with `Policy::out_of_order`
          - $/3.sql:2:8: this string never ends; close it with `'`, and write a `'` inside it twice: `''` (in `app/3`)
          - m.rs:7: `app/4` is pending and sorts before `app/5`, which is applied. Rename it so that it comes last, or allow this with `Policy::out_of_order`
          - m.rs:7: `app/5` is applied, but `app/4`, on which it depends, is pending. Was the dependency added after it was applied? Remove that edge, or apply the missing part in a new migration
          - $/6.sql:1:8: this string never ends; close it with `'`, and write a `'` inside it twice: `''` (in `app/6`)"#]].assert_eq(&snapshot(&scratch.neutral(&error)));
}

fn after(name: &str, dependencies: &[&str]) -> SqlMigration {
    let dependencies: Vec<MigrationId> = dependencies.iter().map(|name| id(name)).collect();
    SqlMigration::new("app", name, "select 1").unwrap().with(|mut meta: Meta| {
        meta.location.file = "m.rs".into();
        meta.location.line = 7;
        meta.depends_on(dependencies)
    })
}

#[tokio::test]
async fn a_graph_that_is_none_is_refused() {
    let graph = Migrations::new([
        after("a", &["c"]),
        after("b", &["a"]),
        after("c", &["b"]),
        after("self", &["self"]),
        after("0001_users", &[]),
        after("0002_plans", &["0001_user"]),
        after("0003_plans", &["of_nobody_at_all"]),
    ]);
    expect![[r#"
        nothing ran, for 4 reasons:
          - m.rs:7: `app/0002_plans` depends on `app/0001_user`, which is not registered. Is `app/0001_users` meant?
          - m.rs:7: `app/0003_plans` depends on `app/of_nobody_at_all`, which is not registered. If another crate defines it, link that crate: `admmgt::link!(the_crate);`
          - migrations wait for each other: `app/self` (m.rs:7) -> `app/self`. Remove one of these dependencies
          - migrations wait for each other: `app/a` (m.rs:7) -> `app/c` (m.rs:7) -> `app/b` (m.rs:7) -> `app/a`. Remove one of these dependencies"#]].assert_eq(&refused(&Scratch::new(), graph).await);
}

#[tokio::test]
async fn two_of_one_name_are_refused_with_both_places() {
    let scratch = Scratch::new();
    let here = |name: &'static str, file: &'static str| {
        SqlMigration::from_file("app", name, scratch.write(file, "select 1")).unwrap()
    };
    let twice = Migrations::new([here("1_users", "1_users.sql"), here("1_users", "copy.sql")]);
    expect!["nothing ran: `app/1_users` is written twice, at $/1_users.sql:1 and at $/copy.sql:1. Rename one of them"]
        .assert_eq(&refused(&scratch, twice).await);
    let alike = [
        here("1_users", "1_users.sql"),
        here("001_Users", "001_Users.sql"),
        here("Plans", "p.sql"),
        here("plans", "q.sql"),
    ];
    expect![[r#"
        nothing ran, for 2 reasons:
          - `app/001_Users` at $/001_Users.sql:1 and `app/1_users` at $/1_users.sql:1 differ only by case or leading zeros. Rename one of them
          - `app/Plans` at $/p.sql:1 and `app/plans` at $/q.sql:1 differ only by case or leading zeros. Rename one of them"#]].assert_eq(&refused(&scratch, Migrations::new(alike)).await);
}

#[tokio::test]
async fn no_migration_at_all_is_refused() {
    expect!["nothing ran: no migration is registered. A crate that only Cargo.toml names is not linked: write `admmgt::link!(the_crate);` or `use the_crate as _;` once in this program, or pass `Migrator::migrations` an explicit list"].assert_eq(&refused(&Scratch::new(), Migrations::default()).await);
}

#[test]
fn names_that_are_none_are_refused() {
    let hostile =
        ["", "../etc", "a b", "a/b", "x'; drop table a; --", "a\"b", "a\0b", "-rf", "a\nb", "\u{202e}gpj", "a%b"];
    let messages: Vec<String> =
        hostile.iter().map(|name| SqlMigration::new("app", *name, "select 1").unwrap_err().to_string()).collect();
    expect![[r#"
        `` cannot name a migration or a namespace: it is empty; give it at least one letter or digit
        `../etc` cannot name a migration or a namespace: it starts with '.'; start it with a letter, a digit or `_`
        `a b` cannot name a migration or a namespace: it holds ' ' at byte 1; use letters, digits and `_ - . + : @`
        `a/b` cannot name a migration or a namespace: it holds '/' at byte 1; use letters, digits and `_ - . + : @`
        `x\'; drop table a; --` cannot name a migration or a namespace: it holds '\'' at byte 1; use letters, digits and `_ - . + : @`
        `a\"b` cannot name a migration or a namespace: it holds '"' at byte 1; use letters, digits and `_ - . + : @`
        `a\0b` cannot name a migration or a namespace: it holds '\0' at byte 1; use letters, digits and `_ - . + : @`
        `-rf` cannot name a migration or a namespace: it starts with '-'; start it with a letter, a digit or `_`
        `a\nb` cannot name a migration or a namespace: it holds '\n' at byte 1; use letters, digits and `_ - . + : @`
        `\u{202e}gpj` cannot name a migration or a namespace: it holds '\u{202e}' at byte 0; use letters, digits and `_ - . + : @`
        `a%b` cannot name a migration or a namespace: it holds '%' at byte 1; use letters, digits and `_ - . + : @`"#]].assert_eq(&messages.join("\n"));
    assert!(SqlMigration::new("no/slash", "1", "select 1").is_err());
    assert!(SqlMigration::new("app", "x".repeat(201), "select 1").is_err());
    for fine in ["0001_übersicht", "2024-05-06T07:08:09+00", "日本語", "v1.2.3@next"] {
        assert!(SqlMigration::new("app", fine, "select 1").is_ok(), "{fine}");
    }
}

/// Names that are odd and fine, all the way into the history and back.
#[tokio::test]
async fn odd_names_are_stored_and_read_as_they_are() {
    let scratch = Scratch::new();
    let names = ["0001_übersicht", "日本語", "v1.2.3@next", "2024-05-06T07:08:09+00"];
    let migrator = scratch.migrator(sql(&names.map(|name| (name, "select 1"))));
    assert_eq!(migrator.up().await.unwrap().ran.len(), 4);
    assert!(migrator.status().await.unwrap().is_current());
    assert_eq!(migrator.up().await.unwrap().already, 4);
}

#[tokio::test]
async fn an_edit_of_applied_sql_is_shown_line_by_line() {
    let scratch = Scratch::new();
    let text = "create table a(\n  id integer,\n  name text\n);\n";
    let at = |text: &str| files(&scratch, &[("1.sql", text.as_bytes()), ("2.sql", b"create table b(id integer)")]);
    scratch.migrator(at(text).filter(|meta| meta.id.id() == "1")).up().await.unwrap();
    for harmless in [text.replace('\n', "\r\n"), format!("\u{feff}{text}")] {
        assert_eq!(scratch.migrator(at(&harmless)).plan().await.unwrap().steps.len(), 1);
        assert!(!scratch.migrator(at(&harmless)).status().await.unwrap().migrations[0].edited);
    }
    let edited = text.replace("name text", "name text not null");
    let migrator = scratch.migrator(at(&edited));
    let error = migrator.up().await.unwrap_err();
    assert_eq!((error.kind(), scratch.tables()), (ErrorKind::Refused, vec!["a".to_owned()]));
    expect!["nothing ran: $/1.sql:1: `app/1` was applied on <time> and has been edited since (v1:sha256:… was applied, v1:sha256:… is registered). Line 3 was `  name text` and is `  name text not null`. Restore it, and write the change as a new migration"].assert_eq(&snapshot(&scratch.neutral(&error)));
    assert!(migrator.status().await.unwrap().migrations[0].edited);

    let longer = format!("{text}create index i on a(name);\n");
    expect!["nothing ran: $/1.sql:1: `app/1` was applied on <time> and has been edited since (v1:sha256:… was applied, v1:sha256:… is registered). Line 5 was nothing and is `create index i on a(name);`. Restore it, and write the change as a new migration"].assert_eq(&snapshot(&scratch.neutral(&scratch.migrator(at(&longer)).up().await.unwrap_err())));
    let space = text.replace("integer,", "integer, ");
    assert_eq!(scratch.migrator(at(&space)).up().await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn a_pending_migration_that_depends_on_a_deleted_one_is_refused() {
    let scratch = Scratch::new();
    scratch.migrator(sql(&[("1", "create table a(id integer)"), ("2", "select 1")])).up().await.unwrap();
    let deleted = Migrations::new([after("1", &[]), after("3", &["2"])]);
    let error = scratch.migrator(deleted).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    expect![[r#"
        nothing ran, for 2 reasons:
          - m.rs:7: `app/3` depends on `app/2`, which is not registered. Is `app/1` meant?
          - m.rs:7: `app/1` was applied on <time> and has been edited since (v1:sha256:… was applied, v1:sha256:… is registered). Line 1 was `create table a(id integer)` and is `select 1`. Restore it, and write the change as a new migration"#]]
        .assert_eq(&snapshot(&scratch.neutral(&error)));
}

#[tokio::test]
async fn a_vacuum_alone_runs_without_a_transaction() {
    let scratch = Scratch::new();
    let migrator = scratch.migrator(sql(&[("1", "create table a(id integer)"), ("2", "vacuum"), ("3", "select 1")]));
    expect![[r#"
        3 migrations to run
          up   app/1 (1 statement)
          up   app/2 (1 statement, without a transaction)
               note: it runs without a transaction: `VACUUM` cannot be in one
          up   app/3 (1 statement)"#]]
    .assert_eq(&migrator.plan().await.unwrap().to_string());
    let transactions: Vec<bool> = migrator.up().await.unwrap().ran.iter().map(|ran| ran.transaction).collect();
    assert_eq!(transactions, [true, false, true]);
    assert_eq!(scratch.records("app/2"), ["started", "step_done", "applied"]);
}

#[tokio::test]
async fn a_file_that_is_one_transaction_is_joined_to_its_record() {
    let scratch = Scratch::new();
    let migrator = scratch.migrator(sql(&[("1", "BEGIN;\ncreate table a(id integer);\nCOMMIT;")]));
    expect![[r#"
        1 migration to run
          up   app/1 (1 statement)
               note: its own BEGIN and COMMIT are dropped: the migration's transaction takes their place"#]]
    .assert_eq(&migrator.plan().await.unwrap().to_string());
    assert!(migrator.up().await.unwrap().ran[0].transaction);
    assert_eq!(scratch.tables(), ["a"]);
}

#[tokio::test]
async fn a_migration_for_another_kind_of_database_is_refused() {
    let foreign = after("1", &[]).with(|meta| meta.backend(admmgt::Backend::new("postgres")));
    expect!["nothing ran: m.rs:7: `app/1` is written for postgres, and this is sqlite. Leave it out with `Migrations::filter`, or write its body for `&mut Context`"].assert_eq(&refused(&Scratch::new(), Migrations::new([foreign])).await);
}

/// Whatever only looks leaves every byte as it was.
async fn check_only_looks(scratch: &Scratch, migrator: &Migrator) {
    let before = scratch.contents();
    let _ = migrator.status().await.unwrap();
    let _ = migrator.plan().await;
    let _ = migrator.ensure_current().await;
    let _ = migrator.wait_until_current(Duration::from_millis(60)).await;
    assert_eq!(scratch.files(), before.keys().cloned().collect::<Vec<_>>());
    assert!(scratch.contents() == before, "a byte of the database changed");
}

#[tokio::test]
async fn whatever_only_looks_makes_and_changes_nothing() {
    let migrations = || sql(&[("1", "create table a(id integer)")]);
    let missing = Scratch::new();
    check_only_looks(&missing, &missing.migrator(migrations())).await;
    assert!(missing.files().is_empty());

    let empty = Scratch::new();
    empty.write("app.db", "");
    check_only_looks(&empty, &empty.migrator(migrations())).await;

    let foreign = Scratch::new();
    foreign.run("create table theirs(id integer); insert into theirs values (1)");
    check_only_looks(&foreign, &foreign.migrator(migrations())).await;
    foreign.run("pragma journal_mode = wal");
    check_only_looks(&foreign, &foreign.migrator(migrations())).await;

    let migrated = Scratch::new();
    migrated.migrator(migrations()).up().await.unwrap();
    check_only_looks(&migrated, &migrated.migrator(migrations())).await;
    let more = migrations().include(sql(&[("2", "select 1")]));
    check_only_looks(&migrated, &migrated.migrator(more)).await;
}

#[tokio::test]
async fn the_tables_of_other_tools_are_left_alone() {
    let scratch = Scratch::new();
    let others = [
        "_sqlx_migrations",
        "refinery_schema_history",
        "flyway_schema_history",
        "schema_migrations",
        "__diesel_schema_migrations",
        "seaql_migrations",
        "admmgt_history",
    ];
    for table in others {
        scratch.run(&format!("create table {table}(version integer); insert into {table} values (7)"));
    }
    scratch.migrator(sql(&[("1", "create table a(id integer)")])).up().await.unwrap();
    for table in others {
        assert_eq!(scratch.number(&format!("select sum(version) from {table}")), 7);
    }
}

async fn errors_at(driver: Sqlite, scratch: &Scratch) -> String {
    let migrator = Migrator::new(driver).migrations(sql(&[("1", "create table a(id integer)")]));
    let up = migrator.up().await.unwrap_err();
    assert_eq!(up.kind(), ErrorKind::Unavailable, "{up}");
    let status = migrator.status().await.unwrap_err();
    assert_eq!(status.to_string(), up.to_string());
    assert_eq!(migrator.ensure_current().await.unwrap_err().to_string(), up.to_string());
    scratch.neutral(&up)
}

#[tokio::test]
async fn places_that_hold_no_database_are_told_apart() {
    let scratch = Scratch::new();
    let at = |path: PathBuf| errors_at(Sqlite::open(path).unwrap(), &scratch);
    std::fs::create_dir(scratch.folder().join("folder")).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(8192).collect();
    let text = scratch.write("text.db", "this is not a database, and it is not very long");
    let noise = scratch.write("noise.db", noise);
    let before = scratch.contents();
    let messages = [
        at(scratch.folder().join("no/such/folder/app.db")).await,
        at(scratch.folder().join("folder")).await,
        at(noise).await,
        at(text.clone()).await,
        at(text.join("app.db")).await,
    ];
    expect![[r#"
        cannot open the database `$/no/such/folder/app.db`: the folder `$/no/such/folder` does not exist; create it first
        cannot open the database `$/folder`: it is a folder; give the path of a file
        cannot open the database `$/noise.db`: it is not a SQLite database, or it is encrypted; it was not changed (SQLite says: file is not a database)
        cannot open the database `$/text.db`: it is not a SQLite database, or it is encrypted; it was not changed (SQLite says: file is not a database)
        cannot open the database `$/text.db/app.db`: Not a directory (os error 20)"#]].assert_eq(&messages.join("\n"));
    assert!(scratch.contents() == before);
    let relative = errors_at(Sqlite::url("sqlite:no/such/folder/app.db").unwrap(), &scratch).await;
    expect![
        "cannot open the database `no/such/folder/app.db`: the folder `no/such/folder` does not exist; create it first"
    ]
    .assert_eq(&relative);
}

#[test]
fn paths_and_urls_that_name_no_file_are_refused() {
    let urls = ["postgres://host/db", "sqlite:app.db?key=secret", "sqlite:50%", "sqlite:", "app.db", "sqlite:a%00b"];
    let mut messages: Vec<String> = urls.iter().map(|url| Sqlite::url(url).unwrap_err().to_string()).collect();
    messages.extend(["", ":memory:", "a\0b"].iter().map(|path| Sqlite::open(path).unwrap_err().to_string()));
    expect![[r#"
        a SQLite URL starts with `sqlite:` or `file:`, as in `sqlite:app.db`
        the URL's parameter `key` is not known; `mode=ro|rw|rwc|memory` is
        the URL holds a `%` that is not followed by two hexadecimal digits; write `%25` for `%`
        an empty path names a temporary database that nobody else can see; give the path of a file
        a SQLite URL starts with `sqlite:` or `file:`, as in `sqlite:app.db`
        the path holds a NUL byte; remove it
        an empty path names a temporary database that nobody else can see; give the path of a file
        `:memory:` belongs to one connection; use `Sqlite::memory()` or `Sqlite::connection(yours)`
        the path holds a NUL byte; remove it"#]]
    .assert_eq(&messages.join("\n"));
}

#[tokio::test]
async fn a_url_that_only_reads_or_only_opens_makes_no_file() {
    let scratch = Scratch::new();
    for (mode, present, expected) in [
        ("ro", true, ErrorKind::Unavailable),
        ("ro", false, ErrorKind::Unavailable),
        ("rw", false, ErrorKind::Unavailable),
    ] {
        if present {
            scratch.run("create table theirs(id integer)");
        }
        let driver = Sqlite::url(&format!("sqlite:{}?mode={mode}", scratch.path().display())).unwrap();
        let migrator = Migrator::new(driver).migrations(sql(&[("1", "create table a(id integer)")]));
        let before = scratch.contents();
        let error = migrator.up().await.unwrap_err();
        assert_eq!(error.kind(), expected, "{mode}: {error}");
        assert!(scratch.contents() == before, "{mode}: {:?}", scratch.files());
        migrator.status().await.unwrap();
        std::fs::remove_file(scratch.path()).ok();
    }
}

#[tokio::test]
async fn odd_paths_are_opened_as_they_are() {
    let scratch = Scratch::new();
    for name in [
        "it's a \"db\".db",
        "50%25 off?mode=ro#x.db",
        "ünï;--cödé.db",
        "-rf.db",
        "file:x.db",
        "new\nline.db",
        ":memory:.db",
    ] {
        let folder = scratch.folder().join(format!("in {name}"));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("..").join(folder.file_name().unwrap()).join(name);
        let migrator =
            Migrator::new(Sqlite::open(&path).unwrap()).migrations(sql(&[("1", "create table a(id integer)")]));
        assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
        assert_eq!(migrator.up().await.unwrap().already, 1);
        let mut made: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        made.sort();
        assert_eq!(made, [name.to_owned(), format!("{name}-admmgt.lock")]);
    }
}

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
            the history is damaged at column `body` of the row with seq 1 of `_admmgt_history`: it is Null; restore the row from a backup
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

/// A child that runs as nobody, in a folder that it may enter; `None` where that cannot be had.
struct Nobody {
    scratch: Scratch,
    binary: PathBuf,
    _folder: tempfile::TempDir,
}

impl Nobody {
    fn new() -> Option<Self> {
        // SAFETY: a plain system call.
        let is_root = unsafe { libc::geteuid() } == 0;
        let setpriv = std::process::Command::new("setpriv").arg("--version").output();
        if !is_root || setpriv.is_err() {
            let why = if is_root { "setpriv is missing" } else { "not root" };
            say(format_args!("SKIPPED: read-only files as an unprivileged user: {why}"));
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("child");
        std::fs::copy(env!("CARGO_BIN_EXE_child"), &binary).unwrap();
        let nobody = Self { scratch: Scratch::new(), binary, _folder: folder };
        nobody.allow(nobody._folder.path().to_owned(), 0o755);
        nobody.allow(nobody.binary.clone(), 0o755);
        nobody.allow(nobody.scratch.folder().to_owned(), 0o755);
        Some(nobody)
    }

    fn allow(&self, path: PathBuf, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn orders(&self) -> Orders {
        Orders::new(self.scratch.path()).set(Sets::Small, 2)
    }

    /// The kind and the words of a call's error; nothing is changed by it.
    fn call(&self, verb: Verb) -> String {
        let before = self.scratch.contents();
        let answer = self.orders().verb(verb).start_unprivileged(&self.binary).answer();
        let after = self.scratch.contents();
        assert_eq!(before.get("app.db"), after.get("app.db"));
        match answer.error {
            Some(error) => format!("{}: {}", answer.kind.unwrap(), self.scratch.neutral(&error)),
            None if answer.text.is_empty() => answer.report.map(|report| report.to_string()).unwrap_or_default(),
            None => answer.text.lines().next().unwrap_or_default().to_owned(),
        }
    }

    fn calls(&self) -> String {
        [Verb::Up, Verb::Plan, Verb::Status, Verb::EnsureCurrent].map(|verb| self.call(verb)).join("\n")
    }
}

#[test]
fn what_may_not_be_written_is_not_and_says_so() {
    let Some(nobody) = Nobody::new() else { return };
    let scratch = &nobody.scratch;
    // No database, and a folder where none can be made.
    expect![[r#"
        Unavailable: cannot open the database `$/app.db`: check that the file and its folder can be read and written (SQLite says: unable to open database file: $/app.db)
        2 migrations to run
        0 of 2 migrations applied (no history yet)
        Pending: 2 of the registered migrations are not applied: `app/0001`, `app/0002`. Run `Migrator::up` first"#]].assert_eq(&nobody.calls());
    assert!(scratch.files().is_empty());

    // A database of another owner, with one of two migrations applied, in its folder.
    let first = nobody.orders().set(Sets::Small, 1).keep_journal();
    assert_eq!(first.run().succeeded().ran.len(), 1);
    nobody.allow(scratch.path(), 0o644);
    expect![[r#"
        Unavailable: the lease file `$/app.db-admmgt.lock` can only be read; migrations need to write. Check the permissions of the file and its folder, and read-only settings
        1 migration to run
        1 of 2 migrations applied
        Pending: 1 of the registered migrations are not applied: `app/0002`. Run `Migrator::up` first"#]].assert_eq(&nobody.calls());

    // The folder may be written, the file may not.
    nobody.allow(scratch.folder().to_owned(), 0o777);
    std::fs::remove_file(scratch.folder().join("app.db-admmgt.lock")).unwrap();
    expect![[r#"
        Unavailable: the database `$/app.db` can only be read; migrations need to write. Check the permissions of the file and its folder, and read-only settings
        1 migration to run
        1 of 2 migrations applied
        Pending: 1 of the registered migrations are not applied: `app/0002`. Run `Migrator::up` first"#]].assert_eq(&nobody.calls());

    // Nothing may even be read.
    nobody.allow(scratch.folder().to_owned(), 0o755);
    nobody.allow(scratch.path(), 0o600);
    expect![[r#"
        Unavailable: cannot open the database `$/app.db`: check that the file and its folder can be read and written (SQLite says: unable to open database file: $/app.db)
        Unavailable: cannot open the database `$/app.db`: check that the file and its folder can be read and written (SQLite says: unable to open database file: $/app.db)
        Unavailable: cannot open the database `$/app.db`: check that the file and its folder can be read and written (SQLite says: unable to open database file: $/app.db)
        Unavailable: cannot open the database `$/app.db`: check that the file and its folder can be read and written (SQLite says: unable to open database file: $/app.db)"#]].assert_eq(&nobody.calls());
    nobody.allow(scratch.folder().to_owned(), 0o700);
    expect![[r#"
        Unavailable: cannot open the database `$/app.db`: Permission denied (os error 13)
        Unavailable: cannot open the database `$/app.db`: Permission denied (os error 13)
        Unavailable: cannot open the database `$/app.db`: Permission denied (os error 13)
        Unavailable: cannot open the database `$/app.db`: Permission denied (os error 13)"#]]
    .assert_eq(&nobody.calls());
}

/// A replica that may only read a database that is up to date starts all the same.
#[test]
fn whoever_may_only_read_starts_when_nothing_is_pending() {
    let Some(nobody) = Nobody::new() else { return };
    assert_eq!(nobody.orders().keep_journal().run().succeeded().ran.len(), 2);
    nobody.allow(nobody.scratch.path(), 0o644);
    expect![[r#"
        nothing to do: 2 migrations are applied
        nothing to do: 2 migrations are applied
        2 of 2 migrations applied
    "#]]
    .assert_eq(&nobody.calls());
    assert_eq!(nobody.scratch.files(), ["app.db", "app.db-admmgt.lock"]);

    // With a write-ahead log, while another process has the database open.
    nobody.scratch.run("pragma journal_mode = wal");
    let other = nobody.scratch.connection();
    assert_eq!(other.query_row("select count(*) from log", [], |row| row.get(0)), Ok(2));
    expect![[r#"
        nothing to do: 2 migrations are applied
        nothing to do: 2 migrations are applied
        2 of 2 migrations applied
    "#]]
    .assert_eq(&nobody.calls());

    // Alone with it, SQLite would have to make the files beside the write-ahead log, and may not.
    drop(other);
    expect![[r#"
        Unavailable: cannot open the database `$/app.db`: SQLite has to write files beside it, even to read while it has a write-ahead log; allow that in its folder, or keep another connection open, or use `Journal::Keep` (SQLite says: attempt to write a readonly database)
        Unavailable: cannot open the database `$/app.db`: SQLite has to write files beside it, even to read while it has a write-ahead log; allow that in its folder, or keep another connection open, or use `Journal::Keep` (SQLite says: attempt to write a readonly database)
        Unavailable: cannot open the database `$/app.db`: SQLite has to write files beside it, even to read while it has a write-ahead log; allow that in its folder, or keep another connection open, or use `Journal::Keep` (SQLite says: attempt to write a readonly database)
        Unavailable: cannot open the database `$/app.db`: SQLite has to write files beside it, even to read while it has a write-ahead log; allow that in its folder, or keep another connection open, or use `Journal::Keep` (SQLite says: attempt to write a readonly database)"#]].assert_eq(&nobody.calls());
}

/// An edit of code is told apart from an edit of SQL; that it is refused is a choice.
#[tokio::test]
async fn edited_code_is_refused_where_the_policy_says_so() {
    let scratch = Scratch::new();
    let at = |checksum: &'static str| {
        let migration = code("1", |db| Ok(db.execute_batch("create table if not exists a(id integer)")?));
        Migrations::new([migration.with(|mut meta| {
            meta.checksum = Checksum::parse(checksum).unwrap();
            meta.location.line = 7;
            meta
        })])
    };
    scratch.migrator(at("manual:1")).up().await.unwrap();
    let mut policy = Policy::default();
    policy.edited_code = admmgt::Verdict::Refuse;
    let error = scratch.migrator(at("manual:2")).policy(policy).up().await.unwrap_err();
    expect!["nothing ran: tests/sqlite/refusals.rs:7: `app/1` was applied on <time> and has been edited since (manual:1 was applied, manual:2 is registered). Restore it, and write the change as a new migration"].assert_eq(&snapshot(&error.to_string()));
}
