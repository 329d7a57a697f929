//! What a run does while it has the lease.

use std::sync::Arc;

use crate::amend::Amendment;
use crate::event::Event;
use crate::executor::Executor;
use crate::history::State;
use crate::lease::Lease;
use crate::plan::{Plan, Prepared};
use crate::probe;
use crate::report::Report;
use crate::run::Run;
use crate::{Capabilities, Context, Direction, MigrationId, OnInterrupt, Probed, Resolution, Result, Standing};

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
