//! The table in [`pragma`], measured with the SQLite that is linked.

use rusqlite::{Connection, Result};

use super::{Auto, judged};

const TABLES: &str = "create table t(a integer primary key, b); insert into t(b) values(1);";

fn open(folder: &tempfile::TempDir, name: &str) -> Connection {
    let db = Connection::open(folder.path().join(name)).unwrap();
    db.execute_batch("pragma foreign_keys = on").unwrap();
    db
}

/// Runs one statement to its end and gives its last value.
fn run(db: &Connection, sql: &str) -> Result<String> {
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut last = String::new();
    while let Some(row) = rows.next()? {
        last = format!("{:?}", row.get_ref(0)?);
    }
    Ok(last)
}

/// What a statement answers inside a transaction, after a write and without one.
fn inside(setup: &str, sql: &str) -> [Result<String>; 2] {
    ["", "insert into t(b) values(2);"].map(|write| {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("o.db").display().to_string();
        let db = open(&folder, "t.db");
        db.execute_batch(&format!("{TABLES} attach '{other}' as o; create table o.x(a); {setup}")).unwrap();
        db.execute_batch(&format!("begin immediate; savepoint guard; {write}")).unwrap();
        run(&db, sql)
    })
}

#[test]
fn these_fail_inside_a_transaction() {
    for (setup, sql, words) in [
        ("", "vacuum", "cannot VACUUM from within a transaction"),
        ("", "vacuum into 'never.db'", "cannot VACUUM from within a transaction"),
        ("", "detach o", "database o is locked"),
        ("pragma journal_mode = wal", "pragma journal_mode = delete", "cannot change out of wal mode from within"),
        ("", "pragma synchronous = off", "Safety level may not be changed inside a transaction"),
        ("create temp table y(a)", "pragma temp_store = 2", "temporary storage cannot be changed from within"),
        ("create temp table y(a)", "pragma temp_store_directory = ''", "temporary storage cannot be changed from"),
        ("", "pragma wal_checkpoint", "database table is locked"),
    ] {
        for answer in inside(setup, sql) {
            let error = answer.expect_err(sql).to_string();
            assert!(error.contains(words), "{sql}: {error}");
        }
        assert!(judged(sql, Auto).starts_with("out | "), "{sql}");
    }
}

#[test]
fn a_journal_mode_fails_before_a_write_and_does_nothing_after_one() {
    let [fresh, written] = inside("", "pragma main.journal_mode = wal");
    let error = fresh.unwrap_err().to_string();
    assert!(error.contains("cannot change into wal mode from within a transaction"), "{error}");
    assert_eq!(written.unwrap(), format!("{:?}", rusqlite::types::ValueRef::Text(b"delete")));
}

#[test]
fn these_change_nothing_inside_a_transaction() {
    for name in ["page_size", "auto_vacuum", "foreign_keys", "encoding"] {
        let folder = tempfile::tempdir().unwrap();
        let db = open(&folder, "t.db");
        db.execute_batch(&format!("{TABLES} begin immediate")).unwrap();
        let read = format!("pragma {name}");
        let before = run(&db, &read).unwrap();
        let value = match name {
            "page_size" => "8192",
            "auto_vacuum" => "incremental",
            "foreign_keys" => "off",
            _ => "'UTF-16'",
        };
        run(&db, &format!("pragma {name} = {value}")).unwrap();
        assert_eq!(run(&db, &read).unwrap(), before, "{name}");
        db.execute_batch("commit").unwrap();
        assert_eq!(run(&db, &read).unwrap(), before, "{name} after the commit");
    }
}

#[test]
fn these_do_inside_what_they_do_outside() {
    for (name, value) in [
        ("analysis_limit", "100"),
        ("application_id", "7"),
        ("automatic_index", "off"),
        ("busy_timeout", "123"),
        ("cache_size", "123"),
        ("cache_spill", "off"),
        ("cell_size_check", "on"),
        ("checkpoint_fullfsync", "on"),
        ("defer_foreign_keys", "on"),
        ("fullfsync", "on"),
        ("ignore_check_constraints", "on"),
        ("journal_size_limit", "5000"),
        ("legacy_alter_table", "on"),
        ("locking_mode", "exclusive"),
        ("max_page_count", "5000"),
        ("query_only", "on"),
        ("read_uncommitted", "on"),
        ("recursive_triggers", "on"),
        ("reverse_unordered_selects", "on"),
        ("schema_version", "77"),
        ("secure_delete", "on"),
        ("threads", "2"),
        ("trusted_schema", "off"),
        ("user_version", "7"),
        ("wal_autocheckpoint", "7"),
        ("writable_schema", "on"),
    ] {
        let after = |begin: &str| {
            let folder = tempfile::tempdir().unwrap();
            let db = open(&folder, "t.db");
            db.execute_batch(&format!("{TABLES} {begin}")).unwrap();
            let before = run(&db, &format!("pragma {name}")).unwrap();
            run(&db, &format!("pragma {name} = {value}")).unwrap();
            (before, run(&db, &format!("pragma {name}")).unwrap())
        };
        let outside = after("");
        assert_ne!(outside.0, outside.1, "{name} can be seen to change");
        assert_eq!(after("begin immediate"), outside, "{name}");
        assert!(judged(&format!("pragma {name} = {value}"), Auto).starts_with("in | "), "{name}");
    }
}
