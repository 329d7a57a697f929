//! The front door: [`Migrator`].

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tracing::Instrument;

use crate::driver::{Access, Driver};
use crate::event::{Observer, Observers};
use crate::plan::Plan;
use crate::record::Author;
use crate::registry::{MigrationSet, Migrations};
use crate::report::Report;
use crate::run::Run;
use crate::status::Status;
use crate::{Error, MigrationId, Policy, Result, Target, Text};

/// What a person found out about an interrupted migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Resolution {
    /// The whole change is there: it counts as applied.
    Applied,
    /// Nothing of the change is there: it counts as pending, and runs again.
    Pending,
}

/// Brings a database to where the program's migrations say it should be.
///
/// ```
/// use admmgt_core::{MemoryDriver, Migrations, Migrator, SqlMigration};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let users = SqlMigration::new("app", "0001_users", "create table users")?;
/// let migrator = Migrator::new(MemoryDriver::new()).migrations(Migrations::new([users]));
///
/// println!("{}", migrator.plan().await?);     // 1 migration to run …
/// println!("{}", migrator.up().await?);       // ran 1 migration in 0.1 ms …
/// println!("{}", migrator.up().await?);       // nothing to do: 1 migration is applied
/// migrator.ensure_current().await?;
/// # Ok(()) }
/// ```
///
/// Every call may be dropped at any time (by `select!`, by a timeout): what was committed stays, what
/// was not is rolled back, and the lease is let go. The calls wait with timers, so the tokio runtime
/// must have them enabled (`enable_time`); `#[tokio::main]` does that.
#[derive(Debug, Clone)]
pub struct Migrator {
    driver: Arc<dyn Driver>,
    migrations: Option<Migrations>,
    policy: Policy,
    observers: Observers,
    by: Option<Text>,
}

impl Migrator {
    /// A migrator for a database, with every registered migration and the default policy.
    pub fn new(driver: impl Driver) -> Self {
        Self {
            driver: Arc::new(driver),
            migrations: None,
            policy: Policy::default(),
            observers: Observers::default(),
            by: None,
        }
    }

    /// These migrations instead of all registered ones.
    pub fn migrations(mut self, migrations: impl Into<Migrations>) -> Self {
        self.migrations = Some(migrations.into());
        self
    }

    /// Other limits and choices than the default ones.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Somebody who hears every event; can be called more than once.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.observers.add(observer);
        self
    }

    /// Who runs it, for the history: a service, a job, a person. Default: the user of the process.
    pub fn by(mut self, name: impl Into<Text>) -> Self {
        self.by = Some(name.into());
        self
    }

    /// Applies everything that is pending, once, whatever else starts at the same time.
    ///
    /// # Errors
    /// [`Error::Refused`] before anything ran, with every reason; [`Error::Failed`] or
    /// [`Error::Interrupted`] by a migration, with the report of what ran before it;
    /// [`Error::LeaseTimeout`] when another migrator takes too long; what the database says.
    pub async fn up(&self) -> Result<Report> {
        let clock = Instant::now();
        let run = self.start();
        run.announce();
        match self.is_current(&run).await {
            Ok(true) => Ok(run.nothing(clock.elapsed())),
            Ok(false) => self.host(run.up(None)).await,
            Err(error) => {
                run.finished(0, clock.elapsed());
                Err(error)
            }
        }
    }

    /// What [`Migrator::up`] would do now. Reads only, takes no lease.
    ///
    /// # Errors
    /// [`Error::Refused`] with every reason why nothing could run; what the database says.
    pub async fn plan(&self) -> Result<Plan> {
        self.host(self.start().plan()).await
    }

    /// Runs a plan that was made before, perhaps reviewed, perhaps stored as JSON in between.
    ///
    /// # Errors
    /// [`Error::PlanStale`] where the database or this program is not as it was when the plan was
    /// made; otherwise as [`Migrator::up`].
    pub async fn run(&self, plan: Plan) -> Result<Report> {
        if plan.format > crate::plan::PLAN_FORMAT {
            return Err(Error::NewerFormat { found: plan.format, supported: crate::plan::PLAN_FORMAT });
        }
        let run = self.start();
        run.announce();
        self.host(run.up(Some(plan))).await
    }

    /// How every migration stands. Reads only, and creates nothing.
    ///
    /// # Errors
    /// [`Error::Refused`] where the migrations themselves are wrong; what the database says.
    pub async fn status(&self) -> Result<Status> {
        self.host(self.start().status()).await
    }

    /// Succeeds if everything registered is applied: for replicas that must not migrate. Reads only.
    ///
    /// # Errors
    /// [`Error::NotCurrent`] names what is pending.
    pub async fn ensure_current(&self) -> Result<()> {
        let run = self.start();
        if self.is_current(&run).await? { Ok(()) } else { self.host(run.currency()).await }
    }

    /// Waits until another process has applied everything registered. Reads only.
    ///
    /// # Errors
    /// [`Error::NotCurrent`] names what is still pending after `timeout`; a refusal or an unreadable
    /// history at once, because waiting would not help.
    pub async fn wait_until_current(&self, timeout: Duration) -> Result<()> {
        let clock = Instant::now();
        let longest = self.policy.lease_poll_max.clamp(Duration::from_millis(1), timeout.max(Duration::from_millis(1)));
        let mut pause = self.policy.lease_poll_min.clamp(Duration::from_millis(1), longest);
        let mut looking = self.clone();
        loop {
            // A look must not wait for a lock beyond the end.
            let left = timeout.saturating_sub(clock.elapsed());
            looking.policy.lock_timeout = self.policy.lock_timeout.min(left);
            let error = match looking.ensure_current().await {
                Err(error @ (Error::NotCurrent { .. } | Error::Unreachable { .. } | Error::Busy { .. })) => error,
                decided => return decided,
            };
            let waited = clock.elapsed();
            let Some(left) = timeout.checked_sub(waited).filter(|left| !left.is_zero()) else {
                return Err(match error {
                    Error::NotCurrent { pending, .. } => Error::NotCurrent { pending, waited: Some(waited) },
                    other => other,
                });
            };
            tokio::time::sleep(pause.min(left)).await;
            pause = pause.saturating_mul(2).min(longest);
        }
    }

    /// Says how an interrupted migration stands, after a person has looked; recorded with `reason`.
    ///
    /// # Errors
    /// [`Error::Usage`] where that migration is not interrupted.
    pub async fn resolve(&self, migration: &str, resolution: Resolution, reason: impl Into<String>) -> Result<()> {
        let id: MigrationId = migration.parse().map_err(|problem: crate::InvalidName| Error::Usage {
            problem: format!("{problem}; a migration is named `namespace/id`"),
        })?;
        self.host(self.start().resolve(id, resolution, reason.into())).await
    }

    /// The migrations of this migrator in the order they run.
    ///
    /// # Errors
    /// [`Error::Refused`] with everything that is wrong with the list.
    pub fn set(&self) -> Result<MigrationSet> {
        MigrationSet::new(&self.listed()).map_err(|refusals| Error::Refused { refusals })
    }

    fn listed(&self) -> Migrations {
        self.migrations.clone().unwrap_or_else(Migrations::registered)
    }

    /// The fast path: one look at the heads, which tells when there is nothing to do.
    async fn is_current(&self, run: &Run) -> Result<bool> {
        if !run.faults.is_empty() {
            return Ok(false);
        }
        match self.driver.peek(&run.options(Access::Read), &run.set.namespaces()).await {
            Ok(head) => Ok(head.is_some_and(|head| run.is_current(&head))),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn start(&self) -> Run {
        let author = Author::of_this_process();
        let (set, faults) = MigrationSet::examine(&self.listed());
        Run {
            driver: Arc::clone(&self.driver),
            set: Arc::new(set),
            faults,
            policy: self.policy.clone(),
            target: Target::Latest,
            observers: self.observers.clone(),
            author: match &self.by {
                Some(name) => author.by(name.clone()),
                None => author,
            },
        }
    }

    /// Lets the driver choose the thread, and brings the answer back.
    async fn host<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let span = tracing::info_span!("admmgt", backend = %self.driver.backend());
        let work = async move {
            // Nobody waits for the answer of a run that was dropped.
            let _ = sender.send(work.await);
        };
        self.driver.host(Box::pin(work.instrument(span))).await?;
        receiver.await.unwrap_or_else(|_| {
            Err(Error::Usage { problem: "the run ended without an answer; was its runtime shut down?".to_owned() })
        })
    }
}
