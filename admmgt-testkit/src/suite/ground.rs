//! A database of the suite's, and what its tests ask of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use admmgt_core::{
    Access, Acquired, Author, BoxError, BoxFuture, Capabilities, Checksum, Context, Driver, Error, LeaseRequest, Meta,
    Migration, MigrationId, Migrations, Migrator, Policy, Result, RunId, Session, SessionOptions, SqlMigration,
    TransactionMode, Verdict,
};
use async_trait::async_trait;

use super::{Checked, Skip};
use crate::{Setup, Step};

/// How many of what there can be any number of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thoroughness {
    /// Processes of a race.
    pub(super) processes: usize,
    /// How often a race is run.
    pub(super) rounds: usize,
    /// Migrations of a long history.
    pub(super) migrations: usize,
}

impl Default for Thoroughness {
    fn default() -> Self {
        Self { processes: 8, rounds: 2, migrations: 200 }
    }
}

impl Thoroughness {
    pub(super) fn full() -> Self {
        Self { processes: 32, rounds: 20, migrations: 2_000 }
    }
}

/// What the names of everything begin with that the suite makes in a database.
const OURS: &str = "kit_";

/// A database, and the kind it is of.
#[derive(Clone)]
pub(super) struct Ground {
    /// What the kind is called.
    pub(super) label: String,
    /// What the database is called.
    pub(super) name: String,
    pub(super) thoroughness: Thoroughness,
    setup: Arc<dyn Setup>,
    driver: Arc<dyn Driver>,
    /// All databases that the test has asked for.
    names: Arc<Mutex<Vec<String>>>,
}

impl Ground {
    pub(super) async fn new(label: &str, setup: Arc<dyn Setup>, thoroughness: Thoroughness) -> Result<Self> {
        let name = format!("t_{:016x}", fastrand::u64(..));
        let driver = setup.database(&name).await?;
        let names = Arc::new(Mutex::new(vec![name.clone()]));
        Ok(Self { label: label.to_owned(), name, thoroughness, setup, driver, names })
    }

    /// One that another process has made.
    pub(super) async fn at(label: &str, setup: Arc<dyn Setup>, name: &str, thoroughness: Thoroughness) -> Result<Self> {
        let driver = setup.database(name).await?;
        Ok(Self { label: label.to_owned(), name: name.to_owned(), thoroughness, setup, driver, names: Arc::default() })
    }

    /// Another one of the same kind.
    pub(super) async fn another(&self) -> Self {
        let other = Self::new(&self.label, Arc::clone(&self.setup), self.thoroughness).await.expect("a database");
        self.names.lock().unwrap_or_else(PoisonError::into_inner).push(other.name.clone());
        other
    }

    /// Takes away what the test has used.
    pub(super) async fn clean(&self) {
        let names = std::mem::take(&mut *self.names.lock().unwrap_or_else(PoisonError::into_inner));
        for name in names {
            self.setup.remove(&name).await;
        }
    }

    pub(super) fn driver(&self) -> Arc<dyn Driver> {
        Arc::clone(&self.driver)
    }

    /// A text for these steps.
    pub(super) fn script(&self, steps: &[Step<'_>]) -> Result<String, Skip> {
        self.setup.script(steps).ok_or_else(|| {
            let needed = |step: &&Step<'_>| matches!(step, Step::Make(_) | Step::Drop(_) | Step::Fail);
            let lacking = steps.iter().filter(needed).find(|step| self.setup.script(&[**step]).is_none());
            assert_eq!(lacking, None, "`Setup::script` must have words for this step");
            let missing = steps.iter().find(|step| self.setup.script(&[**step]).is_none());
            Skip(match missing {
                Some(step) => {
                    let name = format!("{step:?}");
                    let name = name.split('(').next().unwrap_or_default();
                    format!("the set-up has no words for `Step::{name}`")
                }
                None => "the set-up cannot say several things in one text".to_owned(),
            })
        })
    }

    /// A migration of these steps, as a text.
    pub(super) fn text(&self, id: &str, steps: &[Step<'_>]) -> Result<SqlMigration, Skip> {
        let id = MigrationId::new("kit", id).expect("a name");
        Ok(SqlMigration::new(id.namespace().as_str(), id.id(), self.script(steps)?).expect("a name"))
    }

    /// A migration of these steps, as code that runs them one by one.
    pub(super) fn code(&self, id: &str, steps: &[Step<'_>]) -> Result<Code, Skip> {
        let script = self.script(steps)?;
        Ok(Code::new(id, move |cx| {
            let script = script.clone();
            Box::pin(async move { Ok(cx.execute_script(&script).await?) })
        }))
    }

    /// As [`Ground::code`], of steps that take things away: without a transaction where that cannot be in one.
    pub(super) async fn code_that_drops(&self, id: &str, steps: &[Step<'_>]) -> Result<Code, Skip> {
        let code = self.code(id, steps)?;
        let in_transaction = self.drops_in_transactions().await?;
        Ok(if in_transaction { code } else { code.with(|meta| meta.transaction(TransactionMode::None)) })
    }

    /// A migrator that does not wait long.
    pub(super) fn migrator(&self, migrations: impl Into<Migrations>) -> Migrator {
        Migrator::new(self.driver()).migrations(migrations).policy(policy())
    }

    /// A connection that may write.
    pub(super) async fn session(&self) -> Box<dyn Session> {
        self.open(Access::Create).await.expect("a session")
    }

    pub(super) async fn open(&self, access: Access) -> Result<Box<dyn Session>> {
        self.driver.open(&SessionOptions::of(access, &policy(), author("kit"))).await
    }

    /// What the suite has made in the database and is there, in order.
    pub(super) async fn names(&self) -> Vec<String> {
        let mut session = match self.open(Access::Read).await {
            Ok(session) => session,
            Err(Error::NotFound { .. }) => return Vec::new(),
            Err(error) => panic!("the database cannot be read: {error}"),
        };
        let names = self.driver.store().names(&mut *session).await.expect("the names can be read");
        session.close().await;
        let mut ours: Vec<String> = names.into_iter().filter(|name| name.starts_with(OURS)).collect();
        ours.sort();
        ours
    }

    /// Waits until nobody has the lease, at most a minute: whoever had it is dead or dropped.
    pub(super) async fn lease_is_free(&self) {
        eventually("the lease of a session that is gone is free", || async {
            let mut session = self.session().await;
            let request = LeaseRequest::new(author("kit-after"));
            let acquired = self.driver.store().acquire(&mut *session, &request).await.expect("an answer");
            let is_free = match acquired {
                Acquired::Yes(lease) => lease.release(&mut *session).await.map(|()| true).expect("it is given back"),
                Acquired::No(_) => false,
            };
            session.close().await;
            is_free
        })
        .await;
    }

    pub(super) async fn capabilities(&self) -> Capabilities {
        let session = self.session().await;
        let capabilities = session.capabilities().clone();
        session.close().await;
        capabilities
    }

    pub(super) async fn needs_transactions(&self) -> Checked {
        match self.capabilities().await.transactions {
            true => Ok(()),
            false => Err(Skip("the database has no transactions".to_owned())),
        }
    }

    /// Whether what takes a thing away can be in a transaction.
    pub(super) async fn drops_in_transactions(&self) -> Result<bool, Skip> {
        let drop = self.script(&[Step::Drop("kit_a")])?;
        let parsed =
            self.driver.dialect().parse(&drop, TransactionMode::Auto).expect("the set-up's own text can be split");
        Ok(parsed.in_transaction && self.capabilities().await.transactions)
    }

    /// Something can run without a transaction, with a record of each statement.
    pub(super) async fn needs_outside(&self) -> Checked {
        match self.capabilities().await.only_in_transactions {
            None => Ok(()),
            Some(reason) => Err(Skip(format!("nothing runs there without a transaction ({reason})"))),
        }
    }

    pub(super) async fn needs_fencing(&self) -> Checked {
        match self.capabilities().await.fencing {
            true => Ok(()),
            false => Err(Skip("its lease is a lock of the session, without a token".to_owned())),
        }
    }

    /// Two connections can be open at once.
    pub(super) async fn needs_two_sessions(&self) -> Checked {
        match self.setup.is_one_connection() {
            false => Ok(()),
            true => Err(Skip("the database is one connection".to_owned())),
        }
    }

    /// How long a lease lasts that is not renewed.
    pub(super) fn lease_ttl(&self) -> Option<Duration> {
        self.setup.lease_ttl()
    }

    /// A connection that is not closed well does not take the database with it.
    pub(super) async fn needs_to_outlive_its_connections(&self) -> Checked {
        match self.setup.is_one_connection() {
            false => Ok(()),
            true => Err(Skip("the database is one connection, and gone with it".to_owned())),
        }
    }

    /// Frees the lease, whoever has it.
    pub(super) async fn take_lease_away(&self) -> Checked {
        match self.setup.take_lease_away(&self.name).await.expect("the lease is taken away") {
            true => Ok(()),
            false => Err(Skip("the set-up cannot take a lease away from its holder".to_owned())),
        }
    }

    /// Takes the steps behind the back of the suite's migrations, as a person would: a set of its own, of one.
    pub(super) async fn by_hand(&self, steps: &[Step<'_>]) -> Checked {
        let id = format!("{:016x}", fastrand::u64(..));
        let text = SqlMigration::new("hand", id, self.script(steps)?).expect("a name");
        let mut policy = policy();
        (policy.foreign, policy.out_of_order) = (Verdict::Allow, Verdict::Allow);
        self.migrator(Migrations::new([text])).policy(policy).up().await.expect("the steps are taken");
        Ok(())
    }

    pub(super) fn statements(&self, script: &str) -> Vec<admmgt_core::Statement> {
        let script = self.driver.dialect().parse(script, TransactionMode::Auto);
        script.expect("the set-up's own text can be split").statements
    }
}

/// In whose name.
pub(super) fn author(name: &str) -> Author {
    Author::of(RunId::new(), name.to_owned(), "the suite")
}

/// Limits that a test can wait for.
pub(super) fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.lease_wait = Duration::from_secs(60);
    policy.lease_poll_min = Duration::from_millis(5);
    policy.lease_poll_max = Duration::from_millis(100);
    policy.retry_pause = Duration::from_millis(5);
    policy
}

/// Waits until something is so, at most a minute.
pub(super) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let clock = Instant::now();
    while !is_so().await {
        assert!(clock.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

type Body = dyn for<'a> Fn(&'a mut Context) -> BoxFuture<'a, Result<(), BoxError>> + Send + Sync;

/// A migration that is a function.
#[derive(Clone)]
pub(super) struct Code {
    meta: Meta,
    up: Arc<Body>,
}

impl Code {
    pub(super) fn new(
        id: &str,
        up: impl for<'a> Fn(&'a mut Context) -> BoxFuture<'a, Result<(), BoxError>> + Send + Sync + 'static,
    ) -> Self {
        let id = MigrationId::new("kit", id).expect("a name");
        let meta = Meta::new(id, Checksum::parse("manual:1").expect("a checksum"));
        Self { meta, up: Arc::new(up) }
    }

    pub(super) fn with(mut self, change: impl FnOnce(Meta) -> Meta) -> Self {
        self.meta = change(self.meta);
        self
    }
}

#[async_trait]
impl Migration for Code {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    async fn up(&self, cx: &mut Context) -> Result<(), BoxError> {
        (self.up)(cx).await
    }
}
