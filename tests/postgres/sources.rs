//! What is wrong with the migrations themselves, held against a history on PostgreSQL.

use admmgt::prelude::*;
use admmgt::{Error, ErrorKind, Refusal, Verdict};
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
