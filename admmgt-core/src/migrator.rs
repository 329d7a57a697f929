//! The front door: [`Migrator`].

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Instrument;

use crate::adopt::ForeignHistory;
use crate::amend::{Amendment, Repair, Resolution};
use crate::driver::{Access, Driver};
use crate::event::{Observer, Observers};
use crate::lock::Lockfile;
use crate::plan::Plan;
use crate::record::{Author, Record};
use crate::registry::{MigrationSet, Migrations, not_embedded};
use crate::report::Report;
use crate::run::Run;
use crate::status::Status;
use crate::verified::Verified;
use crate::{Direction, Error, MigrationId, Policy, Result, Target, Text};

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
/// was not is rolled back, and the lease is let go ([`Migrator::settled`] says when). The calls wait with
/// timers, so the tokio runtime must have them enabled (`enable_time`, and `enable_io` for a server); `#[tokio::main]` does that.
#[derive(Debug, Clone)]
pub struct Migrator {
    driver: Arc<dyn Driver>,
    migrations: Option<Migrations>,
    policy: Policy,
    observers: Observers,
    by: Option<Text>,
    target: Target,
    locked: Vec<MigrationId>,
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
            target: Target::Latest,
            locked: Vec::new(),
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

    /// The limits and choices it has, to change some of them.
    pub fn limits(&self) -> &Policy {
        &self.policy
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

    /// What should be registered. A migration that the lockfile lists and nobody registered is refused before
    /// anything runs ([`Policy::missing`]): its file was deleted, or its crate is not linked.
    ///
    /// ```
    /// use admmgt_core::{Lockfile, MemoryDriver, Migrations, Migrator, SqlMigration};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let users = SqlMigration::new("app", "0001_users", "create users")?;
    /// let migrator = Migrator::new(MemoryDriver::new()).migrations(Migrations::new([users]));
    /// // In a program: include_str!("../admmgt.lock")
    /// let locked = Lockfile::parse("admmgt lockfile, format 1\napp/0002_plans  manual:1\n").unwrap();
    ///
    /// let error = migrator.lockfile(&locked).up().await.unwrap_err();
    /// assert!(error.to_string().contains("`app/0002_plans` is in the lockfile and not registered"));
    /// # Ok(()) }
    /// ```
    pub fn lockfile(mut self, locked: &Lockfile) -> Self {
        // What cannot be a name was never one of ours.
        self.locked = locked.entries.keys().filter_map(|name| name.parse().ok()).collect();
        self
    }

    /// How far [`Migrator::up`] and [`Migrator::plan`] go. Default: everything pending.
    pub fn target(mut self, target: Target) -> Self {
        self.target = target;
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
        if self.target.direction() == Direction::Down {
            let problem = format!("`up` cannot go to {}; use `Migrator::down`", self.target);
            return Err(Error::Usage { problem });
        }
        let run = self.start();
        run.announce();
        match self.is_current(&run).await {
            Ok(true) => Ok(run.nothing(clock.elapsed())),
            Ok(false) => self.host(run.migrate(None)).await,
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
        let run = self.clone().target(plan.target.clone()).start();
        run.announce();
        self.host(run.migrate(Some(plan))).await
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
    /// history at once, because waiting would not help. Meanwhile the database may be away.
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
                Err(error) if may_pass(&error) => error,
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

    /// Takes applied migrations back: `Target::Back(1)` the last one, `Target::BackTo(id)` all that run
    /// after that one, `Target::Nothing` all. The whole way is checked before its first step.
    ///
    /// ```
    /// use admmgt_core::{MemoryDriver, Migrations, Migrator, SqlMigration, Target};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let users = SqlMigration::new("app", "0001_users", "create users")?.down("drop users");
    /// let migrator = Migrator::new(MemoryDriver::new()).migrations(Migrations::new([users]));
    /// migrator.up().await?;
    ///
    /// assert_eq!(migrator.down(Target::Back(1)).await?.ran.len(), 1);
    /// assert_eq!(migrator.pending().await?.len(), 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] where a migration on the way has no way back, is not registered here, or is
    /// needed by one that stays; otherwise as [`Migrator::up`].
    pub async fn down(&self, target: Target) -> Result<Report> {
        if target.direction() == Direction::Up {
            let problem = format!("`down` cannot go to {target}; use `Migrator::target` and `Migrator::up`");
            return Err(Error::Usage { problem });
        }
        let run = self.clone().target(target).start();
        run.announce();
        self.host(run.migrate(None)).await
    }

    /// Takes the migration back that was applied last, and applies it again: while it is being written.
    ///
    /// # Errors
    /// As [`Migrator::down`] and [`Migrator::up`].
    pub async fn redo(&self) -> Result<Report> {
        self.down(Target::Again(1)).await
    }

    /// The registered migrations that are not applied, in the order they run. Reads only.
    ///
    /// # Errors
    /// [`Error::Refused`] where the migrations themselves are wrong; what the database says.
    pub async fn pending(&self) -> Result<Vec<MigrationId>> {
        Ok(self.status().await?.pending())
    }

    /// Every record of the database's history, of all namespaces, in order. Reads only.
    ///
    /// # Errors
    /// [`Error::CorruptState`] names a row that cannot be right; what the database says.
    pub async fn history(&self) -> Result<Vec<Record>> {
        self.host(self.start().records()).await
    }

    /// Reads every record again and holds it against the registered migrations: checksums, archived
    /// bodies, heads. What the fast path of a start-up cannot see, this does. Reads only.
    ///
    /// # Errors
    /// [`Error::Refused`] with every edit, of code too; [`Error::CorruptState`] for a history that was
    /// changed by hand.
    pub async fn verify(&self) -> Result<Verified> {
        self.host(self.start().verify()).await
    }

    /// Says how an interrupted migration stands, after a person has looked; recorded with `reason`.
    ///
    /// # Errors
    /// [`Error::Usage`] where that migration is not interrupted.
    pub async fn resolve(&self, migration: &str, resolution: Resolution, reason: impl Into<String>) -> Result<()> {
        let amendment = Amendment::Resolve(named(migration)?, resolution);
        self.host(self.start().amend(Access::Write, amendment, reason.into())).await.map(drop)
    }

    /// Counts migrations as applied without running them, because the database has their changes
    /// already: everything up to `last`, or everything registered. Recorded with `reason`.
    ///
    /// ```
    /// use admmgt_core::{MemoryDriver, Migrations, Migrator, SqlMigration};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let users = SqlMigration::new("app", "0001_users", "create users")?;
    /// let plans = SqlMigration::new("app", "0002_plans", "create plans")?;
    /// let migrator = Migrator::new(MemoryDriver::new()).migrations(Migrations::new([users, plans]));
    ///
    /// migrator.baseline(Some("app/0001_users"), "made by hand before 2024").await?;
    /// assert_eq!(migrator.up().await?.ran.len(), 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] where `last` is not registered, [`Error::Usage`] where a migration is
    /// interrupted.
    pub async fn baseline(&self, last: Option<&str>, reason: impl Into<String>) -> Result<()> {
        let amendment = Amendment::Baseline(last.map(named).transpose()?);
        self.host(self.start().amend(Access::Write, amendment, reason.into())).await.map(drop)
    }

    /// What other tools recorded in the same database, as far as the driver knows them: sqlx, refinery, diesel, Flyway,
    /// goose, golang-migrate, dbmate, Prisma. Reads only.
    ///
    /// # Errors
    /// What the database says.
    pub async fn foreign(&self) -> Result<Vec<ForeignHistory>> {
        self.host(self.start().foreign()).await
    }

    /// Counts in what another tool applied, found by [`Migrator::foreign`] or made by hand: its versions
    /// are compared with the numbers that our ids start with. Returns how many were counted in. The other
    /// tool's table is left as it is.
    ///
    /// # Errors
    /// [`Error::Usage`] with every version that has no migration here, did not end well, or was edited
    /// since.
    pub async fn adopt(&self, history: ForeignHistory) -> Result<usize> {
        self.host(self.start().amend(Access::Write, Amendment::Adopt(history), String::new())).await
    }

    /// Accepts that an applied migration was edited or renamed; recorded with `reason`.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is nothing to accept.
    pub async fn repair(&self, repair: Repair, reason: impl Into<String>) -> Result<()> {
        self.host(self.start().amend(Access::Write, Amendment::Repair(repair), reason.into())).await.map(drop)
    }

    /// Comes when calls that were dropped, or ended with a lost connection, have let go of all that they held. Most drivers
    /// have by then; on MongoDB a statement that still runs on the server is ended and the lease handed back in the background,
    /// which a program that ends at once cuts off: the lease is held until its time is over then.
    ///
    /// ```
    /// # use admmgt_core::{MemoryDriver, Migrations, Migrator};
    /// # use std::time::Duration;
    /// # async fn terminated() { tokio::time::sleep(Duration::from_millis(5)).await }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let migrator = Migrator::new(MemoryDriver::new()).migrations(Migrations::default());
    /// tokio::select! {
    ///     _ = migrator.up() => {}
    ///     () = terminated() => migrator.settled().await,
    /// }
    /// # }
    /// ```
    pub async fn settled(&self) {
        self.driver.settled().await;
    }

    /// The migrations of this migrator in the order they run.
    ///
    /// # Errors
    /// [`Error::Refused`] with everything that is wrong with the list.
    pub fn set(&self) -> Result<MigrationSet> {
        MigrationSet::new(&self.listed()).map_err(|refusals| Error::Refused { refusals })
    }

    /// The migrations of this migrator, not yet checked: those that were given, or all registered ones.
    pub fn listed(&self) -> Migrations {
        self.migrations.clone().unwrap_or_else(Migrations::registered)
    }

    /// The fast path: one look at the heads, which tells when there is nothing to do. A target may name what
    /// is not there, so it is always looked at as a whole.
    async fn is_current(&self, run: &Run) -> Result<bool> {
        if !run.faults.is_empty() || !run.missing.is_empty() || self.target != Target::Latest {
            return Ok(false);
        }
        match self.driver.peek(&run.options(Access::Read), &run.set.namespaces()).await {
            Ok(head) => Ok(head.is_some_and(|head| run.is_current(&head))),
            // What was lost with its connection is looked at again, as a whole.
            Err(Error::NotFound { .. } | Error::ConnectionLost { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn start(&self) -> Run {
        let author = Author::of_this_process();
        let (mut set, mut faults) = MigrationSet::examine(&self.listed());
        if self.target.direction() == Direction::Down {
            set = set.with_ways_back(&*self.driver.dialect());
        }
        if self.migrations.is_none() {
            faults.extend(not_embedded());
        }
        let missing = self.locked.iter().filter(|id| set.get(id).is_none()).cloned().collect();
        Run {
            driver: Arc::clone(&self.driver),
            set: Arc::new(set),
            faults,
            missing,
            policy: self.policy.clone(),
            target: self.target.clone(),
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

fn named(migration: &str) -> Result<MigrationId> {
    migration.parse().map_err(|problem: crate::InvalidName| Error::Usage {
        problem: format!("{problem}; a migration is named `namespace/id`"),
    })
}

/// Whether somebody who waits for another process waits on.
fn may_pass(error: &Error) -> bool {
    matches!(
        error,
        Error::NotCurrent { .. }
            | Error::Unreachable { .. }
            | Error::Crowded { .. }
            | Error::ConnectionLost { .. }
            | Error::Busy { .. }
    )
}
