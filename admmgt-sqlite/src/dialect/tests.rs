//! What is refused, what is dropped, and what SQLite really does.

mod measured;

use TransactionMode::{Auto, None as Without, Required};

use super::*;

/// What becomes of a text, in one line: `in` or `out`, its statements and notes, or its problems.
fn judged(sql: &str, mode: TransactionMode) -> String {
    check_scan(sql, mode);
    match SqliteDialect.parse(sql, mode) {
        Ok(script) if !script.idle.is_empty() => {
            script.idle.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
        }
        Ok(script) => {
            let place = if script.in_transaction { "in" } else { "out" };
            let texts = script.statements.iter().map(|s| format!("{} {}", s.line, s.text));
            let notes = script.notes.iter().map(|note| format!("({note})"));
            std::iter::once(place.to_owned()).chain(texts).chain(notes).collect::<Vec<_>>().join(" | ")
        }
        Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "),
    }
}

#[test]
fn names_that_are_made_or_free_again() {
    for (sql, expected) in [
        ("create table users(a)", "makes users"),
        ("CREATE TABLE /* c */ main.\"a b\"(a)", "makes a b"),
        ("create unique index i on t(a)", ""),
        ("create virtual table [f] using fts5(a)", "makes f"),
        ("create view v as select 1", "makes v"),
        ("create view `w` as select 1", "makes w"),
        ("create trigger t after insert on a begin select 1; end", ""),
        ("create table if not exists users(a)", ""),
        ("create temp table users(a)", ""),
        ("create table other.users(a)", ""),
        ("drop table users", "frees users"),
        ("drop view if exists main.v", "frees v"),
        ("alter table users rename to people", "frees users"),
        ("alter table users rename column a to b", ""),
        ("alter table users add column b", ""),
        ("insert into users values (1)", ""),
    ] {
        let names = match SqliteDialect.names(&Statement::new(sql)) {
            Names::Creates(name) => format!("makes {name}"),
            Names::Frees(name) => format!("frees {name}"),
            _ => String::new(),
        };
        assert_eq!(names, expected, "{sql}");
    }
}

/// A text that is read piece by piece is judged the same, and has the same statements.
fn check_scan(sql: &str, mode: TransactionMode) {
    let source = SqlSource::new("large.sql", sql.to_owned());
    let (parsed, scanned) = (SqliteDialect.parse(sql, mode), SqliteDialect.scan(&source, mode));
    let (Ok(parsed), Ok(scanned)) = (&parsed, &scanned) else { return assert_eq!(parsed, scanned, "{sql:?}") };
    let left_out = &scanned.streamed.as_ref().unwrap().left_out;
    let all = SqliteDialect.statements(source.open().unwrap(), 1).map(Result::unwrap);
    let run: Vec<Statement> = all.filter(|it| !left_out.contains(&(it.line, it.column))).collect();
    assert_eq!((run.len(), run), (scanned.count(), parsed.statements.clone()), "{sql:?}");
    let rest = |script: &Script| (script.in_transaction, script.notes.clone(), script.idle.clone());
    assert_eq!(rest(parsed), rest(scanned), "{sql:?}");
}

fn check(mode: TransactionMode, cases: &[(&str, &str)]) {
    for (sql, expected) in cases {
        assert_eq!(judged(sql, mode), *expected, "{sql:?} with {mode:?}");
    }
}

#[test]
fn commands_that_only_the_shell_hears_are_left_out_in_any_mode() {
    for mode in [Auto, Required, Without] {
        let script = SqliteDialect.parse(".bail on\nbegin;\ncreate table a(x) ;\n.mode csv\ncommit;", mode).unwrap();
        let texts: Vec<&str> = script.statements.iter().map(|statement| &*statement.text).collect();
        let expected: &[&str] =
            if mode == Without { &["begin", "create table a(x) ", "commit"] } else { &["create table a(x) "] };
        assert_eq!(texts, expected);
        assert_eq!(script.idle.len(), 2);
    }
}

/// Whether a text is refused, in one word per problem: its line and the start of its message.
fn refused(sql: &str, mode: TransactionMode) -> Vec<String> {
    check_scan(sql, mode);
    let problems = SqliteDialect.parse(sql, mode).map_or_else(|problems| problems, |script| script.idle);
    problems.iter().map(|p| format!("{} {}", p.line, p.message.split('`').nth(1).unwrap_or(&p.message))).collect()
}

fn check_refused(mode: TransactionMode, cases: &[(&str, &[&str])]) {
    for (sql, expected) in cases {
        assert_eq!(refused(sql, mode), *expected, "{sql:?} with {mode:?}");
    }
}

#[test]
fn ordinary_statements_run_in_a_transaction_unless_asked_not_to() {
    for (mode, place) in [(Auto, "in"), (Required, "in"), (Without, "out")] {
        for sql in [
            "create table t(a)",
            "explain vacuum",
            "explain query plan commit",
            "pragma user_version = 3",
            "pragma application_id(7)",
            "pragma journal_mode",
            "pragma main.synchronous",
            "pragma foreign_keys",
            "pragma foreign_key_check",
            "pragma foreign_key_check(t)",
            "pragma defer_foreign_keys = on",
            "pragma legacy_alter_table = on",
            "pragma recursive_triggers = on",
            "pragma incremental_vacuum(5)",
            "pragma table_info(t)",
            "pragma secure_delete = on",
            "attach 'o.db' as o",
            "analyze",
            "reindex",
            "savepoint",
            "replace into vacuum values(1)",
            "select 'begin'",
            "insert into t values('; commit;')",
            "create trigger x after insert on t begin select 1; end",
        ] {
            assert_eq!(judged(sql, mode), format!("{place} | 1 {sql}"));
        }
        assert_eq!(judged(" -- nothing\n;;", mode), place);
    }
}

#[test]
fn a_file_that_is_one_transaction_loses_its_begin_and_commit() {
    const NOTE: &str = "(its own BEGIN and COMMIT are dropped: the migration's transaction takes their place)";
    for sql in [
        "begin; create table t(a); commit",
        "BEGIN TRANSACTION;create table t(a);END TRANSACTION;",
        "begin immediate; create table t(a); end;",
        "/* b */ begin exclusive transaction -- b\n; create table t(a); commit; -- done",
    ] {
        let line = if sql.contains("-- b") { 2 } else { 1 };
        for mode in [Auto, Required] {
            assert_eq!(judged(sql, mode), format!("in | {line} create table t(a) | {NOTE}"));
        }
    }
    check(
        Auto,
        &[
            ("begin; commit;", &format!("in | {NOTE}")),
            ("begin;\nsavepoint s;\nrelease s;\ncommit", &format!("in | 2 savepoint s | 3 release s | {NOTE}")),
        ],
    );
    check(Without, &[("begin;\nselect 1;\ncommit;", "out | 1 begin | 2 select 1 | 3 commit")]);
}

#[test]
fn a_file_of_statements_that_cannot_be_in_a_transaction_runs_without_one() {
    check(
        Auto,
        &[
            ("vacuum", "out | 1 vacuum | (it runs without a transaction: `VACUUM` cannot be in one)"),
            (
                "PRAGMA main.page_size(8192);\nVACUUM main into 'x'; vacuum;",
                "out | 1 PRAGMA main.page_size(8192) | 2 VACUUM main into 'x' | 2 vacuum | \
             (it runs without a transaction: `PRAGMA page_size`, `VACUUM` cannot be in one) | (`PRAGMA page_size` changes nothing in a file that is in WAL mode, as it is unless the driver keeps its journal (`journal(Journal::Keep)`))",
            ),
        ],
    );
    check(Without, &[("vacuum;\nselect 1;", "out | 1 vacuum | 2 select 1")]);
    check(
        Required,
        &[(
            "vacuum",
            "1:1: `VACUUM` cannot run in a transaction (SQLite: \"cannot VACUUM from within a transaction\"); \
         move it to a migration of its own with `transaction = \"none\"`",
        )],
    );
}

#[test]
fn a_mix_is_refused_statement_by_statement() {
    check_refused(
        Auto,
        &[
            ("select 1; vacuum", &["1 VACUUM"]),
            ("vacuum;\nselect 1;\ndetach o", &["1 VACUUM", "3 DETACH"]),
            ("begin;\nvacuum;\ncommit;", &["2 VACUUM"]),
            (
                "pragma journal_mode = wal;\npragma synchronous=normal;\ncreate table t(a)",
                &["1 PRAGMA journal_mode", "2 PRAGMA synchronous"],
            ),
            (
                "select 1; pragma temp_store=2; pragma temp_store_directory(''); pragma auto_vacuum=1;\n\
             PRAGMA \"main\" . [Page_Size] /**/ ( 1 ); pragma wal_checkpoint; pragma wal_checkpoint(full)",
                &[
                    "1 PRAGMA temp_store",
                    "1 PRAGMA temp_store_directory",
                    "1 PRAGMA auto_vacuum",
                    "2 PRAGMA page_size",
                    "2 PRAGMA wal_checkpoint",
                    "2 PRAGMA wal_checkpoint",
                ],
            ),
        ],
    );
}

#[test]
fn transaction_control_that_breaks_the_migrations_own_is_refused() {
    for mode in [Auto, Required] {
        check_refused(
            mode,
            &[
                ("begin", &["1 BEGIN"]),
                ("select 1;\ncommit", &["2 COMMIT"]),
                ("select 1;\nend", &["2 END"]),
                ("select 1; rollback", &["1 ROLLBACK"]),
                ("select 1; rollback transaction", &["1 ROLLBACK"]),
                ("select 1; rollback transaction x", &["1 ROLLBACK"]),
                ("begin; select 1; rollback", &["1 BEGIN", "1 ROLLBACK"]),
                ("begin; select 1;\ncommit; begin; select 2;\ncommit", &["1 BEGIN", "2 COMMIT", "2 BEGIN", "3 COMMIT"]),
                ("begin; select 1; commit; select 2", &["1 BEGIN", "1 COMMIT"]),
                ("begin; rollback; commit", &["1 BEGIN", "1 ROLLBACK", "1 COMMIT"]),
            ],
        );
    }
    check(
        Auto,
        &[
            (
                "begin",
                "1:1: `BEGIN`: the migration already runs in a transaction; delete it, or write `transaction = \"none\"` (in a SQL file: `-- no-transaction` as its first line) to keep it",
            ),
            (
                "select 1; commit",
                "1:11: `COMMIT` would end the transaction of the migration before its record is written; \
             delete it, or write `transaction = \"none\"` (in a SQL file: `-- no-transaction` as its first line) to keep it",
            ),
            ("rollback", "1:1: `ROLLBACK` would take back what ran before it; delete it, or roll back to a savepoint"),
        ],
    );
}

#[test]
fn without_a_transaction_a_files_own_must_be_balanced() {
    check_refused(
        Without,
        &[
            ("begin; select 1; commit; begin; select 2; end", &[]),
            ("begin; select 1", &["1 BEGIN"]),
            ("select 1;\ncommit", &["2 COMMIT"]),
            ("begin;\nbegin;\ncommit", &["2 BEGIN"]),
            ("savepoint a;\nbegin;\ncommit; release a", &["2 BEGIN", "3 COMMIT"]),
            ("begin; rollback", &["1 ROLLBACK"]),
            ("begin; savepoint a; commit", &["1 SAVEPOINT a"]),
            ("begin; savepoint a; commit; release a", &["1 SAVEPOINT a", "1 RELEASE a"]),
            ("begin;\nvacuum;\ncommit; vacuum", &["2 VACUUM"]),
            ("savepoint a;\nvacuum;\nrelease a", &["2 VACUUM"]),
            ("begin;\npragma foreign_keys=off;\ncommit", &["2 PRAGMA foreign_keys"]),
        ],
    );
    check(
        Without,
        &[
            ("begin", "1:1: `BEGIN` has no `COMMIT` after it; write one, or delete the `BEGIN`"),
            ("end", "1:1: `END` has no `BEGIN` before it; write one, or delete the `END`"),
            ("begin;begin;end", "1:7: `BEGIN`: line 1 already opened a transaction; end that one before it"),
            (
                "begin;\nvacuum;end",
                "2:1: `VACUUM` cannot run in a transaction (SQLite: \"cannot VACUUM from within a transaction\"); \
             move it out of the one that line 1 opens",
            ),
            (
                "begin;\npragma foreign_keys=0;end",
                "2:1: `PRAGMA foreign_keys` does nothing inside a transaction; move it out of the one that line 1 opens",
            ),
        ],
    );
}

#[test]
fn savepoints_are_allowed_where_they_are_released() {
    for mode in [Auto, Required, Without] {
        check_refused(
            mode,
            &[
                ("savepoint s; select 1; release s", &[]),
                ("savepoint \"S\"; select 1; release savepoint s", &[]),
                ("savepoint 'a''b'; release \"a'b\"", &[]),
                ("savepoint s; savepoint s; release s; release s", &[]),
                ("savepoint a$é; release A$é", &[]),
                ("savepoint a; savepoint b; release a", &[]),
                ("savepoint a; savepoint b; rollback to a; release a", &[]),
                ("savepoint a; rollback transaction to savepoint [a]; release a", &[]),
                ("savepoint a; rollback transaction x to a; release a", &[]),
                ("savepoint savepoint; release savepoint", &[]),
                ("savepoint s", &["1 SAVEPOINT s"]),
                ("release s", &["1 RELEASE s"]),
                ("rollback to s", &["1 ROLLBACK TO s"]),
                ("savepoint a; savepoint b; release a; release b", &["1 RELEASE b"]),
                ("savepoint a; savepoint b; rollback to a; release b; release a", &["1 RELEASE b"]),
                ("savepoint ADMMGT_x; release admmgt_x", &["1 SAVEPOINT ADMMGT_x"]),
                ("savepoint \"admmgt\"; release admmgt", &["1 SAVEPOINT admmgt"]),
            ],
        );
    }
    check(
        Auto,
        &[
            ("savepoint s", "1:1: `SAVEPOINT s` is never released; write `RELEASE s` after it"),
            ("release s", "1:1: `RELEASE s`: no savepoint of that name is open; write `SAVEPOINT s` before it"),
            (
                "savepoint admmgt; release admmgt",
                "1:1: `SAVEPOINT admmgt`: names that start with `admmgt` are its own; choose another",
            ),
        ],
    );
}

#[test]
fn a_pragma_that_would_do_nothing_is_refused() {
    const FOREIGN_KEYS: &str = "`PRAGMA foreign_keys` would silently do nothing: foreign keys are already off while \
         a migration runs and are checked before its commit, so delete the line";
    check(
        Auto,
        &[
            ("pragma foreign_keys=off;", &format!("1:1: {FOREIGN_KEYS}")),
            (
                "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\ncreate table t(a);\nCOMMIT;\npragma main.foreign_keys(1);",
                &format!("1:1: {FOREIGN_KEYS} | 5:1: {FOREIGN_KEYS}"),
            ),
            (
                "pragma encoding = 'UTF-16'",
                "1:1: `PRAGMA encoding` would silently do nothing: the encoding is settled by the first table, \
             and admmgt's own are there, so delete the line",
            ),
        ],
    );
    check(Without, &[("pragma foreign_keys=off", "out | 1 pragma foreign_keys=off")]);
}

#[test]
fn every_problem_is_reported_in_the_order_of_lines() {
    check_refused(
        Auto,
        &[
            (
                ".mode csv\nsavepoint s;\npragma foreign_keys=1;\nvacuum;\ncommit;\n.read x.sql\nselect 1;",
                &["1 .mode", "2 SAVEPOINT s", "3 PRAGMA foreign_keys", "4 VACUUM", "5 COMMIT", "6 .read"],
            ),
            (".import a b\nbegin;\nselect 'x", &["1 .import", "3 '"]),
            (".bail on\ncreate table a(x);\n.headers off", &["1 .bail", "3 .headers"]),
        ],
    );
}
