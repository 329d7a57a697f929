//! What a lease promises: one migrator at a time, and never a stuck one.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use admmgt_core::{
    Acquired, Error, ErrorKind, Event, Lease, LeaseRequest, Migrations, RecordKind, Report, Session, Standing,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::ground::{Code, Ground, author, policy};
use super::process::{HOLDING, Orders, Process, READY, Verb};
use super::sets::Set;
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
    whoever_waits_in_vain_is_told_who_has_it,
    whoever_waited_reads_the_history_again,
    a_run_that_fails_lets_go,
    a_run_that_panics_lets_go,
    a_run_that_is_dropped_lets_go,
    runs_that_start_at_once_run_each_migration_once,
    processes_that_start_at_once_run_each_migration_once,
    up_and_down_at_once_take_turns,
    a_killed_holder_is_followed_by_another,
    a_holder_that_sleeps_is_waited_for_or_writes_nothing_afterwards,
}

async fn ask(on: &Ground, session: &mut dyn Session, name: &str) -> Acquired {
    let request = LeaseRequest::new(author(name));
    on.driver().store().acquire(session, &request).await.expect("an answer")
}

/// A session that has the lease.
async fn holder(on: &Ground) -> (Box<dyn Session>, Box<dyn Lease>) {
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
    let ended = Arc::new(AtomicUsize::new(0));
    let (runs, ends) = (Arc::clone(&running), Arc::clone(&ended));
    let body = Code::new("1", move |_| {
        let (runs, ends) = (Arc::clone(&runs), Arc::clone(&ends));
        Box::pin(async move {
            runs.notify_one();
            tokio::time::sleep(ttl * 20).await;
            ends.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    });
    let migrator = on.migrator(Migrations::default().and(body));
    let mut run = tokio::spawn(async move { migrator.up().await });
    begins(&running, &mut run).await;
    on.take_lease_away().await?;
    let error = run.await.expect("it does not panic").expect_err("it has lost its lease");
    assert!(matches!(cause(&error), Error::LeaseLost { .. }), "{error}");
    assert_eq!(ended.load(Ordering::SeqCst), 0, "the body went on without the lease");
    Ok(())
}

/// Why a run stopped.
fn cause(error: &Error) -> &Error {
    match error {
        Error::Stopped { cause, .. } => cause,
        other => other,
    }
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

async fn runs_that_start_at_once_run_each_migration_once(on: Ground) -> Checked {
    on.needs_two_sessions().await?;
    for _ in 0..on.thoroughness.rounds {
        let on = on.another().await;
        let set = Set::Mixed.migrations(&on)?;
        let runs: Vec<_> = (0..on.thoroughness.processes)
            .map(|_| {
                let migrator = on.migrator(set.clone());
                tokio::spawn(async move { migrator.up().await })
            })
            .collect();
        let mut ran = Vec::new();
        for run in runs {
            let report = run.await.expect("no panic").expect("it ends well");
            ran.extend(report.ran.iter().map(|ran| ran.migration.to_string()));
        }
        once_each(ran);
        assert_eq!(on.names().await, Set::Mixed.all());
    }
    Ok(())
}

fn once_each(mut ran: Vec<String>) {
    ran.sort();
    assert_eq!(ran, ["kit/0001", "kit/0002", "kit/0003", "kit/0004"]);
}

/// Another process reaches the same database.
pub(super) async fn needs_processes(on: &Ground) -> Checked {
    on.by_hand(&[Step::Make("kit_seen")]).await?;
    let seen = Orders::new(on, Set::Texts).verb(Verb::Look).run().await;
    assert_eq!(seen.error, None, "another process has the same set-up, and cannot look");
    on.by_hand(&[Step::Drop("kit_seen")]).await?;
    match seen.names.iter().any(|name| name == "kit_seen") {
        true => Ok(()),
        false => Err(Skip("another process does not see the same database".to_owned())),
    }
}

/// Starts them all, lets them go at once, and waits for their ends.
async fn race(orders: impl IntoIterator<Item = Orders>) -> Vec<Process> {
    let mut racers: Vec<Process> = orders.into_iter().map(|orders| orders.gate().start()).collect();
    for racer in &mut racers {
        assert!(racer.says(READY).await, "a process is ready");
    }
    racers.iter_mut().for_each(Process::go_on);
    racers
}

async fn processes_that_start_at_once_run_each_migration_once(on: Ground) -> Checked {
    needs_processes(&on).await?;
    for _ in 0..on.thoroughness.rounds {
        let on = on.another().await;
        let mut ran = Vec::new();
        for mut racer in race((0..on.thoroughness.processes).map(|_| Orders::new(&on, Set::Mixed))).await {
            let answer = racer.answer().await;
            assert_eq!(answer.error, None);
            ran.extend(answer.ran);
        }
        once_each(ran);
        assert_eq!(on.names().await, Set::Mixed.all());
    }
    Ok(())
}

async fn up_and_down_at_once_take_turns(on: Ground) -> Checked {
    needs_processes(&on).await?;
    for _ in 0..on.thoroughness.rounds {
        let on = on.another().await;
        let verbs = [Verb::Up, Verb::Down].into_iter().cycle().take(on.thoroughness.processes);
        for mut racer in race(verbs.map(|verb| Orders::new(&on, Set::Texts).verb(verb))).await {
            assert_eq!(racer.answer().await.error, None);
        }
        // Whoever came last: nothing is half there, and the next run has its way.
        let there = on.names().await;
        assert!(there.is_empty() || there == Set::Texts.all(), "{there:?}");
        on.migrator(Set::Texts.migrations(&on)?).up().await.expect("it ends well");
        assert_eq!(on.names().await, Set::Texts.all());
    }
    Ok(())
}

async fn a_killed_holder_is_followed_by_another(on: Ground) -> Checked {
    needs_processes(&on).await?;
    let mut holder = Orders::new(&on, Set::Held).start();
    assert!(holder.says(HOLDING).await, "it runs");
    holder.kill();
    let mut next = Orders::new(&on, Set::Held).start();
    if on.capabilities().await.transactions {
        assert!(next.says(HOLDING).await, "it runs after the one that was killed");
        next.go_on();
        assert_eq!(next.answer().await.error, None);
        assert_eq!(on.names().await, Set::Held.all());
    } else {
        assert_eq!(next.answer().await.kind.as_deref(), Some("Interrupted"));
    }
    Ok(())
}

async fn a_holder_that_sleeps_is_waited_for_or_writes_nothing_afterwards(on: Ground) -> Checked {
    on.needs_transactions().await?;
    needs_processes(&on).await?;
    let mut sleeper = Orders::new(&on, Set::Held).start();
    assert!(sleeper.says(HOLDING).await, "it runs");
    if !sleeper.signal("STOP") {
        return Err(Skip("this system cannot stop a process".to_owned()));
    }
    let mut policy = policy();
    policy.lease_wait = on.lease_ttl().map_or(Duration::from_secs(1), |ttl| ttl * 5);
    let taken = on.migrator(Set::Texts.migrations(&on)?).policy(policy).up().await;
    assert!(sleeper.signal("CONT"));
    sleeper.go_on();
    let woken = sleeper.answer().await;
    match taken {
        // Its lock is held as long as it lives.
        Err(error) => {
            assert_eq!((error.kind(), on.lease_ttl()), (ErrorKind::Busy, None), "{error}");
            assert_eq!(woken.error, None);
            assert_eq!(on.names().await, Set::Held.all());
        }
        // Its time was over, and somebody else came.
        Ok(report) => {
            assert!(!report.ran.is_empty());
            assert!(woken.error.is_some(), "it went on after its lease was taken");
            assert_eq!(on.names().await, Set::Texts.all());
            let status = on.migrator(Set::Texts.migrations(&on)?).status().await.expect("a status");
            assert!(status.migrations.iter().all(|row| row.standing == Standing::Applied), "{status}");
        }
    }
    Ok(())
}
