//! SQL files as people have them: data to copy, lines for psql, texts that only look like statements.

use admmgt::ErrorKind;
use admmgt::prelude::*;
use admmgt_tests::{Database, outside, sql};

#[tokio::test]
async fn data_behind_copy_from_stdin_is_copied() {
    let Some(db) = Database::new().await else { return };
    let text = "create table users(id int, name text);\n\
                copy users (id, name) from stdin;\n1\tann\n2\tb;ob\\n\n\\.\n\n\
                insert into users values (3, 'carol');\n\
                COPY public.users FROM stdin WITH (format csv, delimiter ';');\n4;\"d;ave\"\n\\.\n";
    for mode in ["1", "2"] {
        let one = SqlMigration::new("app", mode, text.replace("users", &format!("users{mode}"))).unwrap();
        let one = if mode == "2" { one.with(outside) } else { one };
        db.migrator(Migrations::new([one])).policy(ahead()).up().await.unwrap();
        let names = db.texts(&format!("select name from users{mode} order by id")).await;
        assert_eq!(names, ["ann", "b;ob\n", "carol", "d;ave"], "{mode}");
    }
}

fn ahead() -> Policy {
    let mut policy = Policy::default();
    policy.foreign = admmgt::Verdict::Allow;
    policy
}

#[tokio::test]
async fn data_that_do_not_fit_fail_the_migration_and_name_the_line() {
    let Some(db) = Database::new().await else { return };
    let text = "create table users(id int);\ncopy users from stdin;\n1\nnot a number\n\\.\ncreate table later(id int);";
    let error = db.migrator(sql(&[("1", text)])).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    let words = error.to_string();
    assert!(words.contains("scripts.rs") && words.contains("22P02") && !words.contains("not a number"), "{words}");
    assert!(db.tables().await.is_empty());
    assert_eq!(db.leases().await, 0);
}

#[tokio::test]
async fn a_copy_without_its_data_is_refused_before_anything_runs() {
    let Some(db) = Database::new().await else { return };
    for text in ["create table a(id int);\ncopy a from stdin;", "create table a(id int);\ncopy a from stdin;\n1\n2\n"] {
        let error = db.migrator(sql(&[("1", text)])).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{text}: {error}");
        assert!(error.to_string().contains("never end"), "{error}");
    }
}

#[tokio::test]
async fn meta_commands_are_refused_with_their_line_and_what_to_do() {
    let Some(db) = Database::new().await else { return };
    for (line, advice) in [
        ("\\i other.sql", "put the SQL of that file here"),
        ("\\connect other", "delete this line"),
        ("\\copy a from 'a.csv'", "copy … from stdin"),
        ("\\gexec", "do"),
        ("\\if true", "do"),
    ] {
        let error = db.migrator(sql(&[("1", &format!("create table a(id int);\n{line}\n"))])).up().await.unwrap_err();
        let words = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Refused, "{line}: {words}");
        assert!(words.contains(":2:1") || words.contains("2:1"), "{words}");
        assert!(words.contains(advice), "{line}: {words}");
    }
    assert!(db.tables().await.is_empty());
}

/// But for the two lines for psql that newer versions of `pg_dump` write around it.
#[tokio::test]
async fn a_dump_runs() {
    let Some(db) = Database::new().await else { return };
    let dump = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abcdef\n\nSET statement_timeout = 0;\nSET client_encoding = 'UTF8';\n\
                SELECT pg_catalog.set_config('search_path', '', false);\nSET check_function_bodies = false;\n\
                CREATE TABLE public.notes (\n    id integer NOT NULL,\n    text text\n);\n\n\
                CREATE FUNCTION public.one() RETURNS integer\n    LANGUAGE sql\n    BEGIN ATOMIC\n SELECT 1 AS one;\nEND;\n\n\
                COPY public.notes (id, text) FROM stdin;\n1\tone; two\n2\t\\N\n\\.\n\n\
                ALTER TABLE ONLY public.notes ADD CONSTRAINT notes_pkey PRIMARY KEY (id);\n\n\\unrestrict abcdef\n";
    let migrator = |dump: &str| db.migrator(sql(&[("1", dump), ("2", "create table later(id int)")]));
    let error = migrator(dump).up().await.unwrap_err();
    assert!(error.to_string().contains("`\\restrict` is a meta-command"), "{error}");
    let mut lenient = Policy::default();
    lenient.idle = admmgt::Verdict::Allow;
    let report = migrator(dump).policy(lenient).up().await.unwrap();
    assert_eq!(report.ran.len(), 2);
    assert!(report.ran[0].notes.iter().any(|note| note.contains("restrict")), "{:?}", report.ran[0].notes);
    assert_eq!(db.tables().await, ["later", "notes"]);
    assert_eq!(db.number("select count(*) from notes").await, 2);
}

#[tokio::test]
async fn whole_functions_are_one_statement() {
    let Some(db) = Database::new().await else { return };
    let text = "create function f() returns text language plpgsql as $body$\nbegin\n  perform 1; return 'a;b';\nend;\n$body$;\n\
                create function g() returns int begin atomic; select 1; select case when true then 2 else 3 end; end;\n\
                /* a /* nested; */ comment; */ create table t(\"semi;colon\" text default E'it\\'s; fine');\n\
                create rule r as on insert to t do also (select 1; select 2);\n\
                do $$ begin perform 1; end $$;";
    let report = db.migrator(sql(&[("1", text)])).up().await.unwrap();
    assert_eq!(report.ran.len(), 1);
    assert_eq!(db.text("select f() || g()").await, "a;b2");
}

#[tokio::test]
async fn a_text_that_never_ends_is_refused() {
    let Some(db) = Database::new().await else { return };
    for text in [
        "select 'open",
        "select $$ open",
        "/* open",
        "select (1;",
        "create function f() returns int begin atomic select 1;",
    ] {
        let text = format!("create table a(id int);\n{text}");
        let error = db.migrator(sql(&[("1", &text)])).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{text}: {error}");
        assert!(error.to_string().contains("2:"), "{error}");
    }
    assert!(db.tables().await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_in_a_transaction_is_known_before_anything_runs() {
    let Some(db) = Database::ours().await else { return };
    for text in [
        "vacuum",
        "create database x",
        "alter system set work_mem = '4MB'",
        "create index concurrently i on a(id)",
        "drop index concurrently i",
        "reindex database x",
        "create tablespace t location '/x'",
        "cluster",
    ] {
        let error = db.migrator(sql(&[("1", &format!("create table a(id int);\n{text};"))])).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{text}: {error}");
        assert!(error.to_string().contains("cannot run in a transaction"), "{text}: {error}");
    }
    assert!(db.tables().await.is_empty());
    db.run("create table a(id int)").await;
    let report =
        db.migrator(sql(&[("1", "vacuum a;\nvacuum analyze a;"), ("2", "begin;\ncreate table b(id int);\ncommit;")]));
    let report = report.policy(ahead()).up().await.unwrap();
    assert_eq!((report.ran[0].transaction, report.ran[1].transaction), (false, true));
}

/// A new value of an enum can be used after its commit only (SQLSTATE 55P04).
#[tokio::test]
async fn a_new_value_of_an_enum_is_explained() {
    let Some(db) = Database::new().await else { return };
    let text = "alter type mood add value 'fine';\ncreate table moods(m mood default 'fine');\ninsert into moods values ('fine');";
    let error = db.migrator(sql(&[("1", "create type mood as enum ('bad')"), ("2", text)])).up().await.unwrap_err();
    assert!(error.to_string().contains("in a migration of its own"), "{error}");
}

#[tokio::test]
async fn a_flood_of_notices_and_rows_is_read_and_dropped() {
    let Some(db) = Database::new().await else { return };
    let text = "do $$ begin for i in 1..20000 loop raise notice 'line %', i; end loop; end $$;\n\
                select i, md5(i::text) from generate_series(1, 200000) as i;\ncopy (select 1) to stdout;\ncreate table a(id int);";
    assert_eq!(db.migrator(sql(&[("1", text)])).up().await.unwrap().ran.len(), 1);
    assert_eq!(db.tables().await, ["a"]);
}

/// Neither the statement nor the values of a row are repeated, except the key that is in the way.
#[tokio::test]
async fn secrets_in_sql_are_not_repeated() {
    let Some(db) = Database::new().await else { return };
    for text in [
        "select 'SECRET'::int",
        "create role x password 'SECRET' nonsense",
        "insert into a values (1, 'SECRET'); insert into a values (1, 'SECRET')",
        "insert into a values (2, null, 'SECRET')",
        "select to_date('SECRET', 'YYYY')",
        "select 'SECRET' 'SECRET'",
        "do $$ begin raise exception 'no'; end $$; select 'SECRET'",
        "alter table a add check (name <> 'SECRET'); insert into a values (5, 'SECRET')",
    ] {
        let first = ("1", "create table a(id int primary key, name text not null)");
        let migrator = db.migrator(sql(&[first, ("2", text)]));
        let error = migrator.up().await.unwrap_err();
        let shown = format!(
            "{error} {} {:?}",
            migrator.status().await.unwrap(),
            db.texts("select detail from _admmgt_history").await
        );
        assert!(!shown.contains("SECRET"), "{text}: {shown}");
    }
}
