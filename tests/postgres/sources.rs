//! What is wrong with the migrations themselves, held against a history on PostgreSQL.

use admmgt::prelude::*;
use admmgt::{Error, ErrorKind, Lockfile, Refusal, Repair, Verdict};
use admmgt_tests::{Database, sql};

const A: &str = "create table a(\n  id int\n);\n";

/// F31, F32: an edit is shown with its first line that differs; line ends and a byte-order mark are none.
#[tokio::test]
async fn f31_f32_an_edit_of_applied_sql_is_refused_and_line_ends_are_none() {
    let Some(db) = Database::new().await else { return };
    db.migrator(sql(&[("1", A)])).up().await.unwrap();
    for same in [A.replace('\n', "\r\n"), format!("\u{feff}{A}")] {
        assert_eq!(db.migrator(sql(&[("1", &same)])).up().await.unwrap().ran.len(), 0);
    }
    let error = db.migrator(sql(&[("1", &A.replace("int", "bigint"))])).up().await.unwrap_err();
    let [Refusal::Edited { first_difference: Some(line), .. }] = error.refusals() else { panic!("{error}") };
    assert_eq!(
        (line.line, line.applied.as_deref(), line.registered.as_deref()),
        (2, Some("  id int"), Some("  id bigint"))
    );
    assert_eq!(
        db.migrator(sql(&[("1", &A.replace("int", "int "))])).up().await.unwrap_err().kind(),
        ErrorKind::Refused
    );
}

/// F33: this program is older, unless the lockfile or another migration says otherwise.
#[tokio::test]
async fn f33_what_only_the_history_knows_is_ahead_unless_it_is_listed() {
    let Some(db) = Database::new().await else { return };
    let both = sql(&[("1", A), ("2", "create table b(id int)")]);
    db.migrator(both).up().await.unwrap();
    let older = db.migrator(sql(&[("1", A)]));
    assert_eq!(older.up().await.unwrap().ahead.len(), 1);
    let locked = Lockfile::parse("admmgt lockfile, format 1\napp/1  manual:1\napp/2  manual:1\n").unwrap();
    let error = older.lockfile(&locked).up().await.unwrap_err();
    assert!(error.refusals().iter().any(|one| matches!(one, Refusal::Missing { .. })), "{error}");
}

/// F34: the same text under another name.
#[tokio::test]
async fn f34_a_rename_is_seen_and_put_right() {
    let Some(db) = Database::new().await else { return };
    db.migrator(sql(&[("1_a", A)])).up().await.unwrap();
    let renamed = db.migrator(sql(&[("1_b", A)]));
    let error = renamed.up().await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::Renamed { .. }]), "{error}");
    let repair = Repair::Rename { from: "app/1_a".parse().unwrap(), to: "app/1_b".parse().unwrap() };
    renamed.repair(repair, "a better name").await.unwrap();
    assert_eq!(renamed.up().await.unwrap().ran.len(), 0);
}

/// F37, F40: one that comes late is refused, or allowed and listed.
#[tokio::test]
async fn f37_f40_one_that_comes_late_is_refused_unless_allowed() {
    let Some(db) = Database::new().await else { return };
    db.migrator(sql(&[("1", A), ("3", "create table c(id int)")])).up().await.unwrap();
    let late = || sql(&[("1", A), ("2", "create table b(id int)"), ("3", "create table c(id int)")]);
    let error = db.migrator(late()).up().await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::OutOfOrder { .. }]), "{error}");
    let mut allow = Policy::default();
    allow.out_of_order = Verdict::Allow;
    let report = db.migrator(late()).policy(allow).up().await.unwrap();
    assert_eq!(report.ran[0].migration.id(), "2");
}

/// F41, F43, F44: the way back is checked as a whole, and what is not there is not taken back.
#[tokio::test]
async fn f41_f43_f44_the_way_back_is_checked_before_its_first_step() {
    let Some(db) = Database::new().await else { return };
    let two = |down: bool| {
        let one = SqlMigration::new("app", "1", A).unwrap();
        let two = SqlMigration::new("app", "2", "create table b(id int)").unwrap().down("drop table b");
        Migrations::new([if down { one.down("drop table a") } else { one }, two])
    };
    db.migrator(two(false)).up().await.unwrap();
    let error = db.migrator(two(false)).down(Target::Nothing).await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::Irreversible { .. }]), "{error}");
    assert_eq!(db.tables().await, ["a", "b"]);
    let error = db.migrator(two(true)).down(Target::BackTo("app/7".parse().unwrap())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert_eq!(db.migrator(two(true)).down(Target::Nothing).await.unwrap().ran.len(), 2);
    assert!(db.tables().await.is_empty());
    assert_eq!(db.migrator(two(true)).down(Target::Back(1)).await.map(|report| report.ran.len()).unwrap_or(0), 0);
    assert_eq!(db.migrator(two(true)).up().await.unwrap().ran.len(), 2);
}

/// F45: no statement.
#[tokio::test]
async fn f45_a_file_without_a_statement_is_refused_or_applied_as_none() {
    let Some(db) = Database::new().await else { return };
    for text in ["", "-- nothing\n", "/* /* nested */ */ ;;"] {
        let migrator = db.migrator(sql(&[("1", text)]));
        let error = migrator.up().await.unwrap_err();
        assert!(matches!(error.refusals(), [Refusal::Empty { .. }]), "{text:?}: {error}");
    }
    let mut allow = Policy::default();
    allow.empty = Verdict::Allow;
    let report = db.migrator(sql(&[("1", "-- nothing\n")])).policy(allow).up().await.unwrap();
    assert_eq!((report.ran.len(), report.ran[0].notes.len()), (1, 1));
}

/// F49, F50: a large file is read piece by piece; one large statement is the server's affair.
#[tokio::test]
async fn f49_f50_large_files_and_large_statements_run() {
    let Some(db) = Database::new().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let megabytes = if admmgt_tests::is_full() { 50 } else { 6 };
    let line = format!("insert into big values ('{}');\n", "x".repeat(1000));
    let text = format!("create table big(text text);\n{}", line.repeat(megabytes * 1000));
    std::fs::write(folder.path().join("1_large.sql"), text).unwrap();
    let one = format!("create table one as select '{}' as text;", "y".repeat(10 << 20));
    std::fs::write(folder.path().join("2_one.sql"), one).unwrap();
    let migrator = db.migrator(Migrations::from_dir("app", folder.path(), "postgres").unwrap());
    assert_eq!(migrator.up().await.unwrap().ran.len(), 2);
    assert_eq!(db.number("select count(*) from big").await, i64::try_from(megabytes * 1000).unwrap());
    assert_eq!(db.number("select length(text) from one").await, 10 << 20);
}

/// F53: ids, schemas and who runs it; see also `damage::names_that_look_like_sql_stay_names`.
#[tokio::test]
async fn f53_a_name_that_would_be_cut_is_refused() {
    let Some(db) = Database::new().await else { return };
    let error = db.driver().schema("é".repeat(32)).unwrap_err();
    assert!(matches!(&error, Error::Usage { problem } if problem.contains("64 bytes")), "{error}");
    assert!(db.driver().schema("é".repeat(31)).is_ok());
}
