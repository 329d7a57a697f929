//! A real child is killed by SIGKILL at every point of a run. The next ordinary run must bring the
//! database to the same end, or say by name what a person has to decide.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use admmgt::{Resolution, Standing, Status};
use admmgt_tests::{Orders, Scratch, Sets, Verb, is_full, say};

/// What the sweeps differ in.
struct Case {
    name: &'static str,
    orders: fn(&Scratch) -> Orders,
    /// Whether migration 2 runs outside a transaction.
    outside: bool,
}

const CASES: [Case; 6] = [
    Case { name: "SQL, plain and async functions", orders: |at| Orders::new(at.path()), outside: false },
    Case { name: "all in one transaction", orders: |at| Orders::new(at.path()).group(), outside: false },
    Case {
        name: "three statements without a transaction",
        orders: |at| Orders::new(at.path()).set(Sets::Outside, 3),
        outside: true,
    },
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

/// Read from the files as the dead process left them.
struct Left {
    tables: Vec<String>,
    log: Vec<String>,
    status: Status,
}

impl Left {
    /// Looks at a copy: the next run gets the files as they are.
    fn behind(scratch: &Scratch, orders: &Orders) -> Self {
        let copy = scratch.copy();
        let status = block_on(copy.migrator(Sets::migrations(orders)).status()).expect("the history can be read");
        if !copy.path().exists() {
            return Self { tables: Vec::new(), log: Vec::new(), status };
        }
        assert_eq!(copy.texts("pragma integrity_check"), ["ok"]);
        let mut tables = copy.tables();
        let log =
            if tables.contains(&"log".to_owned()) { copy.texts("select * from log order by 1") } else { Vec::new() };
        tables.retain(|table| table != "log");
        Self { tables, log, status }
    }

    fn standing(&self, number: usize) -> &Standing {
        &self.status.migrations[number - 1].standing
    }

    /// How many of the effects of migration 2 are there, of those it has when it runs outside of a
    /// transaction.
    fn effects_of_the_second(&self) -> Vec<&str> {
        let table = |name: &'static str| self.tables.iter().any(|table| table == name).then_some(name);
        let logged = self.log.iter().any(|row| row == "app/0002").then_some("log");
        [table("app_m2"), logged, table("app_m2_more")].into_iter().flatten().collect()
    }

    /// The change and its record are there together or not at all.
    fn check_whole(&self, number: usize) {
        let (table, row) = (format!("app_m{number}"), format!("app/{number:04}"));
        let applied = usize::from(*self.standing(number) == Standing::Applied);
        assert_eq!(self.tables.iter().filter(|name| **name == table).count(), applied, "{table}");
        assert_eq!(self.log.iter().filter(|logged| **logged == row).count(), applied, "{row}");
    }

    fn check(&self, case: &Case, orders: &Orders) {
        for number in (1..=orders.count).filter(|number| !(case.outside && *number == 2)) {
            self.check_whole(number);
            assert!(!matches!(self.standing(number), Standing::Interrupted { .. }), "{}", self.status);
        }
        if orders.group {
            assert!(self.log.is_empty() || self.log.len() == orders.count, "{:?}", self.log);
        }
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// Everything is applied, each once.
fn check_converged(scratch: &Scratch, orders: &Orders) {
    let left = Left::behind(scratch, orders);
    assert!(left.status.is_current(), "{}", left.status);
    let once: Vec<String> = (1..=orders.count).map(|number| format!("app/{number:04}")).collect();
    assert_eq!(left.log, once);
    assert_eq!(left.tables.iter().filter(|table| !table.ends_with("_more")).count(), orders.count, "{:?}", left.tables);
    assert_eq!(orders.run().succeeded().ran.len(), 0);
}

/// The points a run passes when nobody kills it.
fn points_of(case: &Case) -> Vec<String> {
    let scratch = Scratch::new();
    let orders = (case.orders)(&scratch);
    let answer = orders.run().answer();
    assert_eq!(answer.error, None);
    check_converged(&scratch, &orders);
    answer.points
}

/// Does a piece of work for each of `1..=count`, on two threads.
fn for_each(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(1);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while let Some(number) = Some(next.fetch_add(1, Ordering::SeqCst)).filter(|number| *number <= count) {
                    work(number);
                }
            });
        }
    });
}

/// How a killed run ended after the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Converged,
    Resumed,
    Resolved,
}

/// The run after the kill: it converges, or names the interrupted migration and how far it came.
fn recover(scratch: &Scratch, case: &Case, orders: &Orders) -> End {
    let left = Left::behind(scratch, orders);
    left.check(case, orders);
    let Standing::Interrupted { done, .. } = *left.standing(2) else {
        if case.outside {
            left.check_whole(2);
        }
        let mut process = orders.run();
        assert_eq!(process.answer().error, None);
        check_converged(scratch, orders);
        return End::Converged;
    };
    let effects = left.effects_of_the_second();
    let stops = orders.set.stops();
    let all = stops.last().map_or(2, |(_, effects)| *effects);
    let mut is_known = false;
    if !stops.is_empty() {
        // The statement and its checkpoint are committed together: what is on record is what is there.
        let at = stops.iter().position(|(statements, _)| *statements == done).expect("a place where it can stop");
        assert_eq!(stops[at].1, effects.len(), "{done} done, {effects:?}");
        is_known = true;
    }
    let answer = orders.run().answer();
    assert_eq!(answer.kind.as_deref(), Some("Interrupted"), "{answer:?}");
    let expected = match stops.last() {
        Some((statements, _)) => format!("{done} of its {statements} statements"),
        None => "how far".to_owned(),
    };
    assert!(
        answer.error.as_ref().is_some_and(|text| text.contains("`app/0002`") && text.contains(&expected)),
        "{answer:?}"
    );
    if is_known {
        // Nothing ended without a trace, so it goes on behind what did.
        assert_eq!(orders.clone().resume().run().answer().error, None);
        check_converged(scratch, orders);
        return End::Resumed;
    }
    let resolution = if effects.len() == all { Resolution::Applied } else { Resolution::Pending };
    if resolution == Resolution::Pending {
        scratch.run("drop table if exists app_m2; drop table if exists app_m2_more; delete from log where migration = 'app/0002'");
    }
    let resolve = orders.clone().verb(Verb::Resolve("app/0002".to_owned(), resolution));
    assert_eq!(resolve.run().answer().error, None);
    assert_eq!(orders.run().answer().error, None);
    check_converged(scratch, orders);
    End::Resolved
}

/// Kills a run at each of its points.
fn sweep(case: &Case) {
    let points = points_of(case);
    let ends = Mutex::new(BTreeMap::<End, usize>::new());
    let clock = Instant::now();
    for_each(points.len(), |point| {
        let scratch = Scratch::new();
        let orders = (case.orders)(&scratch);
        let name = &points[point - 1];
        assert!(orders.clone().die_at(point).run().was_killed(), "{}: no death at {point} ({name})", case.name);
        let end = recover(&scratch, case, &orders);
        *ends.lock().unwrap().entry(end).or_default() += 1;
    });
    let ends = ends.into_inner().unwrap();
    let count = |end| ends.get(&end).copied().unwrap_or_default();
    let (converged, resumed, resolved) = (count(End::Converged), count(End::Resumed), count(End::Resolved));
    say(format_args!(
        "{}: killed at {} points: {converged} converged, {resumed} were named and resumed, {resolved} were named and \
         resolved ({:.1} s)",
        case.name,
        points.len(),
        clock.elapsed().as_secs_f64()
    ));
    assert_eq!(converged + resumed + resolved, points.len());
    let counts_statements = !(case.orders)(&Scratch::new()).set.stops().is_empty();
    assert_eq!((resumed > 0, resolved > 0), (counts_statements, case.outside && !counts_statements));
}

#[test]
fn killed_anywhere_a_set_of_transactional_migrations_converges() {
    sweep(&CASES[0]);
    sweep(&CASES[5]);
}

#[test]
fn killed_anywhere_a_group_is_there_as_a_whole_or_not_at_all() {
    sweep(&CASES[1]);
}

#[test]
fn killed_anywhere_a_migration_without_a_transaction_is_never_rerun_or_skipped_silently() {
    sweep(&CASES[2]);
    sweep(&CASES[3]);
    sweep(&CASES[4]);
}

/// A probe can always tell here, so nobody has to be asked; killed while it looks, the next run looks again.
#[test]
fn killed_anywhere_a_migration_with_a_probe_converges_by_itself() {
    let case = Case {
        name: "three statements without a transaction, and a probe",
        orders: |at| Orders::new(at.path()).set(Sets::Probed, 3),
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
    for case in &CASES[..3] {
        let points = points_of(case).len();
        let step = if is_full() { 1 } else { 7 };
        for_each(points / step, |number| {
            let point = number * step;
            let scratch = Scratch::new();
            let orders = (case.orders)(&scratch);
            assert!(orders.clone().die_at(point).run().was_killed());
            // The second run may have fewer points left than that, or refuse: it need not die.
            for again in [point, point / 2 + 1, 9] {
                orders.clone().die_at(again).run();
            }
            recover(&scratch, case, &orders);
        });
        say(format_args!("{}: killed four times over, at {} points: all converged", case.name, points / step));
    }
}

#[test]
fn killed_anywhere_a_resolution_is_recorded_or_not_made() {
    let last = points_of(&CASES[2]).iter().rposition(|name| name == "event body_done").unwrap();
    let last = points_of(&CASES[2])[..last].iter().rposition(|name| name == "event body_done").unwrap() + 1;
    let interrupted = || {
        let scratch = Scratch::new();
        let orders = (CASES[2].orders)(&scratch);
        assert!(orders.clone().die_at(last).run().was_killed());
        let resolve = orders.clone().verb(Verb::Resolve("app/0002".to_owned(), Resolution::Applied));
        (scratch, orders, resolve)
    };
    let (_scratch, _, resolve) = interrupted();
    let points = resolve.run().answer().points.len();
    for_each(points, |point| {
        let (scratch, orders, resolve) = interrupted();
        assert!(resolve.clone().die_at(point).run().was_killed());
        let resolved = *Left::behind(&scratch, &orders).standing(2) == Standing::Applied;
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
        let mut process = orders.start();
        std::thread::sleep(delay);
        process.kill();
        killed.fetch_add(usize::from(process.was_killed()), Ordering::SeqCst);
        let left = Left::behind(&scratch, &orders);
        left.check(&CASES[0], &orders);
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
            let mut process = orders.start();
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
