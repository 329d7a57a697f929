//! Others that have the file locked at the moment that matters.

use std::sync::Mutex;
use std::time::Duration;

use admmgt::prelude::*;
use admmgt::{ErrorKind, Resolution};
use admmgt_testkit::FaultyDriver;
use admmgt_tests::{Scratch, sql};

/// Another connection that takes the lock as soon as a vacuum has ended, before that is on record; it lets go of it
/// after this time, or with the value.
fn locked_behind_the_vacuum(scratch: &Scratch, until: Option<Duration>) -> (Migrator, impl Drop + use<>) {
    struct Kept(std::sync::mpsc::Sender<()>);
    impl Drop for Kept {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    scratch.run("create table other(x)");
    let (let_go, told) = std::sync::mpsc::channel::<()>();
    let other = Mutex::new(Some((scratch.connection(), told)));
    let driver = FaultyDriver::new(scratch.sqlite()).watch(move |point| {
        if point != "after execute_recorded" {
            return;
        }
        let Some((other, told)) = other.lock().unwrap().take() else { return };
        other.execute_batch("begin immediate; insert into other values (1)").unwrap();
        std::thread::spawn(move || {
            let _ = told.recv_timeout(until.unwrap_or(Duration::from_secs(600)));
            other.execute_batch("commit").unwrap();
        });
    });
    let mut policy = Policy::default();
    policy.foreign = admmgt::Verdict::Allow;
    policy.lock_timeout = Duration::from_millis(30);
    policy.retries = if until.is_some() { 100 } else { 2 };
    let list = sql(&[("1", "vacuum"), ("2", "create table a(x)")]);
    (Migrator::new(driver).migrations(list).policy(policy), Kept(let_go))
}

#[tokio::test]
async fn that_a_statement_has_ended_is_put_on_record_as_soon_as_that_can_be() {
    let scratch = Scratch::new();
    let (migrator, _kept) = locked_behind_the_vacuum(&scratch, Some(Duration::from_millis(200)));
    assert_eq!(migrator.up().await.unwrap().ran.len(), 2);
    assert_eq!(scratch.records("app/1"), ["started", "step_done", "applied"]);
}

#[tokio::test]
async fn a_record_that_cannot_be_written_interrupts_and_says_what_has_ended() {
    let scratch = Scratch::new();
    let (migrator, kept) = locked_behind_the_vacuum(&scratch, None);
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    assert!(error.to_string().contains("it has ended, and that could not be put on record"), "{error}");
    drop(kept);
    while migrator.resolve("app/1", Resolution::Applied, "it was vacuumed").await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
}

/// The first run switches to the write-ahead log, and that needs the database for itself for a moment.
#[tokio::test]
async fn a_reader_keeps_the_write_ahead_log_waiting() {
    let scratch = Scratch::new();
    scratch.run("create table other(x); insert into other values (1)");
    let other = scratch.connection();
    other.execute_batch("begin; select * from other").unwrap();
    let mut policy = Policy::default();
    policy.lock_timeout = Duration::from_millis(60);
    policy.retries = 1;
    let migrator = scratch.migrator(sql(&[("1", "create table a(x)")])).policy(policy);
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    other.execute_batch("commit").unwrap();
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
}
