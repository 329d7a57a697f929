//! What runs promise of their lease: they wait for their turn, look again, and let go however they end.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use admmgt_core::{Error, ErrorKind, Event, Migrations, Report};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::ground::{Code, Ground, policy};
use super::lease::holder;
use super::{Checked, tests};
use crate::Step;

tests! { "lease":
    whoever_waits_in_vain_is_told_who_has_it,
    whoever_waited_reads_the_history_again,
    a_run_that_fails_lets_go,
    a_run_that_panics_lets_go,
    a_run_that_is_dropped_lets_go,
}

async fn whoever_waits_in_vain_is_told_who_has_it(on: Ground) -> Checked {
    on.needs_two_sessions().await?;
    let (mut session, lease) = holder(&on).await;
    let (waited, times) = (Arc::new(AtomicUsize::new(0)), Duration::from_millis(400));
    let counted = Arc::clone(&waited);
    let mut policy = policy();
    policy.lease_wait = times;
    let migrator = on.migrator(Migrations::new([on.text("1", &[Step::Make("kit_a")])?])).policy(policy);
    let migrator = migrator.observe(move |event: &Event| {
        if matches!(event, Event::LeaseWaiting { .. }) {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let clock = Instant::now();
    let error = migrator.up().await.expect_err("somebody else has the lease");
    assert!(matches!(error, Error::LeaseTimeout { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(clock.elapsed() >= times, "it gave up after {:?}", clock.elapsed());
    assert!(waited.load(Ordering::SeqCst) > 1, "it asked again while it waited");
    lease.release(&mut *session).await.expect("it is given back");
    session.close().await;
    assert_eq!(on.names().await, [""; 0]);
    Ok(())
}

/// Waits until a run has come so far that it says so; one that ends before has failed.
pub(super) async fn begins(said: &Notify, run: &mut JoinHandle<admmgt_core::Result<Report>>) {
    let mut said = pin!(said.notified());
    let ended = std::future::poll_fn(|task| match said.as_mut().poll(task) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => Pin::new(&mut *run).poll(task).map(Some),
    });
    if let Some(ended) = ended.await {
        panic!("a run ended before it had begun: {ended:?}");
    }
}

/// The first run is in a body while the second one plans and waits: the second finds everything done.
async fn whoever_waited_reads_the_history_again(on: Ground) -> Checked {
    on.needs_two_sessions().await?;
    let (running, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (runs, goes_on) = (Arc::clone(&running), Arc::clone(&go_on));
    let script = on.script(&[Step::Make("kit_a")])?;
    let times = Arc::new(AtomicUsize::new(0));
    let body = Code::new("2", move |cx| {
        let (runs, goes_on, script) = (Arc::clone(&runs), Arc::clone(&goes_on), script.clone());
        let times = times.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if times > 0 {
                return Err("it ran already".into());
            }
            runs.notify_one();
            goes_on.notified().await;
            Ok(cx.execute_script(&script).await?)
        })
    });
    let set = Migrations::new([on.text("1", &[Step::Make("kit_first")])?]).and(body);
    let first = on.migrator(set.clone());
    let mut first = tokio::spawn(async move { first.up().await });
    begins(&running, &mut first).await;
    let waits = Arc::new(Notify::new());
    let waiting = Arc::clone(&waits);
    let second = on.migrator(set).observe(move |event: &Event| {
        if matches!(event, Event::LeaseWaiting { .. }) {
            waiting.notify_one();
        }
    });
    let mut second = tokio::spawn(async move { second.up().await });
    begins(&waits, &mut second).await;
    go_on.notify_one();
    assert_eq!(first.await.expect("no panic").expect("it runs").ran.len(), 2);
    let second = second.await.expect("no panic").expect("it finds everything done");
    assert_eq!((second.ran.len(), second.already), (0, 2), "{second}");
    assert_eq!(on.names().await, ["kit_a", "kit_first"]);
    Ok(())
}

/// After a run that did not end well, the next one has the lease, within its patience.
async fn the_next_one_runs(on: &Ground) -> Checked {
    let next = on.migrator(Migrations::new([on.text("9", &[Step::Make("kit_after")])?])).up().await;
    match next {
        Ok(report) => assert_eq!(report.ran.len(), 1),
        // Nothing took back what it did, and that waits for a person. It was found out with the lease.
        Err(error) if !on.capabilities().await.transactions => assert_eq!(error.kind(), ErrorKind::Interrupted),
        Err(error) => panic!("the lease is not free: {error}"),
    }
    Ok(())
}

async fn a_run_that_fails_lets_go(on: Ground) -> Checked {
    let set = Migrations::new([on.text("1", &[Step::Make("kit_a"), Step::Fail])?]);
    on.migrator(set).up().await.expect_err("it fails");
    the_next_one_runs(&on).await
}

async fn a_run_that_panics_lets_go(on: Ground) -> Checked {
    on.needs_to_outlive_its_connections().await?;
    let script = on.script(&[Step::Make("kit_a")])?;
    let body = Code::new("1", move |cx| {
        let script = script.clone();
        Box::pin(async move {
            cx.execute_script(&script).await?;
            panic!("on purpose: a migration panics")
        })
    });
    let error = on.migrator(Migrations::new([body])).up().await.expect_err("it fails");
    assert!(error.to_string().contains("on purpose"), "{error}");
    if on.capabilities().await.transactions {
        assert_eq!(on.names().await, [""; 0]);
    }
    the_next_one_runs(&on).await
}

async fn a_run_that_is_dropped_lets_go(on: Ground) -> Checked {
    on.needs_to_outlive_its_connections().await?;
    let script = on.script(&[Step::Make("kit_a")])?;
    let running = Arc::new(Notify::new());
    let runs = Arc::clone(&running);
    let body = Code::new("1", move |cx| {
        let (script, runs) = (script.clone(), Arc::clone(&runs));
        Box::pin(async move {
            cx.execute_script(&script).await?;
            runs.notify_one();
            std::future::pending().await
        })
    });
    let migrator = on.migrator(Migrations::new([body]));
    let mut run = tokio::spawn(async move { migrator.up().await });
    begins(&running, &mut run).await;
    run.abort();
    assert!(run.await.is_err_and(|error| error.is_cancelled()));
    the_next_one_runs(&on).await?;
    if on.capabilities().await.transactions {
        assert_eq!(on.names().await, ["kit_after"], "what was dropped is rolled back");
    }
    Ok(())
}
