//! Many processes at once on one database, and processes that sleep, die, and have wrong clocks.

#![allow(clippy::await_holding_lock)] // one crowd at a time

use std::time::Duration;

use admmgt::Report;
use admmgt::mongodb::bson::{DateTime, doc};
use admmgt::prelude::*;
use admmgt_tests::{MONGO_TTL, MongoDatabase, Orders, Process, Sets, eventually, is_full, now, race, say};

const CROWD: usize = 32;

fn times() -> usize {
    if is_full() { 20 } else { 2 }
}

/// One crowd at a time, or the test is skipped.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn at(db: &MongoDatabase, folder: &tempfile::TempDir) -> Orders {
    Orders::at(db.url().to_owned(), folder.path()).set(Sets::Small, 5)
}

fn check_once(db: &MongoDatabase, count: usize) {
    let logged = now(db.all("log"));
    let mut logged: Vec<&str> = logged.iter().map(|row| row.get_str("migration").unwrap()).collect();
    logged.sort_unstable();
    let once: Vec<String> = (1..=count).map(|number| format!("app/{number:04}")).collect();
    assert_eq!(logged, once);
    assert_eq!(now(db.count("_admmgt_history", doc! { "kind": "applied" })), count);
    assert_eq!(now(db.count("_admmgt_state", doc! { "_id": "lease", "owner": null })), 1);
}

#[test]
fn thirty_two_processes_run_each_migration_once() {
    let _alone = alone();
    for which in [MongoDatabase::ours, MongoDatabase::alone] {
        for expired in [false, true] {
            for _ in 0..times() {
                let Some(db) = which() else { return };
                let folder = tempfile::tempdir().unwrap();
                if expired {
                    // Of somebody who died with it.
                    let past = DateTime::from_millis(DateTime::now().timestamp_millis() - 1000);
                    let lease = doc! { "_id": "lease", "token": 41_i64, "owner": "dead", "expires_at": past };
                    now(db.run(doc! { "insert": "_admmgt_state", "documents": [lease] }));
                }
                let racers = race(vec![at(&db, &folder); CROWD]);
                let reports: Vec<Report> = racers.into_iter().map(|mut racer| racer.succeeded()).collect();
                assert_eq!(reports.iter().map(|report| report.ran.len()).sum::<usize>(), 5);
                check_once(&db, 5);
                let token = now(db.all("_admmgt_state")).iter().find_map(|found| found.get_i64("token").ok());
                assert!(token.is_some_and(|token| token > if expired { 41 } else { 0 }), "{token:?}");
            }
        }
    }
    say(format_args!(
        "{CROWD} processes on an empty and on an expired lease, {} times each: each migration once",
        times()
    ));
}

#[test]
fn f20_an_older_program_never_takes_back_what_a_newer_one_applied() {
    let _alone = alone();
    for which in [MongoDatabase::ours, MongoDatabase::alone] {
        for _ in 0..times() {
            let Some(db) = which() else { return };
            let folder = tempfile::tempdir().unwrap();
            let (older, newer) = (at(&db, &folder).set(Sets::Small, 3), at(&db, &folder).set(Sets::Small, 6));
            let crowd = (0..16).map(|number| if number % 2 == 0 { older.clone() } else { newer.clone() });
            let reports: Vec<Report> = race(crowd).iter_mut().map(Process::succeeded).collect();
            assert_eq!(reports.iter().map(|report| report.ran.len()).sum::<usize>(), 6);
            check_once(&db, 6);
            let late = older.run().succeeded();
            let ahead: Vec<String> = late.ahead.iter().map(ToString::to_string).collect();
            assert_eq!((late.ran.len(), ahead), (0, ["app/0004", "app/0005", "app/0006"].map(str::to_owned).to_vec()));
        }
    }
}

/// One that has stood still in a migration for longer than its lease lasts.
fn asleep(orders: &Orders, folder: &tempfile::TempDir) -> Process {
    let sleeper = orders.clone().hold("running", "release").start();
    eventually("the migration runs", || folder.path().join("running").exists());
    sleeper.signal(libc::SIGSTOP);
    std::thread::sleep(MONGO_TTL * 2);
    sleeper
}

/// F26: it slept for longer than its lease lasts; another has it by now, and what the sleeper does is refused.
#[test]
fn a_holder_that_slept_too_long_aborts() {
    let _alone = alone();
    let Some(db) = MongoDatabase::ours() else { return };
    let folder = tempfile::tempdir().unwrap();
    let orders = at(&db, &folder).set(Sets::Held, 3);
    let mut sleeper = asleep(&orders, &folder);
    // Its transaction is taken from it with the lease.
    let mut other = orders.clone().hold("running2", "release2").start();
    eventually("the other runs it", || folder.path().join("running2").exists());
    std::fs::write(folder.path().join("release"), "").unwrap();
    sleeper.signal(libc::SIGCONT);
    let answer = sleeper.answer();
    assert_eq!(answer.kind.as_deref(), Some("Busy"), "{answer:?}");
    assert!(answer.error.as_ref().is_some_and(|error| error.contains("lease")), "{answer:?}");
    std::fs::write(folder.path().join("release2"), "").unwrap();
    assert_eq!(other.succeeded().ran.len(), 2);
    check_once(&db, 3);
}

/// F26: what it has done without a transaction is there, and its record is not: whoever comes next is told to look.
#[test]
fn a_holder_that_slept_too_long_on_a_standalone_records_nothing() {
    let _alone = alone();
    let Some(db) = MongoDatabase::alone() else { return };
    let folder = tempfile::tempdir().unwrap();
    let orders = at(&db, &folder).set(Sets::Held, 3);
    let mut sleeper = asleep(&orders, &folder);
    let answer = orders.clone().hold("never", "never").run().answer();
    assert_eq!(answer.kind.as_deref(), Some("Interrupted"), "{answer:?}");
    std::fs::write(folder.path().join("release"), "").unwrap();
    sleeper.signal(libc::SIGCONT);
    let answer = sleeper.answer();
    assert!(answer.error.as_ref().is_some_and(|error| error.contains("lease")), "{answer:?}");
    assert_eq!(now(db.count("_admmgt_history", doc! { "kind": "applied" })), 1);
    assert_eq!(now(db.count("log", doc! {})), 2);
}

/// F27: only the server's clock counts.
#[test]
fn f27_a_clock_that_is_wrong_by_an_hour_changes_nothing() {
    let _alone = alone();
    for (which, offset) in
        [(MongoDatabase::ours as fn() -> _, "+1h"), (MongoDatabase::ours, "-1h"), (MongoDatabase::alone, "+1h")]
    {
        let Some(db) = which() else { return };
        let folder = tempfile::tempdir().unwrap();
        let orders = at(&db, &folder).set(Sets::Held, 3);
        let mut holder = orders.clone().hold("running", "release").start_at(offset);
        eventually("the migration runs", || folder.path().join("running").exists());
        // Renewed in time, whatever its clock says; and nobody else takes it.
        let answer = orders.clone().hold("never", "never").lease_wait(MONGO_TTL * 2).run().answer();
        assert_eq!(answer.kind.as_deref(), Some("Busy"), "{offset}: {answer:?}");
        std::fs::write(folder.path().join("release"), "").unwrap();
        assert_eq!(holder.succeeded().ran.len(), 3);
        let wrong = orders.clone().set(Sets::Held, 4);
        assert_eq!(wrong.start_at(offset).succeeded().ran.len(), 1);
    }
}

/// Its transaction, with all that it has locked, would be open for a minute: who comes next ends it.
#[test]
fn the_others_go_on_when_the_holder_is_killed_in_a_transaction() {
    let _alone = alone();
    let Some(db) = MongoDatabase::ours() else { return };
    let folder = tempfile::tempdir().unwrap();
    let orders = at(&db, &folder).set(Sets::Held, 3).hold("running", "release");
    let mut holder = orders.start();
    eventually("the migration runs", || folder.path().join("running").exists());
    let mut others: Vec<Process> = (0..4).map(|_| orders.clone().start()).collect();
    holder.kill();
    std::fs::write(folder.path().join("release"), "").unwrap();
    let clock = std::time::Instant::now();
    let ran: usize = others.iter_mut().map(|other| other.succeeded().ran.len()).sum();
    assert_eq!(ran, 2);
    assert!(clock.elapsed() < Duration::from_secs(40), "{:?}", clock.elapsed());
    check_once(&db, 3);
}

/// F22: whoever waits in vain is told who has it.
#[test]
fn whoever_waits_too_long_is_told_who_has_the_lease() {
    let _alone = alone();
    let Some(db) = MongoDatabase::ours() else { return };
    let folder = tempfile::tempdir().unwrap();
    let orders = at(&db, &folder).set(Sets::Held, 3);
    let mut holder = orders.clone().hold("running", "release").by("deploy-bot").start();
    eventually("the migration runs", || folder.path().join("running").exists());
    let answer = orders.clone().hold("never", "never").lease_wait(Duration::from_millis(300)).run().answer();
    let error = answer.error.unwrap();
    assert!(error.contains("`deploy-bot`") && error.contains(&format!("process {}", holder.pid())), "{error}");
    std::fs::write(folder.path().join("release"), "").unwrap();
    holder.succeeded();
}

/// F19, F23: many at once with an index that the server builds, under two histories of the same database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_build_indexes_in_two_histories_at_once_build_each_once() {
    let _alone = alone();
    for db in MongoDatabase::both() {
        let rows: Vec<_> = (0..2000).map(|row| doc! { "_id": row, "a": row, "b": row }).collect();
        db.run(doc! { "insert": "t", "documents": rows }).await;
        let starters = (0..CROWD).map(|number| {
            let (prefix, key) = if number % 2 == 0 { ("_admmgt", "a") } else { ("billing", "b") };
            let index = admmgt::mongodb::IndexModel::builder().keys(doc! { key: 1 }).build();
            let steps = admmgt::mongo::Steps::new().create_index("t", index);
            let migrations = Migrations::new([SqlMigration::new("app", "1", steps.to_string()).unwrap()]);
            let mut policy = Policy::default();
            policy.foreign = admmgt::Verdict::Allow;
            let migrator = Migrator::new(db.driver().prefix(prefix).unwrap()).migrations(migrations).policy(policy);
            tokio::spawn(async move { migrator.up().await.unwrap().ran.len() })
        });
        let mut ran = 0;
        for starter in starters.collect::<Vec<_>>() {
            ran += starter.await.unwrap();
        }
        assert_eq!(ran, 2);
        let indexes = db.run(doc! { "listIndexes": "t" }).await;
        assert_eq!(indexes.get_document("cursor").unwrap().get_array("firstBatch").unwrap().len(), 3, "{indexes}");
    }
}
