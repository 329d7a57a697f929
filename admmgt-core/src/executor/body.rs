//! Runs one body: a function with its panics caught, or SQL statement by statement.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::records::numbered;
use super::{BodyError, Executor, Job, count, unwrapped};
use crate::context::Start;
use crate::driver::{Outcome, Recorded};
use crate::error::FailedStatement;
use crate::event::Event;
use crate::pause::{self, Pause};
use crate::record::{Batch, Record, micros};
use crate::{BoxError, Context, Direction, Error, Result, Script, Statement};

impl Executor<'_> {
    /// A body inside the transaction, and what it left behind.
    pub(super) async fn guarded(&mut self, job: Job<'_>) -> Result<(), BodyError> {
        self.body(job).await?;
        let done = self.cx.session().body_done().await;
        done.map_err(|error| BodyError { statement: None, error: unwrapped(error) })
    }

    /// Runs a body to its end, or until the lease is lost.
    pub(super) async fn body(&mut self, job: Job<'_>) -> Result<(), BodyError> {
        let mut lost = self.lease.lost();
        let mut body = Box::pin(self.whole(job));
        poll_fn(|task| match lost.as_mut().poll(task) {
            Poll::Ready(error) => Poll::Ready(Err(error.into())),
            Poll::Pending => body.as_mut().poll(task),
        })
        .await
    }

    /// SQL statement by statement, or the function with its panics caught.
    async fn whole(&mut self, job: Job<'_>) -> Result<(), BodyError> {
        let known = self.state.get(&job.step.migration).filter(|_| !job.step.transaction);
        let start = known.map(|known| Start { record: known.begun, is_first: known.since == known.begun });
        self.cx.enter(job.migration.meta(), start);
        let result = match job.script {
            Some(script) => self.statements(job, script).await,
            None if !job.step.counts_in.is_empty() => Ok(()),
            None => {
                let ended = caught(code(job, self.cx)).await;
                let ended = ended.and_then(|()| Ok(self.cx.check_lost()?));
                ended.map_err(BodyError::from)
            }
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
            let failed = |error| {
                let shown = dialect.redacted(&statement);
                let goes_on = !job.step.transaction && job.step.puts_back.is_none();
                let resumes = goes_on && dialect.is_resumable(&statement);
                let failed = FailedStatement::new(number, of, file, &statement, &shown).resumes(resumes);
                BodyError { statement: Some(failed), error }
            };
            if number <= done {
                if dialect.is_setting(&statement) {
                    let set = self.cx.session().execute(&statement).await;
                    set.map_err(|error| failed(unwrapped(error)))?;
                }
                continue;
            }
            let outcome = match job.step.transaction {
                true => self.cx.session().execute(&statement).await.map_err(unwrapped),
                false => self.outside_of_it(job, number, &statement, &mut ended).await,
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

    /// Runs a statement outside of a transaction of ours. One that can simply run again does, after an error that may
    /// be gone the next time; and where an earlier process may have ended it, that is looked at first.
    async fn outside_of_it(
        &mut self,
        job: Job<'_>,
        number: u32,
        statement: &Statement,
        ended: &mut Vec<Record>,
    ) -> Result<Outcome, BoxError> {
        if !self.cx.dialect().is_resumable(statement) {
            return self.recorded(job, number, statement, ended).await.map_err(unwrapped);
        }
        // What is known to have failed has not ended, whatever is there.
        let may_have_ended = self.state.get(&job.step.migration).is_some_and(|known| known.last_error.is_none());
        let goes_on = job.step.resume.is_some_and(|done| number == done + 1);
        if goes_on && self.cx.session().resuming(statement, may_have_ended).await.map_err(unwrapped)? {
            self.append(vec![self.checkpoint(job, number, statement)]).await?;
            return Ok(Outcome::default());
        }
        let mut pause = Pause::new(self.policy.retry_pause, pause::LONGEST);
        for retry in 0..self.policy.retries {
            let error = match self.recorded(job, number, statement, ended).await {
                Ok(outcome) => return Ok(outcome),
                Err(error) => unwrapped(error),
            };
            if !self.cx.session().is_transient(&error) {
                return Err(error);
            }
            let error = self.cx.session().describe(&error);
            self.observers.tell(&Event::MigrationRetried { migration: job.id(), retry, error });
            pause.wait(Duration::MAX).await;
        }
        self.recorded(job, number, statement, ended).await.map_err(unwrapped)
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
            let batch = make()?;
            self.append_patiently(&batch).await?;
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

    /// Puts on record what has ended already: only this is tried again, and never the statement.
    async fn append_patiently(&mut self, batch: &Batch) -> Result<()> {
        let mut pause = Pause::new(self.policy.retry_pause, pause::LONGEST);
        for _ in 0..self.policy.retries {
            match self.store.append(self.cx.session(), batch).await {
                Err(Error::Busy { .. }) => pause.wait(Duration::MAX).await,
                decided => return decided,
            }
        }
        self.store.append(self.cx.session(), batch).await.map_err(|error| match error {
            Error::Busy { .. } => {
                let words = format!("it has ended, and that could not be put on record: {error}");
                Error::database("recording that a statement has ended", None, words)
            }
            other => other,
        })
    }
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
