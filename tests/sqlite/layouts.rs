//! A folder in every layout that people have: up, down, up, and what a plain client makes of the same files.

use admmgt::prelude::*;
use admmgt::rusqlite::Connection;
use admmgt::{MigrationsDir, Refusal, Verdict};
use admmgt_tests::{LAYOUTS, Scratch};

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
    for one in LAYOUTS {
        let (scratch, layout, texts) = (Scratch::new(), one.name, one.plain);
        one.write(&scratch.folder().join("migrations"), "sqlite");
        let folder = MigrationsDir::read("app", scratch.folder().join("migrations"), "sqlite").unwrap();
        let mut policy = Policy::default();
        policy.idle = Verdict::Allow;
        let migrator = scratch.migrator(folder.migrations).policy(policy);
        migrator.up().await.unwrap_or_else(|error| panic!("{layout}: {error}"));
        assert_eq!(scratch.texts(SCHEMA), plain(texts), "{layout}");
        let back = migrator.down(Target::Nothing).await;
        if !one.reversible {
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
