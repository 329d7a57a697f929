//! Takes the lease, does what is to be done while it is ours, and lets go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::amend::Amendment;
use crate::backfill::Keeping;
use crate::driver::Session;
use crate::event::Event;
use crate::executor::Executor;
use crate::history::State;
use crate::lease::{Acquired, Lease, LeaseRequest};
use crate::pause::{self, Pause};
use crate::plan::{Plan, Prepared};
use crate::probe;
use crate::report::Report;
use crate::run::Run;
use crate::{Capabilities, Context, Direction, Error, MigrationId, OnInterrupt, Probed, Resolution, Result, Standing};

/// Whatever the policy says, a waiting run looks this often.
const LONGEST_POLL: Duration = Duration::from_secs(60);

/// A run that has the lease.
pub(crate) struct Leased<'a> {
    pub(crate) run: &'a Run,
    pub(crate) cx: Context,
    pub(crate) lease: Box<dyn Lease>,
}

impl Leased<'_> {
    /// Plans for the history as it is now; `first` is what was planned without the lease.
    pub(crate) async fn apply(
        &mut self,
        first: Option<(Prepared, Capabilities)>,
        given: Option<&Plan>,
        report: &mut Report,
    ) -> Result<()> {
        let (history, state) = self.run.history(self.cx.session()).await?;
        self.run.confirm(&history.records, report);
        let (state, probed) = self.probed(state).await?;
        let capabilities = self.cx.session().capabilities();
        let prepared = match first {
            // Planning is a pure function: the same history has the same plan.
            Some((first, same)) if first.plan.base == *state.heads() && same == *capabilities => first,
            _ => self.run.decide_knowing(&state, Some(capabilities), given, &probed)?,
        };
        self.run.notice(&prepared.plan, report);
        self.run.observers.tell(&Event::Planned { migrations: prepared.plan.migrations() });
        self.executor(state, report, async |executor| executor.run(&prepared).await).await
    }

    /// Asks the probes of what was interrupted on its way forwards. What they found done is recorded; returned is
    /// the history as it is then, and what goes on behind how many statements.
    async fn probed(&mut self, mut state: State) -> Result<(State, Vec<(MigrationId, Option<u32>)>)> {
        let (set, policy) = (Arc::clone(&self.run.set), &self.run.policy);
        let mut goes_on = Vec::new();
        if self.run.target.direction() == Direction::Down || !self.run.faults.is_empty() {
            return Ok((state, goes_on));
        }
        let forwards = |standing: &Standing| matches!(standing, Standing::Interrupted { direction: Direction::Up, .. });
        let interrupted = state.interrupted().into_iter().filter(|(_, known)| forwards(&known.standing));
        let ids: Vec<MigrationId> = interrupted.map(|(id, _)| id.clone()).collect();
        for id in ids {
            let Some(migration) = set.get(&id) else { continue };
            if policy.on_interrupt.unwrap_or(migration.meta().on_interrupt) != OnInterrupt::Probe {
                continue;
            }
            let text = match probe::look(migration, &mut self.cx).await? {
                Ok(Probed::Done) => {
                    let amendment = Amendment::Resolve(id.clone(), Resolution::Applied);
                    self.amend(&amendment, "its probe found the whole change").await?;
                    (_, state) = self.run.history(self.cx.session()).await?;
                    format!("the probe of `{id}` found the whole change: it counts as applied")
                }
                Ok(Probed::NotDone) => {
                    let text = format!("the probe of `{id}` found that it goes on where it was interrupted");
                    goes_on.push((id, None));
                    text
                }
                Ok(Probed::Statements(count)) => {
                    let text = format!("the probe of `{id}` found that {count} of its statements have ended");
                    goes_on.push((id, Some(count)));
                    text
                }
                Ok(Probed::Unknown) => format!("the probe of `{id}` cannot tell how far it came"),
                Err(error) => format!("the probe of `{id}` failed: {}", self.cx.session().describe(&error)),
            };
            self.run.observers.tell(&Event::Notice { text });
        }
        Ok((state, goes_on))
    }

    /// Returns how many records that took.
    pub(crate) async fn amend(&mut self, amendment: &Amendment, reason: &str) -> Result<usize> {
        let (_, state) = self.run.history(self.cx.session()).await?;
        let records = amendment.records(&self.run.set, &state, &self.run.author, reason)?;
        let count = records.len();
        if count == 0 {
            return Ok(0);
        }
        let mut report = Report::new(self.run.author.run.clone());
        self.executor(state, &mut report, async |executor| executor.record(records).await).await?;
        Ok(count)
    }

    async fn executor(
        &mut self,
        state: State,
        report: &mut Report,
        work: impl AsyncFnOnce(&mut Executor<'_>) -> Result<()>,
    ) -> Result<()> {
        let store = self.run.driver.store();
        let mut executor = Executor {
            set: &self.run.set,
            policy: &self.run.policy,
            observers: &self.run.observers,
            author: &self.run.author,
            store: &*store,
            cx: &mut self.cx,
            lease: &mut *self.lease,
            state,
            report,
        };
        work(&mut executor).await
    }
}

impl Run {
    /// Takes the lease, prepares the store, lets `work` change the database, and lets go, whatever
    /// `work` came to.
    pub(crate) async fn leased<T>(
        &self,
        mut session: Box<dyn Session>,
        work: impl AsyncFnOnce(&mut Leased<'_>) -> Result<T>,
    ) -> Result<T> {
        let lease = match self.acquire(&mut *session).await {
            Ok(lease) => lease,
            Err(error) => {
                session.close().await;
                return Err(error);
            }
        };
        self.observers.tell(&Event::LeaseAcquired);
        let keeping = Keeping { store: self.driver.store(), fence: lease.token(), policy: self.policy.clone() };
        let cx = Context::new(session, self.driver.dialect(), self.observers.clone(), keeping);
        let mut leased = Leased { run: self, cx, lease };
        let result = match self.prepare(leased.cx.session()).await {
            Ok(()) => work(&mut leased).await,
            Err(error) => Err(error),
        };
        let Leased { mut cx, lease, .. } = leased;
        if !left_clean(&result) {
            if lease.token().is_some() && has_connection(&result) {
                // A row that nobody hands back would keep others waiting for the rest of its time.
                let _ = lease.release(cx.session()).await;
                self.observers.tell(&Event::LeaseReleased);
                return result;
            }
            // A session that may hold something is dropped: that rolls back and lets go of every lock. The
            // lease goes after it, so that nobody else begins before that.
            drop(cx);
            drop(lease);
            if !matches!(result, Err(Error::LeaseLost { .. })) {
                self.observers.tell(&Event::LeaseReleased);
            }
            return result;
        }
        let released = lease.release(cx.session()).await;
        if released.is_ok() {
            self.observers.tell(&Event::LeaseReleased);
            for text in cx.session().notices().await {
                self.observers.tell(&Event::Notice { text });
            }
            cx.into_session().close().await;
        }
        let value = result?;
        released?;
        Ok(value)
    }

    /// Prepares the store, as often as the policy tries again what was locked.
    async fn prepare(&self, session: &mut dyn Session) -> Result<()> {
        let store = self.driver.store();
        let mut pause = Pause::new(self.policy.retry_pause, pause::LONGEST);
        for _ in 0..self.policy.retries {
            match store.prepare(session).await {
                Err(error @ Error::Busy { .. }) => {
                    self.observers
                        .tell(&Event::Notice { text: format!("the history cannot be prepared yet: {error}") });
                }
                decided => return decided,
            }
            pause.wait(Duration::MAX).await;
        }
        store.prepare(session).await
    }

    /// Asks for the lease until it is ours or the policy's patience is over.
    async fn acquire(&self, session: &mut dyn Session) -> Result<Box<dyn Lease>> {
        let request = LeaseRequest::new(self.author.clone());
        let store = self.driver.store();
        let clock = Instant::now();
        let longest = self.policy.lease_poll_max.clamp(Duration::from_millis(1), LONGEST_POLL);
        let mut pause = Pause::new(self.policy.lease_poll_min, longest);
        loop {
            let holder = match store.acquire(session, &request).await? {
                Acquired::Yes(lease) => return Ok(lease),
                Acquired::No(holder) => holder,
            };
            let waited = clock.elapsed();
            let Some(left) = self.policy.lease_wait.checked_sub(waited).filter(|left| !left.is_zero()) else {
                return Err(Error::LeaseTimeout { waited, holder: Box::new(holder) });
            };
            let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
            self.observers.tell(&Event::LeaseWaiting { holder, waited_ms });
            pause.wait(left).await;
        }
    }
}

/// Whether the work ended by itself, with its connection in order, and nothing of it goes on.
fn has_connection<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Interrupted(_) | Error::NotAllowed { .. }))
}

/// Whether the session holds nothing after this result: it ran to its end, or everything was rolled
/// back, or nothing was begun.
fn left_clean<T>(result: &Result<T>) -> bool {
    matches!(
        result,
        Ok(_)
            | Err(Error::Failed(_)
                | Error::Refused { .. }
                | Error::PlanStale { .. }
                | Error::Usage { .. }
                | Error::Busy { .. })
    )
}
