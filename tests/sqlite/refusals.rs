//! Bad input: refused before anything ran, all of it together, with file and line, and nothing made.

use admmgt::prelude::*;
use admmgt::{Checksum, ErrorKind, Meta, MigrationId};
use admmgt_tests::{Scratch, asynchronous, code, id, snapshot, sql};
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
              - $/1.sql:2:1: `VACUUM` cannot run in a transaction (SQLite: "cannot VACUUM from within a transaction"); move it to a file of its own, or write `transaction = "none"` (in a SQL file: `-- no-transaction` as its first line) (in `app/1`)
              - $/2.sql:2:1: `COMMIT` would end the transaction of the migration before its record is written; delete it, or write `transaction = "none"` (in a SQL file: `-- no-transaction` as its first line) to keep it (in `app/2`)
              - $/3.sql:1:1: `PRAGMA foreign_keys` would silently do nothing: foreign keys are already off while a migration runs and are checked before its commit, so delete the line (in `app/3`)
              - $/4.sql:1:1: `BEGIN`: the migration already runs in a transaction; delete it, or write `transaction = "none"` (in a SQL file: `-- no-transaction` as its first line) to keep it (in `app/4`)
              - $/4.sql:3:1: `ROLLBACK` would take back what ran before it; delete it, or roll back to a savepoint (in `app/4`)
              - $/5.sql:2:1: `PRAGMA journal_mode` cannot run in a transaction (SQLite: "cannot change into wal mode from within a transaction", or silently nothing); move it to a file of its own, or write `transaction = "none"` (in a SQL file: `-- no-transaction` as its first line) (in `app/5`)
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
          - m.rs:7: `app/2` was applied on <time> and has been edited since (v1:sha256:… was applied, v1:sha256:… is registered). Restore it, and write the change as a new migration
          - $/3.sql:1: `app/3` is pending and sorts before `app/5`, which is applied. Rename it so that it comes last, or allow this with `Policy::out_of_order`
          - m.rs:7: `app/4` is pending and sorts before `app/5`, which is applied. Rename it so that it comes last, or allow this with `Policy::out_of_order`
          - m.rs:7: `app/5` is applied, but `app/4`, on which it depends, is pending. Was the dependency added after it was applied? Remove that edge, or apply the missing part in a new migration
          - $/1.sql:1: `app/1` has no statement. Write one, delete the migration, or allow it with `Policy::empty`
          - $/3.sql:2:8: this string never ends; close it with `'`, and write a `'` inside it twice: `''` (in `app/3`)
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
        nothing ran, for 3 reasons:
          - m.rs:7: `app/3` depends on `app/2`, which is not registered. Is `app/1` meant?
          - m.rs:7: `app/1` was applied on <time> and has been edited since (v1:sha256:… was applied, v1:sha256:… is registered). Line 1 was `create table a(id integer)` and is `select 1`. Restore it, and write the change as a new migration
          - m.rs:7: `app/3` is what was applied as `app/2`, which is not registered any more. Take its old name back, or call `Migrator::repair` with `Repair::Rename`"#]]
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

/// A call takes one statement, so that each is known for what it is; a script takes many, and each does something.
#[tokio::test]
async fn what_code_may_hand_over_is_said() {
    let bodies = [
        asynchronous("1", |cx| {
            Box::pin(async move { Ok(cx.execute("create table a(x); create table b(x)").await.map(drop)?) })
        }),
        asynchronous("1", |cx| Box::pin(async move { Ok(cx.execute("select ';' || 'a").await.map(drop)?) })),
        asynchronous("1", |cx| Box::pin(async move { Ok(cx.execute_script("create table a(x); commit").await?) })),
        asynchronous("1", |cx| Box::pin(async move { Ok(cx.execute_script("pragma foreign_keys = on").await?) })),
    ];
    let mut said = Vec::new();
    for body in bodies {
        let scratch = Scratch::new();
        let error = scratch.migrator(Migrations::new([body])).up().await.unwrap_err();
        assert_eq!((error.kind(), scratch.tables()), (ErrorKind::Failed, Vec::new()), "{error}");
        said.push(error.to_string().replace(file!(), "here"));
    }
    expect![[r#"
        `app/1` (up) failed: more than one statement in one call; use `Context::execute_script`
        `app/1` (up) failed: line 1:15: this string never ends; close it with `'`, and write a `'` inside it twice: `''`
        `app/1` (up) failed: line 1:20: `COMMIT` would end the transaction of the migration before its record is written; delete it, or write `transaction = "none"` (in a SQL file: `-- no-transaction` as its first line) to keep it
        `app/1` (up) failed: line 1:1: `PRAGMA foreign_keys` would silently do nothing: foreign keys are already off while a migration runs and are checked before its commit, so delete the line"#]].assert_eq(&said.join("\n"));
}
