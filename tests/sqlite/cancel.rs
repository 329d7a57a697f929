//! Runs that are dropped in the middle, and bodies that panic: what was not committed is gone, the
//! connection is closed, the lease is free, and the next run goes on as after a kill.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use admmgt::prelude::*;
use admmgt::rusqlite::Connection;
use admmgt::{ErrorKind, Event, Refusal, Report, Resolution, Result};
use admmgt_tests::{Orders, Scratch, Sets, asynchronous, code, eventually, outside, sql};

/// Hours of work for SQLite.
const ENDLESS: &str = "insert into b with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000000000) \
                       select i from n where i % 1000000 = 0";

/// Runs a story on a runtime of one thread, and on one of several.
fn on_both_runtimes<F: Future<Output = ()>>(story: impl Fn() -> F) {
    use tokio::runtime::Builder;
    Builder::new_current_thread().enable_all().build().unwrap().block_on(story());
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(story());
}

/// Drops a run as soon as `is_deep` in its work; that takes no time, whatever the run was at.
async fn dropped<T>(run: impl Future<Output = Result<T>>, is_deep: impl Fn() -> bool) {
    let deep = async {
        while !is_deep() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let clock = tokio::select! {
        ended = run => panic!("the run ended by itself: {:?}", ended.err()),
        () = deep => Instant::now(),
    };
    // The select has dropped the run by now.
    assert!(clock.elapsed() < Duration::from_secs(2), "dropping it took {:?}", clock.elapsed());
}

/// The next run, with a second migration that ends: it waits until the dropped one is gone.
async fn next(scratch: &Scratch) -> Report {
    let migrations = sql(&[("1", "create table a(id integer)"), ("2", "create table b(id integer)")]);
    let report = scratch.migrator(migrations).up().await.unwrap();
    assert_eq!(scratch.tables(), ["a", "b"]);
    assert_eq!(scratch.number("select count(*) from b"), 0);
    eventually("the dropped run's connection is closed", || !scratch.is_open_here());
    report
}

fn first() -> Migrations {
    sql(&[("1", "create table a(id integer)")])
}

#[test]
fn a_run_dropped_in_a_long_statement_leaves_nothing_of_it() {
    on_both_runtimes(|| async {
        let scratch = Scratch::new();
        let begun = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&begun);
        let migrations = first().include(sql(&[("2", &format!("create table b(id integer);\n{ENDLESS}"))]));
        let migrator = scratch.migrator(migrations).observe(move |event: &Event| {
            if matches!(event, Event::StatementDone { migration, .. } if migration.id() == "2") {
                heard.store(true, Ordering::SeqCst);
            }
        });
        dropped(migrator.up(), || begun.load(Ordering::SeqCst)).await;
        assert_eq!(next(&scratch).await.ran.len(), 1);
        assert_eq!(scratch.records("app/2"), ["applied"]);
    });
}

/// A loop of small statements: an interrupt between two of them is lost.
#[test]
fn a_run_dropped_among_many_small_statements_stops_at_the_next() {
    on_both_runtimes(|| async {
        let scratch = Scratch::new();
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let body = move |db: &mut Connection| {
            db.execute_batch("create table b(id integer)")?;
            let clock = Instant::now();
            while clock.elapsed() < Duration::from_secs(60) {
                db.execute("insert into b values (1)", [])?;
                counter.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        };
        let migrator = scratch.migrator(first().and(code("2", body)));
        dropped(migrator.up(), || count.load(Ordering::SeqCst) > 10).await;
        let clock = Instant::now();
        assert_eq!(next(&scratch).await.ran.len(), 1);
        assert!(clock.elapsed() < Duration::from_secs(10), "the dropped run went on for {:?}", clock.elapsed());
    });
}

/// Nothing can stop a function that does not call SQLite: the drop does not wait for it, the next
/// run does.
#[test]
fn a_run_dropped_while_its_body_sleeps_is_waited_for_by_the_next() {
    on_both_runtimes(|| async {
        let scratch = Scratch::new();
        let (begun, awake) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let flags = (Arc::clone(&begun), Arc::clone(&awake));
        let body = move |db: &mut Connection| {
            db.execute_batch("create table b(id integer); insert into b values (1)")?;
            flags.0.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(700));
            flags.1.store(true, Ordering::SeqCst);
            Ok(())
        };
        let migrator = scratch.migrator(first().and(code("2", body)));
        dropped(migrator.up(), || begun.load(Ordering::SeqCst)).await;
        assert!(!awake.load(Ordering::SeqCst), "the drop waited for the body");
        assert_eq!(next(&scratch).await.ran.len(), 1);
        assert!(awake.load(Ordering::SeqCst), "the next run did not wait for the body");
    });
}

#[test]
fn a_run_dropped_while_its_body_awaits_leaves_nothing_of_it() {
    on_both_runtimes(|| async {
        let scratch = Scratch::new();
        let begun = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&begun);
        let body = asynchronous("2", move |cx| {
            let flag = Arc::clone(&flag);
            Box::pin(async move {
                cx.execute("create table b(id integer)").await?;
                flag.store(true, Ordering::SeqCst);
                std::future::pending().await
            })
        });
        let migrator = scratch.migrator(first().and(body));
        dropped(migrator.up(), || begun.load(Ordering::SeqCst)).await;
        assert_eq!(next(&scratch).await.ran.len(), 1);
    });
}

#[test]
fn a_run_dropped_outside_a_transaction_is_interrupted() {
    on_both_runtimes(|| async {
        let scratch = Scratch::new();
        let begun = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&begun);
        let long = format!("create table b(id integer);\n{ENDLESS}");
        let long = SqlMigration::new("app", "2", long).unwrap().with(outside);
        let migrations = first().and(long);
        let migrator = scratch.migrator(migrations).observe(move |event: &Event| {
            if matches!(event, Event::StatementDone { migration, .. } if migration.id() == "2") {
                heard.store(true, Ordering::SeqCst);
            }
        });
        dropped(migrator.up(), || begun.load(Ordering::SeqCst)).await;
        let error = migrator.up().await.unwrap_err();
        assert!(matches!(error.refusals(), [Refusal::Interrupted { done: 1, steps: Some(2), .. }]), "{error}");
        assert_eq!(scratch.records("app/2"), ["started", "step_done"]);
        assert_eq!((scratch.tables(), scratch.number("select count(*) from b")), (vec!["a".into(), "b".into()], 0));

        scratch.run("drop table b");
        migrator.resolve("app/2", Resolution::Pending, "taken away").await.unwrap();
        assert_eq!(next(&scratch).await.ran.len(), 1);
    });
}

#[test]
fn a_run_dropped_while_it_waits_for_the_lease_is_gone() {
    on_both_runtimes(|| async {
        let scratch = Scratch::new();
        let lease = std::fs::File::create(scratch.folder().join("app.db-admmgt.lock")).unwrap();
        lease.try_lock().unwrap();
        let waiting = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&waiting);
        let migrator = scratch.migrator(first()).observe(move |event: &Event| {
            heard.fetch_or(matches!(event, Event::LeaseWaiting { .. }), Ordering::SeqCst);
        });
        dropped(migrator.up(), || waiting.load(Ordering::SeqCst)).await;
        drop(lease);
        eventually("the dropped run's connection is closed", || !scratch.is_open_here());
        assert_eq!(next(&scratch).await.ran.len(), 2);
    });
}

#[test]
fn a_timeout_is_a_drop_like_any_other() {
    on_both_runtimes(|| async {
        let scratch = Scratch::new();
        let migrator =
            scratch.migrator(first().include(sql(&[("2", &format!("create table b(id integer);\n{ENDLESS}"))])));
        let clock = Instant::now();
        assert!(tokio::time::timeout(Duration::from_millis(200), migrator.up()).await.is_err());
        assert!(clock.elapsed() < Duration::from_secs(5), "{:?}", clock.elapsed());
        next(&scratch).await;
    });
}

/// Dropped at forty moments of a run, and once more run to its end.
#[test]
fn dropped_at_any_moment_a_run_converges() {
    on_both_runtimes(|| async {
        let scratch = Scratch::new();
        let orders = Orders::new(scratch.path()).set(Sets::Small, 40);
        let mut random = fastrand::Rng::with_seed(2026);
        let failures = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&failures);
        let migrator = scratch.migrator(Sets::migrations(&orders)).observe(move |event: &Event| {
            let failed = matches!(event, Event::MigrationFailed { .. } | Event::MigrationInterrupted { .. });
            count.fetch_add(usize::from(failed), Ordering::SeqCst);
        });
        for _ in 0..40 {
            let patience = Duration::from_micros(random.u64(..8_000));
            let _ = tokio::time::timeout(patience, migrator.up()).await;
        }
        migrator.up().await.unwrap();
        assert_eq!(scratch.number("select count(*) from log"), 40);
        assert_eq!(scratch.number("select count(*) from _admmgt_history where kind = 'applied'"), 40);
        assert_eq!(scratch.number("select count(*) from _admmgt_history"), 40, "a drop is no failure");
        eventually("every connection is closed", || !scratch.is_open_here());
        assert_eq!(failures.load(Ordering::SeqCst), 0, "nor is it told as one");
    });
}

#[tokio::test]
async fn the_runtime_is_not_blocked_while_a_migration_runs() {
    let scratch = Scratch::new();
    let ticks = Arc::new(AtomicUsize::new(0));
    let (counter, seen) = (Arc::clone(&ticks), Arc::clone(&ticks));
    let ticking = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(2)).await;
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    let sleeping = code("2", move |_| {
        let before = seen.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(500));
        let ticked = seen.load(Ordering::SeqCst) - before;
        if ticked < 10 { Err(format!("the runtime ticked {ticked} times in half a second").into()) } else { Ok(()) }
    });
    scratch.migrator(first().and(sleeping)).up().await.unwrap();
    ticking.abort();
}

#[tokio::test]
async fn a_dropped_run_takes_the_given_connection_with_it() {
    let database = Sqlite::connection(Connection::open_in_memory().unwrap());
    let migrator =
        Migrator::new(database.clone()).migrations(sql(&[("1", "create table b(id integer)"), ("2", ENDLESS)]));
    assert!(tokio::time::timeout(Duration::from_millis(200), migrator.up()).await.is_err());
    assert!(database.take_connection().is_none());
    let mut error = migrator.up().await.unwrap_err();
    while error.to_string().contains("in use") {
        tokio::time::sleep(Duration::from_millis(5)).await;
        error = migrator.up().await.unwrap_err();
    }
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().starts_with("the connection is gone"), "{error}");
}

/// A body that panics after it has written; then the same migration without the panic.
async fn check_panic(body: impl Migration) {
    let scratch = Scratch::new();
    let error = scratch.migrator(first().and(body)).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("`app/2` (up) failed: it panicked: on purpose"), "{error}");
    assert_eq!(error.report().unwrap().ran.len(), 1);
    assert_eq!(scratch.tables(), ["a"]);
    assert_eq!(scratch.records("app/2"), ["failed"]);
    assert_eq!(next(&scratch).await.ran.len(), 1);
}

#[test]
fn a_panic_in_a_plain_body_is_a_failure() {
    on_both_runtimes(|| {
        check_panic(code("2", |db| {
            db.execute_batch("create table b(id integer); insert into b values (1)")?;
            panic!("on purpose")
        }))
    });
}

#[test]
fn a_panic_in_an_async_body_is_a_failure() {
    on_both_runtimes(|| {
        check_panic(asynchronous("2", |cx| {
            Box::pin(async move {
                cx.execute("create table b(id integer)").await?;
                tokio::task::yield_now().await;
                panic!("on purpose")
            })
        }))
    });
}

#[tokio::test]
async fn a_panic_in_an_observer_breaks_nothing() {
    let scratch = Scratch::new();
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    let migrator = scratch.migrator(first()).observe(|_: &Event| panic!("on purpose")).observe(move |_: &Event| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
    assert!(heard.load(Ordering::SeqCst) > 5, "the other observer went on");
}

#[tokio::test]
async fn a_panic_outside_a_transaction_is_an_interruption() {
    let scratch = Scratch::new();
    let body = code("2", |db| {
        db.execute_batch("create table b(id integer)")?;
        panic!("on purpose")
    });
    let migrator = scratch.migrator(first().and(body.with(outside)));
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(error.to_string().contains("it panicked: on purpose"), "{error}");
    assert_eq!(
        (scratch.tables(), scratch.records("app/2")),
        (vec!["a".into(), "b".into()], vec!["started".into(), "failed".into()])
    );
    migrator.resolve("app/2", Resolution::Applied, "all of it is there").await.unwrap();
    assert_eq!(migrator.up().await.unwrap().ran.len(), 0);
}
