//! What a lease promises by itself: one has it at a time, and whoever has lost it does nothing more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use admmgt_core::{Acquired, Error, ErrorKind, Lease, LeaseRequest, Migrations, RecordKind, Session};
use tokio::sync::Notify;

use super::ground::{Code, Ground, author};
use super::turns::begins;
use super::{Checked, Skip, tests};
use crate::Step;

tests! { "lease":
    one_has_it_at_a_time,
    asking_for_it_never_waits,
    given_back_it_can_be_had_again,
    dropped_with_its_session_it_is_free,
    it_is_kept_for_as_long_as_its_holder_works,
    tokens_grow,
    one_that_was_taken_away_is_noticed,
    a_body_ends_when_its_lease_is_lost,
}

async fn ask(on: &Ground, session: &mut dyn Session, name: &str) -> Acquired {
    let request = LeaseRequest::new(author(name));
    on.driver().store().acquire(session, &request).await.expect("an answer")
}

/// A session that has the lease.
pub(super) async fn holder(on: &Ground) -> (Box<dyn Session>, Box<dyn Lease>) {
    let mut session = on.session().await;
    match ask(on, &mut *session, "kit-holder").await {
        Acquired::Yes(lease) => (session, lease),
        Acquired::No(holder) => panic!("nobody has the lease, and yet {holder}"),
    }
}

async fn one_has_it_at_a_time(on: Ground) -> Checked {
    on.needs_two_sessions().await?;
    let (mut first, mut lease) = holder(&on).await;
    let mut second = on.session().await;
    for _ in 0..3 {
        let Acquired::No(holder) = ask(&on, &mut *second, "kit-second").await else { panic!("two have the lease") };
        let is_named = holder.by.is_some() || holder.pid.is_some() || holder.place.is_some();
        assert!(is_named, "nothing tells who has it: {holder:?}");
        lease.verify(&mut *first).await.expect("it is still held");
    }
    second.close().await;
    lease.release(&mut *first).await.expect("it is given back");
    first.close().await;
    Ok(())
}

async fn asking_for_it_never_waits(on: Ground) -> Checked {
    on.needs_two_sessions().await?;
    let (mut first, lease) = holder(&on).await;
    let mut second = on.session().await;
    let asked = tokio::time::timeout(Duration::from_secs(3), ask(&on, &mut *second, "kit-second")).await;
    let asked = asked.expect("`StateStore::acquire` waits until the lease is free; it must say at once that it is not");
    assert!(matches!(asked, Acquired::No(_)));
    second.close().await;
    lease.release(&mut *first).await.expect("it is given back");
    first.close().await;
    Ok(())
}

async fn given_back_it_can_be_had_again(on: Ground) -> Checked {
    let (mut session, lease) = holder(&on).await;
    lease.release(&mut *session).await.expect("it is given back");
    // By the same session, and by another one.
    let Acquired::Yes(lease) = ask(&on, &mut *session, "kit-again").await else { panic!("it was given back") };
    lease.release(&mut *session).await.expect("it is given back");
    session.close().await;
    let (mut session, lease) = holder(&on).await;
    lease.release(&mut *session).await.expect("it is given back");
    session.close().await;
    Ok(())
}

async fn dropped_with_its_session_it_is_free(on: Ground) -> Checked {
    on.needs_to_outlive_its_connections().await?;
    let (session, lease) = holder(&on).await;
    drop(session);
    drop(lease);
    on.lease_is_free().await;
    Ok(())
}

/// One that ends by its time is renewed meanwhile.
async fn it_is_kept_for_as_long_as_its_holder_works(on: Ground) -> Checked {
    on.needs_fencing().await?;
    on.needs_two_sessions().await?;
    let (mut first, mut lease) = holder(&on).await;
    let mut second = on.session().await;
    let (clock, longer) = (Instant::now(), on.lease_ttl().map_or(Duration::from_secs(1), |ttl| ttl * 3));
    while clock.elapsed() < longer {
        assert!(matches!(ask(&on, &mut *second, "kit-second").await, Acquired::No(_)), "two have the lease");
        lease.verify(&mut *first).await.expect("it is still held");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    second.close().await;
    lease.release(&mut *first).await.expect("it is given back");
    first.close().await;
    Ok(())
}

async fn tokens_grow(on: Ground) -> Checked {
    on.needs_fencing().await?;
    let mut last = None;
    for _ in 0..4 {
        let (mut session, lease) = holder(&on).await;
        assert!(lease.token().is_some() && lease.token() > last, "{:?} after {last:?}", lease.token());
        last = lease.token();
        lease.release(&mut *session).await.expect("it is given back");
        session.close().await;
    }
    Ok(())
}

/// Whoever has lost it begins nothing more, and puts nothing on record.
async fn one_that_was_taken_away_is_noticed(on: Ground) -> Checked {
    on.needs_fencing().await?;
    on.needs_two_sessions().await?;
    on.take_lease_away().await?;
    let (running, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (runs, goes_on) = (Arc::clone(&running), Arc::clone(&go_on));
    let body = Code::new("1", move |_| {
        let (runs, goes_on) = (Arc::clone(&runs), Arc::clone(&goes_on));
        Box::pin(async move {
            runs.notify_one();
            goes_on.notified().await;
            Ok(())
        })
    });
    let set = Migrations::default().and(body).and(on.text("2", &[Step::Make("kit_b")])?);
    let migrator = on.migrator(set.clone());
    let mut first = tokio::spawn(async move { migrator.up().await });
    begins(&running, &mut first).await;
    on.take_lease_away().await?;
    let (mut session, lease) = holder(&on).await;
    go_on.notify_one();
    let error = first.await.expect("it does not panic").expect_err("it has lost its lease");
    // Without a transaction its body has ended, and nothing tells so.
    let is_told = matches!(cause(&error), Error::LeaseLost { .. }) || error.kind() == ErrorKind::Interrupted;
    assert!(is_told, "{error}");
    assert_eq!(on.names().await, [""; 0]);
    let history = on.driver().store().history(&mut *session).await.expect("a history");
    let done = history.records.iter().find(|record| record.kind == RecordKind::Applied);
    assert_eq!(done, None, "whoever had lost the lease put that on record");
    lease.release(&mut *session).await.expect("it is given back");
    session.close().await;
    Ok(())
}

/// One that is renewed meanwhile can be lost meanwhile, and then nothing goes on.
async fn a_body_ends_when_its_lease_is_lost(on: Ground) -> Checked {
    let Some(ttl) = on.lease_ttl() else {
        return Err(Skip("the lease does not end by its time".to_owned()));
    };
    on.needs_two_sessions().await?;
    let running = Arc::new(Notify::new());
    let ended = Arc::new(AtomicBool::new(false));
    let (runs, ends) = (Arc::clone(&running), Arc::clone(&ended));
    let body = Code::new("1", move |_| {
        let (runs, ends) = (Arc::clone(&runs), Arc::clone(&ends));
        Box::pin(async move {
            runs.notify_one();
            tokio::time::sleep(ttl * 20).await;
            ends.store(true, Ordering::SeqCst);
            Ok(())
        })
    });
    let migrator = on.migrator(Migrations::default().and(body));
    let mut run = tokio::spawn(async move { migrator.up().await });
    begins(&running, &mut run).await;
    on.take_lease_away().await?;
    // Not only where it would look by itself, at its end.
    let ends = tokio::time::timeout(ttl * 15, run).await.expect("it is stopped in the middle");
    let error = ends.expect("it does not panic").expect_err("it has lost its lease");
    assert!(matches!(cause(&error), Error::LeaseLost { .. }), "{error}");
    assert!(!ended.load(Ordering::SeqCst), "the body went on without the lease");
    Ok(())
}

/// Why a run stopped.
fn cause(error: &Error) -> &Error {
    match error {
        Error::Stopped { cause, .. } => cause,
        other => other,
    }
}
