//! The way back on real files, and folders of every layout: up, down, up.

use admmgt::prelude::*;
use admmgt::{Error, ErrorKind, OnInterrupt, Refusal, Target};
use admmgt_tests::{Scratch, outside, sql};

fn both_ways(id: &str, up: &str, down: &str) -> SqlMigration {
    SqlMigration::new("app", id, up.to_owned()).unwrap().down(down.to_owned())
}

fn schema(scratch: &Scratch) -> Vec<String> {
    scratch.texts(
        "select sql from sqlite_schema where name not like '\\_admmgt%' escape '\\' and sql is not null order by name",
    )
}

#[tokio::test]
async fn up_down_up_leaves_the_same_schema() {
    let scratch = Scratch::new();
    let list = || {
        Migrations::new([
            both_ways("1", "create table a(id integer primary key)", "drop table a"),
            both_ways("2", "create table b(a references a(id)); create index b_a on b(a)", "drop table b"),
        ])
    };
    let migrator = scratch.migrator(list());
    migrator.up().await.unwrap();
    let first = schema(&scratch);
    assert_eq!(migrator.down(Target::Nothing).await.unwrap().ran.len(), 2);
    assert!(schema(&scratch).is_empty());
    migrator.up().await.unwrap();
    assert_eq!(schema(&scratch), first);
    assert_eq!(scratch.records("app/1"), ["applied", "reverted", "applied"]);
    assert_eq!(migrator.verify().await.unwrap().bodies, 6);
}

/// On the way back too, rows that would point to nothing are refused, and everything is taken back.
#[tokio::test]
async fn a_way_back_that_leaves_dangling_rows_is_refused() {
    let scratch = Scratch::new();
    let parent = both_ways("1", "create table p(id integer primary key); insert into p values (1)", "drop table p");
    let child = "create table c(p references p(id)); insert into c values (1)";
    let migrator = scratch.migrator(Migrations::new([parent, both_ways("2", child, "select 1")]));
    migrator.up().await.unwrap();
    let error = migrator.down(Target::Nothing).await.unwrap_err();
    assert_eq!((error.kind(), error.report().unwrap().ran.len()), (ErrorKind::Failed, 1));
    assert_eq!(scratch.tables(), ["c", "p"]);
}

#[tokio::test]
async fn the_sql_of_the_way_back_is_judged_before_its_first_step() {
    let scratch = Scratch::new();
    let good = both_ways("2", "create table b(x)", "drop table b");
    let migrator =
        scratch.migrator(Migrations::new([both_ways("1", "create table a(x)", "drop table a; vacuum"), good]));
    migrator.up().await.unwrap();
    let error = migrator.down(Target::Nothing).await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::Script { .. }]), "{error}");
    assert_eq!(scratch.tables(), ["a", "b"]);
}

#[tokio::test]
async fn a_way_back_outside_of_transactions_is_interrupted_by_name() {
    let scratch = Scratch::new();
    let list = Migrations::new([both_ways("1", "create table a(x)", "drop table a; drop table nowhere").with(outside)]);
    let migrator = scratch.migrator(list);
    migrator.up().await.unwrap();
    assert!(matches!(migrator.down(Target::Back(1)).await.unwrap_err(), Error::Interrupted(_)));
    let mut policy = Policy::default();
    policy.on_interrupt = Some(OnInterrupt::Retry);
    let error = migrator.clone().policy(policy).up().await.unwrap_err();
    assert!(error.to_string().contains("`app/1` (down) was started"), "{error}");
    migrator.resolve("app/1", admmgt::Resolution::Pending, "it is gone").await.unwrap();
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
}

#[tokio::test]
async fn a_file_without_a_transaction_goes_on_where_it_stopped() {
    let scratch = Scratch::new();
    let file = |text: &str| Migrations::new([both_ways("1", text, "select 1").with(outside)]);
    scratch.migrator(file("create table a(x); insert into nowhere values (1)")).up().await.unwrap_err();
    let mended = file("create table a(x); insert into a values (1)");
    assert_eq!(scratch.migrator(mended.clone()).up().await.unwrap_err().kind(), ErrorKind::Interrupted);
    let mut policy = Policy::default();
    policy.on_interrupt = Some(OnInterrupt::Retry);
    scratch.migrator(mended.clone()).policy(policy).up().await.unwrap();
    assert_eq!(scratch.number("select count(*) from a"), 1);
    scratch.migrator(mended).ensure_current().await.unwrap();
}

/// As other tools write it for SQLite: what the runner does anyway is left out where the policy says so.
#[tokio::test]
async fn a_rebuild_with_its_pragmas_runs_where_they_may_be_left_out() {
    let scratch = Scratch::new();
    scratch.run(
        "create table p(id integer primary key); create table c(p references p(id) on delete cascade);
        insert into p values (1); insert into c values (1)",
    );
    let rebuild = "PRAGMA foreign_keys=OFF;\ncreate table n(id integer primary key, x);\ninsert into n(id) select id from p;\n\
        drop table p;\nalter table n rename to p;\nPRAGMA foreign_keys=ON;\n";
    let migrator = scratch.migrator(sql(&[("1", rebuild)]));
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.refusals().len(), 2, "{error}");
    let mut policy = Policy::default();
    policy.idle = admmgt::Verdict::Allow;
    let migrator = migrator.policy(policy);
    assert!(migrator.plan().await.unwrap().to_string().contains("note: left out, 1:1: `PRAGMA foreign_keys`"));
    migrator.up().await.unwrap();
    assert_eq!(scratch.number("select count(*) from c"), 1);
}

#[tokio::test]
async fn a_mix_runs_statement_by_statement_where_it_may() {
    for mix in [
        "pragma journal_mode = wal; create table a(x)",
        "create table a(x); vacuum",
        "begin; create table b(x); commit; begin; alter table b rename to a; commit;",
        "pragma foreign_keys = off; begin; create table a(x); commit; pragma foreign_keys = on",
    ] {
        let scratch = Scratch::new();
        let migrator = scratch.migrator(sql(&[("1", mix)]));
        assert_eq!(migrator.up().await.unwrap_err().kind(), ErrorKind::Refused, "{mix}");
        let mut policy = Policy::default();
        (policy.idle, policy.mixed) = (admmgt::Verdict::Allow, admmgt::Verdict::Allow);
        migrator.policy(policy).up().await.unwrap_or_else(|error| panic!("{mix}: {error}"));
        assert_eq!(scratch.tables(), ["a"], "{mix}");
    }
}

/// What a connection was told is gone with it, so nobody goes on without it.
#[tokio::test]
async fn a_file_that_set_up_its_connection_does_not_go_on_in_another() {
    for first in ["pragma foreign_keys = off", "attach ':memory:' as other", "create temp table t(x)"] {
        let scratch = Scratch::new();
        let text = |second: &str| format!("{first}; {second}");
        let file = |second: &str| Migrations::new([both_ways("1", &text(second), "select 1").with(outside)]);
        scratch.migrator(file("insert into nowhere values (1)")).up().await.unwrap_err();
        let mut policy = Policy::default();
        policy.on_interrupt = Some(OnInterrupt::Retry);
        let error = scratch.migrator(file("create table a(x)")).policy(policy).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{first}: {error}");
        assert!(!scratch.tables().contains(&"a".to_owned()));
    }
}

#[tokio::test]
async fn a_baseline_makes_a_database_that_has_everything_current() {
    let scratch = Scratch::new();
    scratch.run("create table a(x); create table b(x)");
    let migrator = scratch.migrator(sql(&[("1", "create table a(x)"), ("2", "create table b(x)")]));
    assert_eq!(migrator.up().await.unwrap_err().kind(), ErrorKind::Refused);
    migrator.baseline(None, "made by an older tool").await.unwrap();
    migrator.ensure_current().await.unwrap();
    assert_eq!(migrator.up().await.unwrap().ran.len(), 0);
}
