//! A folder in every layout that people have: two tables by two files, with a way back where the layout has one.

use std::path::Path;

/// A layout, its files, and what a plain client would be given of them.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// What it is called.
    pub name: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// What a plain client is given, in order.
    pub plain: &'static [&'static str],
    /// Every file has a way back.
    pub reversible: bool,
}

impl Layout {
    /// Writes its files for a database: `sqlite`, `postgres`.
    pub fn write(&self, folder: &Path, dialect: &str) {
        let sqlite = dialect == "sqlite";
        let pragma = |value| if sqlite { format!("PRAGMA foreign_keys={value};\n") } else { String::new() };
        for (name, text) in self.files {
            let other = if sqlite { "postgres" } else { "sqlite" };
            let path = folder.join(name.replace("{dialect}", dialect).replace("{other}", other));
            std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
            let text = text.replace("{before}", &pragma("OFF")).replace("{after}", &format!("\n{}", pragma("ON")));
            std::fs::write(path, text).expect("a file");
        }
    }
}

/// All of them.
pub const LAYOUTS: [Layout; 12] = [
    Layout {
        name: "flyway",
        files: &[
            ("2023/V1__a.sql", "create table a(x int);"),
            ("V1_1__b.sql", "create table b(x int);"),
            ("V10__c.sql", "alter table b rename to c;"),
            ("U1__a.sql", "drop table a;"),
            ("U1.1__b.sql", "drop table b;"),
            ("U10__c.sql", "alter table c rename to b;"),
            ("R__view.sql", "create view v as select x from a;"),
            ("R__view.down.sql", "drop view v;"),
        ],
        plain: &[
            "create table a(x int);",
            "create table b(x int);",
            "alter table b rename to c;",
            "create view v as select x from a;",
        ],
        reversible: true,
    },
    Layout {
        name: "sqlx",
        files: &[
            ("20240101000000_a.up.sql", "create table a(x int);"),
            ("20240101000000_a.down.sql", "drop table a;"),
            ("20240102000000_c.up.sql", "create table c(x int);"),
            ("20240102000000_c.down.sql", "drop table c"),
        ],
        plain: &["create table a(x int);", "create table c(x int);"],
        reversible: true,
    },
    Layout {
        name: "golang-migrate",
        files: &[
            ("9_a.up.sql", "create table a(x int);"),
            ("9_a.down.sql", "drop table a;"),
            ("10_c.up.sql", "alter table a rename to c; create table a(x int)"),
            ("10_c.down.sql", "drop table a; alter table c rename to a;"),
        ],
        plain: &["create table a(x int);", "alter table a rename to c; create table a(x int)"],
        reversible: true,
    },
    Layout {
        name: "goose",
        files: &[
            (
                "00001_a.sql",
                "-- +goose Up\n-- +goose StatementBegin\ncreate table a(x int);\n-- +goose StatementEnd\n-- +goose Down\ndrop table a;\n",
            ),
            (
                "00002_c.sql",
                "-- +goose NO TRANSACTION\n-- +goose Up\ncreate table c(x int);\nvacuum;\n-- +goose Down\ndrop table c;\n",
            ),
        ],
        plain: &["create table a(x int);", "create table c(x int);\nvacuum;"],
        reversible: true,
    },
    Layout {
        name: "dbmate",
        files: &[
            ("20240101_a.sql", "-- migrate:up\ncreate table a(x int);\n\n-- migrate:down\ndrop table a;\n"),
            (
                "20240102_c.sql",
                "-- migrate:up\ncreate table c(x int);\n\n-- migrate:down transaction:false\nvacuum; drop table c;\n",
            ),
        ],
        plain: &["create table a(x int);", "create table c(x int);"],
        reversible: true,
    },
    Layout {
        name: "diesel",
        files: &[
            ("2024-01-01-000000_a/up.sql", "create table a(x int);"),
            ("2024-01-01-000000_a/down.sql", "drop table a;"),
            ("2024-01-01-000001_c/up.sql", "vacuum; create table c(x int);"),
            ("2024-01-01-000001_c/down.sql", "drop table c;"),
            ("2024-01-01-000001_c/metadata.toml", "run_in_transaction = false # VACUUM\n"),
        ],
        plain: &["create table a(x int);", "vacuum; create table c(x int);"],
        reversible: true,
    },
    Layout {
        name: "dialects",
        files: &[
            ("1_a.{other}.sql", "this is for another database"),
            ("1_a.sql", "nor is this"),
            ("1_a.{dialect}.sql", "create table a(x int);"),
            ("2_c.up.{dialect}.sql", "create table c(x int);"),
            ("2_c.down.{dialect}.sql", "drop table c;"),
        ],
        plain: &["create table a(x int);", "create table c(x int);"],
        reversible: false,
    },
    Layout {
        name: "hand-made",
        files: &[
            ("1 make a.sql", "\u{feff}BEGIN;\r\ncreate table a(x int);\r\nCOMMIT;\r\n"),
            ("02-c.sql", "create table c(x int) -- no semicolon; at the end"),
            ("README.md", "ignored"),
        ],
        plain: &[
            "BEGIN;\r\ncreate table a(x int);\r\nCOMMIT;\r\n",
            "create table c(x int) -- no semicolon; at the end",
        ],
        reversible: false,
    },
    Layout {
        name: "Prisma",
        files: &[
            ("20240101000000_a/migration.sql", "-- CreateTable\nCREATE TABLE \"a\" (\"x\" INT);\n"),
            ("20240102000000_c/migration.sql", "{before}create table c(x int);{after}"),
            ("migration_lock.toml", "provider = \"sqlite\""),
        ],
        plain: &["CREATE TABLE \"a\" (\"x\" INT);", "create table c(x int);"],
        reversible: false,
    },
    Layout {
        name: "tern",
        files: &[
            ("001_a.sql", "create table a(x int);\n---- create above / drop below ----\ndrop table a;"),
            ("002_c.sql", "create table c(x int);"),
        ],
        plain: &["create table a(x int);", "create table c(x int);"],
        reversible: false,
    },
    Layout {
        name: "node-sqlite",
        files: &[
            (
                "001-a.sql",
                "--------\n-- Up\n--------\ncreate table a(x int);\n--------\n-- Down\n--------\ndrop table a;",
            ),
            ("002-c.sql", "-- Up\ncreate table c(x int);\n-- Down\ndrop table c;"),
        ],
        plain: &["create table a(x int);", "create table c(x int);"],
        reversible: true,
    },
    Layout {
        name: "postgrator",
        files: &[
            ("001.do.a.sql", "create table a(x int);"),
            ("001.undo.a.sql", "drop table a;"),
            ("002.do.sql", "create table c(x int);"),
            ("002.undo.sql", "drop table c;"),
        ],
        plain: &["create table a(x int);", "create table c(x int);"],
        reversible: true,
    },
];
