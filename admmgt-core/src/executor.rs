//! Runs the steps of a plan. The only file that starts a change.

mod body;
mod records;

use std::time::{Duration, Instant};

use tracing::Instrument;

pub(crate) use self::body::caught;
use self::records::numbered;
use crate::driver::Atomicity;
use crate::error::{FailedStatement, Failure};
use crate::event::{Event, Observers};
use crate::history::State;
use crate::lease::Lease;
use crate::pause::{self, Pause};
use crate::plan::{Prepared, Step};
use crate::record::{Author, Record, RecordKind, micros};
use crate::registry::MigrationSet;
use crate::report::{Ran, Report};
use crate::store::StateStore;
use crate::{BoxError, Context, Error, Migration, MigrationId, Origin, Policy, Result, Script};

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
            self.in_transaction(&jobs).await?;
            return self.cx.reset().await;
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
        self.cx.reset().await
    }

    /// Tries again what met an error that may be gone the next time, and was rolled back as a whole.
    async fn in_transaction(&mut self, jobs: &[Job<'_>]) -> Result<()> {
        let mut pause = Pause::new(self.policy.retry_pause, pause::LONGEST);
        let mut retry = 0;
        loop {
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
            pause.wait(Duration::MAX).await;
            self.lease.verify(self.cx.session()).await?;
            retry += 1;
        }
    }

    /// The change and its record are committed together.
    async fn one(&mut self, job: Job<'_>) -> Result<(), Missed> {
        let clock = Instant::now();
        self.cx.session().begin(job.migration.meta().origin).await?;
        if let Err(failed) = self.guarded(job).await {
            return Err(self.roll_back(&[job], job, failed).await);
        }
        let records = numbered(self.ended(job, micros(clock.elapsed())));
        self.commit(&[job], job, records).await
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
            let mut ran = self.guarded(*job).instrument(job.span()).await;
            if ran.is_ok() && at + 1 < jobs.len() {
                let between = self.cx.session().between_bodies().await;
                ran = between.map_err(|error| BodyError { statement: None, error: unwrapped(error) });
            }
            if let Err(failed) = ran {
                return Err(self.roll_back(&jobs[..=at], *job, failed).await);
            }
            ended.push(micros(clock.elapsed()));
        }
        let records = jobs.iter().zip(&ended).flat_map(|(job, duration)| self.ended(*job, *duration));
        let records = numbered(records.collect());
        self.lease.verify(self.cx.session()).await?;
        self.commit(jobs, *last, records).await?;
        jobs.iter().zip(ended).for_each(|(job, duration)| self.done(*job, duration));
        Ok(())
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
        let ended = match self.body(job).await {
            Err(failed) if failed.is_lease_lost() => return Err(failed.into_error()),
            ended => ended,
        };
        // A transaction that the body left open would take the record with it.
        let cleaned = self.cx.reset().await;
        if let Err(lost @ Error::ConnectionLost { .. }) = cleaned {
            // Nothing can be put on record now; what is there tells how far it came.
            return Err(lost);
        }
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

    async fn commit(&mut self, begun: &[Job<'_>], last: Job<'_>, records: Vec<Record>) -> Result<(), Missed> {
        let batch = self.state.batch(records, self.lease.token())?;
        match self.cx.session().commit(&batch).await {
            Ok(Atomicity::Kept) => {
                self.state.accept(batch);
                Ok(())
            }
            Ok(Atomicity::Broken) => {
                let error = "its body ended the transaction by itself, so the change and its record could not be \
                             committed together. Take COMMIT, ROLLBACK and BEGIN out of it, or write `transaction = \"none\"` (in a SQL file: `-- no-transaction` as its first line)";
                Err(self.interrupted(begun, last, BodyError { statement: None, error: error.into() }).await.into())
            }
            Err(error) if blames_the_body(&error) => {
                let failed = BodyError { statement: None, error: unwrapped(error) };
                if self.cx.session().is_transient(&failed.error) {
                    return Err(Missed::Transient { job: begun.len().saturating_sub(1), failed });
                }
                Err(self.failed(last, failed).await.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Says "failed" only where the rollback took everything back.
    async fn roll_back(&mut self, begun: &[Job<'_>], job: Job<'_>, failed: BodyError) -> Missed {
        if failed.is_lease_lost() {
            // Whoever has it now is not to be disturbed: the session is dropped.
            return Missed::Error(failed.into_error());
        }
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
        let (message, shown) = (self.cx.session().explain(&error), self.cx.session().may_be_shown(&error));
        let (migration, direction) = (job.id(), job.step.direction);
        Failure { migration, direction, statement, report: self.report.clone(), message, error, shown }
    }
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

impl BodyError {
    fn is_lease_lost(&self) -> bool {
        matches!(self.error.downcast_ref(), Some(Error::LeaseLost { .. }))
    }

    /// The error of the run around the body.
    fn into_error(self) -> Error {
        self.error.downcast().map_or_else(|error| Error::database("running a migration", None, error), |error| *error)
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
