//! What holds when a call fails, an answer is lost, or the process is killed, at each of the calls of a run: the next
//! run converges, or names what a person has to decide.

use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use admmgt_core::{BoxFuture, Migrator, Target};

use super::ground::{Ground, policy};
use super::left::{End, Left, recover};
use super::process::{HERE, Orders, Verb};
use super::races::needs_processes;
use super::sets::Set;
use super::{Checked, Skip, tests};
use crate::{Fault, FaultyDriver};

tests! { "crash":
    an_error_at_any_call,
    an_error_at_any_call_of_a_group,
    an_error_at_any_call_without_a_transaction,
    an_error_at_any_call_on_the_way_back,
    a_lost_request_at_any_call,
    a_lost_request_at_any_call_without_a_transaction,
    a_lost_answer_at_any_call,
    a_lost_answer_at_any_call_of_a_group,
    a_lost_answer_at_any_call_without_a_transaction,
    a_lost_answer_at_any_call_on_the_way_back,
    killed_at_any_call,
    killed_at_any_call_of_a_group,
    killed_at_any_call_without_a_transaction,
    killed_at_any_call_in_code_without_a_transaction,
    killed_at_any_call_on_the_way_back,
    killed_again_while_it_recovers,
    killed_again_while_it_recovers_without_a_transaction,
    a_late_answer_at_any_call,
}

/// What is run, and how.
#[derive(Clone, Copy)]
struct Case {
    set: Set,
    verb: Verb,
    group: bool,
}

const MIXED: Case = Case { set: Set::Mixed, verb: Verb::Up, group: false };
const GROUP: Case = Case { set: Set::Mixed, verb: Verb::Up, group: true };
const OUTSIDE: Case = Case { set: Set::Outside, verb: Verb::Up, group: false };
const CODE_OUTSIDE: Case = Case { set: Set::CodeOutside, verb: Verb::Up, group: false };
const BACK: Case = Case { set: Set::Texts, verb: Verb::Down, group: false };

impl Case {
    async fn needs(self, on: &Ground) -> Checked {
        on.needs_to_outlive_its_connections().await?;
        if self.group {
            on.needs_transactions().await?;
        }
        if self.set.is_outside(2) {
            on.needs_outside().await?;
        }
        Ok(())
    }

    /// A database to begin with.
    async fn begin(self, on: &Ground) -> Result<Ground, Skip> {
        let on = on.another().await;
        if self.verb == Verb::Down {
            on.migrator(self.set.migrations(&on)?).up().await.expect("they run");
        }
        Ok(on)
    }

    async fn run(self, on: &Ground, driver: FaultyDriver) -> Result<admmgt_core::Result<()>, Skip> {
        let mut policy = policy();
        policy.group = self.group;
        let migrator = Migrator::new(driver).migrations(self.set.migrations(on)?).policy(policy);
        Ok(match self.verb {
            Verb::Down => migrator.down(Target::Nothing).await.map(drop),
            Verb::Up | Verb::Look => migrator.up().await.map(drop),
        })
    }

    fn orders(self, on: &Ground) -> Orders {
        Orders::new(on, self.set).verb(self.verb).group(self.group)
    }
}

/// Every call of a run meets the fault once.
async fn faults(on: &Ground, case: Case, fault: Fault) -> Checked {
    case.needs(on).await?;
    let first = case.begin(on).await?;
    let driver = FaultyDriver::new(first.driver());
    case.run(&first, driver.clone()).await?.expect("without a fault it runs");
    let calls = driver.calls();
    assert!(calls.len() > 8, "{calls:?}");
    let tries = calls.iter().zip(1..).map(|(name, call)| -> BoxFuture<'_, Checked> {
        Box::pin(async move {
            let on = case.begin(on).await?;
            let driver = FaultyDriver::new(on.driver()).fault(call, fault);
            // It may fail, or get over it. Another connection is had where it is known what became of the first.
            let ended = case.run(&on, driver.clone()).await?.map_err(|error| error.to_string());
            let outside = case.set.is_outside(2) || !on.capabilities().await.transactions;
            let outside = outside || case.verb == Verb::Down && !on.drops_in_transactions().await?;
            let may_fail = fault == Fault::Error || outside;
            assert!(ended.is_ok() || may_fail, "{fault:?} at call {call}, `{name}`: {ended:?}");
            assert!(driver.calls().len() >= call, "call {call} is made");
            if ended.is_ok() {
                // What ended well has done everything.
                Left::of(&on, case.set).await?.check_converged(case.verb);
            }
            let what = format!("{fault:?} at call {call}, `{name}`; the run ended with {ended:?}");
            trace(what, recover(&on, case.set, case.verb, case.group)).await?;
            on.clean().await;
            Ok(())
        })
    });
    some_at_a_time(tries).await
}

/// Runs them all, some at a time: a lease that ends by its time is waited for.
async fn some_at_a_time<'a>(mut tries: impl Iterator<Item = BoxFuture<'a, Checked>>) -> Checked {
    const AT_A_TIME: usize = 8;
    let mut running: Vec<BoxFuture<'a, Checked>> = Vec::new();
    std::future::poll_fn(move |task| {
        loop {
            running.extend(tries.by_ref().take(AT_A_TIME - running.len()));
            let mut ended = Ok(());
            let before = running.len();
            running.retain_mut(|one| match one.as_mut().poll(task) {
                Poll::Ready(checked) => {
                    ended = std::mem::replace(&mut ended, Ok(())).and(checked);
                    false
                }
                Poll::Pending => true,
            });
            match ended {
                Err(skip) => return Poll::Ready(Err(skip)),
                Ok(()) if running.is_empty() && before == 0 => return Poll::Ready(Ok(())),
                Ok(()) if running.len() == before => return Poll::Pending,
                Ok(()) => {}
            }
        }
    })
    .await
}

/// Where a test fails, says at which call.
async fn trace(what: String, test: impl Future<Output = Result<End, Skip>>) -> Result<End, Skip> {
    struct Told(String);
    impl Drop for Told {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("{}", self.0);
            }
        }
    }
    let _told = Told(what);
    test.await
}

/// A process is killed at each of the points of a run: before each call, and after it.
async fn killed(on: &Ground, case: Case) -> Checked {
    case.needs(on).await?;
    needs_processes(on).await?;
    let first = case.begin(on).await?;
    let answer = case.orders(&first).run().await;
    assert_eq!(answer.error, None);
    let ends = Mutex::new(Vec::new());
    let tries = answer.points.iter().zip(1..).map(|(name, point)| -> BoxFuture<'_, Checked> {
        let ends = &ends;
        Box::pin(async move {
            let on = case.begin(on).await?;
            let mut process = case.orders(&on).stop_at(point).start();
            assert!(process.says(HERE).await, "it comes to point {point} ({name})");
            process.kill();
            let what = format!("killed at point {point}, {name}");
            let end = trace(what, recover(&on, case.set, case.verb, case.group)).await?;
            ends.lock().unwrap_or_else(PoisonError::into_inner).push(end);
            on.clean().await;
            Ok(())
        })
    });
    some_at_a_time(tries).await?;
    let ends = ends.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(ends.len(), answer.points.len());
    if case.set.is_outside(2) {
        let converged = ends.iter().filter(|end| **end == End::Converged).count();
        assert!(
            0 < converged && converged < ends.len(),
            "it is interrupted at some points, and not at others: {ends:?}"
        );
    }
    Ok(())
}

/// Nothing is wrong but that everything takes its time.
async fn a_late_answer_at_any_call(on: Ground) -> Checked {
    let late = FaultyDriver::new(on.driver());
    let late = (1..200).fold(late, |late, call| late.fault(call, Fault::Delay(Duration::from_millis(10))));
    MIXED.run(&on, late.clone()).await?.expect("it runs, and takes its time");
    assert_eq!(on.names().await, MIXED.set.all());
    assert!(late.calls().len() > 8);
    Ok(())
}

async fn an_error_at_any_call(on: Ground) -> Checked {
    faults(&on, MIXED, Fault::Error).await
}

async fn an_error_at_any_call_of_a_group(on: Ground) -> Checked {
    faults(&on, GROUP, Fault::Error).await
}

async fn an_error_at_any_call_without_a_transaction(on: Ground) -> Checked {
    faults(&on, OUTSIDE, Fault::Error).await
}

async fn an_error_at_any_call_on_the_way_back(on: Ground) -> Checked {
    faults(&on, BACK, Fault::Error).await
}

async fn a_lost_request_at_any_call(on: Ground) -> Checked {
    faults(&on, MIXED, Fault::LostRequest).await
}

async fn a_lost_request_at_any_call_without_a_transaction(on: Ground) -> Checked {
    faults(&on, OUTSIDE, Fault::LostRequest).await
}

async fn a_lost_answer_at_any_call(on: Ground) -> Checked {
    faults(&on, MIXED, Fault::LostReply).await
}

async fn a_lost_answer_at_any_call_of_a_group(on: Ground) -> Checked {
    faults(&on, GROUP, Fault::LostReply).await
}

async fn a_lost_answer_at_any_call_without_a_transaction(on: Ground) -> Checked {
    faults(&on, OUTSIDE, Fault::LostReply).await
}

async fn a_lost_answer_at_any_call_on_the_way_back(on: Ground) -> Checked {
    faults(&on, BACK, Fault::LostReply).await
}

async fn killed_at_any_call(on: Ground) -> Checked {
    killed(&on, MIXED).await
}

async fn killed_at_any_call_of_a_group(on: Ground) -> Checked {
    killed(&on, GROUP).await
}

async fn killed_at_any_call_without_a_transaction(on: Ground) -> Checked {
    killed(&on, OUTSIDE).await
}

async fn killed_at_any_call_in_code_without_a_transaction(on: Ground) -> Checked {
    killed(&on, CODE_OUTSIDE).await
}

async fn killed_at_any_call_on_the_way_back(on: Ground) -> Checked {
    killed(&on, BACK).await
}

async fn killed_again_while_it_recovers(on: Ground) -> Checked {
    killed_again(&on, MIXED).await
}

async fn killed_again_while_it_recovers_without_a_transaction(on: Ground) -> Checked {
    killed_again(&on, OUTSIDE).await
}

/// Four times over, at every few points.
async fn killed_again(on: &Ground, case: Case) -> Checked {
    case.needs(on).await?;
    needs_processes(on).await?;
    let first = case.begin(on).await?;
    let points = case.orders(&first).run().await.points.len();
    let tries = (1..points).step_by(7).map(|point| -> BoxFuture<'_, Checked> {
        Box::pin(async move {
            let on = case.begin(on).await?;
            // A later one may have fewer points left than that, or refuse: it need not be killed.
            for again in [point, point / 2 + 1, 9] {
                let mut process = case.orders(&on).stop_at(again).start();
                if process.says(HERE).await {
                    process.kill();
                }
            }
            let what = format!("killed again, first at point {point}");
            trace(what, recover(&on, case.set, case.verb, case.group)).await?;
            on.clean().await;
            Ok(())
        })
    });
    some_at_a_time(tries).await
}
