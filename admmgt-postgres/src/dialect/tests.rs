//! What is refused, what is dropped, what runs without a transaction.

use TransactionMode::{Auto, None as Without, Required};

use super::*;

/// What becomes of a text, in one line: `in` or `out`, its statements and notes, or its problems.
fn judged(sql: &str, mode: TransactionMode) -> String {
    let dialect = PgDialect::default();
    let source = SqlSource::new("large.sql", sql.to_owned());
    let (parsed, scanned) = (dialect.parse(sql, mode), dialect.scan(&source, mode));
    match (&parsed, &scanned) {
        (Ok(parsed), Ok(scanned)) => {
            assert_eq!((parsed.in_transaction, parsed.count()), (scanned.in_transaction, scanned.count()), "{sql}");
        }
        _ => assert_eq!(parsed.as_ref().err(), scanned.as_ref().err(), "{sql}"),
    }
    match parsed {
        Ok(script) if !script.idle.is_empty() => {
            script.idle.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
        }
        Ok(script) => {
            let place = if script.in_transaction { "in" } else { "out" };
            let texts = script.statements.iter().map(|statement| statement.text.clone());
            let notes = script.notes.iter().map(|note| format!("({note})"));
            std::iter::once(place.to_owned()).chain(texts).chain(notes).collect::<Vec<_>>().join(" | ")
        }
        Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "),
    }
}

#[test]
fn ordinary_statements_run_in_a_transaction() {
    for sql in [
        "create table a(id int)",
        "create index i on a(id)",
        "create unique index if not exists concurrently_named on a(id)",
        "reindex table a",
        "cluster a using i",
        "alter table a detach partition b",
        "alter type mood add value 'fine'",
        "drop index i",
        "alter database x set work_mem = '4MB'",
        "create role r",
        "analyze a",
        "prepare x as select 1",
        "discard temp",
        "select pg_advisory_unlock(1)",
        "comment on table a is 'vacuum'",
        "create table concurrently(vacuum int)",
    ] {
        assert_eq!(judged(sql, Auto), format!("in | {sql}"));
    }
}

#[test]
fn a_file_of_what_cannot_be_in_a_transaction_runs_without_one() {
    for sql in [
        "vacuum",
        "VACUUM (full, analyze) a",
        "create index concurrently i on a(id)",
        "create unique index concurrently if not exists i on a(id)",
        "create index concurrently on a(id)",
        "drop index concurrently if exists i",
        "reindex index concurrently i",
        "reindex (verbose) table concurrently a",
        "reindex (concurrently) table a",
        "reindex database x",
        "reindex schema public",
        "cluster",
        "cluster verbose",
        "create database x",
        "drop database if exists x",
        "create tablespace t location '/x'",
        "drop tablespace t",
        "alter system set work_mem = '4MB'",
        "alter database x set tablespace t",
        "alter table a detach partition b concurrently",
        "create subscription s connection '' publication p",
        "drop subscription s",
        "alter subscription s refresh publication",
        "commit prepared 'x'",
        "rollback prepared 'x'",
    ] {
        let found = judged(sql, Auto);
        assert!(found.starts_with(&format!("out | {sql} | (it runs without a transaction: ")), "{sql}: {found}");
        assert!(judged(&format!("create table a(id int);\n{sql}"), Auto).starts_with("2:1: "), "{sql}");
        assert!(judged(sql, Required).contains("cannot run in a transaction"), "{sql}");
        assert_eq!(judged(&format!("select 1;\n{sql}"), Without), format!("out | select 1 | {sql}"));
    }
}

#[test]
fn one_transaction_around_a_whole_file_is_taken_off() {
    for (begin, end) in [
        ("begin", "commit"),
        ("BEGIN WORK", "END TRANSACTION"),
        ("start transaction", "commit work"),
        ("begin isolation level serializable", "commit"),
    ] {
        let found = judged(&format!("{begin}; create table a(id int); {end};"), Auto);
        assert!(found.starts_with("in | create table a(id int) | ("), "{begin}: {found}");
    }
}

#[test]
fn what_would_break_the_transaction_is_refused() {
    for sql in [
        "create table a(id int); commit; create table b(id int)",
        "begin; select 1; commit; begin; select 2; commit",
        "rollback",
        "savepoint a; rollback transaction to 5",
        "abort",
        "begin",
        "prepare transaction 'x'",
        "discard all",
        "select pg_advisory_unlock_all()",
        "create table a(id int); begin; select 1;",
    ] {
        let found = judged(sql, Auto);
        assert!(!found.starts_with("in") && !found.starts_with("out"), "{sql}: {found}");
    }
    for sql in [
        "savepoint a; insert into t values (1); rollback to a; release a",
        "savepoint a; rollback to savepoint a",
        "savepoint \"a;\"; rollback work to \"a;\"; release savepoint \"a;\"",
    ] {
        assert!(judged(sql, Auto).starts_with("in | savepoint "), "{sql}: {}", judged(sql, Auto));
    }
}

#[test]
fn names_that_are_made_or_free_again() {
    for (sql, expected) in [
        ("create table users(a int)", "makes users"),
        ("CREATE TABLE /* c */ Public.\"a b\"(a int)", "makes a b"),
        ("create unlogged table Users()", "makes users"),
        ("create table other.users(a int)", "makes other.users"),
        ("create materialized view v as select 1", "makes v"),
        ("create foreign table f() server s", "makes f"),
        ("create unique index i on t(a)", ""),
        ("create or replace view v as select 1", ""),
        ("create table if not exists users(a int)", ""),
        ("create temp table users(a int)", ""),
        ("drop table users", "frees users"),
        ("drop view if exists other.v", "frees other.v"),
        ("alter table users rename to people", "frees users"),
        ("alter table only users set schema other", "frees users"),
        ("alter table users rename column a to b", ""),
        ("insert into users values (1)", ""),
    ] {
        let names = match PgDialect::default().names(&Statement::new(sql)) {
            Names::Creates(name) => format!("makes {name}"),
            Names::Frees(name) => format!("frees {name}"),
            _ => String::new(),
        };
        assert_eq!(names, expected, "{sql}");
    }
}

#[test]
fn indexes_are_known_by_name_and_table() {
    let create = |name, table, concurrently, if_not_exists| IndexStatement::Create {
        name,
        table,
        unique: false,
        concurrently,
        if_not_exists,
    };
    for (sql, expected) in [
        ("create index i on t(a)", Some(create("i", "t", false, false))),
        (
            "create index concurrently \"I\" on only s.\"T\" using btree (a)",
            Some(create("\"I\"", "s.\"T\"", true, false)),
        ),
        ("create index concurrently if not exists i on t(a)", Some(create("i", "t", true, true))),
        ("create index concurrently on t(a)", None),
        ("create table i(a int)", None),
        ("drop index concurrently if exists s.i", Some(IndexStatement::DropConcurrently { name: "s.i" })),
        ("drop index i", None),
        ("reindex table concurrently t", Some(IndexStatement::ReindexConcurrently)),
    ] {
        assert_eq!(index_statement(sql), expected, "{sql}");
    }
}

#[test]
fn what_belongs_to_the_session_is_known() {
    let dialect = PgDialect::default();
    let says = |sql: &str| {
        let statement = Statement::new(sql);
        (dialect.is_of_session(&statement), dialect.is_setting(&statement), dialect.is_resumable(&statement))
    };
    for sql in
        ["set search_path = a", "set session lock_timeout = 1", "reset all", "select set_config('a.b', 'c', false)"]
    {
        assert_eq!(says(sql), (true, true, false), "{sql}");
    }
    for sql in ["create temp table a()", "create local temporary table a()", "prepare x as select 1", "listen x"] {
        assert_eq!(says(sql), (true, false, false), "{sql}");
    }
    for sql in
        ["set local lock_timeout = 1", "set constraints all deferred", "select 'set'", "insert into a values (1)"]
    {
        assert_eq!(says(sql), (false, false, false), "{sql}");
    }
    for sql in
        ["create index concurrently i on t(a)", "drop index concurrently i", "reindex index concurrently i", "vacuum a"]
    {
        assert_eq!(says(sql), (false, false, true), "{sql}");
    }
    assert!(!says("create index i on t(a)").2);
    assert!(
        runs_anywhere("select 1")
            && !runs_anywhere("call p()")
            && !runs_anywhere("do $$ begin end $$")
            && !runs_anywhere("vacuum")
    );
    assert!(chains("commit and chain") && !chains("commit and no chain"));
}
