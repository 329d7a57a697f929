//! A database that is a list of lines: the worked example of a driver, and a stand-in for tests.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::backfill::{Checkpoint, CheckpointKey};
use crate::context::{FromBlocking, FromContext};
use crate::driver::{Atomicity, BlockingJob, Capabilities, Driver, Outcome, Session, SessionOptions};
use crate::history::{Head, History};
use crate::lease::{Acquired, Holder, Lease, LeaseRequest};
use crate::record::{Batch, Timestamp, Token};
use crate::script::{Dialect, Names, Script, ScriptProblem, Statement};
use crate::store::StateStore;
use crate::{Backend, Context, Error, Namespace, Origin, Result, TransactionMode};

const BACKEND: Backend = Backend::new("memory");

/// A database in memory. Its statements are lines of text; running one adds it to the
/// [journal](MemoryDriver::journal). Some do more: `create … NAME` fails where something of that name is there,
/// `drop … NAME` where nothing is; `fail …` fails, `sleep` takes as long as a statement may, and `commit` ends the transaction as a careless
/// body would.
///
/// Clones share the database, as connections to one server do.
///
/// ```
/// use admmgt_core::{MemoryDriver, Migrations, Migrator, SqlMigration};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let database = MemoryDriver::new();
/// let users = SqlMigration::new("app", "0001_users", "create table users\ncreate index users_name")?;
/// Migrator::new(database.clone()).migrations(Migrations::new([users])).up().await?;
/// assert_eq!(database.journal(), ["create table users", "create index users_name"]);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct MemoryDriver {
    shared: Arc<Mutex<Database>>,
    capabilities: Capabilities,
}

/// What is committed, and what an open transaction would go back to.
#[derive(Debug, Default)]
struct Database {
    now: Contents,
    before: Option<Contents>,
    prepared: bool,
    lease: Option<(Token, Holder)>,
    tokens: u64,
}

#[derive(Debug, Clone, Default)]
struct Contents {
    journal: Vec<String>,
    names: BTreeSet<String>,
    history: History,
    checkpoints: BTreeMap<CheckpointKey, Checkpoint>,
}

impl Contents {
    fn run(&mut self, statement: &str) -> Result<()> {
        let wrong = match named(statement) {
            Names::Creates(name) if !self.names.insert(name.clone()) => Some(format!("`{name}` is there already")),
            Names::Frees(name) if !self.names.remove(&name) => Some(format!("there is no `{name}`")),
            _ => statement.starts_with("fail").then(|| statement.to_owned()),
        };
        match wrong {
            Some(wrong) => Err(Error::database("running a statement", None, wrong)),
            None => {
                self.journal.push(statement.to_owned());
                Ok(())
            }
        }
    }
}

fn named(statement: &str) -> Names {
    let mut words = statement.split_whitespace();
    match (words.next(), words.next_back()) {
        (Some("create"), Some(name)) => Names::Creates(name.to_owned()),
        (Some("drop"), Some(name)) => Names::Frees(name.to_owned()),
        _ => Names::Unknown,
    }
}

impl MemoryDriver {
    /// An empty database with transactions and fencing tokens.
    pub fn new() -> Self {
        let capabilities = Capabilities::new("memory").transactions().fencing();
        Self { shared: Arc::default(), capabilities }
    }

    /// An empty database that cannot roll back.
    pub fn without_transactions() -> Self {
        Self { shared: Arc::default(), capabilities: Capabilities::new("memory without transactions").fencing() }
    }

    /// Every statement that was run and not rolled back.
    pub fn journal(&self) -> Vec<String> {
        self.lock().now.journal.clone()
    }

    /// Everything in its history.
    pub fn history(&self) -> History {
        self.lock().now.history.clone()
    }

    /// What is there: the names that were created and not dropped.
    pub fn names(&self) -> Vec<String> {
        self.lock().now.names.iter().cloned().collect()
    }

    /// Runs a statement as the application would, outside of any migration.
    ///
    /// # Errors
    /// As [`MemoryConnection::run`].
    pub fn run(&self, statement: &str) -> Result<()> {
        self.lock().now.run(statement)
    }

    /// Another database with the same contents; changes of one do not reach the other.
    pub fn fork(&self) -> Self {
        let database = self.lock();
        let copy = Database { now: database.now.clone(), prepared: database.prepared, ..Database::default() };
        Self { shared: Arc::new(Mutex::new(copy)), capabilities: self.capabilities.clone() }
    }

    /// Takes the lease away from whoever has it, as an operator might.
    pub fn break_lease(&self) {
        self.lock().lease = None;
    }

    fn lock(&self) -> MutexGuard<'_, Database> {
        // No call panics between two changes that belong together.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryDriver {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Driver for MemoryDriver {
    fn backend(&self) -> Backend {
        BACKEND
    }

    fn dialect(&self) -> Arc<dyn Dialect> {
        Arc::new(Lines)
    }

    fn store(&self) -> Arc<dyn StateStore> {
        Arc::new(MemoryStore)
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        Ok(Box::new(MemorySession {
            patience: options.statement_timeout.unwrap_or(Duration::MAX),
            connection: MemoryConnection { driver: self.clone(), leased: None, in_transaction: false },
        }))
    }
}

/// One statement a line; `--` starts a comment.
#[derive(Debug)]
struct Lines;

impl Dialect for Lines {
    fn parse(&self, sql: &str, mode: TransactionMode) -> Result<Script, Vec<ScriptProblem>> {
        let lines = sql.trim_start_matches('\u{feff}').lines().map(str::trim).zip(1..);
        let statements = lines.filter(|(text, _)| !text.is_empty() && !text.starts_with("--"));
        let statements = statements.map(|(text, line)| Statement { line, ..Statement::new(text) }).collect();
        Ok(Script::new(statements, mode != TransactionMode::None))
    }

    fn names(&self, statement: &Statement) -> Names {
        named(&statement.text)
    }
}

/// What a migration for this driver can take as its argument.
#[derive(Debug)]
pub struct MemoryConnection {
    driver: MemoryDriver,
    leased: Option<Token>,
    in_transaction: bool,
}

impl MemoryConnection {
    /// Runs a statement, and adds it to the journal.
    ///
    /// # Errors
    /// Where it starts with `fail`, or its name is there already, or not there.
    pub fn run(&mut self, statement: &str) -> Result<()> {
        let mut database = self.driver.lock();
        database.now.run(statement)?;
        if statement == "commit" {
            database.before = None;
        }
        Ok(())
    }
}

impl FromContext<MemoryDriver> for MemoryConnection {
    const BACKEND: Option<Backend> = Some(BACKEND);

    fn from_context(cx: &mut Context) -> Result<&mut Self> {
        let connection = cx.connection().downcast_mut();
        connection.ok_or_else(|| Error::wrong_backend("MemoryConnection"))
    }
}

impl FromBlocking<MemoryDriver> for MemoryConnection {
    const BACKEND: Option<Backend> = Some(BACKEND);
}

#[derive(Debug)]
struct MemorySession {
    connection: MemoryConnection,
    /// How long one statement may take.
    patience: Duration,
}

impl MemorySession {
    fn database(&mut self) -> MutexGuard<'_, Database> {
        self.connection.driver.lock()
    }
}

#[async_trait]
impl Session for MemorySession {
    fn capabilities(&self) -> &Capabilities {
        &self.connection.driver.capabilities
    }

    async fn begin(&mut self, _: Origin) -> Result<()> {
        self.connection.in_transaction = true;
        let mut database = self.database();
        database.before = Some(database.now.clone());
        Ok(())
    }

    async fn commit(&mut self, batch: &Batch) -> Result<Atomicity> {
        self.connection.in_transaction = false;
        let mut database = self.database();
        let Some(before) = database.before.take() else { return Ok(Atomicity::Broken) };
        if let Err(error) = append(&mut database, batch) {
            database.now = before;
            return Err(error);
        }
        Ok(Atomicity::Kept)
    }

    async fn rollback(&mut self) -> Result<Atomicity> {
        self.connection.in_transaction = false;
        let mut database = self.database();
        match database.before.take() {
            Some(before) => {
                database.now = before;
                Ok(Atomicity::Kept)
            }
            None => Ok(Atomicity::Broken),
        }
    }

    async fn execute(&mut self, statement: &Statement) -> Result<Outcome> {
        self.connection.run(&statement.text)?;
        if statement.text == "sleep" {
            tokio::time::sleep(self.patience).await;
            return Err(Error::database("running a statement", None, "it took too long"));
        }
        Ok(Outcome::rows(0))
    }

    fn connection(&mut self) -> &mut (dyn Any + Send) {
        &mut self.connection
    }

    async fn blocking(&mut self, job: &mut BlockingJob<'_>) -> Result<()> {
        job(&mut self.connection);
        Ok(())
    }

    async fn close(self: Box<Self>) {}
}

impl Drop for MemoryConnection {
    /// What a server does when a client is gone: rolls back, frees the lease.
    fn drop(&mut self) {
        let Some(leased) = self.leased else { return };
        let mut database = self.driver.lock();
        // What is open may be another session's: only ours is rolled back.
        if let Some(before) = self.in_transaction.then(|| database.before.take()).flatten() {
            database.now = before;
        }
        if database.lease.as_ref().is_some_and(|(token, _)| *token == leased) {
            database.lease = None;
        }
    }
}

#[derive(Debug)]
struct MemoryStore;

#[async_trait]
impl StateStore for MemoryStore {
    async fn head(&self, session: &mut dyn Session, _: &[Namespace]) -> Result<Option<Head>> {
        let connection = connection(session)?;
        let database = connection.driver.lock();
        Ok(database.prepared.then(|| database.now.history.head.clone()))
    }

    async fn prepare(&self, session: &mut dyn Session) -> Result<()> {
        connection(session)?.driver.lock().prepared = true;
        Ok(())
    }

    async fn history(&self, session: &mut dyn Session) -> Result<History> {
        Ok(connection(session)?.driver.history())
    }

    async fn append(&self, session: &mut dyn Session, batch: &Batch) -> Result<()> {
        append(&mut connection(session)?.driver.lock(), batch)
    }

    async fn checkpoint(&self, session: &mut dyn Session, key: &CheckpointKey) -> Result<Option<Checkpoint>> {
        Ok(connection(session)?.driver.lock().now.checkpoints.get(key).cloned())
    }

    async fn save_checkpoint(
        &self,
        session: &mut dyn Session,
        key: &CheckpointKey,
        checkpoint: &Checkpoint,
        fence: Option<Token>,
    ) -> Result<()> {
        let mut database = connection(session)?.driver.lock();
        is_held(&database, fence)?;
        database.now.checkpoints.insert(key.clone(), checkpoint.clone());
        Ok(())
    }

    async fn names(&self, session: &mut dyn Session) -> Result<Vec<String>> {
        Ok(connection(session)?.driver.names())
    }

    async fn acquire(&self, session: &mut dyn Session, request: &LeaseRequest) -> Result<Acquired> {
        let connection = connection(session)?;
        let mut database = connection.driver.lock();
        if let Some((_, holder)) = &database.lease {
            return Ok(Acquired::No(holder.clone()));
        }
        database.tokens += 1;
        let token = Token(database.tokens);
        let mut holder = Holder::default();
        holder.by = Some(request.author.by.to_string());
        holder.since = Some(Timestamp::now());
        database.lease = Some((token, holder));
        drop(database);
        connection.leased = Some(token);
        Ok(Acquired::Yes(Box::new(MemoryLease(token))))
    }
}

/// The driver's own session behind the one that the engine passes around.
fn connection(session: &mut dyn Session) -> Result<&mut MemoryConnection> {
    session.connection().downcast_mut().ok_or_else(|| Error::wrong_backend("MemoryConnection"))
}

/// Whether the lease is still that of this token.
fn is_held(database: &Database, fence: Option<Token>) -> Result<()> {
    let holder = database.lease.as_ref().map(|(token, _)| *token);
    if fence == holder {
        return Ok(());
    }
    Err(Error::LeaseLost { problem: "another token was handed out since".to_owned() })
}

fn append(database: &mut Database, batch: &Batch) -> Result<()> {
    is_held(database, batch.fence)?;
    let last = database.now.history.records.last().map_or(0, |record| record.seq);
    if batch.records.iter().zip(last + 1..).any(|(record, next)| record.seq != next) {
        return Err(Error::HistoryMoved { problem: format!("record {} is there already", last) });
    }
    database.now.history.records.extend(batch.records.iter().cloned());
    database.now.history.head.namespaces.extend(batch.heads.iter().cloned());
    Ok(())
}

#[derive(Debug)]
struct MemoryLease(Token);

#[async_trait]
impl Lease for MemoryLease {
    fn token(&self) -> Option<Token> {
        Some(self.0)
    }

    async fn verify(&mut self, session: &mut dyn Session) -> Result<()> {
        let database = connection(session)?.driver.lock();
        match &database.lease {
            Some((token, _)) if *token == self.0 => Ok(()),
            _ => Err(Error::LeaseLost { problem: "another session has it".to_owned() }),
        }
    }

    async fn release(self: Box<Self>, session: &mut dyn Session) -> Result<()> {
        let connection = connection(session)?;
        connection.leased = None;
        let mut database = connection.driver.lock();
        // Only ours: it may have been taken away and handed to somebody else.
        if database.lease.as_ref().is_some_and(|(token, _)| *token == self.0) {
            database.lease = None;
        }
        Ok(())
    }
}
