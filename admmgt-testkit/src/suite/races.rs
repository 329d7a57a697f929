//! What holds where several start at once, or the holder of the lease is killed or sleeps.

use std::time::Duration;

use admmgt_core::{ErrorKind, Standing};

use super::ground::{Ground, policy};
use super::process::{HOLDING, Orders, Process, READY, Verb};
use super::sets::Set;
use super::{Checked, Skip, tests};
use crate::Step;

tests! { "lease":
    runs_that_start_at_once_run_each_migration_once,
    processes_that_start_at_once_run_each_migration_once,
    up_and_down_at_once_take_turns,
    a_killed_holder_is_followed_by_another,
    a_holder_that_sleeps_is_waited_for_or_writes_nothing_afterwards,
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
