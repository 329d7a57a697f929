//! A real child is killed by SIGKILL at every point of a run. The next ordinary run must bring the
//! database to the same end, or say by name what a person has to decide.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use admmgt::{Resolution, Standing};
use admmgt_tests::{
    Case, Ground, Orders, Scratch, Sets, Verb, for_each, is_full, killed_again_and_again, points_of, say, sweep,
};

const CASES: [Case<Scratch>; 4] = [
    Case { name: "SQL, plain and async functions", orders: |at| Orders::new(at.path()), outside: false },
    Case {
        name: "a transaction of the file's own",
        orders: |at| Orders::new(at.path()).set(Sets::OwnTransaction, 3),
        outside: true,
    },
    Case {
        name: "a function without a transaction",
        orders: |at| Orders::new(at.path()).set(Sets::CodeOutside, 3),
        outside: true,
    },
    Case {
        name: "with a rollback journal instead of a write-ahead log",
        orders: |at| Orders::new(at.path()).keep_journal(),
        outside: false,
    },
];

/// Everything is applied, each once.
fn check_converged(scratch: &Scratch, orders: &Orders) {
    scratch.left(orders).check_converged(orders);
    assert_eq!(orders.run().succeeded().ran.len(), 0);
}

#[test]
fn killed_anywhere_a_set_of_transactional_migrations_converges() {
    sweep(&CASES[0]);
    sweep(&CASES[3]);
}

#[test]
fn killed_anywhere_a_migration_without_a_transaction_is_never_rerun_or_skipped_silently() {
    sweep(&CASES[1]);
    sweep(&CASES[2]);
}

/// A probe can always tell here, so nobody has to be asked; killed while it looks, the next run looks again.
#[test]
fn killed_anywhere_a_migration_with_a_probe_converges_by_itself() {
    let case = Case {
        name: "three statements without a transaction, and a probe",
        orders: |at: &Scratch| Orders::new(at.path()).set(Sets::Probed, 3),
        outside: true,
    };
    let points = points_of(&case);
    let looked = AtomicUsize::new(0);
    for_each(points.len(), |point| {
        let scratch = Scratch::new();
        let orders = (case.orders)(&scratch);
        assert!(orders.clone().die_at(point).run().was_killed(), "no death at {point}");
        for again in [7, 15, 20] {
            orders.clone().die_at(again).run();
        }
        let answer = orders.run().answer();
        assert_eq!(answer.error, None, "killed at {point} ({})", points[point - 1]);
        looked
            .fetch_add(usize::from(answer.points.iter().any(|name| name == "before a probe looks")), Ordering::SeqCst);
        check_converged(&scratch, &orders);
    });
    let looked = looked.into_inner();
    say(format_args!(
        "{}: killed four times over, at {} points: all converged, {looked} after a look",
        case.name,
        points.len()
    ));
    assert!(looked > 0);
}

#[test]
fn killed_while_it_recovers_from_a_kill_it_still_converges() {
    for case in &CASES[..2] {
        killed_again_and_again(case, if is_full() { 1 } else { 7 });
    }
}

#[test]
fn killed_anywhere_a_resolution_is_recorded_or_not_made() {
    let case = Case {
        name: "three statements without a transaction",
        orders: |at: &Scratch| Orders::new(at.path()).set(Sets::Outside, 3),
        outside: true,
    };
    let last = points_of(&case).iter().rposition(|name| name == "event body_done").unwrap();
    let last = points_of(&case)[..last].iter().rposition(|name| name == "event body_done").unwrap() + 1;
    let interrupted = || {
        let scratch = Scratch::new();
        let orders = (case.orders)(&scratch);
        assert!(orders.clone().die_at(last).run().was_killed());
        let resolve = orders.clone().verb(Verb::Resolve("app/0002".to_owned(), Resolution::Applied));
        (scratch, orders, resolve)
    };
    let (_scratch, _, resolve) = interrupted();
    let points = resolve.run().answer().points.len();
    for_each(points, |point| {
        let (scratch, orders, resolve) = interrupted();
        assert!(resolve.clone().die_at(point).run().was_killed());
        let resolved = *scratch.left(&orders).standing(2) == Standing::Applied;
        let answer = resolve.run().answer();
        assert_eq!(answer.kind.as_deref(), resolved.then_some("Usage"), "{answer:?}");
        assert_eq!(orders.run().answer().error, None);
        check_converged(&scratch, &orders);
    });
    say(format_args!("resolving: killed at {points} points: all converged"));
}

/// The parent kills the child at moments that no call of ours marks: inside SQLite's own work.
#[test]
fn killed_at_random_moments_inside_sqlite_it_converges() {
    killed_at_random(2026, |scratch| Orders::new(scratch.path()).set(Sets::Small, 200));
    killed_at_random(2027, |scratch| Orders::new(scratch.path()).set(Sets::Small, 200).keep_journal());
}

fn killed_at_random(seed: u64, orders: fn(&Scratch) -> Orders) {
    let took = {
        let scratch = Scratch::new();
        let clock = Instant::now();
        assert_eq!(orders(&scratch).run().succeeded().ran.len(), 200);
        clock.elapsed()
    };
    let times = if is_full() { 200 } else { 10 };
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    let (killed, applied) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    for_each(times, |_| {
        let delay = took.mul_f64(random.lock().unwrap().f64());
        let scratch = Scratch::new();
        let orders = orders(&scratch);
        let mut process = orders.clone().doomed().start();
        std::thread::sleep(delay);
        process.kill();
        killed.fetch_add(usize::from(process.was_killed()), Ordering::SeqCst);
        let left = scratch.left(&orders);
        left.check(false, &orders);
        applied.lock().unwrap().push(left.log.len());
        let ran = orders.run().succeeded().ran.len();
        assert_eq!(ran + left.log.len(), 200);
        check_converged(&scratch, &orders);
    });
    let mut applied = applied.into_inner().unwrap();
    applied.sort_unstable();
    let killed = killed.into_inner();
    let quartiles: Vec<usize> = (0..=4).map(|quarter| applied[quarter * (times - 1) / 4]).collect();
    say(format_args!(
        "seed {seed}: killed {killed} of {times} times, with {quartiles:?} of 200 applied: all converged"
    ));
    assert!(killed > 0, "a run takes {took:?}, and none was killed");
}

/// What is on record has ended and what is not has not, wherever the kill meets a file without a transaction.
#[test]
fn killed_at_random_moments_no_statement_runs_twice() {
    let times = if is_full() { 200 } else { 10 };
    let random = Mutex::new(fastrand::Rng::with_seed(2028));
    let resumed = AtomicUsize::new(0);
    for_each(times, |_| {
        let scratch = Scratch::new();
        let orders = Orders::new(scratch.path()).set(Sets::Rows, 3).resume();
        loop {
            let delay = std::time::Duration::from_millis(random.lock().unwrap().u64(5..120));
            let mut process = orders.clone().doomed().start();
            std::thread::sleep(delay);
            process.kill();
            if !process.was_killed() {
                break;
            }
            resumed.fetch_add(1, Ordering::SeqCst);
        }
        assert_eq!(orders.run().answer().error, None);
        let rows =
            (scratch.number("select count(*) from app_m2"), scratch.number("select count(distinct id) from app_m2"));
        assert_eq!(rows, (600, 600));
        check_converged(&scratch, &orders);
    });
    let resumed = resumed.into_inner();
    say(format_args!(
        "601 statements without a transaction: {times} runs, killed {resumed} times in all: none ran twice"
    ));
    assert!(resumed > 0);
}
