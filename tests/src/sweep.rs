//! A real child is killed by SIGKILL at every point of a run. The next ordinary run must bring the database to the same
//! end, or say by name what a person has to decide.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use admmgt::{Resolution, Standing, Status};

use crate::{Orders, Verb, say};

/// A database that children migrate.
pub trait Ground: Sized {
    /// A new one.
    fn new() -> Self;

    /// What is there once the dead have left, without changing it: the application's tables, the rows of `log`, and how
    /// the migrations stand.
    fn left(&self, orders: &Orders) -> Left;

    /// Runs statements as the application would.
    fn repair(&self, sql: &str);

    /// Makes the table `big`: so many rows whose value is 0.
    fn fill(&self, rows: usize) {
        self.repair(&format!(
            "create table big (id integer primary key, value integer not null);
             with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows})
             insert into big select 3 * i, 0 from n"
        ));
    }

    /// How many rows of it have this value.
    fn with_value(&self, value: i64) -> usize;
}

/// What the sweeps differ in.
#[derive(Debug)]
pub struct Case<G> {
    /// For people.
    pub name: &'static str,
    /// What a child is told.
    pub orders: fn(&G) -> Orders,
    /// Whether migration 2 runs outside a transaction.
    pub outside: bool,
}

/// A database as a dead process left it.
#[derive(Debug)]
pub struct Left {
    /// The tables, without `log`.
    pub tables: Vec<String>,
    /// The rows of `log`, in order.
    pub log: Vec<String>,
    /// How the migrations stand.
    pub status: Status,
}

impl Left {
    /// How a migration stands, counted from 1.
    pub fn standing(&self, number: usize) -> &Standing {
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

    /// What holds wherever a run was killed; `outside` as in [`Case::outside`].
    pub fn check(&self, outside: bool, orders: &Orders) {
        for number in (1..=orders.count).filter(|number| !(outside && *number == 2)) {
            self.check_whole(number);
            assert!(!matches!(self.standing(number), Standing::Interrupted { .. }), "{}", self.status);
        }
        if orders.group {
            assert!(self.log.is_empty() || self.log.len() == orders.count, "{:?}", self.log);
        }
    }

    /// Everything is applied, each once.
    pub fn check_converged(&self, orders: &Orders) {
        assert!(self.status.is_current(), "{}", self.status);
        let once: Vec<String> = (1..=orders.count).map(|number| format!("app/{number:04}")).collect();
        assert_eq!(self.log, once);
        let tables = self.tables.iter().filter(|table| table.starts_with("app_") && !table.ends_with("_more"));
        assert_eq!(tables.count(), orders.count, "{:?}", self.tables);
    }
}

fn check_converged(ground: &impl Ground, orders: &Orders) {
    ground.left(orders).check_converged(orders);
    assert_eq!(orders.run().succeeded().ran.len(), 0);
}

/// The points a run passes when nobody kills it.
pub fn points_of<G: Ground>(case: &Case<G>) -> Vec<String> {
    let ground = G::new();
    let orders = (case.orders)(&ground);
    let answer = orders.run().answer();
    assert_eq!(answer.error, None);
    check_converged(&ground, &orders);
    answer.points
}

/// Does a piece of work for each of `1..=count`, on two threads.
pub fn for_each(count: usize, work: impl Fn(usize) + Sync) {
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
fn recover<G: Ground>(ground: &G, case: &Case<G>, orders: &Orders) -> End {
    let left = ground.left(orders);
    left.check(case.outside, orders);
    let Standing::Interrupted { done, .. } = *left.standing(2) else {
        if case.outside {
            left.check_whole(2);
        }
        let mut process = orders.run();
        assert_eq!(process.answer().error, None);
        check_converged(ground, orders);
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
        check_converged(ground, orders);
        return End::Resumed;
    }
    let resolution = if effects.len() == all { Resolution::Applied } else { Resolution::Pending };
    if resolution == Resolution::Pending {
        ground.repair(
            "drop table if exists app_m2; drop table if exists app_m2_more; delete from log where migration = 'app/0002'",
        );
    }
    let resolve = orders.clone().verb(Verb::Resolve("app/0002".to_owned(), resolution));
    assert_eq!(resolve.run().answer().error, None);
    assert_eq!(orders.run().answer().error, None);
    check_converged(ground, orders);
    End::Resolved
}

/// Kills a run at each of its points.
pub fn sweep<G: Ground>(case: &Case<G>)
where
    Case<G>: Sync,
{
    let points = points_of(case);
    let ends = Mutex::new(BTreeMap::<End, usize>::new());
    let clock = Instant::now();
    for_each(points.len(), |point| {
        let ground = G::new();
        let orders = (case.orders)(&ground);
        let name = &points[point - 1];
        assert!(orders.clone().die_at(point).run().was_killed(), "{}: no death at {point} ({name})", case.name);
        let end = recover(&ground, case, &orders);
        *ends.lock().expect("no panic").entry(end).or_default() += 1;
    });
    let ends = ends.into_inner().expect("no panic");
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
    let counts_statements = !(case.orders)(&G::new()).set.stops().is_empty();
    assert_eq!((resumed > 0, resolved > 0), (counts_statements, case.outside && !counts_statements));
}

/// Kills a run at every so many of its points, and the three after it too.
pub fn killed_again_and_again<G: Ground>(case: &Case<G>, step: usize)
where
    Case<G>: Sync,
{
    let points = points_of(case).len();
    for_each(points / step, |number| {
        let point = number * step;
        let ground = G::new();
        let orders = (case.orders)(&ground);
        assert!(orders.clone().die_at(point).run().was_killed());
        // The second run may have fewer points left than that, or refuse: it need not die.
        for again in [point, point / 2 + 1, 9] {
            orders.clone().die_at(again).run();
        }
        recover(&ground, case, &orders);
    });
    say(format_args!("{}: killed four times over, at {} points: all converged", case.name, points / step));
}
