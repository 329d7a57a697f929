//! A real child is killed by SIGKILL at every point of a run: the cases that the conformance suite has no words for.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use admmgt_tests::{
    Case, Database, Ground, Orders, Sets, for_each, is_full, killed_again_and_again, now, points_of, say, sweep,
};

fn at(db: &Database) -> Orders {
    Orders::at(db.url(), &std::env::temp_dir())
}

const CASES: [Case<Database>; 3] = [
    Case { name: "SQL and functions", orders: at, outside: false },
    Case { name: "a transaction of the file's own", orders: |db| at(db).set(Sets::OwnTransaction, 3), outside: true },
    Case { name: "a function without a transaction", orders: |db| at(db).set(Sets::CodeOutside, 3), outside: true },
];

/// Whether there is a server whose clients may be killed.
fn is_ours() -> bool {
    now(Database::ours()).is_some()
}

#[test]
fn killed_anywhere_a_set_of_transactional_migrations_converges() {
    if is_ours() {
        sweep(&CASES[0]);
    }
}

#[test]
fn killed_anywhere_a_migration_without_a_transaction_is_never_rerun_or_skipped_silently() {
    if is_ours() {
        sweep(&CASES[1]);
        sweep(&CASES[2]);
    }
}

#[test]
fn killed_anywhere_a_migration_with_a_probe_converges_by_itself() {
    if !is_ours() {
        return;
    }
    let case: Case<Database> = Case {
        name: "three statements without a transaction, and a probe",
        orders: |db| at(db).set(Sets::Probed, 3),
        outside: true,
    };
    let points = points_of(&case);
    let looked = AtomicUsize::new(0);
    for_each(points.len(), |point| {
        let db = <Database as Ground>::new();
        let orders = (case.orders)(&db);
        assert!(orders.clone().die_at(point).run().was_killed(), "no death at {point}");
        let answer = orders.run().answer();
        assert_eq!(answer.error, None, "killed at {point} ({})", points[point - 1]);
        looked
            .fetch_add(usize::from(answer.points.iter().any(|name| name == "before a probe looks")), Ordering::SeqCst);
        db.left(&orders).check_converged(&orders);
    });
    let looked = looked.into_inner();
    say(format_args!("{}: killed at {} points: all converged, {looked} after a look", case.name, points.len()));
    assert!(looked > 0);
}

#[test]
fn killed_while_it_recovers_from_a_kill_it_still_converges() {
    if !is_ours() {
        return;
    }
    for case in &CASES[..2] {
        killed_again_and_again(case, if is_full() { 1 } else { 11 });
    }
}

/// The parent kills the child at moments that no call of ours marks.
#[test]
fn killed_at_random_moments_it_converges() {
    if !is_ours() {
        return;
    }
    let orders = |db: &Database| at(db).set(Sets::Small, 200);
    let took = {
        let db = <Database as Ground>::new();
        let clock = Instant::now();
        assert_eq!(orders(&db).run().succeeded().ran.len(), 200);
        clock.elapsed()
    };
    let times = if is_full() { 200 } else { 10 };
    let random = Mutex::new(fastrand::Rng::with_seed(2029));
    let killed = AtomicUsize::new(0);
    for_each(times, |_| {
        let delay = took.mul_f64(random.lock().unwrap().f64());
        let db = <Database as Ground>::new();
        let orders = orders(&db);
        let mut process = orders.clone().doomed().start();
        std::thread::sleep(delay);
        process.kill();
        killed.fetch_add(usize::from(process.was_killed()), Ordering::SeqCst);
        let left = db.left(&orders);
        left.check(false, &orders);
        let ran = orders.run().succeeded().ran.len();
        assert_eq!(ran + left.log.len(), 200);
        db.left(&orders).check_converged(&orders);
    });
    let killed = killed.into_inner();
    say(format_args!("seed 2029: killed {killed} of {times} times: all converged"));
    assert!(killed > 0, "a run takes {took:?}, and none was killed");
}

/// Its server process still works, and has the lease as long as it does: about a second after the client is gone.
#[test]
fn f11_killed_in_a_long_statement_the_next_is_kept_out_until_the_server_has_ended_it() {
    if !is_ours() {
        return;
    }
    let db = <Database as Ground>::new();
    let orders = at(&db).set(Sets::Asleep, 3);
    let mut first = orders.start();
    let asleep =
        "select 1::text from pg_stat_activity where datname = current_database() and query like 'select pg_sleep(20)%'";
    admmgt_tests::eventually("it sleeps", || admmgt_tests::now_elsewhere(db.url(), asleep).is_some());
    first.kill();
    let kept_out = orders.clone().lease_wait(Duration::from_millis(50)).run().answer();
    let still = admmgt_tests::now_elsewhere(db.url(), asleep).is_some();
    if still {
        assert_eq!(kept_out.kind.as_deref(), Some("Busy"), "{kept_out:?}");
    }
    let clock = Instant::now();
    now(db.quiet());
    assert!(clock.elapsed() < Duration::from_secs(10));
    let left = db.left(&orders);
    assert_eq!((left.tables.len(), left.log.len()), (1, 1));
}
