//! Many processes at once on one file, let go at the same moment.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use admmgt::prelude::*;
use admmgt::rusqlite::Connection;
use admmgt::{Error, ErrorKind, Event, MigrationId, Report};
use admmgt_tests::{Answer, Orders, Process, Scratch, Sets, code, eventually, is_full, outside, race, say, sql};

/// Two crowds at once would only slow each other down.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ran(reports: &[Report]) -> usize {
    reports.iter().map(|report| report.ran.len()).sum()
}

/// Every migration of the namespace ran once, whoever ran it.
fn check_once(scratch: &Scratch, namespace: &str, count: usize) {
    let logged = scratch.texts(&format!("select migration from log where migration like '{namespace}/%' order by 1"));
    let once: Vec<String> = (1..=count).map(|number| format!("{namespace}/{number:04}")).collect();
    assert_eq!(logged, once);
    let applied = format!("select count(*) from _admmgt_history where kind = 'applied' and namespace = '{namespace}'");
    assert_eq!(usize::try_from(scratch.number(&applied)).unwrap(), count);
}

#[test]
fn thirty_two_processes_on_one_empty_file_run_each_migration_once() {
    const CROWD: usize = 32;
    let _alone = alone();
    let times = if is_full() { 20 } else { 2 };
    let clock = Instant::now();
    for _ in 0..times {
        let scratch = Scratch::new();
        let orders = Orders::new(scratch.path()).set(Sets::Mixed, 10);
        let reports: Vec<Report> = race(vec![orders; CROWD]).iter_mut().map(|racer| racer.succeeded()).collect();
        assert_eq!(ran(&reports), 10);
        check_once(&scratch, "app", 10);
    }
    let took = clock.elapsed().as_secs_f64();
    say(format_args!(
        "{CROWD} processes on an empty file, {times} times: each migration once, all exit 0 ({took:.1} s)"
    ));
}

#[test]
fn a_slow_migration_is_waited_for() {
    let _alone = alone();
    let scratch = Scratch::new();
    let orders = Orders::new(scratch.path()).set(Sets::Held, 3).hold("running", "release");
    let mut holder = orders.start();
    eventually("the migration runs", || scratch.folder().join("running").exists());
    let mut others: Vec<Process> = (0..8).map(|_| orders.start()).collect();
    std::thread::sleep(Duration::from_millis(300));
    assert!(others.iter_mut().all(Process::is_running));
    scratch.write("release", "");
    assert_eq!(holder.succeeded().ran.len(), 3);
    assert_eq!(ran(&others.iter_mut().map(|other| other.succeeded()).collect::<Vec<_>>()), 0);
    check_once(&scratch, "app", 3);
}

/// Each process tries it in its turn, and each says what it failed with.
#[test]
fn a_failing_migration_fails_in_every_process_and_hangs_none() {
    let _alone = alone();
    let scratch = Scratch::new();
    let orders = Orders::new(scratch.path()).set(Sets::Failing, 4);
    let answers: Vec<Answer> = race(vec![orders; 16]).iter_mut().map(|racer| racer.answer()).collect();
    for answer in &answers {
        assert_eq!(answer.kind.as_deref(), Some("Failed"), "{answer:?}");
        assert!(answer.error.as_ref().unwrap().contains("`app/0003` (up) failed"), "{answer:?}");
    }
    let reports: Vec<Report> = answers.into_iter().map(|answer| answer.report.unwrap()).collect();
    assert_eq!(ran(&reports), 2);
    check_once(&scratch, "app", 2);
    assert_eq!(scratch.tables(), ["app_m1", "app_m2", "log"]);
    assert_eq!(scratch.records("app/0003"), vec!["failed"; 16]);
}

#[test]
fn the_others_go_on_when_the_holder_of_the_lease_is_killed() {
    let _alone = alone();
    let scratch = Scratch::new();
    let orders = Orders::new(scratch.path()).set(Sets::Held, 3).hold("running", "release");
    let mut holder = orders.start();
    eventually("the migration runs", || scratch.folder().join("running").exists());
    let mut others: Vec<Process> = (0..8).map(|_| orders.start()).collect();
    holder.kill();
    scratch.write("release", "");
    assert_eq!(ran(&others.iter_mut().map(|other| other.succeeded()).collect::<Vec<_>>()), 2);
    check_once(&scratch, "app", 3);
}

#[test]
fn whoever_waits_too_long_is_told_who_has_the_lease() {
    let _alone = alone();
    let scratch = Scratch::new();
    let orders = Orders::new(scratch.path()).set(Sets::Held, 3).hold("running", "release");
    let mut holder = orders.clone().by("deploy-bot").start();
    eventually("the migration runs", || scratch.folder().join("running").exists());
    holder.signal(libc::SIGSTOP);
    let waited = Duration::from_millis(300);
    let mut other = orders.lease_wait(waited).start();
    let answer = other.answer();
    assert_eq!((other.code(), answer.kind.as_deref()), (Some(5), Some("Busy")));
    let error = answer.error.unwrap();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| host.trim().to_owned());
    for part in
        ["`deploy-bot`", &format!("process {}", holder.pid()), &format!("on `{host}`"), "since 20", "lease_wait"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(answer.points.iter().any(|point| point == "event lease_waiting"));

    holder.signal(libc::SIGCONT);
    scratch.write("release", "");
    assert_eq!(holder.succeeded().ran.len(), 3);
    check_once(&scratch, "app", 3);
}

#[test]
fn an_older_program_never_takes_back_what_a_newer_one_applied() {
    let _alone = alone();
    for _ in 0..(if is_full() { 20 } else { 2 }) {
        let scratch = Scratch::new();
        let older = Orders::new(scratch.path()).set(Sets::Mixed, 3);
        let newer = Orders::new(scratch.path()).set(Sets::Mixed, 6);
        let crowd = (0..16).map(|number| if number % 2 == 0 { older.clone() } else { newer.clone() });
        let reports: Vec<Report> = race(crowd).iter_mut().map(|racer| racer.succeeded()).collect();
        assert_eq!(ran(&reports), 6);
        check_once(&scratch, "app", 6);
        let late = older.run().succeeded();
        let ahead: Vec<String> = late.ahead.iter().map(MigrationId::to_string).collect();
        assert_eq!((late.ran.len(), ahead), (0, ["app/0004", "app/0005", "app/0006"].map(str::to_owned).to_vec()));
        assert!(late.to_string().contains("ahead"), "{late}");
    }
}

#[test]
fn another_namespace_on_the_same_file_is_not_disturbed() {
    let _alone = alone();
    let scratch = Scratch::new();
    let orders = |namespace: &str| Orders::new(scratch.path()).set(Sets::Mixed, 5).namespace(namespace);
    let crowd = (0..16).map(|number| orders(if number % 2 == 0 { "app" } else { "billing" }));
    let reports: Vec<Report> = race(crowd).iter_mut().map(|racer| racer.succeeded()).collect();
    let mut by_namespace = BTreeMap::<String, usize>::new();
    for ran in reports.iter().flat_map(|report| &report.ran) {
        *by_namespace.entry(ran.migration.namespace().to_string()).or_default() += 1;
    }
    assert_eq!(by_namespace, BTreeMap::from([("app".to_owned(), 5), ("billing".to_owned(), 5)]));
    check_once(&scratch, "app", 5);
    check_once(&scratch, "billing", 5);
    assert!(reports.iter().all(|report| report.ahead.is_empty()));
}

#[test]
fn while_they_race_others_only_look() {
    let _alone = alone();
    let scratch = Scratch::new();
    let orders = Orders::new(scratch.path()).set(Sets::Mixed, 20);
    let look = orders.clone().verb(admmgt_tests::Verb::Status);
    let crowd = (0..16).map(|number| if number % 2 == 0 { orders.clone() } else { look.clone() });
    for racer in &mut race(crowd) {
        assert_eq!(racer.answer().error, None);
    }
    check_once(&scratch, "app", 20);
}

/// The heads are asked for while another process makes the tables that hold them.
#[tokio::test(flavor = "multi_thread")]
async fn looking_while_the_history_is_made_is_no_error() {
    for _ in 0..60 {
        let scratch = Scratch::new();
        scratch.run("create table before(id integer)");
        let migrator = scratch.migrator(sql(&[("1", "create table a(id integer)")]));
        let look = |migrator: Migrator| async move {
            while let Err(error) = migrator.ensure_current().await {
                assert!(matches!(error, Error::NotCurrent { .. }), "{error}");
            }
        };
        let lookers: Vec<_> = (0..4).map(|_| tokio::spawn(look(migrator.clone()))).collect();
        assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
        for looker in lookers {
            looker.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_migrators_of_one_process_take_turns() {
    let scratch = Scratch::new();
    let orders = Orders::new(scratch.path()).set(Sets::Mixed, 5);
    let migrator = || scratch.migrator(Sets::migrations(&orders));
    let (a, b, c) = (migrator(), migrator(), migrator());
    let (a, b, c) = tokio::join!(a.up(), b.up(), c.up());
    assert_eq!(ran(&[a.unwrap(), b.unwrap(), c.unwrap()]), 5);
    check_once(&scratch, "app", 5);
}

#[tokio::test]
async fn one_connection_is_not_given_to_two_runs_at_once() {
    let database = Sqlite::connection(Connection::open_in_memory().unwrap());
    let slow = code("1", |db| {
        std::thread::sleep(Duration::from_millis(300));
        Ok(db.execute_batch("create table a(id integer)")?)
    });
    let migrator = Migrator::new(database.clone()).migrations(Migrations::new([slow]));
    let second = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(database.take_connection().is_none());
        migrator.up().await
    };
    let (first, second) = tokio::join!(migrator.up(), second);
    assert_eq!(first.unwrap().ran.len(), 1);
    let second = second.unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Usage);
    assert_eq!(second.to_string(), "the connection is in use by another run of this migrator");
    assert_eq!(migrator.up().await.unwrap().ran.len(), 0);
    assert!(database.take_connection().is_some());
}

/// Nobody runs anything, and the run notices before its next step.
#[tokio::test]
async fn a_lease_that_was_taken_away_stops_the_run() {
    let scratch = Scratch::new();
    let lease = scratch.folder().join("app.db-admmgt.lock");
    let thief = code("2", move |db| {
        std::fs::remove_file(&lease)?;
        Ok(db.execute_batch("create table b(id integer)")?)
    });
    let migrations = sql(&[("1", "create table a(id integer)"), ("3", "create table c(id integer)")]).and(thief);
    let migrator = scratch.migrator(migrations);
    let error = migrator.up().await.unwrap_err();
    assert!(matches!(&error, Error::Stopped { cause, .. } if matches!(**cause, Error::LeaseLost { .. })), "{error}");
    assert_eq!(error.report().unwrap().ran.len(), 2);
    assert_eq!(scratch.tables(), ["a", "b"]);
    assert_eq!(scratch.records("app/3"), Vec::<String>::new());
}

/// Somebody writes the history without asking for the lease: the next migration does not run.
#[tokio::test]
async fn a_history_written_behind_our_back_stops_the_run() {
    for in_transaction in [true, false] {
        let scratch = Scratch::new();
        let ran = Arc::new(AtomicBool::new(false));
        let runs = Arc::clone(&ran);
        let second = code("2", move |_| {
            runs.store(true, Ordering::SeqCst);
            Ok(())
        });
        let second = if in_transaction { second } else { second.with(outside) };
        let path = scratch.path();
        let intrude = move |event: &Event| {
            if matches!(event, Event::MigrationDone { migration, .. } if migration.id() == "1") {
                let record =
                    "insert into _admmgt_history select 2, 'ghost', id, kind, direction, at, run, checksum, origin,
                    step, steps, duration_us, by, host, library, detail, body, codec, heads from _admmgt_history";
                Connection::open(&path).unwrap().execute_batch(record).unwrap();
            }
        };
        let migrator = scratch.migrator(sql(&[("1", "create table a(id integer)")]).and(second)).observe(intrude);
        let error = migrator.up().await.unwrap_err();
        assert!(
            matches!(&error, Error::Stopped { cause, .. } if matches!(**cause, Error::HistoryMoved { .. })),
            "{error}"
        );
        assert_eq!((error.kind(), error.report().unwrap().ran.len()), (ErrorKind::State, 1));
        assert_eq!((scratch.records("app/2"), ran.load(Ordering::SeqCst)), (Vec::new(), false));
    }
}

/// SQL notices at its record, or where it fails because of what the other did; both times it is taken back.
#[tokio::test]
async fn sql_on_a_history_written_behind_our_back_is_taken_back() {
    for second in ["create table b(id integer)", "create table a(id integer)"] {
        let scratch = Scratch::new();
        let path = scratch.path();
        let intrude = move |event: &Event| {
            if matches!(event, Event::MigrationDone { migration, .. } if migration.id() == "1") {
                let record =
                    "insert into _admmgt_history select 2, 'ghost', id, kind, direction, at, run, checksum, origin,
                    step, steps, duration_us, by, host, library, detail, body, codec, heads from _admmgt_history";
                Connection::open(&path).unwrap().execute_batch(record).unwrap();
            }
        };
        let list = sql(&[("1", "create table a(id integer)"), ("2", second)]);
        let error = scratch.migrator(list).observe(intrude).up().await.unwrap_err();
        assert!(
            matches!(&error, Error::Stopped { cause, .. } if matches!(**cause, Error::HistoryMoved { .. })),
            "{error}"
        );
        assert_eq!((scratch.tables(), scratch.records("app/2")), (vec!["a".to_owned()], Vec::new()));
    }
}

/// Somebody keeps the database locked for longer than one statement waits: it is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_was_not_had_in_time_is_asked_for_again() {
    for (retries, group) in [(0, false), (1000, false), (1000, true)] {
        let scratch = Scratch::new();
        scratch.migrator(sql(&[("1", "create table a(id integer)")])).up().await.unwrap();
        let mut policy = Policy::default();
        (policy.retries, policy.group) = (retries, group);
        (policy.lock_timeout, policy.retry_pause) = (Duration::from_millis(5), Duration::from_millis(1));
        let path = scratch.path();
        let writer = std::sync::Mutex::new(None);
        let retried = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&retried);
        let list = sql(&[("1", "create table a(id integer)"), ("2", "create table b(id integer)")]);
        let migrator = scratch.migrator(list).policy(policy).observe(move |event: &Event| match event {
            Event::Planned { .. } => {
                let connection = Connection::open(&path).unwrap();
                connection.execute_batch("begin immediate").unwrap();
                *writer.lock().unwrap() = Some(connection);
            }
            Event::MigrationRetried { .. } => {
                heard.store(true, Ordering::SeqCst);
                // The other one is done.
                drop(writer.lock().unwrap().take());
            }
            _ => {}
        });
        let result = migrator.up().await;
        assert_eq!(result.is_ok(), retries > 0, "{result:?}");
        assert_eq!(retried.load(Ordering::SeqCst), retries > 0);
        if let Err(error) = result {
            assert!(matches!(error, Error::Busy { .. }), "{error}");
        }
    }
}

/// The application goes on writing: it waits for a migration, and breaks none.
#[tokio::test(flavor = "multi_thread")]
async fn writers_wait_for_a_migration_and_never_break_it() {
    let scratch = Scratch::new();
    scratch.run("create table theirs(id integer); pragma journal_mode = wal");
    // Reads before it writes: as a deferred transaction it would have read what is outdated by then.
    let slow = |name: &str| {
        code(name, |db| {
            let _: i64 = db.query_row("select count(*) from theirs", [], |row| row.get(0))?;
            std::thread::sleep(Duration::from_millis(15));
            Ok(db.execute_batch("insert into theirs values (0)")?)
        })
    };
    // SQLite hands its lock to whoever asks at the right moment; on a busy machine that takes its time.
    let mut policy = Policy::default();
    policy.lock_timeout = Duration::from_secs(60);
    let migrations = Migrations::new(["1", "2", "3", "4", "5", "6", "7", "8"].map(slow));
    let migrator = scratch.migrator(migrations).policy(policy);
    let done = Arc::new(AtomicBool::new(false));
    let (writer, stop) = (scratch.connection(), Arc::clone(&done));
    writer.busy_timeout(Duration::from_secs(60)).unwrap();
    let writing = std::thread::spawn(move || {
        let mut written = 0;
        while !stop.load(Ordering::SeqCst) {
            writer.execute_batch("insert into theirs values (1)").unwrap();
            written += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        written
    });
    let report = migrator.up().await;
    done.store(true, Ordering::SeqCst);
    let written: i64 = writing.join().unwrap();
    assert_eq!(report.unwrap().ran.len(), 8);
    assert_eq!(scratch.number("select sum(id) from theirs"), written);
}

/// Two names of one file share one lease.
#[tokio::test]
async fn a_link_to_the_database_shares_its_lease() {
    let scratch = Scratch::new();
    scratch.run("create table before(id integer)");
    let link = scratch.folder().join("link.db");
    std::os::unix::fs::symlink(scratch.path(), &link).unwrap();
    check_shared(&scratch, &scratch.path(), &link).await;
}

#[tokio::test]
async fn a_path_that_is_no_text_has_a_lease_too() {
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new();
    let path = scratch.folder().join(std::ffi::OsStr::from_bytes(b"caf\xe9.db"));
    check_shared(&scratch, &path, &path).await;
}

/// While a migration runs on the database by one name, a run by the other waits in vain.
async fn check_shared(scratch: &Scratch, one: &std::path::Path, other: &std::path::Path) {
    let (running, release) = (scratch.folder().join("running"), scratch.folder().join("release"));
    let held = running.clone();
    let body = move |db: &mut Connection| {
        db.execute_batch("create table a(id integer)")?;
        std::fs::write(&held, "")?;
        eventually("released", || release.exists());
        Ok(())
    };
    // Outside a transaction, so that nothing but the lease keeps the other away.
    let migrations = || Migrations::new([code("1", body.clone()).with(outside)]);
    let first = Migrator::new(Sqlite::open(one).unwrap()).migrations(migrations());
    let first = tokio::spawn(async move { first.up().await });
    while !running.exists() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut policy = Policy::default();
    policy.lease_wait = Duration::from_millis(100);
    let second = Migrator::new(Sqlite::open(other).unwrap()).migrations(migrations()).policy(policy);
    let error = second.up().await.unwrap_err();
    scratch.write("release", "");
    assert!(matches!(error, Error::LeaseTimeout { .. }), "{error}");
    assert_eq!(first.await.unwrap().unwrap().ran.len(), 1);
    assert_eq!(second.up().await.unwrap().ran.len(), 0);
}

/// F27: neither the lease nor the order of records asks a clock.
#[test]
fn f27_a_clock_that_is_wrong_by_an_hour_changes_nothing() {
    if std::process::Command::new("faketime").arg("--version").output().is_err() {
        say("SKIPPED f27: Debian's `faketime` is not installed; `./tests/run test` installs it");
        return;
    }
    for offset in ["+1h", "-1h"] {
        let scratch = Scratch::new();
        let orders = Orders::new(scratch.path()).set(Sets::Held, 3);
        let mut holder = orders.clone().hold("running", "release").start_at(offset);
        eventually("the migration runs", || scratch.folder().join("running").exists());
        let second = orders.clone().hold("never", "never").lease_wait(Duration::from_millis(200)).run().answer();
        assert_eq!(second.kind.as_deref(), Some("Busy"), "{offset}: {second:?}");
        scratch.write("release", "");
        assert_eq!(holder.succeeded().ran.len(), 3);
        assert_eq!(Orders::new(scratch.path()).set(Sets::Held, 4).run().succeeded().ran.len(), 1);
        assert_eq!(Orders::new(scratch.path()).set(Sets::Held, 5).start_at(offset).succeeded().ran.len(), 1);
        check_once(&scratch, "app", 5);
    }
}
