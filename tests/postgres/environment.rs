//! Servers that end, are busy or full, and statements that fail.

use std::time::{Duration, Instant};

use admmgt::prelude::*;
use admmgt::sqlx::{Connection, Executor};
use admmgt::{Error, ErrorKind, Event, LeaseMode};
use admmgt_tests::{Cluster, Database, Proxy, asynchronous, outside, pg, sql};

fn one() -> Migrations {
    sql(&[("1", "create table a(id int)")])
}

/// Nothing of it was committed, or all of it, whatever the client heard.
#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_reported_once() {
    let Some(db) = Database::new().await else { return };
    let proxy = Proxy::to(db.port());
    let list =
        sql(&[("1", "create table a(id int)"), ("2", "create table b(id int)"), ("3", "create table c(id int)")]);
    for (at, confirmed) in [("'0002'; commit; begin", true), ("savepoint admmgt_", false)] {
        let migrator = Migrator::new(Postgres::connect(&proxy.url(&db.url())).unwrap()).migrations(list.clone());
        let cut = if confirmed { "commit; begin" } else { at };
        proxy.cut_at(cut);
        let notices = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let heard = std::sync::Arc::clone(&notices);
        let migrator = migrator.observe(move |event: &Event| {
            if let Event::Notice { text, .. } = event {
                heard.lock().unwrap().push(text.clone());
            }
        });
        let report = migrator.up().await.unwrap();
        assert!(proxy.was_cut());
        let ran: Vec<&str> = report.ran.iter().map(|ran| ran.migration.id()).collect();
        assert_eq!(ran, ["1", "2", "3"], "{report}");
        let notes = report.ran.iter().filter(|ran| ran.notes.iter().any(|note| note.contains("confirmed"))).count();
        assert_eq!(notes, usize::from(confirmed), "{report}");
        assert!(notices.lock().unwrap().iter().any(|text| text.contains("was lost") && text.contains("trying again")));
        for id in ["app/1", "app/2", "app/3"] {
            assert_eq!(db.records(id).await, ["applied"]);
        }
        db.quiet().await;
        db.run("drop table a, b, c, _admmgt_history, _admmgt_format").await;
    }
}

/// Whatever it was the answer to: the run goes on, each migration is there once, and nobody is told of another cause.
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_anything_may_be_lost() {
    const AT_ONCE: usize = 8;
    if Database::ours().await.is_none() {
        return;
    }
    // What is lost with a lease in a row is waited for.
    for mode in [LeaseMode::Session, LeaseMode::Row { ttl: Duration::from_secs(2) }] {
        let mut lost = 0;
        loop {
            let some = (1..=AT_ONCE).map(|trip| tokio::spawn(without_the_answer(mode, lost + trip)));
            let mut cut = 0;
            for one in some.collect::<Vec<_>>() {
                cut += usize::from(one.await.unwrap());
            }
            lost += cut;
            if cut < AT_ONCE {
                break;
            }
        }
        println!("    {mode:?}: the answer to each of {lost} round trips was lost once");
        assert!(lost > AT_ONCE, "{lost}");
    }
}

/// A run that never hears the answer to this round trip; whether there were so many.
async fn without_the_answer(mode: LeaseMode, trip: usize) -> bool {
    let db = Database::new().await.expect("a server");
    let proxy = Proxy::to(db.port());
    proxy.cut_in(trip);
    let driver = Postgres::connect(&proxy.url(&db.url())).unwrap().lease(mode);
    let list = sql(&[("1", "create table a(id int)"), ("2", "create index concurrently i on a(id)")]);
    let migrator = Migrator::new(driver).migrations(list);
    // That a migration without a transaction has ended could not be put on record: the next start does.
    if let Err(error) = migrator.up().await {
        let what = format!("the answer to trip {trip} is lost: {error}");
        assert!(error.kind() == ErrorKind::Interrupted && db.records("app/1").await == ["applied"], "{what}");
        let second = migrator.up().await.unwrap_or_else(|error| panic!("{what}; then {error}"));
        assert!(second.ran.len() <= 1, "{what}; then {second}");
    }
    migrator.ensure_current().await.unwrap();
    assert_eq!(db.records("app/1").await, ["applied"], "{trip}");
    assert_eq!(db.tables().await, ["a"], "{trip}");
    proxy.was_cut()
}

/// `pg_terminate_backend` by an operator, in the middle of a body.
#[tokio::test]
async fn a_connection_that_is_ended_in_the_middle_is_opened_again() {
    let Some(db) = Database::ours().await else { return };
    let kill = |name: &str, is_outside: bool| {
        let first = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let body = pg(name, move |db| {
            let first = first.swap(false, std::sync::atomic::Ordering::SeqCst);
            Box::pin(async move {
                db.execute("create table if not exists killed(id int)").await?;
                if first {
                    db.execute("select pg_terminate_backend(pg_backend_pid())").await?;
                }
                Ok(())
            })
        });
        if is_outside { body.with(outside) } else { body }
    };
    let report = db.migrator(one().and(kill("2", false)).and(sql_of("3"))).up().await.unwrap();
    assert_eq!(report.ran.len(), 3);
    assert_eq!(db.records("app/2").await, ["applied"]);
    // Without a transaction, somebody has to look.
    let error = db.migrator(one().and(kill("2", false)).and(sql_of("3")).and(kill("4", true))).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    db.quiet().await;
    assert_eq!(db.leases().await, 0);
}

fn sql_of(id: &str) -> SqlMigration {
    SqlMigration::new("app", id, format!("create table t{id}(id int)")).unwrap()
}

/// All of a group, or nothing, and the next start converges.
#[tokio::test]
async fn a_server_that_stops_in_the_middle_is_waited_for_and_nothing_is_done_twice() {
    if Database::ours().await.is_none() {
        return;
    }
    let mut cluster = Cluster::start_with("fsync = on\n").unwrap();
    let url = cluster.url("postgres");
    let list = (1..=300).fold(Migrations::default(), |all, number| all.and(sql_of(&format!("{number:03}"))));
    for waits in [true, false] {
        let mut policy = Policy::default();
        policy.reconnect_wait = if waits { Duration::from_secs(30) } else { Duration::ZERO };
        let migrator =
            Migrator::new(Postgres::connect(&url).unwrap().schema(if waits { "one" } else { "two" }).unwrap());
        let migrator = migrator.migrations(list.clone()).policy(policy);
        let run = tokio::spawn({
            let migrator = migrator.clone();
            async move { migrator.up().await }
        });
        tokio::time::sleep(Duration::from_millis(120)).await;
        cluster.stop_immediately();
        cluster.run();
        let result = run.await.unwrap();
        if waits {
            assert_eq!(result.unwrap().ran.len(), 300);
        } else {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            let before = error.report().map_or(0, |report| report.ran.len());
            let after = migrator.up().await.unwrap().ran.len();
            assert!(before + after <= 301 && after <= 300 && before + after >= 299, "{before} and {after}");
        }
        assert_eq!(migrator.up().await.unwrap().to_string(), "nothing to do: 300 migrations are applied");
        migrator.verify().await.unwrap();
    }
}

#[tokio::test]
async fn a_lock_that_is_not_had_in_time_is_asked_for_again_and_then_given_up() {
    let Some(db) = Database::new().await else { return };
    db.run("create table busy(id int)").await;
    for released in [true, false] {
        let mut blocker = db.connection().await;
        blocker.execute("begin; lock table busy").await.unwrap();
        let mut policy = Policy::default();
        (policy.lock_timeout, policy.retry_pause, policy.retries) =
            (Duration::from_millis(50), Duration::from_millis(50), 3);
        policy.foreign = admmgt::Verdict::Allow;
        let (send, mut retried) = tokio::sync::mpsc::unbounded_channel();
        let text =
            |released| format!("create table made_{released}(id int);\nalter table busy add column c_{released} int;");
        let (first, second) = (text(true), text(false));
        let list = [("1", &*first), ("2", &*second)];
        let list = sql(&list[..if released { 1 } else { 2 }]);
        let migrator = db.migrator(list).policy(policy).observe(move |event: &Event| {
            if matches!(event, Event::MigrationRetried { .. }) {
                let _ = send.send(());
            }
        });
        let run = tokio::spawn(async move { migrator.up().await });
        retried.recv().await.unwrap();
        if released {
            blocker.execute("rollback").await.unwrap();
            assert_eq!(run.await.unwrap().unwrap().ran.len(), 1);
        } else {
            let error = run.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Failed);
            assert!(error.to_string().contains("55P03") && error.to_string().contains("lock_timeout"), "{error}");
            assert_eq!(db.number("select count(*) from pg_tables where tablename = 'made_false'").await, 0);
        }
        let _ = blocker.close().await;
    }
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_cancelled_and_rolled_back() {
    let Some(db) = Database::new().await else { return };
    let mut policy = Policy::default();
    policy.statement_timeout = Some(Duration::from_millis(100));
    let text = "create table a(id int);\nselect pg_sleep(20);";
    let clock = Instant::now();
    let error = db.migrator(sql(&[("1", text)])).policy(policy).up().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Failed && error.to_string().contains("57014"), "{error}");
    assert!(clock.elapsed() < Duration::from_secs(10));
    assert!(db.tables().await.is_empty());
}

#[tokio::test]
async fn deadlocks_and_serialization_failures_are_tried_again_as_a_whole() {
    let Some(db) = Database::new().await else { return };
    for code in ["40P01", "40001"] {
        db.run("drop sequence if exists tries; create sequence tries; create table if not exists done(id int)").await;
        let text = format!(
            "insert into done values (1);\ndo $$ begin if nextval('tries') < 3 then raise exception 'again' using errcode = '{code}'; end if; end $$;"
        );
        let mut policy = Policy::default();
        policy.foreign = admmgt::Verdict::Allow;
        let id = format!("n{code}");
        let report = db.migrator(sql(&[(&id, &text)])).policy(policy).up().await.unwrap();
        assert_eq!(report.ran.len(), 1);
        assert_eq!(db.number("select last_value from tries").await, 3);
        assert_eq!(db.records(&format!("app/{id}")).await, ["applied"]);
    }
    assert_eq!(db.number("select count(*) from done").await, 2);
}

#[tokio::test]
async fn a_database_that_may_only_be_read_is_refused_before_the_lease_and_can_be_looked_at() {
    let Some(db) = Database::ours().await else { return };
    db.migrator(one()).up().await.unwrap();
    db.run(&format!("alter database {} set default_transaction_read_only = on", db.name())).await;
    let more = one().and(sql_of("2"));
    let error = db.migrator(more.clone()).up().await.unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(db.migrator(more).pending().await.unwrap().len(), 1);
    assert_eq!(db.migrator(one()).up().await.unwrap().ran.len(), 0);
}

#[tokio::test]
async fn strings_with_backslashes_are_read_as_the_script_is_split() {
    let Some(db) = Database::ours().await else { return };
    db.run(&format!("alter database {} set standard_conforming_strings = off", db.name())).await;
    let list = sql(&[("1", "create table a(path text); insert into a values ('C:\\'); insert into a values ('x');")]);
    db.migrator(list).up().await.unwrap();
    assert_eq!(db.texts("select path from a").await, ["C:\\", "x"]);
}

/// The rows are there and the constraint does not hold: nothing is lost, and it goes on after the fix.
#[tokio::test]
async fn a_constraint_that_does_not_hold_goes_on_after_the_fix() {
    let Some(db) = Database::new().await else { return };
    let text = "create table a(id int);\ninsert into a values (-1);\n\
                alter table a add constraint positive check (id > 0) not valid;\nalter table a validate constraint positive;";
    let one = SqlMigration::new("app", "1", text).unwrap().with(outside);
    let migrator = db.migrator(Migrations::new([one]));
    let error = migrator.up().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Interrupted && error.to_string().contains("23514"), "{error}");
    db.run("delete from a").await;
    let mut policy = Policy::default();
    policy.on_interrupt = Some(admmgt::OnInterrupt::Retry);
    assert_eq!(migrator.policy(policy).up().await.unwrap().ran.len(), 1);
    assert_eq!(db.text("select convalidated from pg_constraint where conname = 'positive'").await, "t");
}

/// A dropped run lets go of everything as soon as the server notices: about a second.
#[tokio::test]
async fn a_run_that_is_dropped_in_a_long_statement_lets_go() {
    let Some(db) = Database::ours().await else { return };
    let migrator = db.migrator(sql(&[("1", "create table a(id int); select pg_sleep(30);")]));
    let clock = Instant::now();
    assert!(tokio::time::timeout(Duration::from_millis(300), migrator.up()).await.is_err());
    db.quiet().await;
    assert!(clock.elapsed() < Duration::from_secs(15), "the server did not notice");
    assert_eq!(db.leases().await, 0);
    assert!(db.tables().await.is_empty());
    assert_eq!(db.migrator(sql(&[("1", "create table a(id int)")])).up().await.unwrap().ran.len(), 1);
}

/// A pool of one connection that is in use: the run has its own and waits for nobody.
#[tokio::test]
async fn a_pool_without_a_free_connection_is_no_obstacle() {
    let Some(db) = Database::new().await else { return };
    let pool = admmgt::sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&db.url()).await.unwrap();
    let held = pool.acquire().await.unwrap();
    let (one_run, other) =
        (Migrator::new(Postgres::new(&pool)).migrations(one()), Migrator::new(Postgres::new(&pool)).migrations(one()));
    let (first, second) = tokio::join!(one_run.up(), other.up());
    assert_eq!(first.unwrap().ran.len() + second.unwrap().ran.len(), 1);
    drop(held);
    pool.close().await;
}

/// F82: a table space on a file system of two megabytes. The migration fails and is rolled back; after some space is
/// freed, it runs.
#[tokio::test]
async fn f82_a_full_disk_fails_the_migration_and_nothing_else() {
    if Database::ours().await.is_none() {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let Some(small) = cluster.small_disk() else {
        return admmgt_tests::say("SKIPPED f82_a_full_disk: no file system may be mounted here");
    };
    let db = Database::on(&cluster.url("postgres"), true).await;
    db.run(&format!("create tablespace small location '{}'", small.path().display())).await;
    let rows = |count: u32| {
        let fill =
            format!("create table big tablespace small as select repeat('x', 1000) from generate_series(1, {count});");
        sql(&[("1", "create table a(id int)"), ("2", &fill)])
    };
    let error = db.migrator(rows(20_000)).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    assert!(error.to_string().contains("53100") && error.to_string().contains("disk is full"), "{error}");
    assert_eq!(db.tables().await, ["a"]);
    assert_eq!(db.leases().await, 0);
    assert_eq!(db.migrator(rows(100)).up().await.unwrap().ran.len(), 1);
}

/// The failure comes with the commit there, and everything before it was fine.
#[tokio::test]
async fn serialization_failures_at_the_commit_are_tried_again() {
    let Some(db) = Database::new().await else { return };
    db.run(&format!("alter database {} set default_transaction_isolation = 'serializable'", db.name())).await;
    db.run(
        "create table a(id int primary key, v int); insert into a values (1, 0), (2, 0); create sequence tries;
         create function fails() returns trigger language plpgsql as $$ begin
             if nextval('tries') < 3 then raise exception 'again' using errcode = '40001'; end if; return null; end $$;
         create constraint trigger late after update on a deferrable initially deferred for each row execute function fails()",
    )
    .await;
    let mut policy = Policy::default();
    policy.foreign = admmgt::Verdict::Allow;
    for group in [false, true] {
        policy.group = group;
        let id = format!("{group}");
        db.run("select setval('tries', 1, false)").await;
        let list = sql(&[("false", "update a set v = 1"), ("true", "update a set v = 1")])
            .filter(|meta| meta.id.id() <= id.as_str());
        let report = db.migrator(list).policy(policy.clone()).up().await.unwrap();
        assert_eq!(report.ran.len(), 1);
        assert_eq!(db.records(&format!("app/{id}")).await, ["applied"]);
    }
}

/// A body that takes its connection down each time does not do so for ever.
#[tokio::test]
async fn a_body_that_ends_its_connection_each_time_is_given_up() {
    let Some(db) = Database::ours().await else { return };
    let list = sql(&[("1", "create table a(id int)"), ("2", "select pg_terminate_backend(pg_backend_pid())")]);
    let clock = Instant::now();
    let error = db.migrator(list).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(error.report().unwrap().ran.len(), 1);
    assert!(clock.elapsed() < Duration::from_secs(25));
}

/// What a program wants to know of a failure: the line, and which constraint.
#[tokio::test]
async fn a_failure_names_the_line_and_the_constraint() {
    let Some(db) = Database::new().await else { return };
    let first = "create table people(email text constraint one_of_each unique)";
    db.migrator(sql(&[("1", first)])).up().await.unwrap();
    let twice = "insert into people\nvalues ('a@b'),\n ('a@b')";
    let error = db.migrator(sql(&[("1", first), ("2", twice)])).up().await.unwrap_err();
    let Error::Failed(failure) = &error else { panic!("{error}") };
    let answer: &admmgt::postgres::Answer = failure.error.downcast_ref().unwrap();
    assert_eq!((answer.code(), answer.constraint()), (Some("23505"), Some("one_of_each")));
    let error = db.migrator(sql(&[("1", first), ("2", "select 1\nfrom nowhere")])).up().await.unwrap_err();
    assert!(error.to_string().contains("in line 2 of the statement"), "{error}");
}

/// A statement that waits for data which nobody sends would wait for ever.
#[tokio::test]
async fn code_that_copies_from_nothing_is_told_so() {
    let Some(db) = Database::new().await else { return };
    let copies = asynchronous("1", |cx| {
        Box::pin(async move {
            cx.execute("create table a(id int)").await?;
            cx.execute("copy a from stdin").await?;
            Ok(())
        })
    });
    let error = db.migrator(Migrations::new([copies])).up().await.unwrap_err();
    assert!(error.to_string().contains("has no data behind it"), "{error}");
    assert!(db.tables().await.is_empty());
}

/// Logical replication of everything does not take our tables for the application's.
#[tokio::test]
async fn a_publication_of_all_tables_is_no_obstacle() {
    let Some(db) = Database::ours().await else { return };
    db.run("create publication everything for all tables").await;
    let migrator = db.migrator(sql(&[("1", "create table a(id int primary key)"), ("2", "create table b(id int)")]));
    assert_eq!(migrator.up().await.unwrap().ran.len(), 2);
    assert!(migrator.status().await.unwrap().is_current());
    let row = Migrator::new(db.driver().lease(admmgt::LeaseMode::row())).migrations(sql(&[
        ("1", "create table a(id int primary key)"),
        ("2", "create table b(id int)"),
        ("3", "select 1"),
    ]));
    assert_eq!(row.up().await.unwrap().ran.len(), 1);
}
