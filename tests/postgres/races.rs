//! Many processes at once on one database, let go at the same moment.

use std::time::{Duration, Instant};

use admmgt::{MigrationId, Report};
use admmgt_tests::{Answer, Database, Orders, Process, Sets, is_full, race, say};
use tokio::sync::{Mutex, MutexGuard};

/// Two crowds at once would only slow each other down.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

const CROWD: usize = 32;

fn times() -> usize {
    if is_full() { 20 } else { 2 }
}

fn ran(reports: &[Report]) -> usize {
    reports.iter().map(|report| report.ran.len()).sum()
}

fn at(db: &Database, folder: &tempfile::TempDir) -> Orders {
    Orders::at(db.url(), folder.path())
}

/// Every migration of the namespace ran once, whoever ran it, and nothing of ours is left.
async fn check_once(db: &Database, namespace: &str, count: usize) {
    let logged = db.texts(&format!("select migration from log where migration like '{namespace}/%' order by 1")).await;
    let once: Vec<String> = (1..=count).map(|number| format!("{namespace}/{number:04}")).collect();
    assert_eq!(logged, once);
    let applied = format!("select count(*) from _admmgt_history where kind = 'applied' and namespace = '{namespace}'");
    assert_eq!(usize::try_from(db.number(&applied).await).unwrap(), count);
    db.quiet().await;
    assert_eq!(db.leases().await, 0);
    assert_eq!(db.invalid_indexes().await, Vec::<String>::new());
}

#[tokio::test]
async fn thirty_two_processes_on_an_empty_database_run_each_migration_once() {
    let _alone = alone().await;
    let clock = Instant::now();
    for _ in 0..times() {
        let Some(db) = Database::ours().await else { return };
        let folder = tempfile::tempdir().unwrap();
        let racers = race(vec![at(&db, &folder).set(Sets::Mixed, 10); CROWD]);
        let reports: Vec<Report> = racers.into_iter().map(|mut racer| racer.succeeded()).collect();
        assert_eq!(ran(&reports), 10);
        check_once(&db, "app", 10).await;
    }
    say(format_args!(
        "{CROWD} processes on an empty database, {} times: each migration once, all exit 0 ({:.1} s)",
        times(),
        clock.elapsed().as_secs_f64()
    ));
}

/// A waiter inside a statement would hold a snapshot, and the index would wait for that: a deadlock.
#[tokio::test]
async fn thirty_two_processes_with_a_concurrent_index_end_without_a_deadlock() {
    let _alone = alone().await;
    let clock = Instant::now();
    for _ in 0..times() {
        let Some(db) = Database::ours().await else { return };
        db.run("create table big as select i as value, md5(i::text) as text from generate_series(1, 200000) as i")
            .await;
        let folder = tempfile::tempdir().unwrap();
        let racers = race(vec![at(&db, &folder).set(Sets::Index, 3); CROWD]);
        let reports: Vec<Report> = racers.into_iter().map(|mut racer| racer.succeeded()).collect();
        assert_eq!(ran(&reports), 3);
        check_once(&db, "app", 3).await;
        assert_eq!(db.text("select indisvalid from pg_index where indexrelid = 'app_big'::regclass").await, "t");
    }
    say(format_args!(
        "{CROWD} processes with a concurrent index on 200,000 rows, {} times: each once, the index valid ({:.1} s)",
        times(),
        clock.elapsed().as_secs_f64()
    ));
}

/// Each process tries it in its turn, and each says what it failed with.
#[tokio::test]
async fn a_failing_migration_fails_in_every_process_and_hangs_none() {
    let _alone = alone().await;
    for _ in 0..times() {
        let Some(db) = Database::ours().await else { return };
        let folder = tempfile::tempdir().unwrap();
        let mut racers = race(vec![at(&db, &folder).set(Sets::Failing, 4); CROWD]);
        let answers: Vec<Answer> = racers.iter_mut().map(Process::answer).collect();
        for answer in &answers {
            assert_eq!(answer.kind.as_deref(), Some("Failed"), "{answer:?}");
            assert!(answer.error.as_ref().unwrap().contains("`app/0003` (up) failed"), "{answer:?}");
        }
        let reports: Vec<Report> = answers.into_iter().map(|answer| answer.report.unwrap()).collect();
        assert_eq!(ran(&reports), 2);
        check_once(&db, "app", 2).await;
        assert_eq!(db.tables().await, ["app_m1", "app_m2", "log"]);
        assert_eq!(db.records("app/0003").await, vec!["failed"; CROWD]);
    }
}

/// Half of the crowd is told to stop in the middle, by dropping its run; the others go on.
#[tokio::test]
async fn the_others_go_on_when_holders_are_cancelled_by_a_timeout() {
    let _alone = alone().await;
    for _ in 0..times() {
        let Some(db) = Database::ours().await else { return };
        db.run("create table big as select i as value from generate_series(1, 200000) as i").await;
        let folder = tempfile::tempdir().unwrap();
        let orders = at(&db, &folder).set(Sets::Index, 12);
        let hurried = |number: u64| orders.clone().give_up_after(Duration::from_millis(20 + 40 * number));
        let crowd = (0..CROWD).map(|number| if number % 2 == 0 { hurried(number as u64) } else { orders.clone() });
        let mut racers = race(crowd);
        let mut all = 0;
        for (number, racer) in racers.iter_mut().enumerate() {
            let answer = racer.answer();
            match answer.error.as_deref() {
                None => all += answer.report.map_or(0, |report| report.ran.len()),
                Some("given up") if number % 2 == 0 => {}
                Some(error) => panic!("{error}"),
            }
        }
        assert!(all <= 12);
        check_once(&db, "app", 12).await;
    }
}

#[tokio::test]
async fn the_others_go_on_when_holders_are_killed() {
    let _alone = alone().await;
    for _ in 0..times() {
        let Some(db) = Database::ours().await else { return };
        let folder = tempfile::tempdir().unwrap();
        let orders = at(&db, &folder).set(Sets::Mixed, 30);
        // Each dies somewhere else with the lease, if it gets it at all; few live.
        let lives = |number: usize| number % 8 == 7;
        let dying = |number: usize| orders.clone().die_at(24 + 3 * number);
        let crowd = (0..CROWD).map(|number| if lives(number) { orders.clone() } else { dying(number) });
        let mut racers = race(crowd);
        let mut killed = 0;
        for (number, racer) in racers.iter_mut().enumerate() {
            if !lives(number) && racer.was_killed() {
                killed += 1;
            } else {
                racer.succeeded();
            }
        }
        say(format_args!("{killed} of {CROWD} processes were killed, the others ended well"));
        check_once(&db, "app", 30).await;
    }
}

#[tokio::test]
async fn whoever_waits_too_long_is_told_who_has_the_lease() {
    let _alone = alone().await;
    let Some(db) = Database::ours().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let orders = at(&db, &folder).set(Sets::Held, 3).hold("running", "release");
    let mut holder = orders.clone().by("deploy-bot").start();
    admmgt_tests::eventually("the migration runs", || folder.path().join("running").exists());
    let answer = orders.lease_wait(Duration::from_millis(300)).start().answer();
    assert_eq!(answer.kind.as_deref(), Some("Busy"));
    let error = answer.error.unwrap();
    for part in
        ["admmgt/", "deploy-bot@", "server process", "idle in transaction", "pg_terminate_backend", "lease_wait"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(answer.points.iter().any(|point| point == "event lease_waiting"));
    std::fs::write(folder.path().join("release"), "").unwrap();
    assert_eq!(holder.succeeded().ran.len(), 3);
    check_once(&db, "app", 3).await;
}

#[tokio::test]
async fn an_older_program_never_takes_back_what_a_newer_one_applied() {
    let _alone = alone().await;
    for _ in 0..times() {
        let Some(db) = Database::ours().await else { return };
        let folder = tempfile::tempdir().unwrap();
        let (older, newer) = (at(&db, &folder).set(Sets::Mixed, 3), at(&db, &folder).set(Sets::Mixed, 6));
        let crowd = (0..16).map(|number| if number % 2 == 0 { older.clone() } else { newer.clone() });
        let reports: Vec<Report> = race(crowd).iter_mut().map(Process::succeeded).collect();
        assert_eq!(ran(&reports), 6);
        check_once(&db, "app", 6).await;
        let late = older.run().succeeded();
        let ahead: Vec<String> = late.ahead.iter().map(MigrationId::to_string).collect();
        assert_eq!((late.ran.len(), ahead), (0, ["app/0004", "app/0005", "app/0006"].map(str::to_owned).to_vec()));
    }
}

/// Tenants in schemas of one database have histories and leases of their own.
#[tokio::test]
async fn many_schemas_of_one_database_are_migrated_at_the_same_time() {
    let _alone = alone().await;
    let Some(db) = Database::ours().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let tenant = |number: usize| format!("tenant_{}", number % 8);
    let crowd = (0..CROWD).map(|number| at(&db, &folder).set(Sets::Mixed, 6).schema(&tenant(number)));
    let reports: Vec<Report> = race(crowd).iter_mut().map(Process::succeeded).collect();
    assert_eq!(ran(&reports), 8 * 6);
    for number in 0..8 {
        let (schema, log) = (tenant(number), format!("select count(*) from {}.log", tenant(number)));
        assert_eq!(db.number(&log).await, 6, "{schema}");
        assert_eq!(db.number(&format!("select count(*) from {schema}._admmgt_history")).await, 6, "{schema}");
    }
    // While one schema is held, another goes on.
    let held = at(&db, &folder).set(Sets::Held, 3).hold("running", "release").schema("held");
    let mut holder = held.start();
    admmgt_tests::eventually("the migration runs", || folder.path().join("running").exists());
    assert_eq!(at(&db, &folder).set(Sets::Mixed, 6).schema("other").run().succeeded().ran.len(), 6);
    std::fs::write(folder.path().join("release"), "").unwrap();
    assert_eq!(holder.succeeded().ran.len(), 3);
    assert_eq!(db.tables().await, Vec::<String>::new());
}

/// F21: up and down at once, again and again: each takes its turn, and what is there is what the history says.
#[tokio::test]
async fn f21_up_and_down_at_once_take_turns() {
    let _alone = alone().await;
    let Some(db) = Database::ours().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let up = at(&db, &folder).set(Sets::Reversible, 5);
    up.run().succeeded();
    let down = up.clone().verb(admmgt_tests::Verb::Down);
    for racer in &mut race((0..16).map(|number| if number % 2 == 0 { up.clone() } else { down.clone() })) {
        assert_eq!(racer.answer().error, None);
    }
    let applied = db.number("select count(*) from pg_tables where tablename like 'app_m%'").await;
    assert_eq!(db.number("select count(*) from log").await, applied);
    up.run().answer();
    check_log(&db, 5).await;
}

async fn check_log(db: &Database, count: i64) {
    assert_eq!(db.number("select count(*) from log").await, count);
    assert_eq!(db.leases().await, 0);
}
