//! Indexes that are built beside the work of others, and what is left of them.

use std::time::Duration;

use admmgt::prelude::*;
use admmgt::sqlx::{Connection, Executor};
use admmgt::{ErrorKind, Standing};
use admmgt_tests::{Database, Orders, Sets, eventually, now_elsewhere, sql};

const INDEX: &str = "create index concurrently users_email on users(email)";

async fn users(rows: u32) -> Option<Database> {
    let db = Database::ours().await?;
    db.run(&format!(
        "create table users as select i as id, 'user' || i || '@example.com' as email from generate_series(1, {rows}) as i"
    ))
    .await;
    Some(db)
}

fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.foreign = admmgt::Verdict::Allow;
    policy
}

async fn is_valid(db: &Database) -> String {
    db.text("select indisvalid from pg_index where indexrelid = 'users_email'::regclass").await
}

/// An index as a crash leaves it.
async fn leave_an_invalid_one(db: &Database) {
    db.run(&format!(
        "{}; update pg_index set indisvalid = false where indexrelid = 'users_email'::regclass",
        INDEX.replace("concurrently", "")
    ))
    .await;
    assert_eq!(db.invalid_indexes().await, ["users_email"]);
}

#[tokio::test]
async fn a_file_of_only_such_statements_runs_without_a_transaction() {
    let Some(db) = users(10).await else { return };
    let report = db.migrator(sql(&[("1", INDEX)])).up().await.unwrap();
    assert!(!report.ran[0].transaction);
    assert_eq!(is_valid(&db).await, "t");
}

/// `if not exists` takes it for one, and nobody could use it.
#[tokio::test]
async fn an_invalid_index_is_not_taken_for_one() {
    for text in [
        INDEX.to_owned(),
        INDEX.replace("concurrently", "concurrently if not exists"),
        INDEX.replace("concurrently", "if not exists"),
    ] {
        let Some(db) = users(10).await else { return };
        leave_an_invalid_one(&db).await;
        db.migrator(sql(&[("1", &text)])).policy(policy()).up().await.unwrap();
        assert_eq!(is_valid(&db).await, "t", "{text}");
    }
}

#[tokio::test]
async fn an_index_of_that_name_on_another_table_is_left_alone() {
    let Some(db) = users(10).await else { return };
    db.run(
        "create table other(email text); create index users_email on other(email); \
            update pg_index set indisvalid = false where indexrelid = 'users_email'::regclass",
    )
    .await;
    let error = db.migrator(sql(&[("1", INDEX)])).policy(policy()).up().await.unwrap_err();
    assert!(error.to_string().contains("42P07"), "{error}");
    assert_eq!(db.invalid_indexes().await, ["users_email"]);
}

/// Duplicates: what is left goes too, the message shows what is in the way, and after the fix the next start goes on.
#[tokio::test]
async fn a_unique_index_on_duplicates_leaves_nothing_and_goes_on_after_the_fix() {
    let Some(db) = users(10).await else { return };
    db.run("insert into users values (11, 'user3@example.com')").await;
    let list = || {
        sql(&[
            ("1", "create unique index concurrently users_email on users(email)"),
            ("2", "create table later(id int)"),
        ])
    };
    let migrator = db.migrator(list()).policy(policy());
    for _ in 0..2 {
        let error = migrator.up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert!(error.to_string().contains("(email)=(user3@example.com)"), "{error}");
        // Whoever called is told which row is in the way; the history is not.
        assert!(db.texts("select detail from _admmgt_history where detail like '%user3%'").await.is_empty());
        assert_eq!(db.texts("select 1 from pg_class where relname = 'users_email'").await.len(), 0);
        assert_eq!(db.leases().await, 0);
    }
    db.run("delete from users where id = 11").await;
    assert_eq!(migrator.up().await.unwrap().ran.len(), 2);
    assert_eq!(is_valid(&db).await, "t");
}

/// Killed in the middle of the build. Its server process notices within about a second; whoever comes next waits, finds
/// the INVALID index, drops it, and builds it again, without a person.
#[tokio::test]
async fn killed_while_it_builds_the_next_start_builds_it_again() {
    let Some(db) = Database::ours().await else { return };
    db.run("create table big as select i as value from generate_series(1, 200000) as i").await;
    let mut blocker = db.connection().await;
    blocker.execute("begin; insert into big values (0)").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let orders = Orders::at(db.url(), folder.path()).set(Sets::Index, 3);
    let mut first = orders.start();
    let waits = "select 1::text from pg_stat_activity where query like 'create index concurrently%' and wait_event_type = 'Lock'";
    eventually("the build waits for the writer", || now_elsewhere(db.url(), waits).is_some());
    first.kill();
    // The lease is the dead process's until its server process has noticed.
    let second = orders.clone().start();
    db.quiet_but(1).await;
    blocker.execute("commit").await.unwrap();
    let _ = blocker.close().await;
    let mut second = second;
    let report = second.succeeded();
    assert_eq!(report.ran.len(), 2, "{report}");
    db.quiet().await;
    assert_eq!(db.invalid_indexes().await, Vec::<String>::new());
    assert_eq!(db.text("select indisvalid from pg_index where indexrelid = 'app_big'::regclass").await, "t");
    assert_eq!(db.records("app/0002").await, ["started", "step_done", "applied"]);
}

/// It ended, and its process died before that was on record.
#[tokio::test]
async fn an_index_that_was_built_and_not_recorded_is_not_built_twice() {
    let Some(db) = users(10).await else { return };
    let text = format!("{INDEX};\ndrop index concurrently if exists gone;");
    let failing = format!("{text}\ncreate index concurrently nowhere_id on nowhere(id);");
    let migrator = db.migrator(sql(&[("1", &failing)])).policy(policy());
    migrator.up().await.unwrap_err();
    // As if the process had died before it wrote the second half.
    db.run("delete from _admmgt_history where seq > 1").await;
    let oid = db.text("select 'users_email'::regclass::oid").await;
    db.run("create table nowhere(id int)").await;
    // Nothing is on record but that it began.
    assert!(matches!(migrator.status().await.unwrap().migrations[0].standing, Standing::Interrupted { done: 0, .. }));
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
    assert_eq!(db.text("select 'users_email'::regclass::oid").await, oid);
    assert_eq!(is_valid(&db).await, "t");
    assert_eq!(db.invalid_indexes().await, Vec::<String>::new());
}

/// `reindex concurrently` leaves `…_ccnew`.
#[tokio::test]
async fn what_a_reindex_left_is_taken_away() {
    let Some(db) = users(1000).await else { return };
    db.run("create unique index users_email on users(email)").await;
    let mut blocker = db.connection().await;
    blocker.execute("begin; insert into users values (0, 'zero')").await.unwrap();
    let mut policy = policy();
    policy.statement_timeout = Some(Duration::from_millis(300));
    let migrator = db.migrator(sql(&[("1", "reindex index concurrently users_email")])).policy(policy);
    let error = migrator.up().await.unwrap_err();
    assert!(error.to_string().contains("57014"), "{error}");
    blocker.execute("rollback").await.unwrap();
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
    assert_eq!(db.invalid_indexes().await, Vec::<String>::new());
    assert_eq!(is_valid(&db).await, "t");
}

/// It waits for writers as long as it takes; giving up would leave an INVALID index.
#[tokio::test]
async fn a_lock_timeout_does_not_end_a_build() {
    let Some(db) = users(10).await else { return };
    let mut policy = policy();
    policy.lock_timeout = Duration::from_millis(50);
    let mut blocker = db.connection().await;
    blocker.execute("begin; insert into users values (0, 'zero')").await.unwrap();
    let migrator = db.migrator(sql(&[("1", INDEX)])).policy(policy);
    let run = tokio::spawn(async move { migrator.up().await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!run.is_finished());
    blocker.execute("commit").await.unwrap();
    assert_eq!(run.await.unwrap().unwrap().ran.len(), 1);
    assert_eq!(is_valid(&db).await, "t");
}

/// What the file has set before goes on with it, on another connection.
#[tokio::test]
async fn settings_of_a_file_are_set_again_when_it_goes_on() {
    let Some(db) = users(10).await else { return };
    db.run("create schema other; create table other.things(id int)").await;
    let text = "set search_path = other;\ncreate index concurrently things_id on things(id);\ncreate index concurrently more_id on more(id);";
    let migrator = db.migrator(sql(&[])).policy(policy());
    let first = SqlMigration::new("app", "1", text).unwrap().with(admmgt_tests::outside);
    let migrator = migrator.migrations(Migrations::new([first]));
    assert_eq!(migrator.up().await.unwrap_err().kind(), ErrorKind::Interrupted);
    db.run("create table other.more(id int)").await;
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
    assert_eq!(
        db.texts("select indexname from pg_indexes where schemaname = 'other' order by 1").await,
        ["more_id", "things_id"]
    );
}

/// What failed has not ended, whatever is there: an index of that name is not this one.
#[tokio::test]
async fn a_failed_build_is_never_taken_for_done() {
    let Some(db) = users(10).await else { return };
    db.run("create index users_email on users(id)").await;
    for text in [INDEX, "drop index concurrently no_such_index"] {
        let migrator = db.migrator(sql(&[("1", text)])).policy(policy());
        for _ in 0..3 {
            assert_eq!(migrator.up().await.unwrap_err().kind(), ErrorKind::Interrupted, "{text}");
        }
        db.run("drop table _admmgt_history, _admmgt_format").await;
    }
    assert_eq!(is_valid(&db).await, "t");
}

/// An index that another session is just building is INVALID, too; it is not dropped under its hands.
#[tokio::test]
async fn an_index_that_somebody_else_builds_is_left_alone() {
    let Some(db) = users(10).await else { return };
    let mut blocker = db.connection().await;
    blocker.execute("begin; insert into users values (0, 'zero')").await.unwrap();
    let mut builder = db.connection().await;
    let build = tokio::spawn(async move { builder.execute(INDEX).await.map(drop) });
    while db.invalid_indexes().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let text = INDEX.replace("concurrently", "concurrently if not exists");
    let error = db.migrator(sql(&[("1", &text)])).policy(policy()).up().await.unwrap_err();
    assert!(error.to_string().contains("another session is at work"), "{error}");
    blocker.execute("commit").await.unwrap();
    build.await.unwrap().unwrap();
    assert_eq!(is_valid(&db).await, "t");
    assert_eq!(db.migrator(sql(&[("1", &text)])).policy(policy()).up().await.unwrap().ran.len(), 1);
}

/// The index of a partitioned table is INVALID by design until every partition has one.
#[tokio::test]
async fn the_index_of_a_partitioned_table_is_left_alone() {
    let Some(db) = Database::new().await else { return };
    db.run(
        "create table m(id int) partition by range (id); create table m1 partition of m for values from (0) to (10);
         create table m2 partition of m for values from (10) to (20); create index m1_id on m1(id);
         create index m_id on only m(id); alter index m_id attach partition m1_id",
    )
    .await;
    db.migrator(sql(&[("1", "create index if not exists m_id on m(id)")])).policy(policy()).up().await.unwrap();
    assert_eq!(
        db.texts("select indexname from pg_indexes where schemaname = 'public' and indexname like 'm%' order by 1")
            .await,
        ["m1_id", "m_id"]
    );
}

/// Only by trying can it be known that it cannot be in a transaction.
#[tokio::test]
async fn a_partitioned_table_is_reindexed_outside_of_a_transaction() {
    let Some(db) = Database::new().await else { return };
    db.run("create table m(id int primary key) partition by range (id); create table m1 partition of m for values from (0) to (10)").await;
    let text = "reindex table m;\ncreate index if not exists m_more on m1(id);";
    let one = SqlMigration::new("app", "1", text).unwrap().with(admmgt_tests::outside);
    let migrator = db.migrator(Migrations::new([one])).policy(policy());
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
    assert_eq!(db.records("app/1").await, ["started", "step_done", "step_done", "applied"]);
}

/// It is gone already, because the process that dropped it died before that was on record.
#[tokio::test]
async fn an_index_that_was_dropped_and_not_recorded_is_not_missed() {
    let Some(db) = users(10).await else { return };
    db.run("create index old on users(id)").await;
    let text = "drop index concurrently old;\ncreate index concurrently nowhere_id on nowhere(id);";
    let migrator = db.migrator(sql(&[("1", text)])).policy(policy());
    migrator.up().await.unwrap_err();
    db.run("delete from _admmgt_history where seq > 1; create table nowhere(id int)").await;
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
    assert_eq!(db.records("app/1").await, ["started", "step_done", "step_done", "applied"]);
}

/// A vacuum of a table that somebody else has locked, and who has it.
async fn locked_vacuum(retries: u32) -> Option<(Database, Migrator, PgConnection)> {
    let db = users(10).await?;
    let mut blocker = db.connection().await;
    blocker.execute("begin; lock table users in access exclusive mode").await.unwrap();
    let mut policy = policy();
    (policy.lock_timeout, policy.retries) = (Duration::from_millis(30), retries);
    let migrator = db.migrator(sql(&[("1", "vacuum users")])).policy(policy);
    Some((db, migrator, blocker))
}

/// What can simply run again does, where it met a lock outside of a transaction.
#[tokio::test]
async fn a_vacuum_that_finds_its_table_locked_is_tried_again() {
    let Some((db, migrator, mut blocker)) = locked_vacuum(1000).await else { return };
    let (hears, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let migrator = migrator.observe(move |event: &admmgt::Event| {
        if let admmgt::Event::MigrationRetried { error, .. } = event {
            let _ = hears.send(error.clone());
        }
    });
    let run = tokio::spawn(async move { migrator.up().await });
    let error = heard.recv().await.unwrap();
    assert!(error.contains("55P03"), "{error}");
    blocker.execute("commit").await.unwrap();
    assert_eq!(run.await.unwrap().unwrap().ran.len(), 1);
    assert_eq!(db.records("app/1").await, ["started", "step_done", "applied"]);
}

#[tokio::test]
async fn a_vacuum_whose_table_stays_locked_is_given_up() {
    let Some((_db, migrator, mut blocker)) = locked_vacuum(2).await else { return };
    let error = migrator.up().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Interrupted && error.to_string().contains("55P03"), "{error}");
    blocker.execute("commit").await.unwrap();
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
}
