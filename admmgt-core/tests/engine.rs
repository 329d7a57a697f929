//! The engine on the driver that is a list of lines: what holds for every backend.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

use std::sync::atomic::{AtomicUsize, Ordering};
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

/// Whoever has it now is not to be disturbed: nothing is put on record of the failure.
#[tokio::test]
async fn a_body_that_finds_its_lease_lost_leaves_everything_as_it_is() {
    for (database, left) in [(MemoryDriver::new(), &[][..]), (MemoryDriver::without_transactions(), &["1 started"])] {
        let finds = code("1", |_| {
            Box::pin(async { Err(Error::LeaseLost { problem: "another process has it".to_owned() }.into()) })
        });
        let error = migrator(&database, Migrations::new([finds])).up().await.unwrap_err();
        assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
        assert_eq!(kinds(&database), left);
    }
}

/// A body that finds something locked so often, before it runs; and how often it was tried.
fn locked(name: &str, times: usize) -> (impl Migration, Arc<AtomicUsize>) {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let body = code(name, move |cx| {
        let is_locked = counted.fetch_add(1, Ordering::SeqCst) < times;
        Box::pin(async move {
            cx.execute("half of it").await?;
            if is_locked {
                return Err(Error::Busy { waited: Duration::ZERO }.into());
            }
            cx.execute("the other half").await?;
            Ok(())
        })
    });
    (body, tries)
}

#[tokio::test]
async fn what_is_locked_for_a_moment_is_tried_again_as_a_whole() {
    for (times, group, ends_well) in [(2, false, true), (2, true, true), (3, false, false), (3, true, false)] {
        let database = MemoryDriver::new();
        let (second, tries) = locked("2", times);
        let mut policy = Policy::default();
        (policy.retries, policy.retry_pause, policy.group) = (2, Duration::from_millis(1), group);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let migrator =
            migrator(&database, sql(&[("1", "one")]).and(second)).policy(policy).observe(move |event: &Event| {
                if let Event::MigrationRetried { migration, retry, .. } = event {
                    hears.lock().unwrap().push((migration.id().to_owned(), *retry));
                }
            });
        let ended = migrator.up().await;
        assert_eq!((tries.load(Ordering::SeqCst), ended.is_ok()), (3, ends_well), "{ended:?}");
        assert_eq!(*heard.lock().unwrap(), [("2".to_owned(), 0), ("2".to_owned(), 1)]);
        let journal = database.journal();
        match (ended, group) {
            (Ok(report), _) => {
                assert_eq!(report.ran.len(), 2);
                assert_eq!(journal, ["one", "half of it", "the other half"]);
            }
            (Err(error), true) => assert!(error.kind() == ErrorKind::Failed && journal.is_empty(), "{error}"),
            (Err(error), false) => assert!(error.kind() == ErrorKind::Failed && journal == ["one"], "{error}"),
        }
    }
}

/// Whether it shares its transaction or has it for itself, its start and its end are told once.
#[tokio::test]
async fn a_group_of_one_is_told_as_others_are() {
    for group in [false, true] {
        let database = MemoryDriver::new();
        let mut policy = Policy::default();
        policy.group = group;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let one = migrator(&database, sql(&[("1", "one")])).policy(policy).observe(move |event: &Event| {
            let word = match event {
                Event::MigrationStarted { .. } => "started",
                Event::StatementDone { .. } => "statement",
                Event::MigrationDone { .. } => "done",
                _ => return,
            };
            hears.lock().unwrap().push(word);
        });
        one.up().await.unwrap();
        assert_eq!(*heard.lock().unwrap(), ["started", "statement", "done"], "{group}");
    }
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

/// Migrations with a way back: `a` is taken back by `-a`.
fn both_ways(ids: &[&str]) -> Migrations {
    Migrations::new(ids.iter().map(|id| {
        let sql = SqlMigration::new("app", *id, format!("do {id}")).unwrap();
        sql.down(format!("undo {id}"))
    }))
}

fn id(name: &str) -> MigrationId {
    MigrationId::new("app", name).unwrap()
}

#[tokio::test]
async fn a_target_ahead_runs_that_far_and_no_further() {
    let database = MemoryDriver::new();
    let all = || both_ways(&["1", "2", "3", "4"]);
    let to = |target| migrator(&database, all()).target(target);
    assert_eq!(to(Target::To(id("2"))).up().await.unwrap().ran.len(), 2);
    assert_eq!(to(Target::To(id("1"))).up().await.unwrap().ran.len(), 0, "never back");
    assert_eq!(to(Target::Next(1)).up().await.unwrap().ran.len(), 1);
    let error = to(Target::To(id("5"))).up().await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::UnknownTarget { nearest: Some(_), .. }]), "{error}");
    assert_eq!(to(Target::Back(1)).up().await.unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(to(Target::Latest).up().await.unwrap().ran.len(), 1);
    // Nothing is pending, and the name is still wrong.
    assert_eq!(to(Target::To(id("5"))).up().await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn a_tag_brings_what_it_depends_on() {
    let database = MemoryDriver::new();
    let one = |name: &str| SqlMigration::new("app", name.to_owned(), format!("do {name}")).unwrap();
    let seed = one("4").with(|meta| meta.depends_on([id("2")]).tags(["seed"]));
    let all = Migrations::new([one("1"), one("2"), one("3"), seed]);
    let mut policy = Policy::default();
    policy.out_of_order = Verdict::Allow;
    let tagged = migrator(&database, all.clone()).policy(policy).target(Target::Tagged("seed".into()));
    let report = tagged.up().await.unwrap();
    assert_eq!(report.ran.iter().map(|ran| ran.migration.id()).collect::<Vec<_>>(), ["2", "4"]);
    let unknown = migrator(&database, all).target(Target::Tagged("sed".into()));
    assert!(matches!(unknown.up().await.unwrap_err().refusals(), [Refusal::UnknownTag { .. }]));
}

#[tokio::test]
async fn the_way_back_goes_last_first_and_is_recorded() {
    let database = MemoryDriver::new();
    let migrator = migrator(&database, both_ways(&["1", "2", "3"]));
    migrator.up().await.unwrap();
    migrator.down(Target::Back(2)).await.unwrap();
    assert_eq!(database.journal(), ["do 1", "do 2", "do 3", "undo 3", "undo 2"]);
    assert_eq!(kinds(&database)[3..], ["3 reverted", "2 reverted"]);
    assert_eq!(migrator.pending().await.unwrap(), [id("2"), id("3")]);
    migrator.up().await.unwrap();
    migrator.down(Target::BackTo(id("1"))).await.unwrap();
    assert_eq!(migrator.status().await.unwrap().pending(), [id("2"), id("3")]);
    let nothing = migrator.down(Target::BackTo(id("3"))).await.unwrap();
    assert_eq!((nothing.ran.len(), nothing.skipped), (0, vec![id("3")]));
    assert_eq!(kinds(&database).last().unwrap(), "3 skipped");
    migrator.down(Target::Nothing).await.unwrap();
    assert_eq!(migrator.down(Target::Nothing).await.unwrap().ran.len(), 0);
    assert_eq!(migrator.down(Target::Latest).await.unwrap_err().kind(), ErrorKind::Usage);
    // A database without a history has nothing to put on record.
    let empty = MemoryDriver::new();
    let fresh = crate::migrator(&empty, both_ways(&["1"])).down(Target::BackTo(id("1"))).await.unwrap();
    assert!(fresh.skipped.is_empty() && kinds(&empty).is_empty(), "{fresh}");
    // Where it is already, nothing is put on record.
    migrator.up().await.unwrap();
    let there = migrator.down(Target::BackTo(id("3"))).await.unwrap();
    assert_eq!((there.ran.len(), there.skipped.len()), (0, 0));
}

#[tokio::test]
async fn the_whole_way_back_is_checked_before_its_first_step() {
    let database = MemoryDriver::new();
    let one_way = SqlMigration::new("app", "2", "do 2").unwrap();
    let all = both_ways(&["1", "3"]).and(one_way);
    let all = migrator(&database, all);
    all.up().await.unwrap();
    let error = all.down(Target::Nothing).await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::Irreversible { .. }]), "{error}");
    let error = migrator(&database, both_ways(&["1", "3"])).down(Target::Nothing).await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::NotRegistered { .. }]), "{error}");
    assert_eq!(database.journal(), ["do 1", "do 2", "do 3"]);
}

#[tokio::test]
async fn what_is_still_needed_is_not_taken_back() {
    let database = MemoryDriver::new();
    let all = |depends: bool| {
        let last = SqlMigration::new("app", "2", "do 2").unwrap().down("undo 2");
        let last = if depends { last.with(|meta| meta.depends_on([id("3")])) } else { last };
        both_ways(&["1", "3"]).and(last)
    };
    migrator(&database, all(false)).up().await.unwrap();
    // The edge came later, so that the one applied last is needed by one that was applied before it.
    let error = migrator(&database, all(true)).down(Target::Back(1)).await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::StillNeeded { .. }]), "{error}");
}

#[tokio::test]
async fn redo_takes_the_last_back_and_applies_it_again() {
    let database = MemoryDriver::new();
    let migrator = migrator(&database, both_ways(&["1", "2"]));
    migrator.up().await.unwrap();
    let report = migrator.redo().await.unwrap();
    assert_eq!(report.ran.iter().map(|ran| ran.direction).collect::<Vec<_>>(), [Direction::Down, Direction::Up]);
    assert_eq!(database.journal(), ["do 1", "do 2", "undo 2", "do 2"]);
    migrator.ensure_current().await.unwrap();
}

#[tokio::test]
async fn a_plan_back_can_be_kept_and_run() {
    let database = MemoryDriver::new();
    let migrator = migrator(&database, both_ways(&["1", "2"]));
    migrator.up().await.unwrap();
    let plan = migrator.clone().target(Target::Back(1)).plan().await.unwrap();
    let plan: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(migrator.run(plan.clone()).await.unwrap().ran.len(), 1);
    assert!(matches!(migrator.run(plan).await.unwrap_err(), Error::PlanStale { .. }));
}

#[tokio::test]
async fn a_failure_on_the_way_back_leaves_it_applied() {
    let database = MemoryDriver::new();
    let bad = SqlMigration::new("app", "2", "do 2").unwrap().down("undo 2\nfail");
    let migrator = migrator(&database, both_ways(&["1"]).and(bad));
    migrator.up().await.unwrap();
    let error = migrator.down(Target::Nothing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert_eq!(database.journal(), ["do 1", "do 2"]);
    let status = migrator.status().await.unwrap();
    assert!(status.is_current() && status.migrations[1].last_error.is_some(), "{status}");
}

#[tokio::test]
async fn a_database_that_has_its_changes_already_is_counted_in() {
    let database = MemoryDriver::new();
    let migrator = migrator(&database, both_ways(&["1", "2", "3"]));
    migrator.baseline(Some("app/2"), "made by hand").await.unwrap();
    migrator.baseline(Some("app/2"), "twice is as good").await.unwrap();
    assert_eq!(kinds(&database), ["1 baseline", "2 baseline"]);
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
    assert_eq!(database.journal(), ["do 3"]);
    assert_eq!(migrator.history().await.unwrap()[0].detail.as_deref(), Some("made by hand"));
    assert_eq!(migrator.baseline(Some("app/9"), "counted in").await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn an_edit_that_was_meant_is_accepted_and_recorded() {
    let database = MemoryDriver::new();
    migrator(&database, sql(&[("1", "a")])).up().await.unwrap();
    let edited = migrator(&database, sql(&[("1", "a, edited")]));
    assert!(matches!(edited.up().await.unwrap_err().refusals(), [Refusal::Edited { .. }]));
    assert!(matches!(edited.verify().await.unwrap_err().refusals(), [Refusal::Edited { .. }]));
    edited.repair(Repair::Checksum(id("1")), "only a comment").await.unwrap();
    edited.ensure_current().await.unwrap();
    let verified = edited.verify().await.unwrap();
    assert_eq!((verified.migrations, verified.records, verified.bodies), (1, 2, 1));
    assert_eq!(kinds(&database), ["1 applied", "1 repaired"]);
}

#[tokio::test]
async fn a_rename_is_seen_and_put_right() {
    let database = MemoryDriver::new();
    migrator(&database, sql(&[("1", "a"), ("2", "b")])).up().await.unwrap();
    let renamed = migrator(&database, sql(&[("1", "a"), ("2_plans", "b")]));
    assert!(matches!(renamed.up().await.unwrap_err().refusals(), [Refusal::Renamed { .. }]));
    renamed.repair(Repair::Rename { from: id("2"), to: id("2_plans") }, "clearer").await.unwrap();
    renamed.ensure_current().await.unwrap();
    assert_eq!(database.journal(), ["a", "b"]);
    assert_eq!(kinds(&database)[2..], ["2_plans baseline", "2 reverted"]);
    renamed.verify().await.unwrap();
    let twice = renamed.repair(Repair::Rename { from: id("2"), to: id("2_plans") }, "meant").await;
    assert_eq!(twice.unwrap_err().kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn an_interrupted_migration_goes_on_where_it_stopped() {
    let database = MemoryDriver::without_transactions();
    migrator(&database, sql(&[("1", "a\nb\nfail\nd")])).up().await.unwrap_err();
    let mut policy = Policy::default();
    policy.on_interrupt = Some(OnInterrupt::Retry);
    let again = |text: &str| migrator(&database, sql(&[("1", text), ("2", "e")])).policy(policy.clone());
    let error = again("a\nB\nc\nd").up().await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::ResumeDiffers { statement: 2, .. }]), "{error}");
    // It fails again, one further.
    let error = again("a\nb\nc\nfail").up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    let plan = again("a\nb\nc\nd").plan().await.unwrap();
    assert_eq!(plan.steps[0].resume, Some(3));
    assert_eq!(again("a\nb\nc\nd").up().await.unwrap().ran.len(), 2);
    assert_eq!(database.journal(), ["a", "b", "c", "d", "e"]);
    assert_eq!(
        kinds(&database)[..7],
        ["1 started", "1 step_done", "1 step_done", "1 failed", "1 step_done", "1 failed", "1 step_done"]
    );
    again("a\nb\nc\nd").ensure_current().await.unwrap();
}

#[tokio::test]
async fn interrupted_code_that_may_runs_again() {
    let database = MemoryDriver::without_transactions();
    let failing = || code("1", |_| Box::pin(async { Err("no".into()) }));
    migrator(&database, Migrations::new([failing()])).up().await.unwrap_err();
    let mended = code("1", |cx| Box::pin(async move { Ok(cx.execute("done").await.map(drop)?) }));
    let mended = Code { meta: mended.meta.on_interrupt(OnInterrupt::Retry), body: mended.body };
    migrator(&database, Migrations::new([mended])).up().await.unwrap();
    assert_eq!(database.journal(), ["done"]);
}

#[tokio::test]
async fn what_was_only_counted_in_is_not_what_was_applied_last() {
    let database = MemoryDriver::new();
    migrator(&database, both_ways(&["1", "2", "3"])).up().await.unwrap();
    let two = |name: &str| {
        let renamed = SqlMigration::new("app", name, "do 1").unwrap().down("undo 1");
        both_ways(&["2", "3"]).and(renamed)
    };
    let renamed = migrator(&database, two("1_accounts"));
    renamed.repair(Repair::Rename { from: id("1"), to: id("1_accounts") }, "meant").await.unwrap();
    let report = renamed.down(Target::Back(1)).await.unwrap();
    assert_eq!(report.ran[0].migration, id("3"));
    let report = renamed.down(Target::Nothing).await.unwrap();
    assert_eq!(report.ran.iter().map(|ran| ran.migration.id()).collect::<Vec<_>>(), ["2", "1_accounts"]);
}

#[tokio::test]
async fn a_target_is_of_its_namespace() {
    let database = MemoryDriver::new();
    let of = |namespace: &str, name: &str| {
        SqlMigration::new(namespace, name, format!("do {namespace}/{name}")).unwrap().down("undo")
    };
    let needs = of("billing", "2").with(|meta| meta.depends_on([id("2")]));
    let all = Migrations::new([of("app", "1"), of("app", "2"), of("billing", "1"), needs]);
    let migrator = migrator(&database, all);
    // `billing` comes after `app`, and is nobody's affair here.
    let report = migrator.clone().target(Target::To("billing/1".parse().unwrap())).up().await.unwrap();
    assert_eq!(report.ran.len(), 1);
    migrator.up().await.unwrap();
    let report = migrator.down(Target::BackTo(id("1"))).await.unwrap();
    let ran: Vec<String> = report.ran.iter().map(|ran| ran.migration.to_string()).collect();
    assert_eq!(ran, ["billing/2", "app/2"], "and what depends on it");

    let database = MemoryDriver::new();
    let migrator = Migrator::new(database.clone()).migrations(Migrations::new([of("app", "1"), of("billing", "1")]));
    migrator.baseline(Some("billing/1"), "counted in").await.unwrap();
    assert_eq!(migrator.pending().await.unwrap(), [id("1")]);
}

#[tokio::test]
async fn what_is_being_written_can_be_redone() {
    let database = MemoryDriver::new();
    migrator(&database, both_ways(&["1", "2"])).up().await.unwrap();
    let better = SqlMigration::new("app", "2", "do 2, better").unwrap().down("undo 2");
    let edited = migrator(&database, both_ways(&["1"]).and(better));
    assert!(matches!(edited.up().await.unwrap_err().refusals(), [Refusal::Edited { .. }]));
    edited.redo().await.unwrap();
    assert_eq!(database.journal(), ["do 1", "do 2", "undo 2", "do 2, better"]);
    edited.ensure_current().await.unwrap();
}

#[tokio::test]
async fn only_what_the_target_asks_for_goes_on() {
    let database = MemoryDriver::without_transactions();
    let all = || sql(&[("1", "a"), ("2", "b\nfail"), ("3", "c")]);
    migrator(&database, all()).up().await.unwrap_err();
    let mut policy = Policy::default();
    policy.on_interrupt = Some(OnInterrupt::Retry);
    let error = migrator(&database, all()).policy(policy).target(Target::To(id("1"))).up().await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::Interrupted { .. }]), "{error}");
}

/// Code that was interrupted, may run again, and is another one now.
#[tokio::test]
async fn edited_code_does_not_go_on_where_edits_are_refused() {
    let database = MemoryDriver::without_transactions();
    let of = |checksum: &str, fails: bool| {
        let mut one = code("1", move |cx| {
            Box::pin(async move {
                cx.execute("one").await?;
                if fails { Err("half of it".into()) } else { Ok(()) }
            })
        });
        one.meta = Meta::new(id("1"), Checksum::parse(checksum).unwrap()).on_interrupt(OnInterrupt::Retry);
        let mut policy = Policy::default();
        policy.edited_code = Verdict::Refuse;
        migrator(&database, Migrations::new([one])).policy(policy)
    };
    assert_eq!(of("manual:1", true).up().await.unwrap_err().kind(), ErrorKind::Interrupted);
    let error = of("manual:2", false).up().await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::Edited { .. }]), "{error}");
    assert_eq!(of("manual:1", false).up().await.unwrap().ran.len(), 1);
}

/// What was reviewed runs as it was reviewed, or not at all; what it says to people does not count.
#[tokio::test]
async fn a_plan_that_says_something_else_is_stale() {
    let database = MemoryDriver::new();
    let all = migrator(&database, both_ways(&["1", "2"]));
    let plan = all.plan().await.unwrap();
    type Change = fn(&mut Plan);
    let changes: [(&str, Change); 12] = [
        ("migration", |plan| plan.steps[0].migration = id("9")),
        ("direction", |plan| plan.steps[0].direction = Direction::Down),
        ("checksum", |plan| plan.steps[1].checksum = Checksum::parse("manual:x").unwrap()),
        ("transaction", |plan| plan.steps[1].transaction = false),
        ("statements", |plan| plan.steps[0].statements = Some(7)),
        ("resume", |plan| plan.steps[0].resume = Some(1)),
        ("counts_in", |plan| plan.steps[0].counts_in = vec![id("9")]),
        ("skipped", |plan| plan.steps[1].skipped = true),
        ("puts_back", |plan| plan.steps[1].puts_back = Some(1)),
        ("group", |plan| plan.group = true),
        ("one less", |plan| drop(plan.steps.pop())),
        ("order", |plan| plan.steps.swap(0, 1)),
    ];
    for (what, change) in changes {
        let mut other = plan.clone();
        change(&mut other);
        let error = all.run(other).await.unwrap_err();
        assert!(matches!(error, Error::PlanStale { .. }), "{what}: {error}");
        assert!(database.journal().is_empty(), "{what}");
    }
    let mut reviewed = plan;
    reviewed.steps[0].notes.push("looked at".to_owned());
    reviewed.steps[1].description = "Adds two.".to_owned();
    assert_eq!(all.run(reviewed).await.unwrap().ran.len(), 2);
}
