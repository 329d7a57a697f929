//! What a database must offer: [`Driver`] opens a [`Session`], one connection for one run.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::backfill::Batches;
use crate::history::Head;
use crate::record::{Author, Batch};
use crate::rows::Rows;
use crate::script::{Dialect, Statement};
use crate::store::StateStore;
use crate::{Backend, BoxError, BoxFuture, Error, MigrationId, Namespace, Origin, Result, sources};

/// What a session may do to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Only read. Nothing may change, not even a file of the database.
    Read,
    /// Read and write a database that exists.
    Write,
    /// As `Write`; a database that does not exist is made, where the backend can.
    Create,
}

/// How a session is opened: the limits of [`crate::Policy`] that a connection has to keep.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionOptions {
    /// What it may do.
    pub access: Access,
    /// How long one statement waits for a lock inside the database.
    pub lock_timeout: Duration,
    /// How long one statement may run; `None` for as long as it takes.
    pub statement_timeout: Option<Duration>,
    /// How long a database that does not answer yet is asked again.
    pub connect_wait: Duration,
    /// In whose name; a server shows it to those who look at its connections.
    pub author: Author,
}

impl SessionOptions {
    /// Access with the limits of the default policy, in the name of this process.
    pub fn new(access: Access) -> Self {
        Self::of(access, &crate::Policy::default(), Author::of_this_process())
    }

    /// Access with the limits of a policy.
    pub fn of(access: Access, policy: &crate::Policy, author: Author) -> Self {
        Self {
            access,
            lock_timeout: policy.lock_timeout,
            statement_timeout: policy.statement_timeout,
            connect_wait: policy.connect_wait,
            author,
        }
    }
}

/// What the connected database can do: drives planning, and which conformance tests apply.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The product and its version, for people.
    pub server: String,
    /// It has transactions that cover schema changes and the store's records alike.
    pub transactions: bool,
    /// The lease hands out tokens that every write carries.
    pub fencing: bool,
    /// Why nothing can run outside of a transaction, where that is so, and what to do.
    pub only_in_transactions: Option<String>,
}

impl Capabilities {
    /// A database without transactions and without fencing tokens.
    pub fn new(server: impl Into<String>) -> Self {
        Self { server: server.into(), transactions: false, fencing: false, only_in_transactions: None }
    }

    /// With transactions around schema changes and records.
    pub fn transactions(mut self) -> Self {
        self.transactions = true;
        self
    }

    /// With nothing outside of transactions, for this reason.
    pub fn only_in_transactions(mut self, why: impl Into<String>) -> Self {
        self.only_in_transactions = Some(why.into());
        self
    }

    /// With fencing tokens.
    pub fn fencing(mut self) -> Self {
        self.fencing = true;
        self
    }
}

/// What one statement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Outcome {
    /// Rows inserted, changed or deleted; 0 for statements that have none.
    pub rows_affected: u64,
}

impl Outcome {
    /// So many rows were changed.
    pub fn rows(rows_affected: u64) -> Self {
        Self { rows_affected }
    }
}

/// A function that is lent a connection whose calls block.
pub type BlockingJob<'a> = dyn for<'c> FnMut(&'c mut (dyn Any + Send)) + Send + 'a;

/// Whether everything since [`Session::begin`] was still one transaction when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Atomicity {
    /// All of it was committed together, or all of it was rolled back.
    Kept,
    /// The body ended the transaction by itself: part of the change may be there, without a record.
    Broken,
}

/// A kind of database, and how to reach one. Cheap to clone and to keep.
///
/// To write one: implement this, [`Session`] and [`StateStore`]. How, and which tests to run, is told in the chapter
/// `DRIVERS.md` of `admmgt-testkit`.
#[async_trait]
pub trait Driver: Debug + Send + Sync + 'static {
    /// The name that migrations declare: `sqlite`.
    fn backend(&self) -> Backend;

    /// How this database splits SQL.
    fn dialect(&self) -> Arc<dyn Dialect>;

    /// Where it keeps its history.
    fn store(&self) -> Arc<dyn StateStore>;

    /// Opens one physical connection of our own, and probes it.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the database does not exist and `options.access` may not create it,
    /// [`Error::Unreachable`] where nothing answers, and what the database says.
    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>>;

    /// Opens, reads the heads, closes: the whole of a start-up with nothing to do. Override it where
    /// that can be had cheaper than by three calls.
    ///
    /// # Errors
    /// As [`Driver::open`] and [`StateStore::head`].
    async fn peek(&self, options: &SessionOptions, namespaces: &[Namespace]) -> Result<Option<Head>> {
        let mut session = self.open(options).await?;
        let head = self.store().head(&mut *session, namespaces).await;
        session.close().await;
        head
    }

    /// Drives a run to its end. Override it where the connection blocks: all calls of the run's
    /// session happen inside this future, so it can be moved to a thread of its own. When the future
    /// returned here is dropped, `run` must be dropped soon after.
    ///
    /// # Errors
    /// Only where the run could not be started.
    async fn host(&self, run: BoxFuture<'static, ()>) -> Result<()> {
        run.await;
        Ok(())
    }

    /// Comes when all that runs of this driver which were dropped still do in the background is done: ending a statement that runs
    /// on the server, handing back a lease. Override it where dropping a session begins such work. A run that lost its connection
    /// waits for it before it opens another, for as long as [`Policy::reconnect_wait`](crate::Policy::reconnect_wait) allows.
    /// Default: there is none.
    async fn settled(&self) {}
}

/// A driver that many share is one: a list of tenants holds them as `Arc<dyn Driver>`.
#[async_trait]
impl<D: Driver + ?Sized> Driver for Arc<D> {
    fn backend(&self) -> Backend {
        (**self).backend()
    }

    fn dialect(&self) -> Arc<dyn Dialect> {
        (**self).dialect()
    }

    fn store(&self) -> Arc<dyn StateStore> {
        (**self).store()
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        (**self).open(options).await
    }

    async fn peek(&self, options: &SessionOptions, namespaces: &[Namespace]) -> Result<Option<Head>> {
        (**self).peek(options, namespaces).await
    }

    async fn host(&self, run: BoxFuture<'static, ()>) -> Result<()> {
        (**self).host(run).await
    }

    async fn settled(&self) {
        (**self).settled().await;
    }
}

/// How far the records have come of a statement that ran outside of [`Session::begin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recorded {
    /// They were written with what the statement did: both are there, or neither.
    Together,
    /// What the statement did is there for good, and they are to be written at once. A process that dies in between
    /// leaves a statement that has ended and is not on record.
    NotYet,
    /// A transaction is open that a body began by itself: they wait for its end.
    Open,
}

/// Makes the records of a statement when they are asked for, once.
pub type MakeBatch<'a> = dyn FnMut() -> Result<Batch> + Send + 'a;

/// One connection, used by one run and nobody else. Dropped without [`Session::close`], it must
/// roll back and let go of every lock as soon as it can.
#[async_trait]
pub trait Session: Debug + Send {
    /// What the database can do; probed when the session was opened.
    fn capabilities(&self) -> &Capabilities;

    /// Whether this session can be used where one of that access is asked for. Default: no, it is closed and another one
    /// is opened.
    fn serves(&self, access: Access) -> bool {
        let _ = access;
        false
    }

    /// Opens the transaction, and guards it against bodies that would end it by themselves. Code can do
    /// what no rollback takes back, so for [`Origin::Code`] a history that has moved is noticed here at the
    /// latest; SQL may notice at its record.
    ///
    /// # Errors
    /// [`Error::Busy`] where another connection kept the database locked for too long,
    /// [`Error::HistoryMoved`].
    async fn begin(&mut self, origin: Origin) -> Result<()>;

    /// Before each body and each probe: whose it is. Default: it is all the same.
    fn entering(&mut self, migration: &MigrationId) {
        let _ = migration;
    }

    /// After each body in the transaction of [`Session::begin`]: finds what it may not leave behind, such
    /// as rows that point to nothing, and makes good what it changed in the connection for the next one.
    ///
    /// # Errors
    /// What the body left behind, as an error of that body.
    async fn body_done(&mut self) -> Result<()> {
        Ok(())
    }

    /// Between two bodies of one transaction: makes good what the first changed in the connection for the next. Default:
    /// there is nothing to be made good.
    ///
    /// # Errors
    /// What the first left behind, as an error of it.
    async fn between_bodies(&mut self) -> Result<()> {
        Ok(())
    }

    /// Opens the transaction of one batch of a backfill, which [`Session::commit`] or [`Session::rollback`] ends. Default: as
    /// [`Session::begin`]. Override it where that makes room for changes of the schema, which no batch makes.
    ///
    /// # Errors
    /// As [`Session::begin`].
    async fn begin_batch(&mut self) -> Result<()> {
        self.begin(Origin::Sql).await
    }

    /// The batches of a table's rows. They are given the context of this session.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the database has no SQL.
    fn batches(&self, rows: &Rows) -> Result<Box<dyn Batches>> {
        Err(Error::unsupported(
            format!("a backfill of the rows of `{}`", rows.table),
            "give it batches of your own: `run`",
        ))
    }

    /// Checks the guard, writes the records and heads, and commits: all of it or nothing. With
    /// [`Atomicity::Broken`] nothing of the batch was written, and no transaction is open.
    ///
    /// # Errors
    /// Where the database refuses to commit; everything was rolled back then.
    async fn commit(&mut self, batch: &Batch) -> Result<Atomicity>;

    /// Checks the guard and rolls back, with whatever still runs of it: it is called, too, for a batch of a backfill that a body has
    /// dropped in the middle of a statement. Where there are no transactions it ends such a statement, if there can be one.
    ///
    /// # Errors
    /// Where the connection is lost; the database rolls back by itself then.
    async fn rollback(&mut self) -> Result<Atomicity>;

    /// Runs one statement to its end; rows it returns are read and dropped.
    ///
    /// # Errors
    /// What the database answered.
    async fn execute(&mut self, statement: &Statement) -> Result<Outcome>;

    /// Runs one statement outside of [`Session::begin`], and writes its records with it where the database can: in a
    /// transaction around both, or in the one of the body's own that this statement ends. What is on record has
    /// ended then, and what is not has not. Default: the records are left to the engine.
    ///
    /// # Errors
    /// What the database answered; neither is there then, as far as the database can take it back.
    async fn execute_recorded(
        &mut self,
        statement: &Statement,
        batch: &mut MakeBatch<'_>,
    ) -> Result<(Outcome, Recorded)> {
        let _ = batch;
        let outcome = self.execute(statement).await?;
        Ok((outcome, if self.in_transaction() { Recorded::Open } else { Recorded::NotYet }))
    }

    /// Before a statement runs that an earlier process may have run already, in part or to its end: takes away what it left
    /// behind and what is in its way. `true` where it had ended, and is not to run again; it cannot have where
    /// `may_have_ended` is false, because it is known to have failed. Called for statements that
    /// [`Dialect::is_resumable`] names. Default: nothing is looked at.
    ///
    /// # Errors
    /// What the database answered.
    async fn resuming(&mut self, statement: &Statement, may_have_ended: bool) -> Result<bool> {
        let _ = (statement, may_have_ended);
        Ok(false)
    }

    /// Whether a transaction is open that a body began by itself, outside of [`Session::begin`]. A
    /// checkpoint written now would be part of it, and lost with it, so the engine waits for its end.
    fn in_transaction(&self) -> bool {
        false
    }

    /// An error in words for the history, events and logs. Override it where the client's own words can
    /// hold what must not get there, such as the whole statement with its literals.
    fn describe(&self, error: &BoxError) -> String {
        error.to_string()
    }

    /// An error in words for whoever called. Override it where they may be told more than what is put on record: which
    /// row is in the way. Default: as [`Session::describe`].
    fn explain(&self, error: &BoxError) -> String {
        self.describe(error)
    }

    /// Whether an error, with all that is behind it, may be shown as it is. Override it where the client's own errors
    /// hold whole statements or rows.
    fn may_be_shown(&self, error: &BoxError) -> bool {
        let _ = error;
        true
    }

    /// Whether an error of a body may be gone the next time, if everything is rolled back: a deadlock, a
    /// serialization failure, a lock that was not had in time. Default: where [`Error::Busy`] is it, or is behind it.
    fn is_transient(&self, error: &BoxError) -> bool {
        sources(&**error).any(|error| matches!(error.downcast_ref(), Some(Error::Busy { .. })))
    }

    /// After a step: makes good what it may have changed in the connection: search path, role, timeouts.
    ///
    /// # Errors
    /// What the database answered.
    async fn reset(&mut self) -> Result<()> {
        Ok(())
    }

    /// At the end of a run that ended well, with the lease handed back: what those who run it should know of the database,
    /// each in a sentence; heard as [`Event::Notice`](crate::Event::Notice). Default: nothing.
    async fn notices(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// The native connection or a handle to it, for the backend's own code to downcast.
    fn connection(&mut self) -> &mut (dyn Any + Send);

    /// Calls a function with a connection whose calls block. `job` is called once, before this
    /// returns.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the backend has no such connection.
    async fn blocking(&mut self, job: &mut BlockingJob<'_>) -> Result<()> {
        let _ = job;
        Err(Error::unsupported("plain `fn` migrations", "write an `async fn` for this backend"))
    }

    /// Ends the session well: nothing is open, settings are as they were found.
    async fn close(self: Box<Self>);
}
