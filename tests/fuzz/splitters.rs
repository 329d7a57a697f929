//! Where statements end: nothing panics, nothing is lost, a text in pieces is the same text, and a statement alone is one.

use std::ffi::CString;

use admmgt::split::{Pieces, Split, Splitter, Statements};
use admmgt::{Dialect, ScriptProblem, TransactionMode};
use admmgt_postgres::PgDialect;
use admmgt_postgres::script::PgSplitter;
use admmgt_sqlite::SqliteDialect;
use admmgt_sqlite::script::SqliteSplitter;
use rusqlite::ffi;

use crate::corpus;
use crate::fuzz::{Target, shape};

#[rustfmt::skip]
const WORDS: &[&str] = &[
    "'", "''", "\"", "`", "[", "]", "--", "/*", "*/", "\n", ";", ";", " ", "\t", "\r\n", "\\", "\\.", "\\i f", "\\\\", "$", "$$",
    "$a$", "$1", "e'", "E'\\''", "u&'", "x'", "b'", "n'", "::", ":=", "(", ")", "{", "}", ",", ".", ".read", "begin", "commit",
    "rollback", "savepoint s", "release s", "end", "begin atomic", "case", "create ", "trigger ", "function f() ", "temp ",
    "explain ", "vacuum", "pragma x", "copy t from stdin;\n", "copy t(a) from stdin with (format csv);", "set ", "reset all",
    "create index concurrently i on t(a)", "if not exists ", "as ", "language sql ", "returns int ", "drop table t",
    "alter system ", "create database d", "select 1", "values (1)", "é", "漢", "🦀", "\u{feff}", "\u{a0}", "\u{b}", "\0", "--\n",
];

const SEEDS: &[&str] = &[
    "select 1; select ';' -- ;\n; /* ; */ vacuum",
    "create trigger t after insert on a begin select 1; select case when 1 then ';' end; end; select 2;",
    "create function f() returns int language plpgsql as $body$ begin return ';'; end $body$; select 1;",
    "create function f() returns int language sql begin atomic select 1; select 2; end; select 3;",
    "copy t from stdin;\n1\ta;b\n2\t\\N\n\\.\nselect 1;",
    "begin; create table a(b); commit;",
    "set standard_conforming_strings = off; select 'a\\'; b'; reset all;",
    "insert into a values ('it''s', E'\\'', U&'\\0041', x'00', $$;$$, $a$ $$ $a$);",
    "create table [a;b](`c;` text, \"d;\" int);",
    "create index concurrently i on t(a);\nvacuum t;\nreindex table concurrently t;",
];

fn seeds() -> Vec<String> {
    SEEDS.iter().map(|seed| (*seed).to_owned()).chain(corpus::texts(300)).collect()
}

#[test]
fn the_splitter_of_sqlite_keeps_its_promises() {
    Target { name: "splitter-sqlite", words: WORDS, seeds: seeds(), check: sqlite }.run();
}

#[test]
fn the_splitter_of_postgresql_keeps_its_promises() {
    Target { name: "splitter-postgres", words: WORDS, seeds: seeds(), check: postgres }.run();
}

fn sqlite(text: &str) -> u64 {
    let found = split::<SqliteSplitter>(text);
    // What `sqlite3_complete` takes for something else than the tokenizer does: see `tests/splitter.rs`.
    if !text.contains(['\0', '\u{b}', '\u{feff}', '.']) {
        let ended =
            found.iter().try_fold(true, |_, split| split.as_ref().map(|split| split.terminated)).unwrap_or(false);
        assert_eq!(ended, is_complete(text), "{text:?}");
    }
    shape((kinds(&found), judged(&SqliteDialect, text)))
}

fn postgres(text: &str) -> u64 {
    shape((kinds(&split::<PgSplitter>(text)), judged(&PgDialect::default(), text)))
}

fn is_complete(text: &str) -> bool {
    let text = CString::new(format!(";{text}\n")).expect("no NUL");
    // SAFETY: the pointer is to a string that ends with NUL and outlives the call, which only reads it.
    unsafe { ffi::sqlite3_complete(text.as_ptr()) != 0 }
}

fn split<S: Splitter + Default>(text: &str) -> Vec<Result<Split<'_>, ScriptProblem>> {
    let found: Vec<_> = Statements::<S>::new(text).collect();
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut from = 0;
    for split in found.iter().flatten() {
        // In order, and each a part of the text.
        let at = split.whole.as_ptr() as usize - body.as_ptr() as usize;
        assert!(at >= from && at + split.whole.len() <= body.len(), "{split:?}");
        from = at + split.whole.len();
        assert!(split.whole.starts_with(split.text) && !split.text.is_empty());
        assert_eq!(split.line as usize, 1 + body[..at].matches('\n').count());
    }
    for bytes in [1, 7] {
        let mut pieces = Pieces::<_, S>::new(text.as_bytes(), 1).bytes(bytes);
        let mut at = 0;
        while let Some(piece) = pieces.next().expect("a text is UTF-8") {
            let same = match (&piece, &found[at]) {
                (Ok(one), Ok(other)) => (one.text, one.line, one.column) == (other.text, other.line, other.column),
                (Err(one), Err(other)) => one == other,
                _ => false,
            };
            assert!(same, "in pieces of {bytes}: {piece:?} for {:?}", found[at]);
            at += 1;
        }
        assert_eq!(at, found.len(), "in pieces of {bytes}");
    }
    found
}

fn kinds(found: &[Result<Split<'_>, ScriptProblem>]) -> Vec<String> {
    let first = |text: &str| text.split_whitespace().take(2).collect::<Vec<_>>().join(" ").chars().take(16).collect();
    let kind = |split: &Result<Split<'_>, ScriptProblem>| match split {
        Ok(split) => first(split.text),
        Err(problem) => problem.message.chars().take(24).collect(),
    };
    found.iter().take(4).map(kind).collect()
}

/// What the dialect makes of it: never a panic, and nothing that is not in the text.
pub(crate) fn judged(dialect: &dyn Dialect, text: &str) -> Vec<String> {
    let modes = [TransactionMode::Auto, TransactionMode::None];
    let mode = |mode: &TransactionMode| match dialect.parse(text, *mode) {
        Ok(script) => {
            for statement in &script.statements {
                assert!(text.contains(&statement.text), "{statement:?}");
                let _ = (dialect.names(statement), dialect.is_of_session(statement));
                let _ = (dialect.is_setting(statement), dialect.is_resumable(statement));
            }
            format!("{} {} {}", script.in_transaction, script.notes.len().min(2), script.idle.len().min(2))
        }
        Err(problems) => {
            let lines = u32::try_from(text.matches('\n').count()).expect("a short text") + 1;
            assert!(problems.iter().all(|problem| (1..=lines).contains(&problem.line)), "{problems:?}");
            problems.first().map(|problem| problem.message.chars().take(24).collect()).unwrap_or_default()
        }
    };
    modes.iter().map(mode).collect()
}
