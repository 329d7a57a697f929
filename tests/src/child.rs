//! A process to race with and to kill. Its one argument is [`Orders`] in JSON; it prints an
//! [`Answer`] in JSON, and exits with 0 or with the code of its error's kind.

use std::process::ExitCode;
use std::time::Duration;

use admmgt::prelude::*;
use admmgt::sqlite::Journal;
use admmgt::{Event, Result};
use admmgt_testkit::FaultyDriver;
use admmgt_tests::{Answer, Orders, Sets, Verb, eventually, exit_code, points};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let orders = std::env::args().nth(1).expect("orders, as one argument in JSON");
    let orders: Orders = serde_json::from_str(&orders).expect("orders are JSON");
    if orders.log {
        let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).without_time();
        log.with_max_level(tracing::Level::TRACE).with_target(false).init();
    }
    let migrator = migrator(&orders);
    wait_at_gate(&orders);
    points::die_at(orders.die_at);
    points::pass("start");
    let mut answer = Answer::default();
    let called = match orders.give_up_after_ms {
        None => call(&orders, &migrator, &mut answer).await,
        Some(time) => {
            let called = tokio::time::timeout(Duration::from_millis(time), call(&orders, &migrator, &mut answer)).await;
            called.unwrap_or_else(|_| Err(admmgt::Error::Usage { problem: "given up".to_owned() }))
        }
    };
    points::pass("end");
    answer.points = points::passed();
    let code = match called {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            answer.report = error.report().cloned();
            answer.error = Some(error.to_string());
            answer.kind = Some(format!("{:?}", error.kind()));
            ExitCode::from(exit_code(error.kind()))
        }
    };
    println!("{}", serde_json::to_string(&answer).expect("an answer is JSON"));
    code
}

fn migrator(orders: &Orders) -> Migrator {
    if let Some(driver) = orders.postgres() {
        return told(orders, Migrator::new(FaultyDriver::new(driver).watch(|point| points::pass(point))));
    }
    if let Some(driver) = orders.mongo() {
        return told(orders, Migrator::new(FaultyDriver::new(driver).watch(|point| points::pass(point))));
    }
    let journal = if orders.keep_journal { Journal::Keep } else { Journal::Wal };
    let driver = Sqlite::open(&orders.path).expect("a path").journal(journal);
    told(orders, Migrator::new(FaultyDriver::new(driver).watch(|point| points::pass(point))))
}

fn told(orders: &Orders, migrator: Migrator) -> Migrator {
    let mut migrator = migrator.migrations(Sets::migrations(orders)).policy(orders.policy());
    if let Some(by) = &orders.by {
        migrator = migrator.by(by.as_str());
    }
    migrator.observe(|event: &Event| {
        let json = serde_json::to_value(event).expect("an event is JSON");
        points::pass(format!("event {}", json["event"].as_str().unwrap_or("?")));
    })
}

fn wait_at_gate(orders: &Orders) {
    if let Some(gate) = &orders.gate {
        std::fs::write(gate.join(std::process::id().to_string()), "").expect("the gate is a folder");
        eventually("the gate opens", || gate.join("go").exists());
    }
}

async fn call(orders: &Orders, migrator: &Migrator, answer: &mut Answer) -> Result<()> {
    match &orders.verb {
        Verb::Up => answer.report = Some(migrator.up().await?),
        Verb::Down => answer.report = Some(migrator.down(admmgt::Target::Nothing).await?),
        Verb::Status => answer.text = migrator.status().await?.to_string(),
        Verb::Plan => answer.text = migrator.plan().await?.to_string(),
        Verb::EnsureCurrent => migrator.ensure_current().await?,
        Verb::Resolve(id, resolution) => migrator.resolve(id, *resolution, "by the test").await?,
    }
    Ok(())
}
