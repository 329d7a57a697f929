//! One run: look, decide, and have it done under the lease.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::adopt::ForeignHistory;
use crate::amend::Amendment;
use crate::begun::Begun;
use crate::driver::{Access, Driver, Session, SessionOptions};
use crate::event::{EVENT_FORMAT, Event, Observers};
use crate::history::{Head, History, State};
use crate::plan::{self, Compared, Facts, Plan, Prepared};
use crate::record::{Author, Record, micros};
use crate::refusal::Refusal;
use crate::registry::MigrationSet;
use crate::report::Report;
use crate::status::Status;
use crate::verified::{self, Verified};
use crate::{Capabilities, Direction, Error, MigrationId, Policy, Result, Target, Verdict};

/// Everything that one run needs, owned, so that it can move to the connection's thread.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) set: Arc<MigrationSet>,
    /// What is wrong with the set: then nothing runs, and a look tells what else is wrong.
    pub(crate) faults: Vec<Refusal>,
    /// What the lockfile lists and nobody registered.
    pub(crate) missing: Vec<MigrationId>,
    pub(crate) policy: Policy,
    pub(crate) target: Target,
    pub(crate) observers: Observers,
    pub(crate) author: Author,
}

/// A look at the database without the lease.
enum Look {
    /// There is no database yet.
    Missing,
    /// There is one, and this is its history.
    There { session: Box<dyn Session>, history: History, state: State, begun: Begun },
}

/// What a look came to, after it was over; all of it empty where there is no database yet.
#[derive(Default)]
struct Looked {
    history: History,
    state: State,
    capabilities: Option<Capabilities>,
    begun: Begun,
}

impl Run {
    /// Goes to the target, or runs the steps of a given plan.
    pub(crate) async fn migrate(self, given: Option<Plan>) -> Result<Report> {
        let clock = Instant::now();
        let mut report = Report::new(self.author.run.clone());
        let result = self.change_and_return(given.as_ref(), &mut report).await;
        report.duration_us = self.finished(report.ran.len(), clock.elapsed());
        match result {
            Ok(()) => Ok(report),
            Err(mut error) if error.report().is_some() || report.ran.is_empty() => {
                if let Some(told) = error.report_mut() {
                    told.duration_us = report.duration_us;
                }
                Err(error)
            }
            Err(error) => Err(Error::Stopped { report: Box::new(report), cause: Box::new(error) }),
        }
    }

    pub(crate) async fn change(&self, given: Option<&Plan>, report: &mut Report) -> Result<()> {
        let mut kept = None;
        let first = match self.look(Access::Write).await? {
            Look::Missing => {
                // Decided before the database is made, so that a refusal leaves nothing behind.
                let prepared = self.decide(&State::default(), None, given, &Begun::default())?;
                if prepared.plan.is_empty() {
                    self.notice(&prepared.plan, report);
                    return Ok(());
                }
                None
            }
            Look::There { session, state, begun, history } => {
                let capabilities = session.capabilities().clone();
                if session.serves(Access::Create) {
                    kept = Some(session);
                } else {
                    session.close().await;
                }
                self.confirm(&history.records, report);
                match self.decide(&state, Some(&capabilities), given, &begun) {
                    Ok(prepared) if prepared.plan.is_empty() => {
                        close(kept).await;
                        self.notice(&prepared.plan, report);
                        return Ok(());
                    }
                    Ok(prepared) => {
                        begun.notice(&self.observers);
                        Some((prepared, capabilities))
                    }
                    // What looks interrupted may be running: only the lease tells.
                    Err(Error::Refused { refusals }) if refusals.iter().all(may_be_running) => None,
                    Err(error) => {
                        close(kept).await;
                        return Err(error);
                    }
                }
            }
        };
        let session = match kept {
            Some(session) => session,
            None => self.driver.open(&self.options(Access::Create)).await?,
        };
        self.leased(session, async |leased| leased.apply(first, given, report).await).await
    }

    async fn look(&self, access: Access) -> Result<Look> {
        let looked = self.look_once(access).await;
        // A set that is wrong is wrong without a database too.
        if looked.is_err() { self.sound().and(looked) } else { looked }
    }

    async fn look_once(&self, access: Access) -> Result<Look> {
        match self.driver.open(&self.options(access)).await {
            Ok(mut session) => match self.history(&mut *session).await {
                Ok((history, state)) => {
                    let begun = self.begun(&mut *session, &state).await;
                    Ok(Look::There { session, history, state, begun })
                }
                Err(error) => {
                    session.close().await;
                    Err(error)
                }
            },
            Err(Error::NotFound { .. }) => Ok(Look::Missing),
            Err(error) => Err(error),
        }
    }

    /// What is in the database while nothing is on record here.
    async fn begun(&self, session: &mut dyn Session, state: &State) -> Begun {
        if state.seq() > 0 || self.policy.foreign == Verdict::Allow || self.target.direction() == Direction::Down {
            return Begun::default();
        }
        let store = self.driver.store();
        // A table that looks like another tool's and is none says nothing.
        let found = store.foreign(session).await.unwrap_or_default();
        let tools = found.into_iter().filter(|history| !history.entries.is_empty());
        let names = store.names(session).await.unwrap_or_default();
        let begun = Begun { tools: tools.map(|history| (history.tool, history.entries.len())).collect(), names };
        // Another process may have migrated between the look at the history and the look at what is there.
        match store.history(session).await {
            Ok(history) if history.records.is_empty() => begun,
            _ => Begun::default(),
        }
    }

    pub(crate) async fn history(&self, session: &mut dyn Session) -> Result<(History, State)> {
        let history = self.driver.store().history(session).await?;
        let state = State::fold(&history)?;
        Ok((history, state))
    }

    /// What the lockfile lists and nobody registered, if that is refused.
    fn missing(&self, state: &State) -> Vec<Refusal> {
        if self.policy.missing == Verdict::Allow {
            return Vec::new();
        }
        let missing = self.missing.iter();
        missing.map(|id| Refusal::Missing { id: id.clone(), applied: state.is_applied(id) }).collect()
    }

    /// Refuses a set that is wrong in itself.
    pub(crate) fn sound(&self) -> Result<()> {
        if self.faults.is_empty() { Ok(()) } else { Err(Error::Refused { refusals: self.faults.clone() }) }
    }

    /// The plan for a state; a given plan must have been made for the same one.
    fn decide(
        &self,
        state: &State,
        capabilities: Option<&Capabilities>,
        given: Option<&Plan>,
        begun: &Begun,
    ) -> Result<Prepared> {
        let decided = self.decide_knowing(state, capabilities, given, &[]);
        let found = begun.refusals(decided.as_ref().ok(), &*self.driver.dialect());
        match decided {
            Ok(prepared) if found.is_empty() || prepared.plan.is_empty() => Ok(prepared),
            Ok(_) => Err(Error::Refused { refusals: found }),
            Err(Error::Refused { mut refusals }) => {
                refusals.extend(found);
                Err(Error::Refused { refusals })
            }
            Err(error) => Err(error),
        }
    }

    /// As [`Run::decide`], knowing what probes have found.
    pub(crate) fn decide_knowing(
        &self,
        state: &State,
        capabilities: Option<&Capabilities>,
        given: Option<&Plan>,
        probed: &[(MigrationId, Option<u32>)],
    ) -> Result<Prepared> {
        let (backend, dialect) = (self.driver.backend(), self.driver.dialect());
        let facts = Facts::new(&backend, capabilities, &*dialect).probed(probed);
        let fresh = match plan::prepare(&self.set, state, &self.target, &self.policy, &facts) {
            Ok(fresh) if self.faults.is_empty() && self.missing(state).is_empty() => fresh,
            fresh => {
                let mut refusals = self.faults.clone();
                refusals.extend(self.missing(state));
                refusals.extend(fresh.err().unwrap_or_default());
                return Err(Error::Refused { refusals });
            }
        };
        match given {
            Some(given) if given.base != fresh.plan.base => {
                Err(Error::PlanStale { problem: "the history has moved since the plan was made".to_owned() })
            }
            Some(given) if !given.does_the_same(&fresh.plan) => Err(Error::PlanStale {
                problem: "this program would make another plan for the same database".to_owned(),
            }),
            _ => Ok(fresh),
        }
    }

    pub(crate) fn notice(&self, plan: &Plan, report: &mut Report) {
        // What this run did itself before it lost its connection was not there already.
        report.already = plan.already.saturating_sub(report.ran.len());
        report.ahead.clone_from(&plan.ahead);
        report.staying.clone_from(&plan.staying);
        report.edited_code.clone_from(&plan.edited_code);
        if !self.missing.is_empty() {
            let ids: Vec<String> = self.missing.iter().map(|id| format!("`{id}`")).collect();
            let text = format!("in the lockfile and not registered: {}", ids.join(", "));
            self.observers.tell(&Event::Notice { text });
        }
        if !plan.ahead.is_empty() {
            self.observers.tell(&Event::Ahead { migrations: plan.ahead.clone() });
        }
        for migration in &plan.edited_code {
            self.observers.tell(&Event::CodeEdited { migration: migration.clone() });
        }
    }

    /// What would run now.
    pub(crate) async fn plan(self) -> Result<Plan> {
        let Looked { state, capabilities, begun, .. } = self.look_and_close().await?;
        self.decide(&state, capabilities.as_ref(), None, &begun).map(|prepared| prepared.plan)
    }

    /// How every migration stands.
    pub(crate) async fn status(self) -> Result<Status> {
        self.sound()?;
        let Looked { state, .. } = self.look_and_close().await?;
        let initialised = !state.heads().is_empty();
        Ok(Status::new(&self.set, initialised.then_some(&state)))
    }

    async fn look_and_close(&self) -> Result<Looked> {
        match self.look(Access::Read).await? {
            Look::Missing => Ok(Looked::default()),
            Look::There { session, history, state, begun } => {
                let capabilities = Some(session.capabilities().clone());
                session.close().await;
                Ok(Looked { history, state, capabilities, begun })
            }
        }
    }

    /// Whether everything registered is applied; for replicas that must not migrate.
    pub(crate) async fn currency(self) -> Result<()> {
        let Looked { state, capabilities, .. } = self.look_and_close().await?;
        if !self.faults.is_empty() {
            return self.decide(&state, capabilities.as_ref(), None, &Begun::default()).map(|_| ());
        }
        let compared = Compared::new(&self.set, &state);
        let open = self.set.metas().filter(|meta| compared.is_open(meta));
        let pending: Vec<MigrationId> = open.map(|meta| meta.id.clone()).collect();
        if !pending.is_empty() {
            return Err(Error::NotCurrent { pending, waited: None });
        }
        let prepared = self.decide(&state, capabilities.as_ref(), None, &Begun::default())?;
        self.notice(&prepared.plan, &mut Report::new(self.author.run.clone()));
        Ok(())
    }

    /// Records what a person orders.
    pub(crate) async fn amend(self, access: Access, amendment: Amendment, reason: String) -> Result<usize> {
        self.sound()?;
        let session = self.driver.open(&self.options(access)).await?;
        self.leased(session, async |leased| leased.amend(&amendment, &reason).await).await
    }

    /// What other tools recorded in the same database.
    pub(crate) async fn foreign(self) -> Result<Vec<ForeignHistory>> {
        let mut session = match self.driver.open(&self.options(Access::Read)).await {
            Ok(session) => session,
            Err(Error::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let found = self.driver.store().foreign(&mut *session).await;
        session.close().await;
        found
    }

    /// All that was ever recorded.
    pub(crate) async fn records(self) -> Result<Vec<Record>> {
        Ok(self.look_and_close().await?.history.records)
    }

    /// Everything read again, and held against what is registered.
    pub(crate) async fn verify(self) -> Result<Verified> {
        self.sound()?;
        let looked = self.look_and_close().await?;
        verified::verify(&self.set, &looked.state, &looked.history.records)
    }

    pub(crate) fn options(&self, access: Access) -> SessionOptions {
        SessionOptions::of(access, &self.policy, self.author.clone())
    }

    /// The first event of every run.
    pub(crate) fn announce(&self) {
        self.observers.tell(&Event::RunStarted { run: self.author.run.clone(), format: EVENT_FORMAT });
    }

    /// A report of a start-up with nothing to do.
    pub(crate) fn nothing(&self, took: Duration) -> Report {
        let mut report = Report::new(self.author.run.clone());
        report.already = self.set.len();
        report.duration_us = self.finished(0, took);
        report
    }

    /// The last event of every run; returns its duration in microseconds.
    pub(crate) fn finished(&self, ran: usize, took: Duration) -> u64 {
        let duration_us = micros(took);
        self.observers.tell(&Event::RunFinished { ran, duration_us });
        duration_us
    }

    /// Whether the heads say that exactly the registered migrations are applied.
    pub(crate) fn is_current(&self, head: &Head) -> bool {
        let wanted = self.set.heads();
        wanted.iter().all(|(namespace, wanted)| {
            head.namespaces
                .get(namespace)
                .is_some_and(|head| (head.digest, head.count) == (wanted.digest, wanted.count))
        })
    }
}

async fn close(session: Option<Box<dyn Session>>) {
    if let Some(session) = session {
        session.close().await;
    }
}

fn may_be_running(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Interrupted { .. })
}
