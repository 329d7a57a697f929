//! What the test kit offers to an application's own tests, on every database that offers it.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use admmgt::prelude::*;
use admmgt::testkit::{
    Preserved, Repeated, TestDatabase, TestDatabases, TestServer, assert_data_preserved, assert_idempotent,
    assert_idempotent_of, assert_reversible, assert_reversible_except,
};
use admmgt::{Meta, OnInterrupt};
use admmgt_tests::{server_url, skipped};

/// A test on each database that has test databases.
macro_rules! on_each {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Sqlite::tests()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                match super::server_url() {
                    Some(url) => super::$name(super::Postgres::tests(&url).expect("a URL")).await,
                    None => super::skipped(stringify!($name)),
                }
            })+
        }
    };
}

on_each! {
    each_test_has_a_migrated_database_of_its_own,
    fixtures_are_part_of_what_is_copied,
    many_that_start_at_once_copy_one,
    a_set_that_fails_is_no_template,
    what_is_not_there_can_be_forgotten,
    what_goes_up_down_and_up_is_reversible,
    what_a_way_back_leaves_behind_is_found,
    what_has_no_way_back_is_found_unless_it_is_excepted,
    what_may_run_again_is_tried_twice,
    what_changes_again_when_it_runs_again_is_found,
    where_nothing_may_run_again_that_is_said,
    the_choices_and_the_driver_of_the_application_count,
    rows_that_survive_are_preserved,
    rows_and_columns_that_are_lost_are_found,
    every_kind_of_thing_is_a_line_of_the_schema,
}

fn sql(id: &str, up: &str, down: &str) -> SqlMigration {
    let migration = SqlMigration::new("app", id, up.to_owned()).expect("a name");
    if down.is_empty() { migration } else { migration.down(down.to_owned()) }
}

/// Each test has a set of its own, and so a template of its own.
fn users(of: &str) -> SqlMigration {
    sql("1_users", &format!("create table users(id integer primary key, name text); -- of {of}"), "drop table users")
}

/// The words of a claim that does not hold.
async fn broken<S: TestServer>(claim: impl Future<Output = ()> + Send + 'static, _: &TestDatabases<S>) -> String {
    let panic = tokio::spawn(claim).await.expect_err("the claim does not hold").into_panic();
    *panic.downcast::<String>().expect("it says what does not hold")
}

async fn rows<D: TestDatabase>(database: &D, table: &str) -> usize {
    let data = database.data().await.unwrap();
    let found = data.iter().find(|(name, _)| name.ends_with(table));
    found.map(|(_, rows)| rows.rows.len()).expect("the table is there")
}

async fn each_test_has_a_migrated_database_of_its_own<S: TestServer>(all: TestDatabases<S>) {
    let all = all.migrations(Migrations::new([users("each test")]));
    all.forget().await.unwrap();
    let (first, second) = (all.fresh().await.unwrap(), all.fresh().await.unwrap());
    first.run("insert into users values (1, 'ada')").await.unwrap();
    assert_eq!((rows(&first, "users").await, rows(&second, "users").await), (1, 0));
    for database in [&first, &second] {
        let migrator = Migrator::new(database.driver()).migrations(Migrations::new([users("each test")]));
        assert_eq!(migrator.up().await.unwrap().already, 1);
    }
    // A copy has the history of what it is a copy of.
    let run =
        |database: &S::Database| Migrator::new(database.driver()).migrations(Migrations::new([users("each test")]));
    let (one, other) = (run(&first).history().await.unwrap(), run(&second).history().await.unwrap());
    assert_eq!(one[0].run, other[0].run);
    let empty = all.empty().await.unwrap();
    assert_eq!(empty.schema().await.unwrap().lines().filter(|line| line.contains("users")).count(), 0);
}

async fn fixtures_are_part_of_what_is_copied<S: TestServer>(all: TestDatabases<S>) {
    let all = all.migrations(Migrations::new([users("fixtures")]));
    let plain = all.clone().fresh().await.unwrap();
    let seeded = all.fixture("insert into users values (1, 'ada'), (2, 'eve')").fresh().await.unwrap();
    assert_eq!((rows(&plain, "users").await, rows(&seeded, "users").await), (0, 2));
}

async fn many_that_start_at_once_copy_one<S: TestServer>(all: TestDatabases<S>) {
    let all = all.migrations(Migrations::new([users("many at once")]));
    all.forget().await.unwrap();
    let made: Vec<_> = (0..6)
        .map(|_| {
            let all = all.clone();
            tokio::spawn(async move { all.fresh().await })
        })
        .collect();
    let mut runs = std::collections::BTreeSet::new();
    for one in made {
        let database = one.await.unwrap().unwrap();
        let migrator = Migrator::new(database.driver()).migrations(Migrations::new([users("many at once")]));
        runs.insert(migrator.history().await.unwrap()[0].run.to_string());
    }
    assert_eq!(runs.len(), 1, "it was migrated once");
}

async fn a_set_that_fails_is_no_template<S: TestServer>(all: TestDatabases<S>) {
    let all = all.migrations(Migrations::new([sql("1", "insert into nowhere values (1)", "")]));
    for _ in 0..2 {
        assert_eq!(all.fresh().await.unwrap_err().kind(), admmgt::ErrorKind::Failed);
    }
    let fixture = all.migrations(Migrations::new([users("a bad fixture")])).fixture("insert into nowhere values (1)");
    fixture.fresh().await.unwrap_err();
}

async fn what_is_not_there_can_be_forgotten<S: TestServer>(all: TestDatabases<S>) {
    all.server().forget("0123456789abcdef").await.expect("it is not there");
    assert!(all.server().copy("0123456789abcdef").await.expect("no failure").is_none());
}

fn good() -> Migrations {
    Migrations::new([
        users("good"),
        sql("2_email", "alter table users add column email text", "alter table users drop column email"),
        sql("3_by_name", "create index by_name on users(name)", "drop index by_name"),
        sql("4_view", "create view named as select id from users where name is not null", "drop view named"),
    ])
}

async fn what_goes_up_down_and_up_is_reversible<S: TestServer>(all: TestDatabases<S>) {
    assert_reversible(&all.migrations(good())).await;
}

async fn what_a_way_back_leaves_behind_is_found<S: TestServer>(all: TestDatabases<S>) {
    let leaves =
        good().and(sql("5_tags", "create table tags(id integer); create table more(id integer)", "drop table more"));
    let all = all.migrations(leaves);
    let claimed = all.clone();
    let said = broken(async move { assert_reversible(&claimed).await }, &all).await;
    assert!(said.contains("app/5_tags: taken back, the schema is not what it was"), "{said}");
    assert!(said.contains("+ ") && said.contains("tags"), "{said}");
    assert!(said.contains("app/5_tags: taken back, it cannot be applied again"), "{said}");
    assert!(!said.contains("app/2_email"), "{said}");
    let other = Migrations::new([
        users("other"),
        sql("2_name", "alter table users add column age integer default 1", "alter table users drop column name"),
    ]);
    let all = all.migrations(other);
    let claimed = all.clone();
    let said = broken(async move { assert_reversible(&claimed).await }, &all).await;
    assert!(said.contains("- ") && said.contains("name") && said.contains("age"), "{said}");
}

async fn what_has_no_way_back_is_found_unless_it_is_excepted<S: TestServer>(all: TestDatabases<S>) {
    let all = all.migrations(good().and(sql("5_stays", "create table stays(id integer)", "")));
    let claimed = all.clone();
    let said = broken(async move { assert_reversible(&claimed).await }, &all).await;
    assert!(said.contains("app/5_stays: it has no way back"), "{said}");
    assert_reversible_except(&all, &["app/5_stays"]).await;
    let claimed = all.clone();
    let said = broken(async move { assert_reversible_except(&claimed, &["app/5_stay"]).await }, &all).await;
    assert!(said.contains("there is no migration `app/5_stay`"), "{said}");
}

fn again() -> Migrations {
    let seed = "insert into users select 1, 'ada' where not exists (select 1 from users where id = 1)";
    let retried = |meta: Meta| meta.on_interrupt(OnInterrupt::Retry);
    Migrations::new([
        users("again"),
        sql("2_seed", seed, "").with(retried),
        sql("3_view", "drop view if exists named; create view named as select id from users", "")
            .with(Meta::repeatable),
    ])
}

async fn what_may_run_again_is_tried_twice<S: TestServer>(all: TestDatabases<S>) {
    let all = all.migrations(again());
    assert_idempotent(&all).await;
    assert_idempotent_of(&all, Repeated::of("app/2_seed")).await;
    // What is not meant to run again is not claimed of all, and does not hold.
    let claimed = all.clone();
    let said = broken(async move { assert_idempotent_of(&claimed, Repeated::of("app/1_users")).await }, &all).await;
    assert!(said.contains("app/1_users: run again, it fails"), "{said}");
}

async fn what_changes_again_when_it_runs_again_is_found<S: TestServer>(all: TestDatabases<S>) {
    let twice =
        sql("4_twice", "insert into users(name) values ('eve')", "").with(|meta| meta.on_interrupt(OnInterrupt::Retry));
    let counted = sql("3_count", "create table counted as select count(*) as tables from users", "");
    let set = Migrations::new([sql("1_users", "create table users(id integer, name text)", ""), twice, counted]);
    let all = all.migrations(set);
    let claimed = all.clone();
    let said = broken(async move { assert_idempotent(&claimed).await }, &all).await;
    assert!(said.contains("app/4_twice: run again, it leaves other data"), "{said}");
    assert!(said.contains("users: 1 rows before, 2 now"), "{said}");

    // It changes nothing without rows, and each of them again with some.
    let longer =
        sql("2_longer", "update users set name = name || '!'", "").with(|meta| meta.on_interrupt(OnInterrupt::Retry));
    let other = SqlMigration::new("other", "1", "select 1").expect("a name");
    let other =
        other.with(|meta| meta.on_interrupt(OnInterrupt::Retry).depends_on(["app/2_longer".parse().expect("a name")]));
    let all = all.migrations(Migrations::new([users("longer"), longer, other]));
    assert_idempotent(&all).await;
    let claimed = all.clone();
    let claim = async move {
        let mut longer = Repeated::of("app/2_longer");
        longer.seed = "insert into users values (1, 'ada')";
        assert_idempotent_of(&claimed, longer).await;
    };
    let said = broken(claim, &all).await;
    assert!(said.contains("app/2_longer: run again, it leaves other data"), "{said}");
}

async fn where_nothing_may_run_again_that_is_said<S: TestServer>(all: TestDatabases<S>) {
    let all = all.migrations(Migrations::new([users("once")]));
    let claimed = all.clone();
    let said = broken(async move { assert_idempotent(&claimed).await }, &all).await;
    assert!(said.contains("none of 1 migrations is repeatable") && said.contains("assert_idempotent_of"), "{said}");
}

async fn the_choices_and_the_driver_of_the_application_count<S: TestServer>(all: TestDatabases<S>) {
    let empty = sql("2_empty", "-- nothing yet", "-- nothing to take back");
    let all = all.migrations(Migrations::new([users("chosen"), empty]));
    assert!(all.fresh().await.unwrap_err().to_string().contains("2_empty"));
    let mut policy = admmgt::Policy::default();
    policy.empty = admmgt::Verdict::Allow;
    let all = all.policy(policy);
    assert_reversible(&all).await;
    let made = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&made);
    let all = all.driven_by(move |database| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(database.driver())
    });
    all.fresh().await.unwrap();
    assert_reversible(&all).await;
    assert!(made.load(std::sync::atomic::Ordering::SeqCst) > 1);
    all.forget().await.unwrap();
}

async fn rows_that_survive_are_preserved<S: TestServer>(all: TestDatabases<S>) {
    let split = sql(
        "2_split",
        "create table people(id integer primary key, full_name text);
         insert into people select id, name from users;
         alter table users drop column name",
        "alter table users add column name text;
         update users set name = (select full_name from people where people.id = users.id);
         drop table people",
    );
    let all = all.migrations(Migrations::new([users("split"), split, sql("3", "create table c(id integer)", "")]));
    let mut kept = Preserved::by("app/2_split");
    kept.seed = "insert into users values (1, 'Ada Lovelace'), (2, null)";
    kept.except = &["users.name"];
    assert_data_preserved(&all, kept).await;
}

async fn rows_and_columns_that_are_lost_are_found<S: TestServer>(all: TestDatabases<S>) {
    let loses = sql(
        "2_loses",
        "alter table users drop column name; delete from users where id = 2; drop table tags",
        "alter table users add column name text; create table tags(id integer)",
    );
    let both =
        sql("1_users", "create table users(id integer primary key, name text); create table tags(id integer)", "");
    let all = all.migrations(Migrations::new([both, loses]));
    let claimed = all.clone();
    let claim = async move {
        let mut kept = Preserved::by("app/2_loses");
        kept.seed = "insert into users values (1, 'ada'), (2, 'eve'); insert into tags values (7)";
        assert_data_preserved(&claimed, kept).await;
    };
    let said = broken(claim, &all).await;
    for words in ["users.name is gone, with 2 values", "users has no row with id = 2", "tags is gone, with 1 rows"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(said.contains("taken back, this is not what it was") && said.contains("name = "), "{said}");
    let claimed = all.clone();
    let said = broken(async move { assert_data_preserved(&claimed, Preserved::by("app/9")).await }, &all).await;
    assert!(said.contains("there is no migration `app/9`"), "{said}");
}

/// What is made leaves a line, and what is changed changes it.
async fn every_kind_of_thing_is_a_line_of_the_schema<S: TestServer>(all: TestDatabases<S>) {
    let database = all.empty().await.unwrap();
    database.run("create table a(id integer primary key); create table b(id integer, a integer)").await.unwrap();
    let is_server = database.driver().backend().to_string() == "postgres";
    let common = [
        "create table c(id integer)",
        "alter table c rename column id to number",
        "create index b_by_a on b(a)",
        "create unique index b_by_id on b(id) where a > 0",
        "create view v as select id from a",
        "create table d(id integer not null check (id > 0), other text default 'x, (y' unique)",
    ];
    let of_server = [
        "create schema s",
        "create extension if not exists btree_gist",
        "create type mood as enum ('sad', 'ok')",
        "alter type mood add value 'happy'",
        "create domain positive as integer check (value > 0)",
        "create type pair as (a integer, b text)",
        "create type span as range (subtype = integer)",
        "alter table b add constraint b_a foreign key (a) references a(id) on delete cascade",
        "alter table b alter column a set not null",
        "alter table b alter column a set default 7",
        "alter table b add column total numeric(10, 2) generated always as (id * 2) stored",
        "create sequence numbers increment 5",
        "alter sequence numbers increment 6",
        "create function one() returns integer language sql as 'select 1'",
        "create or replace function one() returns integer language sql as 'select 2'",
        "create function touch() returns trigger language plpgsql as 'begin return new; end'",
        "create trigger touched before update on b for each row execute function touch()",
        "alter table b disable trigger touched",
        "create materialized view m as select id from a",
        "alter table b enable row level security",
        "create policy mine on b using (id = 1)",
        "comment on table b is 'of a'",
        "comment on column b.id is 'its number'",
        "create rule quiet as on delete to b do instead nothing",
        "create table parts(id integer) partition by range (id)",
        "create table part_1 partition of parts for values from (0) to (10)",
        "grant select on b to public",
        "create statistics pairs on id, a from b",
        "create aggregate biggest(integer) (sfunc = int4larger, stype = integer)",
        "alter table b set (fillfactor = 70)",
        "create unlogged table u(id integer)",
        "create table heir() inherits (u)",
        "alter sequence numbers owned by u.id",
        "create publication p for all tables",
        "create collation plain (locale = 'C')",
        "create operator === (leftarg = integer, rightarg = integer, function = int4eq)",
        "create text search dictionary words (template = simple)",
        "create foreign data wrapper elsewhere",
        "create cast (integer as mood) with inout",
    ];
    let of_files = [
        "create table e(id integer) strict",
        "create table f(id integer primary key, a integer references a(id)) without rowid",
        "create trigger t after insert on b begin select 1; end",
        "create virtual table words using fts5(word, other)",
        "create table g(id integer primary key autoincrement, twice integer generated always as (id * 2))",
    ];
    let mut before = database.schema().await.unwrap();
    for statement in common.iter().chain(if is_server { &of_server[..] } else { &of_files[..] }) {
        database.run(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        let after = database.schema().await.unwrap();
        assert!(!before.differences(&after).is_empty(), "{statement} leaves no trace");
        assert!(before.differences(&after).iter().all(|line| !line.contains("_admmgt_")));
        before = after;
    }
    // The history is none of it.
    Migrator::new(database.driver()).migrations(Migrations::new([sql("1", "select 1", "")])).up().await.unwrap();
    assert_eq!(before.differences(&database.schema().await.unwrap()), [""; 0]);
}

/// What a method of a driver is added, the faulty one has to pass on: a default would answer in its place.
#[test]
fn a_faulty_driver_passes_every_method_on() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let faulty = ["faulty.rs", "faulty/session.rs", "faulty/store.rs", "faulty/lease.rs"];
    let passed: String = faulty.iter().map(|file| read(&format!("admmgt-testkit/src/{file}"))).collect();
    let mut count = 0;
    for (file, name) in [("driver", "Driver"), ("driver", "Session"), ("store", "StateStore"), ("lease", "Lease")] {
        let text = read(&format!("admmgt-core/src/{file}.rs"));
        let (_, body) = text.split_once(&format!("pub trait {name}: ")).unwrap();
        let (body, _) = body.split_once("\n}\n").unwrap();
        for line in body.lines().filter(|line| line.starts_with("    fn ") || line.starts_with("    async fn ")) {
            let method = line.trim().trim_start_matches("async ").split('(').next().unwrap();
            assert!(passed.contains(&format!("{method}(")), "{name}: `{method}` is not passed on");
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}
