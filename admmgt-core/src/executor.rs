//! Runs the steps of a plan. The only file that starts a change.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::{Duration, Instant};

use tracing::Instrument;

use crate::amend::{as_before, no_more_replaced, replaced};
use crate::driver::{Atomicity, Outcome, Recorded};
use crate::error::{FailedStatement, Failure};
use crate::event::{Event, Observers};
use crate::history::State;
use crate::lease::Lease;
use crate::plan::{Prepared, Step};
use crate::record::{ArchivedBody, Author, Record, RecordKind, micros};
use crate::registry::MigrationSet;
use crate::report::{Ran, Report};
use crate::store::StateStore;
use crate::{BoxError, Context, Direction, Error, Migration, MigrationId, Origin, Policy, Result, Script, Statement};

/// Everything a run needs to change the database: it exists only while the lease is held.
pub(crate) struct Executor<'a> {
    pub(crate) set: &'a MigrationSet,
    pub(crate) policy: &'a Policy,
    pub(crate) observers: &'a Observers,
    pub(crate) author: &'a Author,
    pub(crate) store: &'a dyn StateStore,
    pub(crate) cx: &'a mut Context,
    pub(crate) lease: &'a mut dyn Lease,
    pub(crate) state: State,
    pub(crate) report: &'a mut Report,
}

/// One step, with what it names.
#[derive(Clone, Copy)]
struct Job<'p> {
    step: &'p Step,
    migration: &'p dyn Migration,
    /// Its statements; `None` for code.
    script: Option<&'p Script>,
}

impl<'p> Job<'p> {
    fn all(prepared: &'p Prepared, set: &'p MigrationSet) -> Result<Vec<Self>> {
        let steps = prepared.plan.steps.iter().zip(&prepared.scripts);
        let job = |(step, script): (&'p Step, &'p Option<Script>)| {
            let migration = set.get(&step.migration);
            let migration = migration.ok_or_else(|| Error::PlanStale {
                problem: format!("`{}` is not registered in this program", step.migration),
            })?;
            Ok(Self { step, migration, script: script.as_ref() })
        };
        steps.map(job).collect()
    }

    fn id(&self) -> MigrationId {
        self.step.migration.clone()
    }

    fn span(&self) -> tracing::Span {
        tracing::info_span!("migration", id = %self.step.migration, direction = %self.step.direction)
    }
}

/// The longest pause between two tries.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a body failed with, and in which of its statements.
struct BodyError {
    statement: Option<FailedStatement>,
    error: BoxError,
}

impl Executor<'_> {
    /// Runs all steps, in order, and stops at the first that fails.
    pub(crate) async fn run(&mut self, prepared: &Prepared) -> Result<()> {
        let (skipped, jobs): (Vec<_>, Vec<_>) =
            Job::all(prepared, self.set)?.into_iter().partition(|job| job.step.skipped);
        for job in skipped {
            let mut record = self.event(job, RecordKind::Skipped);
            record.detail = Some("it is not applied".to_owned());
            self.lease.verify(self.cx.session()).await?;
            self.append(vec![record]).await?;
            self.report.skipped.push(job.id());
        }
        if prepared.plan.group {
            return self.in_transaction(&jobs).await;
        }
        for job in jobs {
            self.step(job).instrument(job.span()).await?;
        }
        Ok(())
    }

    /// Writes records in a transaction of their own.
    pub(crate) async fn record(&mut self, records: Vec<Record>) -> Result<()> {
        self.append(records).await
    }

    async fn step(&mut self, job: Job<'_>) -> Result<()> {
        self.lease.verify(self.cx.session()).await?;
        self.announce(job);
        let clock = Instant::now();
        if !job.step.counts_in.is_empty() {
            self.append(numbered(self.counted_in(job))).await?;
        } else if job.step.transaction {
            self.in_transaction(&[job]).await?;
        } else {
            self.outside(job, clock).await?;
        }
        self.done(job, micros(clock.elapsed()));
        self.cx.session().reset().await
    }

    /// Tries again what met an error that may be gone the next time, and was rolled back as a whole.
    async fn in_transaction(&mut self, jobs: &[Job<'_>]) -> Result<()> {
        let mut pause = self.policy.retry_pause.clamp(Duration::from_millis(1), LONGEST_PAUSE);
        for retry in 0.. {
            let tried = match jobs {
                [job] if !self.policy.group => self.one(*job).await,
                jobs => self.all(jobs).await,
            };
            let missed = match tried {
                Ok(()) => return Ok(()),
                Err(missed) => missed,
            };
            if retry >= self.policy.retries || !missed.is_transient() {
                return Err(match missed {
                    Missed::Error(error) => error,
                    Missed::Transient { job, failed } => self.failed(jobs[job], failed).await,
                });
            }
            let (at, error) = match &missed {
                Missed::Error(error) => (0, error.to_string()),
                Missed::Transient { job, failed } => (*job, self.cx.session().describe(&failed.error)),
            };
            self.observers.tell(&Event::MigrationRetried { migration: jobs[at].id(), retry, error });
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            self.lease.verify(self.cx.session()).await?;
        }
        Ok(())
    }

    /// The change and its record are committed together.
    async fn one(&mut self, job: Job<'_>) -> Result<(), Missed> {
        let clock = Instant::now();
        self.cx.session().begin(job.migration.meta().origin).await?;
        if let Err(failed) = self.guarded(job).await {
            return Err(self.roll_back(&[job], job, failed).await);
        }
        let records = numbered(self.ended(job, micros(clock.elapsed())));
        Ok(self.commit(&[job], job, records).await?)
    }

    /// All steps in one transaction: their records are written at its end.
    async fn all(&mut self, jobs: &[Job<'_>]) -> Result<(), Missed> {
        let Some(last) = jobs.last() else { return Ok(()) };
        self.lease.verify(self.cx.session()).await?;
        let code = jobs.iter().any(|job| job.migration.meta().origin == Origin::Code);
        self.cx.session().begin(if code { Origin::Code } else { Origin::Sql }).await?;
        let mut ended = Vec::with_capacity(jobs.len());
        for (at, job) in jobs.iter().enumerate() {
            self.announce(*job);
            let clock = Instant::now();
            if let Err(failed) = self.guarded(*job).instrument(job.span()).await {
                return Err(self.roll_back(&jobs[..=at], *job, failed).await);
            }
            ended.push(micros(clock.elapsed()));
        }
        let records = jobs.iter().zip(&ended).flat_map(|(job, duration)| self.ended(*job, *duration));
        let records = numbered(records.collect());
        self.lease.verify(self.cx.session()).await?;
        self.commit(jobs, *last, records).await?;
        jobs.iter().zip(ended).for_each(|(job, duration)| self.done(*job, duration));
        Ok(self.cx.session().reset().await?)
    }

    /// `started` is committed first and every statement is checkpointed, so that whatever happens
    /// the history knows how far it came.
    async fn outside(&mut self, job: Job<'_>, clock: Instant) -> Result<()> {
        // What goes on has its `started` and its checkpoints already; code begins again.
        if job.script.is_none() || job.step.resume.is_none() {
            let mut record = self.event(job, RecordKind::Started);
            record.steps = job.step.statements.map(count);
            self.append(vec![record]).await?;
        }
        self.catch_up(job).await?;
        let ended = self.body(job).await;
        // A transaction that the body left open would take the record with it.
        let cleaned = self.cx.session().reset().await;
        let cleaned = cleaned.map_err(|error| BodyError { statement: None, error: unwrapped(error) });
        match ended.and(cleaned) {
            Ok(()) => {
                let records = numbered(self.ended(job, micros(clock.elapsed())));
                if let Err(error) = self.append(records).await {
                    // The change is there and its record is not: that waits for a person, not for a retry.
                    let words = format!("its body ended well, and that could not be recorded: {error}");
                    return Err(self.interrupted(&[], job, BodyError { statement: None, error: words.into() }).await);
                }
                Ok(())
            }
            Err(failed) => Err(self.interrupted(&[], job, failed).await),
        }
    }

    /// Puts on record what a probe has found to have ended, beyond what is known.
    async fn catch_up(&mut self, job: Job<'_>) -> Result<()> {
        let known = self.state.get(&job.step.migration).map_or(0, |known| known.step_hashes.len());
        let (Some(script), Some(resume)) = (job.script, job.step.resume) else { return Ok(()) };
        let ended = usize::try_from(resume).unwrap_or(usize::MAX);
        if ended <= known {
            return Ok(());
        }
        let (source, dialect) = (job.migration.sql(job.step.direction), self.cx.dialect());
        let unreadable = |error: io::Error| Error::Usage { problem: error.to_string() };
        let mut records = Vec::new();
        for (statement, number) in script.iter(source, &*dialect).map_err(unreadable)?.zip(1..).take(ended).skip(known)
        {
            let statement = statement.map_err(unreadable)?;
            records.push(self.checkpoint(job, number, &statement));
        }
        self.append(numbered(records)).await
    }

    /// A statement has ended well.
    fn checkpoint(&self, job: Job<'_>, number: u32, statement: &Statement) -> Record {
        let mut record = self.event(job, RecordKind::StepDone);
        record.step = Some(number);
        record.steps = job.step.statements.map(count);
        record.detail = Some(admmgt_files::checksum::of_sql(&statement.text));
        record
    }

    /// A body inside the transaction, and what it left behind.
    async fn guarded(&mut self, job: Job<'_>) -> Result<(), BodyError> {
        self.body(job).await?;
        let done = self.cx.session().body_done().await;
        done.map_err(|error| BodyError { statement: None, error: unwrapped(error) })
    }

    /// SQL statement by statement, or the function with its panics caught.
    async fn body(&mut self, job: Job<'_>) -> Result<(), BodyError> {
        self.cx.enter(job.migration.meta());
        let result = match job.script {
            Some(script) => self.statements(job, script).await,
            None if !job.step.counts_in.is_empty() => Ok(()),
            None => caught(code(job, self.cx)).await.map_err(BodyError::from),
        };
        self.cx.leave();
        if result.is_ok() {
            self.observers.tell(&Event::BodyDone { migration: job.id() });
        }
        result
    }

    async fn statements(&mut self, job: Job<'_>, script: &Script) -> Result<(), BodyError> {
        let source = job.migration.sql(job.step.direction).filter(|_| job.step.puts_back.is_none());
        let file = source.map_or("the history", |source| source.file());
        let unreadable = |error: io::Error| BodyError { statement: None, error: error.into() };
        let dialect = self.cx.dialect();
        let statements = script.iter(source, &*dialect).map_err(unreadable)?;
        let (of, mut ran) = (count(script.count()), 0);
        // Ended, and inside a transaction of the file's own: if that is rolled back, they have not.
        let mut ended = Vec::new();
        let done = job.step.resume.unwrap_or(0);
        for (statement, number) in statements.zip(1..) {
            let statement = statement.map_err(unreadable)?;
            ran = number;
            if number <= done {
                continue;
            }
            let failed = |error| BodyError {
                statement: Some(FailedStatement::new(number, of, file, &statement)),
                error: unwrapped(error),
            };
            let outcome = match job.step.transaction {
                true => self.cx.session().execute(&statement).await,
                false => self.recorded(job, number, &statement, &mut ended).await,
            };
            let outcome = outcome.map_err(failed)?;
            let rows = outcome.rows_affected;
            self.observers.tell(&Event::StatementDone { migration: job.id(), number, of, rows });
        }
        if ran != of {
            return Err(unreadable(io::Error::other(format!(
                "{file} was edited while it ran: {ran} of {of} statements"
            ))));
        }
        Ok(())
    }

    /// Runs a statement outside of a transaction of ours, with its checkpoint. `ended` are those that ran before it in
    /// a transaction of the file's own: if that is rolled back, they have not.
    async fn recorded(
        &mut self,
        job: Job<'_>,
        number: u32,
        statement: &Statement,
        ended: &mut Vec<Record>,
    ) -> Result<Outcome> {
        let clock = Instant::now();
        let checkpoint = self.checkpoint(job, number, statement);
        let mut made = None;
        let (state, fence) = (&self.state, self.lease.token());
        let mut make = || {
            let mut record = checkpoint.clone();
            record.duration_us = Some(micros(clock.elapsed()));
            ended.push(record);
            let batch = state.batch(numbered(std::mem::take(ended)), fence)?;
            made = Some(batch.clone());
            Ok(batch)
        };
        let (outcome, recorded) = self.cx.session().execute_recorded(statement, &mut make).await?;
        if recorded == Recorded::NotYet {
            self.store.append(self.cx.session(), &make()?).await?;
        }
        match made {
            Some(batch) => self.state.accept(batch),
            None => {
                let duration_us = Some(micros(clock.elapsed()));
                ended.push(Record { duration_us, ..checkpoint });
            }
        }
        Ok(outcome)
    }

    async fn commit(&mut self, begun: &[Job<'_>], last: Job<'_>, records: Vec<Record>) -> Result<()> {
        let batch = self.state.batch(records, self.lease.token())?;
        match self.cx.session().commit(&batch).await {
            Ok(Atomicity::Kept) => {
                self.state.accept(batch);
                Ok(())
            }
            Ok(Atomicity::Broken) => {
                let error = "its body ended the transaction by itself, so the change and its record could not be \
                             committed together. Take COMMIT, ROLLBACK and BEGIN out of it, or write `transaction = \"none\"` (in a SQL file: `-- no-transaction` as its first line)";
                Err(self.interrupted(begun, last, BodyError { statement: None, error: error.into() }).await)
            }
            Err(error) if blames_the_body(&error) => {
                Err(self.failed(last, BodyError { statement: None, error: unwrapped(error) }).await)
            }
            Err(error) => Err(error),
        }
    }

    /// Says "failed" only where the rollback took everything back.
    async fn roll_back(&mut self, begun: &[Job<'_>], job: Job<'_>, failed: BodyError) -> Missed {
        let is_transient = self.cx.session().is_transient(&failed.error);
        match self.cx.session().rollback().await {
            Ok(Atomicity::Kept) if is_transient => Missed::Transient { job: begun.len().saturating_sub(1), failed },
            Ok(Atomicity::Kept) => Missed::Error(self.failed(job, failed).await),
            Ok(Atomicity::Broken) => Missed::Error(self.interrupted(begun, job, failed).await),
            Err(error) => Missed::Error(error),
        }
    }

    async fn failed(&mut self, job: Job<'_>, failed: BodyError) -> Error {
        let error = self.cx.session().describe(&failed.error);
        self.remember(job, &error, &[]).await;
        self.observers.tell(&Event::MigrationFailed { migration: job.id(), error });
        Error::Failed(Box::new(self.failure(job, failed)))
    }

    /// `begun` are those without a `started` record of their own yet.
    async fn interrupted(&mut self, begun: &[Job<'_>], job: Job<'_>, failed: BodyError) -> Error {
        let error = self.cx.session().describe(&failed.error);
        self.remember(job, &error, begun).await;
        self.observers.tell(&Event::MigrationInterrupted { migration: job.id(), error });
        Error::Interrupted(Box::new(self.failure(job, failed)))
    }

    /// Records a failure. That this fails too must not hide what happened: it is only a notice.
    async fn remember(&mut self, job: Job<'_>, error: &str, begun: &[Job<'_>]) {
        let mut failed = self.event(job, RecordKind::Failed);
        failed.detail = Some(error.to_owned());
        let begun = begun.iter().filter(|job| job.step.counts_in.is_empty());
        let started = begun.map(|job| self.event(*job, RecordKind::Started));
        let records = numbered(started.chain([failed]).collect());
        if let Err(problem) = self.append(records).await {
            let text = format!("the failure of `{}` could not be recorded: {problem}", job.step.migration);
            self.observers.tell(&Event::Notice { text });
        }
    }

    async fn append(&mut self, records: Vec<Record>) -> Result<()> {
        let batch = self.state.batch(records, self.lease.token())?;
        self.store.append(self.cx.session(), &batch).await?;
        self.state.accept(batch);
        Ok(())
    }

    fn announce(&self, job: Job<'_>) {
        self.observers.tell(&Event::MigrationStarted {
            migration: job.id(),
            direction: job.step.direction,
            transaction: job.step.transaction,
        });
    }

    fn done(&mut self, job: Job<'_>, duration_us: u64) {
        let (direction, transaction) = (job.step.direction, job.step.transaction);
        let notes = job.step.notes.clone();
        self.report.ran.push(Ran { migration: job.id(), direction, transaction, duration_us, notes });
        self.observers.tell(&Event::MigrationDone { migration: job.id(), direction, duration_us });
    }

    fn failure(&mut self, job: Job<'_>, failed: BodyError) -> Failure {
        let BodyError { statement, error } = failed;
        let message = self.cx.session().describe(&error);
        let (migration, direction) = (job.id(), job.step.direction);
        Failure { migration, direction, statement, report: self.report.clone(), message, error }
    }

    /// The records of a body that ended well, with its SQL where that is wanted.
    fn ended(&self, job: Job<'_>, duration_us: u64) -> Vec<Record> {
        if !job.step.counts_in.is_empty() {
            return self.counted_in(job);
        }
        let kind = match job.step.direction {
            Direction::Up => RecordKind::Applied,
            Direction::Down => RecordKind::Reverted,
        };
        let mut record = self.event(job, kind);
        if let Some(checksum) = &job.step.puts_back {
            let known = self.state.get(&job.step.migration);
            let earlier = known.into_iter().flat_map(|known| &known.earlier);
            if let Some(earlier) = earlier.rev().find(|earlier| earlier.checksum == *checksum) {
                record = self.next(as_before(&job.step.migration, earlier, RecordKind::Applied, self.author));
            }
        } else if self.policy.archive_bodies {
            let source = job.migration.sql(job.step.direction);
            record.body = source.and_then(|source| source.text()).and_then(ArchivedBody::pack);
        }
        record.steps = job.step.statements.map(count);
        record.duration_us = Some(duration_us);
        let mut records = vec![record];
        if job.step.direction == Direction::Down {
            let back = no_more_replaced(job.migration.meta(), &self.state, self.author);
            records.extend(back.into_iter().map(|record| self.next(record)));
        }
        records
    }

    /// It stands for what is applied, from here on.
    fn counted_in(&self, job: Job<'_>) -> Vec<Record> {
        let replaced = replaced(job.migration.meta(), &self.state, self.author);
        let mut there = self.event(job, RecordKind::Baseline);
        there.detail = Some(format!("it replaces {}", crate::report::counted(job.step.counts_in.len()).0));
        replaced.into_iter().map(|record| self.next(record)).chain([there]).collect()
    }

    /// A record with the next number.
    fn next(&self, mut record: Record) -> Record {
        record.seq = self.state.seq() + 1;
        record
    }

    /// The next record.
    fn event(&self, job: Job<'_>, kind: RecordKind) -> Record {
        let meta = job.migration.meta();
        // What is taken back is what was applied, whatever is registered now.
        let known = self.state.get(&meta.id).filter(|_| job.step.direction == Direction::Down);
        let (checksum, origin) = known.map_or((&meta.checksum, meta.origin), |known| (&known.checksum, known.origin));
        Record::new(self.state.seq() + 1, job.id(), kind, job.step.direction, checksum.clone(), origin, self.author)
    }
}

/// Records that were all made to be the next one, one after the other.
fn numbered(mut records: Vec<Record>) -> Vec<Record> {
    records.iter_mut().zip(0..).for_each(|(record, later)| record.seq += later);
    records
}

async fn code(job: Job<'_>, cx: &mut Context) -> Result<(), BoxError> {
    match job.step.direction {
        Direction::Up => job.migration.up(cx).await,
        Direction::Down => job.migration.down(cx).await,
    }
}

/// The future's result, or its panic as an error.
pub(crate) async fn caught<T, F: Future<Output = Result<T, BoxError>> + Send>(future: F) -> Result<T, BoxError> {
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

fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

impl From<Error> for BodyError {
    fn from(error: Error) -> Self {
        Self { statement: None, error: Box::new(error) }
    }
}

/// Why a transaction did not come to its end.
enum Missed {
    Error(Error),
    /// Everything was rolled back, and the next time may be better. `job` is the one that failed.
    Transient {
        job: usize,
        failed: BodyError,
    },
}

impl Missed {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Error(Error::Busy { .. }) | Self::Transient { .. })
    }
}

impl From<Error> for Missed {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<BoxError> for BodyError {
    fn from(error: BoxError) -> Self {
        Self { statement: None, error }
    }
}
