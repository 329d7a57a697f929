//! A folder in every layout that people have: up, down, up, and what a plain client makes of the same files.

use admmgt::prelude::*;
use admmgt::rusqlite::Connection;
use admmgt::{MigrationsDir, Refusal, Verdict};
use admmgt_tests::Scratch;

/// What a layout is called, its files, and what a plain client is given of them, in order.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

/// Two tables by two files, in each layout, with a way back where the layout has one.
const LAYOUTS: [Case; 12] = [
    (
        "flyway",
        &[
            ("2023/V1__a.sql", "create table a(x);"),
            ("V1_1__b.sql", "create table b(x);"),
            ("V10__c.sql", "alter table b rename to c;"),
            ("U1__a.sql", "drop table a;"),
            ("U1.1__b.sql", "drop table b;"),
            ("U10__c.sql", "alter table c rename to b;"),
            ("R__view.sql", "create view v as select x from a;"),
            ("R__view.down.sql", "drop view v;"),
        ],
        &[
            "create table a(x);",
            "create table b(x);",
            "alter table b rename to c;",
            "create view v as select x from a;",
        ],
    ),
    (
        "sqlx",
        &[
            ("20240101000000_a.up.sql", "create table a(x);"),
            ("20240101000000_a.down.sql", "drop table a;"),
            ("20240102000000_c.up.sql", "create table c(x);"),
            ("20240102000000_c.down.sql", "drop table c"),
        ],
        &["create table a(x);", "create table c(x);"],
    ),
    (
        "golang-migrate",
        &[
            ("9_a.up.sql", "create table a(x);"),
            ("9_a.down.sql", "drop table a;"),
            ("10_c.up.sql", "alter table a rename to c; create table a(x)"),
            ("10_c.down.sql", "drop table a; alter table c rename to a;"),
        ],
        &["create table a(x);", "alter table a rename to c; create table a(x)"],
    ),
    (
        "goose",
        &[
            (
                "00001_a.sql",
                "-- +goose Up\n-- +goose StatementBegin\ncreate table a(x);\n-- +goose StatementEnd\n-- +goose Down\ndrop table a;\n",
            ),
            (
                "00002_c.sql",
                "-- +goose NO TRANSACTION\n-- +goose Up\ncreate table c(x);\nvacuum;\n-- +goose Down\ndrop table c;\n",
            ),
        ],
        &["create table a(x);", "create table c(x);\nvacuum;"],
    ),
    (
        "dbmate",
        &[
            ("20240101_a.sql", "-- migrate:up\ncreate table a(x);\n\n-- migrate:down\ndrop table a;\n"),
            (
                "20240102_c.sql",
                "-- migrate:up\ncreate table c(x);\n\n-- migrate:down transaction:false\nvacuum; drop table c;\n",
            ),
        ],
        &["create table a(x);", "create table c(x);"],
    ),
    (
        "diesel",
        &[
            ("2024-01-01-000000_a/up.sql", "create table a(x);"),
            ("2024-01-01-000000_a/down.sql", "drop table a;"),
            ("2024-01-01-000001_c/up.sql", "vacuum; create table c(x);"),
            ("2024-01-01-000001_c/down.sql", "drop table c;"),
            ("2024-01-01-000001_c/metadata.toml", "run_in_transaction = false # VACUUM\n"),
        ],
        &["create table a(x);", "vacuum; create table c(x);"],
    ),
    (
        "dialects",
        &[
            ("1_a.postgres.sql", "this is not for SQLite"),
            ("1_a.sql", "nor is this"),
            ("1_a.sqlite.sql", "create table a(x);"),
            ("2_c.up.sqlite.sql", "create table c(x);"),
            ("2_c.down.sqlite.sql", "drop table c;"),
        ],
        &["create table a(x);", "create table c(x);"],
    ),
    (
        "hand-made",
        &[
            ("1 make a.sql", "\u{feff}BEGIN;\r\ncreate table a(x);\r\nCOMMIT;\r\n"),
            ("02-c.sql", "create table c(x) -- no semicolon; at the end"),
            ("README.md", "ignored"),
        ],
        &["BEGIN;\r\ncreate table a(x);\r\nCOMMIT;\r\n", "create table c(x) -- no semicolon; at the end"],
    ),
    (
        "Prisma",
        &[
            ("20240101000000_a/migration.sql", "-- CreateTable\nCREATE TABLE \"a\" (\"x\" TEXT);\n"),
            ("20240102000000_c/migration.sql", "PRAGMA foreign_keys=OFF;\ncreate table c(x);\nPRAGMA foreign_keys=ON;"),
            ("migration_lock.toml", "provider = \"sqlite\""),
        ],
        &["CREATE TABLE \"a\" (\"x\" TEXT);", "create table c(x);"],
    ),
    (
        "tern",
        &[
            ("001_a.sql", "create table a(x);\n---- create above / drop below ----\ndrop table a;"),
            ("002_c.sql", "create table c(x);"),
        ],
        &["create table a(x);", "create table c(x);"],
    ),
    (
        "node-sqlite",
        &[
            ("001-a.sql", "--------\n-- Up\n--------\ncreate table a(x);\n--------\n-- Down\n--------\ndrop table a;"),
            ("002-c.sql", "-- Up\ncreate table c(x);\n-- Down\ndrop table c;"),
        ],
        &["create table a(x);", "create table c(x);"],
    ),
    (
        "postgrator",
        &[
            ("001.do.a.sql", "create table a(x);"),
            ("001.undo.a.sql", "drop table a;"),
            ("002.do.sql", "create table c(x);"),
            ("002.undo.sql", "drop table c;"),
        ],
        &["create table a(x);", "create table c(x);"],
    ),
];

const SCHEMA: &str = "select type || ' ' || name || ' ' || coalesce(sql, '') from sqlite_schema where name not like '%admmgt%' order by 1";

/// What a plain client makes of texts that it is given one after the other.
fn plain(texts: &[&str]) -> Vec<String> {
    let db = Connection::open_in_memory().unwrap();
    texts.iter().for_each(|text| db.execute_batch(text).unwrap());
    let mut schema = db.prepare(SCHEMA).unwrap();
    schema.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_folder_of_every_layout_goes_up_and_down_and_up() {
    for (layout, files, texts) in LAYOUTS {
        let scratch = Scratch::new();
        for (name, text) in files {
            let path = scratch.folder().join("migrations").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let folder = MigrationsDir::read("app", scratch.folder().join("migrations"), "sqlite").unwrap();
        let mut policy = Policy::default();
        policy.idle = Verdict::Allow;
        let migrator = scratch.migrator(folder.migrations).policy(policy);
        migrator.up().await.unwrap_or_else(|error| panic!("{layout}: {error}"));
        assert_eq!(scratch.texts(SCHEMA), plain(texts), "{layout}");
        let back = migrator.down(Target::Nothing).await;
        if matches!(layout, "dialects" | "hand-made" | "Prisma" | "tern") {
            assert!(back.unwrap_err().refusals().iter().all(|one| matches!(one, Refusal::Irreversible { .. })));
            continue;
        }
        back.unwrap_or_else(|error| panic!("{layout}: {error}"));
        assert!(scratch.texts(SCHEMA).is_empty(), "{layout}");
        migrator.up().await.unwrap();
        assert_eq!(scratch.texts(SCHEMA), plain(texts), "{layout}");
    }
}

/// What is wrong in a file is said with its own lines, also behind a mark.
#[tokio::test]
async fn errors_in_a_section_name_the_line_of_the_file() {
    let scratch = Scratch::new();
    let folder = scratch.folder().join("migrations");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("1_a.sql"), "-- +goose Up\nselect 1;\n\n-- +goose Down\nselect 2;\ncommit;\n").unwrap();
    let migrator = scratch.migrator(MigrationsDir::read("app", &folder, "sqlite").unwrap().migrations);
    migrator.up().await.unwrap();
    let error = migrator.down(Target::Back(1)).await.unwrap_err();
    assert!(error.to_string().contains("1_a.sql:6:1: `COMMIT`"), "{error}");
}

/// dbmate compares names as texts: a new file may sort before those that are applied.
#[tokio::test]
async fn a_new_file_that_sorts_first_is_pending_and_nothing_more() {
    let scratch = Scratch::new();
    let folder = scratch.folder().join("migrations");
    std::fs::create_dir(&folder).unwrap();
    let add = |name: &str, table: &str| {
        std::fs::write(folder.join(name), format!("-- migrate:up\ncreate table {table}(x);\n")).unwrap();
    };
    let migrator = || scratch.migrator(Migrations::from_dir("app", &folder, "sqlite").unwrap());
    ["1_a.sql", "2_b.sql", "9_c.sql"].into_iter().for_each(|name| add(name, &name[2..3]));
    migrator().up().await.unwrap();
    add("10_d.sql", "d");
    assert_eq!(migrator().up().await.unwrap().ran.len(), 1);
    assert_eq!(scratch.tables(), ["a", "b", "c", "d"]);
}
