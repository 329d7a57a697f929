//! A backfill as a migration of its own; and one that is killed. A batch and its checkpoint are committed together there,
//! so each row is changed once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use admmgt::mongo::Documents;
use admmgt::prelude::*;
use admmgt::{BoxFuture, Filled, OnInterrupt, Rows, Verdict};

use crate::{AsyncCode, Ground, Orders, Sets, asynchronous, for_each, is_full, outside, say};

/// What is changed batch by batch.
pub trait Filling: Clone + Send + Sync + 'static {
    /// Changes it, as the backfill `it`.
    fn fill(self, cx: &mut Context) -> BoxFuture<'_, Result<Filled, BoxError>>;
}

impl Filling for Rows {
    fn fill(self, cx: &mut Context) -> BoxFuture<'_, Result<Filled, BoxError>> {
        Box::pin(async move { cx.backfill("it").update(&self).await })
    }
}

impl Filling for Documents {
    fn fill(mut self, cx: &mut Context) -> BoxFuture<'_, Result<Filled, BoxError>> {
        Box::pin(async move { cx.backfill("it").run(&mut self).await })
    }
}

/// The migration `2` that is one backfill, outside of a transaction, and what it came to.
pub fn filling(what: impl Filling) -> (AsyncCode, Arc<Mutex<Vec<Filled>>>) {
    let filled = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&filled);
    let body = asynchronous("2", move |cx| {
        let (what, told) = (what.clone(), Arc::clone(&told));
        Box::pin(async move {
            let filled = what.fill(cx).await?;
            told.lock().expect("no panic").push(filled);
            Ok(())
        })
    });
    (body.with(|meta| outside(meta).on_interrupt(OnInterrupt::Retry)), filled)
}

/// Batches that begin with so many rows. Several histories may share the database.
pub fn batches_of(rows: u64) -> Policy {
    let mut policy = Policy::default();
    (policy.batch_rows, policy.foreign) = (rows, Verdict::Allow);
    policy
}

/// A database with a table of so many rows that nothing was done to.
fn unfilled<G: Ground>(rows: usize) -> G {
    let ground = G::new();
    ground.fill(rows);
    ground
}

fn check<G: Ground>(ground: &G, orders: &Orders, rows: usize) {
    let left = ground.left(orders);
    assert!(left.status.is_current(), "{}", left.status);
    let counts = [0, 1, 2].map(|value| ground.with_value(value));
    assert_eq!(counts, [0, rows, 0], "each row is changed once");
    assert_eq!(orders.run().succeeded().ran.len(), 0);
}

/// The runs behind kills whose lease could not be renewed: it ends by its time, of seconds, and the machine may be busy.
#[derive(Default)]
struct Late(AtomicUsize);

impl Late {
    /// Runs it to its end. One whose lease could not be renewed says so, and is started again.
    fn converge(&self, orders: &Orders, killed: &str) {
        for _ in 0..5 {
            match orders.run().answer().error {
                None => return,
                Some(error) if error.starts_with("the lease was lost: it could not be renewed") => {
                    say(format_args!("this machine is busy: {error}"));
                    self.0.fetch_add(1, Ordering::SeqCst);
                }
                Some(error) => panic!("killed {killed}: {error}"),
            }
        }
        panic!("killed {killed}: no lease could be kept");
    }

    /// Such a run is an exception, or it is not the machine.
    fn check(&self, of: usize) {
        let late = self.0.load(Ordering::SeqCst);
        assert!(late <= 1 + of / 10, "{late} leases could not be renewed in {of} cases");
    }
}

fn told<G>(ground: &G, orders: fn(&G) -> Orders) -> Orders {
    orders(ground).set(Sets::Backfill, 3)
}

/// Kills it at each point that it passes, or at every so many.
pub fn backfill_killed_anywhere<G: Ground>(every: usize, orders: fn(&G) -> Orders) {
    const ROWS: usize = 400;
    let points = told(&unfilled::<G>(ROWS), orders).run().answer().points;
    let late = Late::default();
    for_each(points.len() / every, |number| {
        let point = number * every;
        let ground = unfilled(ROWS);
        let orders = told(&ground, orders);
        let at = format!("at {point} ({})", points[point - 1]);
        assert!(orders.clone().die_at(point).run().was_killed(), "no death {at}");
        late.converge(&orders, &at);
        check(&ground, &orders, ROWS);
    });
    late.check(points.len() / every);
    let within = points.iter().filter(|name| name.contains("save_checkpoint")).count();
    say(format_args!(
        "a backfill, killed at {} of its {} points: all converged, each row changed once",
        points.len() / every,
        points.len()
    ));
    assert!(within > 4, "{points:?}");
}

/// Kills it at moments that no call marks, again and again until it comes to its end.
pub fn backfill_killed_at_random<G: Ground>(seed: u64, orders: fn(&G) -> Orders) {
    const ROWS: usize = 20_000;
    let took = {
        let ground = unfilled(ROWS);
        let clock = Instant::now();
        told(&ground, orders).run().succeeded();
        clock.elapsed()
    };
    let times = if is_full() { 50 } else { 5 };
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    let (killed, within, late) = (AtomicUsize::new(0), AtomicUsize::new(0), Late::default());
    for_each(times, |_| {
        let ground: G = unfilled(ROWS);
        let orders = told(&ground, orders);
        for _ in 0..2 {
            let delay = took.mul_f64(random.lock().expect("no panic").f64());
            let mut process = orders.clone().doomed().start();
            std::thread::sleep(delay);
            process.kill();
            killed.fetch_add(usize::from(process.was_killed()), Ordering::SeqCst);
            let left = ground.left(&orders);
            let (some, twice) = (ground.with_value(1), ground.with_value(2));
            assert_eq!(twice, 0, "{}", left.status);
            within.fetch_add(usize::from((1..ROWS).contains(&some)), Ordering::SeqCst);
        }
        late.converge(&orders, "at random");
        check(&ground, &orders, ROWS);
    });
    late.check(times);
    let (killed, within) = (killed.into_inner(), within.into_inner());
    say(format_args!(
        "seed {seed}: a backfill, {times} times, killed {killed} times, {within} of them with some rows changed: all converged, \
         each row changed once"
    ));
    assert!(within > 0, "it takes {took:?}, and was never killed in the middle");
}
