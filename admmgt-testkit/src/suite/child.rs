//! What a process of a test does.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use admmgt_core::{Error, Report, Result, Target};

use super::Skip;
use super::ground::{Ground, Thoroughness, policy};
use super::process::{Answer, Orders, READY, Verb, answer, heard, stand_still, tell};
use crate::{FaultyDriver, Setup};

pub(super) fn main(drivers: &[(String, Arc<dyn Setup>)], orders: &str) -> ExitCode {
    let orders: Orders = match serde_json::from_str(orders) {
        Ok(orders) => orders,
        Err(error) => {
            eprintln!("no orders: {error}");
            return ExitCode::from(2);
        }
    };
    let Some((_, setup)) = drivers.iter().find(|(label, _)| *label == orders.driver) else {
        eprintln!("no driver `{}`", orders.driver);
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let said = runtime.block_on(work(&orders, Arc::clone(setup)));
    answer(&said);
    ExitCode::SUCCESS
}

async fn work(orders: &Orders, setup: Arc<dyn Setup>) -> Answer {
    let on = match Ground::at(&orders.driver, setup, &orders.database, Thoroughness::default()).await {
        Ok(on) => on,
        Err(error) => return failed(&error),
    };
    if orders.verb == Verb::Look {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (driver, look) = (on.driver(), async move { drop(sender.send(on.names().await)) });
        return match (driver.host(Box::pin(look)).await, receiver.await) {
            (Ok(()), Ok(names)) => Answer { names, ..Answer::default() },
            (Err(error), _) => failed(&error),
            (Ok(()), Err(_)) => failed(&Error::Usage { problem: "the look ended without an answer".to_owned() }),
        };
    }
    let points = Arc::new(Mutex::new(Vec::new()));
    let (passed, stop_at) = (Arc::clone(&points), orders.stop_at);
    let pass = move |point: &str| {
        let mut passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.push(point.to_owned());
        if passed.len() == stop_at {
            // Not before the list is free again: somebody may look at it meanwhile.
            drop(passed);
            stand_still();
        }
    };
    let driver = FaultyDriver::new(on.driver()).watch(pass);
    let migrations = match orders.set.migrations(&on) {
        Ok(migrations) => migrations,
        Err(Skip(reason)) => return failed(&Error::Usage { problem: reason }),
    };
    let mut policy = policy();
    policy.group = orders.group;
    let migrator = admmgt_core::Migrator::new(driver).migrations(migrations).policy(policy);
    if orders.gate {
        tell(READY);
        heard();
    }
    let called = match orders.verb {
        Verb::Down => migrator.down(Target::Nothing).await,
        Verb::Up | Verb::Look => migrator.up().await,
    };
    let points = std::mem::take(&mut *points.lock().unwrap_or_else(PoisonError::into_inner));
    Answer { points, ..told(called) }
}

fn told(called: Result<Report>) -> Answer {
    match called {
        Ok(report) => Answer { ran: ids(&report), ..Answer::default() },
        Err(error) => Answer { ran: error.report().map(ids).unwrap_or_default(), ..failed(&error) },
    }
}

fn ids(report: &Report) -> Vec<String> {
    report.ran.iter().map(|ran| ran.migration.to_string()).collect()
}

fn failed(error: &Error) -> Answer {
    Answer { kind: Some(format!("{:?}", error.kind())), error: Some(error.to_string()), ..Answer::default() }
}
