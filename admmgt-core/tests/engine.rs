//! The engine on the driver that is a list of lines: what holds for every backend.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use std::sync::{Arc, Mutex};
use std::time::Duration;

use admmgt_core::*;

fn sql(migrations: &[(&str, &str)]) -> Migrations {
    Migrations::new(migrations.iter().map(|(id, text)| SqlMigration::new("app", *id, (*text).to_owned()).unwrap()))
}

fn migrator(database: &MemoryDriver, migrations: impl Into<Migrations>) -> Migrator {
    let mut policy = Policy::default();
    policy.lease_wait = Duration::from_millis(50);
    policy.lease_poll_min = Duration::from_millis(1);
    Migrator::new(database.clone()).migrations(migrations).policy(policy)
}

fn kinds(database: &MemoryDriver) -> Vec<String> {
    let records = database.history().records;
    records.iter().map(|record| format!("{} {}", record.migration.id(), record.kind)).collect()
}

/// A body made of a closure.
struct Code<F> {
    meta: Meta,
    body: F,
}

#[async_trait]
impl<F> Migration for Code<F>
where
    F: for<'a> Fn(&'a mut Context) -> BoxFuture<'a, Result<(), BoxError>> + Send + Sync + 'static,
{
    fn meta(&self) -> &Meta {
        &self.meta
    }

    async fn up(&self, cx: &mut Context) -> Result<(), BoxError> {
        (self.body)(cx).await
    }
}

fn code<F>(id: &str, body: F) -> Code<F>
where
    F: for<'a> Fn(&'a mut Context) -> BoxFuture<'a, Result<(), BoxError>> + Send + Sync + 'static,
{
    Code { meta: Meta::new(MigrationId::new("app", id).unwrap(), Checksum::parse("manual:1").unwrap()), body }
}

#[tokio::test]
async fn what_ran_is_recorded_and_runs_once() {
    let database = MemoryDriver::new();
    let migrator = migrator(&database, sql(&[("2", "b\nc"), ("1", "a")]));
    assert_eq!(migrator.up().await.unwrap().ran.len(), 2);
    assert_eq!(migrator.up().await.unwrap().ran.len(), 0);
    assert_eq!(database.journal(), ["a", "b", "c"]);
    assert_eq!(kinds(&database), ["1 applied", "2 applied"]);
}

#[tokio::test]
async fn a_failure_takes_its_own_change_back_and_nothing_else() {
    let database = MemoryDriver::new();
    let error = migrator(&database, sql(&[("1", "a"), ("2", "b\nfail here"), ("3", "c")])).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert_eq!(error.report().unwrap().ran.len(), 1);
    assert_eq!(database.journal(), ["a"]);
    assert_eq!(kinds(&database), ["1 applied", "2 failed"]);
    let mended = migrator(&database, sql(&[("1", "a"), ("2", "b"), ("3", "c")])).up().await.unwrap();
    assert_eq!(mended.ran.len(), 2);
}

#[tokio::test]
async fn a_body_that_commits_is_interrupted_and_not_applied() {
    for body in ["b\ncommit", "b\ncommit\nfail"] {
        let database = MemoryDriver::new();
        let migrations = sql(&[("1", "a"), ("2", body)]);
        let error = migrator(&database, migrations.clone()).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        assert_eq!(kinds(&database), ["1 applied", "2 started", "2 failed"]);
        let again = migrator(&database, migrations.clone()).up().await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Interrupted);
        let migrator = migrator(&database, migrations);
        migrator.resolve("app/2", Resolution::Applied, "it is all there").await.unwrap();
        migrator.ensure_current().await.unwrap();
    }
}

#[tokio::test]
async fn all_or_nothing_means_nothing_after_a_failure() {
    let database = MemoryDriver::new();
    let mut policy = Policy::default();
    policy.group = true;
    let migrations = sql(&[("1", "a"), ("2", "fail")]);
    let error = migrator(&database, migrations).policy(policy.clone()).up().await.unwrap_err();
    assert_eq!(error.report().unwrap().ran.len(), 0);
    assert!(database.journal().is_empty());
    let report = migrator(&database, sql(&[("1", "a"), ("2", "b")])).policy(policy.clone()).up().await.unwrap();
    assert_eq!(report.ran.len(), 2);

    // A commit in the middle of the group leaves all that had begun to a person.
    let database = MemoryDriver::new();
    let migrations = sql(&[("1", "a"), ("2", "commit"), ("3", "c")]);
    let error = migrator(&database, migrations).policy(policy).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(kinds(&database), ["1 started", "2 started", "3 started", "3 failed"]);
}

#[tokio::test]
async fn without_transactions_every_statement_is_checkpointed() {
    let database = MemoryDriver::without_transactions();
    let error = migrator(&database, sql(&[("1", "a\nb\nfail")])).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(kinds(&database), ["1 started", "1 step_done", "1 step_done", "1 failed"]);
    let status = migrator(&database, sql(&[("1", "a\nb\nfail")])).status().await.unwrap();
    assert!(matches!(status.migrations[0].standing, Standing::Interrupted { done: 2, steps: Some(3), .. }), "{status}");
}

#[tokio::test]
async fn a_panic_is_a_failure() {
    let database = MemoryDriver::new();
    let migrations = Migrations::new([code("1", |_| Box::pin(async { panic!("out of paper") }))]);
    let error = migrator(&database, migrations).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("it panicked: out of paper"), "{error}");
    assert!(migrator(&database, sql(&[("2", "b")])).up().await.is_ok(), "the lease was let go");
}

#[tokio::test]
async fn an_observer_that_panics_breaks_nothing() {
    let database = MemoryDriver::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let migrator = migrator(&database, sql(&[("1", "a")]))
        .observe(|_: &Event| panic!("no"))
        .observe(move |event: &Event| log.lock().unwrap().push(serde_json::to_value(event).unwrap()["event"].clone()));
    migrator.up().await.unwrap();
    let names: Vec<String> = seen.lock().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    assert_eq!(
        names,
        [
            "run_started",
            "lease_acquired",
            "planned",
            "migration_started",
            "statement_done",
            "body_done",
            "migration_done",
            "lease_released",
            "run_finished"
        ]
    );
}

#[tokio::test]
async fn who_waits_too_long_is_told_for_whom() {
    let database = MemoryDriver::new();
    let (started, mut wait) = tokio::sync::mpsc::channel::<()>(1);
    let slow = Migrations::new([code("1", move |_| {
        let started = started.clone();
        Box::pin(async move {
            started.send(()).await.unwrap();
            std::future::pending().await
        })
    })]);
    let holder = migrator(&database, slow).by("ada");
    let running = tokio::spawn(async move { holder.up().await });
    wait.recv().await.unwrap();
    let error = migrator(&database, sql(&[("1", "a")])).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("another migrator is at work: `ada`"), "{error}");

    // A run that is dropped lets go of the lease and leaves nothing.
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(migrator(&database, sql(&[("1", "a")])).up().await.unwrap().ran.len(), 1);
    assert_eq!(kinds(&database), ["1 applied"]);
}

#[tokio::test]
async fn a_lease_that_was_taken_away_stops_the_run() {
    let database = MemoryDriver::new();
    let thief = database.clone();
    let steal = code("1", move |_| {
        let thief = thief.clone();
        Box::pin(async move {
            // Another session takes the lease behind the back of this run.
            let mut session = thief.open(&SessionOptions::new(Access::Write)).await?;
            thief.break_lease();
            let request = LeaseRequest::new(Author::of_this_process());
            let taken = thief.store().acquire(&mut *session, &request).await?;
            std::mem::forget((session, taken));
            Ok(())
        })
    });
    let error = migrator(&database, Migrations::new([steal])).up().await.unwrap_err();
    assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
    assert!(kinds(&database).is_empty(), "nothing was recorded without the lease");
}

#[tokio::test]
async fn a_plan_runs_only_on_the_state_it_was_made_for() {
    let database = MemoryDriver::new();
    let migrator = migrator(&database, sql(&[("1", "a"), ("2", "b")]));
    let plan = migrator.plan().await.unwrap();
    assert_eq!(plan.migrations().len(), 2);
    assert_eq!(migrator.run(plan.clone()).await.unwrap().ran.len(), 2);
    assert!(matches!(migrator.run(plan).await, Err(Error::PlanStale { .. })));
}

#[tokio::test]
async fn waiting_ends_when_somebody_else_has_migrated() {
    let database = MemoryDriver::new();
    let waiting = migrator(&database, sql(&[("1", "a")]));
    let error = waiting.wait_until_current(Duration::from_millis(5)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Pending);
    let other = migrator(&database, sql(&[("1", "a")]));
    let (waited, ran) = tokio::join!(waiting.wait_until_current(Duration::from_secs(60)), other.up());
    waited.unwrap();
    assert_eq!(ran.unwrap().ran.len(), 1);
}

#[tokio::test]
async fn edited_code_is_reported_and_edited_sql_refused() {
    let database = MemoryDriver::new();
    fn body(_: &mut Context) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async { Ok(()) })
    }
    migrator(&database, Migrations::new([code("1", body)])).up().await.unwrap();
    let mut edited = code("1", body);
    edited.meta.checksum = Checksum::parse("manual:2").unwrap();
    let report = migrator(&database, Migrations::new([edited])).up().await.unwrap();
    assert_eq!(report.edited_code.len(), 1);

    let database = MemoryDriver::new();
    migrator(&database, sql(&[("1", "a")])).up().await.unwrap();
    let error = migrator(&database, sql(&[("1", "b")])).up().await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::Edited { .. }]), "{error}");
}

#[tokio::test]
async fn nothing_registered_says_how_to_link() {
    let error = migrator(&MemoryDriver::new(), Migrations::default()).up().await.unwrap_err();
    assert!(error.to_string().contains("admmgt::link!(the_crate);"), "{error}");
}
