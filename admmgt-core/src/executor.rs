//! Runs the steps of a plan. The only file that starts a change.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Instant;

use tracing::Instrument;

use crate::driver::Atomicity;
use crate::error::{FailedStatement, Failure};
use crate::event::{Event, Observers};
use crate::history::State;
use crate::lease::Lease;
use crate::plan::{Plan, Step};
use crate::record::{ArchivedBody, Author, Record, RecordKind};
use crate::registry::MigrationSet;
use crate::report::{Ran, Report};
use crate::store::StateStore;
use crate::{BoxError, Context, Dialect, Direction, Error, Migration, MigrationId, Policy, Result};

/// Everything a run needs to change the database: it exists only while the lease is held.
pub(crate) struct Executor<'a> {
    pub(crate) set: &'a MigrationSet,
    pub(crate) policy: &'a Policy,
    pub(crate) observers: &'a Observers,
    pub(crate) author: &'a Author,
    pub(crate) store: &'a dyn StateStore,
    pub(crate) dialect: &'a dyn Dialect,
    pub(crate) cx: &'a mut Context,
    pub(crate) lease: &'a mut dyn Lease,
    pub(crate) state: State,
    pub(crate) report: &'a mut Report,
}

/// What a body failed with, and in which of its statements.
struct BodyError {
    statement: Option<FailedStatement>,
    error: BoxError,
}

impl Executor<'_> {
    /// Runs all steps, in order, and stops at the first that fails.
    pub(crate) async fn run(&mut self, plan: &Plan) -> Result<()> {
        if plan.group {
            return self.group(plan).await;
        }
        for step in &plan.steps {
            let span = tracing::info_span!("migration", id = %step.migration, direction = %step.direction);
            self.step(step).instrument(span).await?;
        }
        Ok(())
    }

    /// Writes one record in a transaction of its own.
    pub(crate) async fn record(&mut self, record: Record) -> Result<()> {
        self.append(vec![record]).await
    }

    async fn step(&mut self, step: &Step) -> Result<()> {
        self.started(step).await?;
        let clock = Instant::now();
        if step.transaction {
            self.in_transaction(step, clock).await?;
        } else {
            self.outside(step, clock).await?;
        }
        self.done(step, micros(clock));
        self.cx.session().reset().await
    }

    /// The change and its record are committed together.
    async fn in_transaction(&mut self, step: &Step, clock: Instant) -> Result<()> {
        self.cx.session().begin().await?;
        if let Err(failed) = self.body(step).await {
            return Err(self.roll_back(&[step], step, failed).await);
        }
        let record = self.ended(step, micros(clock))?;
        self.commit(&[step], step, vec![record]).await
    }

    /// All steps in one transaction: their records are written at its end.
    async fn group(&mut self, plan: &Plan) -> Result<()> {
        let Some(last) = plan.steps.last() else { return Ok(()) };
        self.lease.verify(self.cx.session()).await?;
        self.cx.session().begin().await?;
        let mut ended = Vec::with_capacity(plan.steps.len());
        for (at, step) in plan.steps.iter().enumerate() {
            self.announce(step);
            let clock = Instant::now();
            let span = tracing::info_span!("migration", id = %step.migration, direction = %step.direction);
            if let Err(failed) = self.body(step).instrument(span).await {
                let begun: Vec<&Step> = plan.steps[..=at].iter().collect();
                return Err(self.roll_back(&begun, step, failed).await);
            }
            ended.push(micros(clock));
        }
        let mut records = Vec::with_capacity(plan.steps.len());
        for (step, (duration, later)) in plan.steps.iter().zip(ended.iter().zip(0..)) {
            let mut record = self.ended(step, *duration)?;
            record.seq += later;
            records.push(record);
        }
        self.lease.verify(self.cx.session()).await?;
        self.commit(&plan.steps.iter().collect::<Vec<_>>(), last, records).await?;
        plan.steps.iter().zip(ended).for_each(|(step, duration)| self.done(step, duration));
        self.cx.session().reset().await
    }

    /// `started` is committed first and every statement is checkpointed, so that whatever happens
    /// the history knows how far it came.
    async fn outside(&mut self, step: &Step, clock: Instant) -> Result<()> {
        let mut record = self.event(step, RecordKind::Started)?;
        record.steps = step.statements.map(count);
        self.record(record).await?;
        let ended = self.body(step).await;
        // A transaction that the body left open would take the record with it.
        let cleaned = self.cx.session().reset().await;
        let cleaned = cleaned.map_err(|error| BodyError { statement: None, error: unwrapped(error) });
        match ended.and(cleaned) {
            Ok(()) => {
                let record = self.ended(step, micros(clock))?;
                if let Err(error) = self.record(record).await {
                    // The change is there and its record is not: that waits for a person, not for a retry.
                    let words = format!("its body ended well, and that could not be recorded: {error}");
                    return Err(self.interrupted(&[], step, BodyError { statement: None, error: words.into() }).await);
                }
                Ok(())
            }
            Err(failed) => Err(self.interrupted(&[], step, failed).await),
        }
    }

    /// SQL statement by statement, or the function with its panics caught.
    async fn body(&mut self, step: &Step) -> Result<(), BodyError> {
        let set = self.set;
        let migration = find(set, &step.migration).map_err(BodyError::from)?;
        self.cx.enter(migration.meta());
        let result = match migration.sql(step.direction) {
            Some(source) => {
                let mode = migration.meta().transaction;
                let script = self.dialect.parse(source.text(), mode);
                let script = script.map_err(|problems| BodyError::from(Error::Script { problems }))?;
                self.statements(step, source.file(), &script.statements).await
            }
            None => caught(code(migration, step.direction, self.cx)).await.map_err(BodyError::from),
        };
        self.cx.leave();
        if result.is_ok() {
            self.observers.tell(&Event::BodyDone { migration: step.migration.clone() });
        }
        result
    }

    async fn statements(&mut self, step: &Step, file: &str, statements: &[crate::Statement]) -> Result<(), BodyError> {
        // Ended, and inside a transaction of the file's own: if that is rolled back, they have not.
        let mut ended = Vec::new();
        for (at, statement) in statements.iter().enumerate() {
            let clock = Instant::now();
            let outcome = self.cx.session().execute(statement).await.map_err(|error| BodyError {
                statement: Some(FailedStatement::new(at + 1, statements.len(), file, statement)),
                error: unwrapped(error),
            })?;
            if !step.transaction {
                ended.push((at, micros(clock)));
                if !self.cx.session().in_transaction() {
                    self.checkpoint(step, statements, std::mem::take(&mut ended)).await?;
                }
            }
            self.observers.tell(&Event::StatementDone {
                migration: step.migration.clone(),
                number: count(at + 1),
                of: count(statements.len()),
                rows: outcome.rows_affected,
            });
        }
        Ok(())
    }

    /// Records statements that cannot be taken back any more.
    async fn checkpoint(
        &mut self,
        step: &Step,
        statements: &[crate::Statement],
        ended: Vec<(usize, u64)>,
    ) -> Result<()> {
        let mut records = Vec::with_capacity(ended.len());
        for ((at, duration_us), later) in ended.into_iter().zip(0..) {
            let mut record = self.event(step, RecordKind::StepDone)?;
            record.seq += later;
            record.step = Some(count(at + 1));
            record.steps = Some(count(statements.len()));
            record.duration_us = Some(duration_us);
            record.detail = Some(admmgt_files::checksum::of_sql(&statements[at].text));
            records.push(record);
        }
        self.append(records).await
    }

    async fn commit(&mut self, steps: &[&Step], last: &Step, records: Vec<Record>) -> Result<()> {
        let touched = self.state.touched_by(&records);
        let batch = self.state.batch(records, self.lease.token())?;
        match self.cx.session().commit(&batch).await {
            Ok(Atomicity::Kept) => Ok(()),
            Ok(Atomicity::Broken) => {
                self.state.restore(touched);
                let error = "its body ended the transaction by itself, so the change and its record could not be \
                             committed together. Take COMMIT, ROLLBACK and BEGIN out of it, or write `transaction = \"none\"`";
                Err(self.interrupted(steps, last, BodyError { statement: None, error: error.into() }).await)
            }
            Err(error) if blames_the_body(&error) => {
                self.state.restore(touched);
                Err(self.failed(last, BodyError { statement: None, error: unwrapped(error) }).await)
            }
            Err(error) => Err(error),
        }
    }

    /// Says "failed" only where the rollback took everything back.
    async fn roll_back(&mut self, begun: &[&Step], step: &Step, failed: BodyError) -> Error {
        match self.cx.session().rollback().await {
            Ok(Atomicity::Kept) => self.failed(step, failed).await,
            Ok(Atomicity::Broken) => self.interrupted(begun, step, failed).await,
            Err(error) => error,
        }
    }

    async fn failed(&mut self, step: &Step, failed: BodyError) -> Error {
        let error = self.cx.session().describe(&failed.error);
        self.remember(step, &error, &[]).await;
        self.observers.tell(&Event::MigrationFailed { migration: step.migration.clone(), error });
        Error::Failed(Box::new(self.failure(step, failed)))
    }

    /// `begun` are steps without a `started` record of their own yet.
    async fn interrupted(&mut self, begun: &[&Step], step: &Step, failed: BodyError) -> Error {
        let error = self.cx.session().describe(&failed.error);
        self.remember(step, &error, begun).await;
        self.observers.tell(&Event::MigrationInterrupted { migration: step.migration.clone(), error });
        Error::Interrupted(Box::new(self.failure(step, failed)))
    }

    /// Records a failure. That this fails too must not hide what happened: it is only a notice.
    async fn remember(&mut self, step: &Step, error: &str, begun: &[&Step]) {
        let written = match self.failure_records(step, error, begun) {
            Ok(records) => self.append(records).await,
            Err(error) => Err(error),
        };
        if let Err(problem) = written {
            let text = format!("the failure of `{}` could not be recorded: {problem}", step.migration);
            self.observers.tell(&Event::Notice { text });
        }
    }

    fn failure_records(&self, step: &Step, error: &str, begun: &[&Step]) -> Result<Vec<Record>> {
        let mut records = Vec::with_capacity(begun.len() + 1);
        for step in begun {
            records.push(self.event(step, RecordKind::Started)?);
        }
        let mut record = self.event(step, RecordKind::Failed)?;
        record.detail = Some(error.to_owned());
        records.push(record);
        records.iter_mut().zip(0..).for_each(|(record, later)| record.seq += later);
        Ok(records)
    }

    async fn append(&mut self, records: Vec<Record>) -> Result<()> {
        let touched = self.state.touched_by(&records);
        let batch = self.state.batch(records, self.lease.token())?;
        let written = self.store.append(self.cx.session(), &batch).await;
        if written.is_err() {
            self.state.restore(touched);
        }
        written
    }

    async fn started(&mut self, step: &Step) -> Result<()> {
        self.lease.verify(self.cx.session()).await?;
        self.announce(step);
        Ok(())
    }

    fn announce(&self, step: &Step) {
        self.observers.tell(&Event::MigrationStarted {
            migration: step.migration.clone(),
            direction: step.direction,
            transaction: step.transaction,
        });
    }

    fn done(&mut self, step: &Step, duration_us: u64) {
        let (direction, transaction) = (step.direction, step.transaction);
        self.report.ran.push(Ran { migration: step.migration.clone(), direction, transaction, duration_us });
        self.observers.tell(&Event::MigrationDone { migration: step.migration.clone(), direction, duration_us });
    }

    fn failure(&mut self, step: &Step, failed: BodyError) -> Failure {
        let BodyError { statement, error } = failed;
        let message = self.cx.session().describe(&error);
        let (migration, direction) = (step.migration.clone(), step.direction);
        Failure { migration, direction, statement, report: self.report.clone(), message, error }
    }

    /// The record of a body that ended well, with its SQL where that is wanted.
    fn ended(&self, step: &Step, duration_us: u64) -> Result<Record> {
        let kind = match step.direction {
            Direction::Up => RecordKind::Applied,
            Direction::Down => RecordKind::Reverted,
        };
        let mut record = self.event(step, kind)?;
        record.steps = step.statements.map(count);
        record.duration_us = Some(duration_us);
        if self.policy.archive_bodies {
            let source = find(self.set, &step.migration)?.sql(step.direction);
            record.body = source.and_then(|source| ArchivedBody::pack(source.text()));
        }
        Ok(record)
    }

    fn event(&self, step: &Step, kind: RecordKind) -> Result<Record> {
        let meta = find(self.set, &step.migration)?.meta();
        let (checksum, id) = (meta.checksum.clone(), meta.id.clone());
        Ok(Record::new(self.state.seq() + 1, id, kind, step.direction, checksum, meta.origin, self.author))
    }
}

/// A plan can come from a file: what it names need not be registered here.
fn find<'a>(set: &'a MigrationSet, id: &MigrationId) -> Result<&'a dyn Migration> {
    set.get(id).ok_or_else(|| Error::PlanStale { problem: format!("`{id}` is not registered in this program") })
}

async fn code(migration: &dyn Migration, direction: Direction, cx: &mut Context) -> Result<(), BoxError> {
    match direction {
        Direction::Up => migration.up(cx).await,
        Direction::Down => migration.down(cx).await,
    }
}

/// The future's result, or its panic as an error.
async fn caught<F: Future<Output = Result<(), BoxError>> + Send>(future: F) -> Result<(), BoxError> {
    let mut future = Box::pin(future);
    poll_fn(move |task| {
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(task))).unwrap_or_else(|panic| {
            let text = format!("it panicked: {}", panic_text(&*panic));
            Poll::Ready(Err(text.into()))
        })
    })
    .await
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a value that is not text")
}

/// Whether the body made the commit fail (a deferred constraint), rather than the run around it.
fn blames_the_body(error: &Error) -> bool {
    matches!(error, Error::Database { .. })
}

/// The database's own words, without "while committing" around them.
fn unwrapped(error: Error) -> BoxError {
    match error {
        Error::Database { error, .. } => error,
        other => Box::new(other),
    }
}

fn micros(clock: Instant) -> u64 {
    u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl From<Error> for BodyError {
    fn from(error: Error) -> Self {
        Self { statement: None, error: Box::new(error) }
    }
}

impl From<BoxError> for BodyError {
    fn from(error: BoxError) -> Self {
        Self { statement: None, error }
    }
}
