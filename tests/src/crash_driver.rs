//! A driver of which every call is a point to die at, before it and after it.

use std::any::Any;
use std::sync::Arc;

use admmgt::{
    Access, Acquired, Atomicity, Backend, Batch, BlockingJob, BoxError, BoxFuture, Capabilities, Dialect, Driver,
    Error, Head, History, Lease, LeaseRequest, MakeBatch, Namespace, Origin, Outcome, Recorded, Result, Session,
    SessionOptions, StateStore, Statement, Token, async_trait,
};

use crate::points::around;

/// Passes everything on to another driver, and a point before and after each call.
#[derive(Debug)]
pub struct CrashDriver<D>(pub D);

#[async_trait]
impl<D: Driver> Driver for CrashDriver<D> {
    fn backend(&self) -> Backend {
        self.0.backend()
    }

    fn dialect(&self) -> Arc<dyn Dialect> {
        self.0.dialect()
    }

    fn store(&self) -> Arc<dyn StateStore> {
        Arc::new(CrashStore(self.0.store()))
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let session = around("open", self.0.open(options)).await?;
        Ok(Box::new(CrashSession(session)))
    }

    async fn peek(&self, options: &SessionOptions, namespaces: &[Namespace]) -> Result<Option<Head>> {
        around("peek", self.0.peek(options, namespaces)).await
    }

    async fn host(&self, run: BoxFuture<'static, ()>) -> Result<()> {
        around("host", self.0.host(run)).await
    }
}

#[derive(Debug)]
struct CrashSession(Box<dyn Session>);

#[async_trait]
impl Session for CrashSession {
    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    fn serves(&self, access: Access) -> bool {
        self.0.serves(access)
    }

    async fn begin(&mut self, origin: Origin) -> Result<()> {
        around("begin", self.0.begin(origin)).await
    }

    async fn body_done(&mut self) -> Result<()> {
        around("body_done", self.0.body_done()).await
    }

    async fn between_bodies(&mut self) -> Result<()> {
        around("between_bodies", self.0.between_bodies()).await
    }

    fn explain(&self, error: &BoxError) -> String {
        self.0.explain(error)
    }

    fn may_be_shown(&self, error: &BoxError) -> bool {
        self.0.may_be_shown(error)
    }

    fn in_transaction(&self) -> bool {
        self.0.in_transaction()
    }

    fn is_transient(&self, error: &BoxError) -> bool {
        self.0.is_transient(error)
    }

    fn describe(&self, error: &BoxError) -> String {
        self.0.describe(error)
    }

    async fn commit(&mut self, batch: &Batch) -> Result<Atomicity> {
        around("commit", self.0.commit(batch)).await
    }

    async fn rollback(&mut self) -> Result<Atomicity> {
        around("rollback", self.0.rollback()).await
    }

    async fn execute(&mut self, statement: &Statement) -> Result<Outcome> {
        around("execute", self.0.execute(statement)).await
    }

    async fn execute_recorded(
        &mut self,
        statement: &Statement,
        batch: &mut MakeBatch<'_>,
    ) -> Result<(Outcome, Recorded)> {
        around("execute_recorded", self.0.execute_recorded(statement, batch)).await
    }

    async fn resuming(&mut self, statement: &Statement, may_have_ended: bool) -> Result<bool> {
        around("resuming", self.0.resuming(statement, may_have_ended)).await
    }

    async fn reset(&mut self) -> Result<()> {
        around("reset", self.0.reset()).await
    }

    /// The inner session's own: its store downcasts it.
    fn connection(&mut self) -> &mut (dyn Any + Send) {
        self.0.connection()
    }

    async fn blocking(&mut self, job: &mut BlockingJob<'_>) -> Result<()> {
        around("blocking", self.0.blocking(job)).await
    }

    async fn close(self: Box<Self>) {
        around("close", self.0.close()).await
    }
}

#[derive(Debug)]
struct CrashStore(Arc<dyn StateStore>);

#[async_trait]
impl StateStore for CrashStore {
    async fn head(&self, session: &mut dyn Session, namespaces: &[Namespace]) -> Result<Option<Head>> {
        around("head", self.0.head(session, namespaces)).await
    }

    async fn prepare(&self, session: &mut dyn Session) -> Result<()> {
        around("prepare", self.0.prepare(session)).await
    }

    async fn history(&self, session: &mut dyn Session) -> Result<History> {
        around("history", self.0.history(session)).await
    }

    async fn append(&self, session: &mut dyn Session, batch: &Batch) -> Result<()> {
        around("append", self.0.append(session, batch)).await
    }

    async fn acquire(&self, session: &mut dyn Session, request: &LeaseRequest) -> Result<Acquired> {
        Ok(match around("acquire", self.0.acquire(session, request)).await? {
            Acquired::Yes(lease) => Acquired::Yes(Box::new(CrashLease(lease))),
            no => no,
        })
    }
}

#[derive(Debug)]
struct CrashLease(Box<dyn Lease>);

#[async_trait]
impl Lease for CrashLease {
    fn token(&self) -> Option<Token> {
        self.0.token()
    }

    fn lost(&self) -> BoxFuture<'static, Error> {
        self.0.lost()
    }

    async fn verify(&mut self, session: &mut dyn Session) -> Result<()> {
        around("verify", self.0.verify(session)).await
    }

    async fn release(self: Box<Self>, session: &mut dyn Session) -> Result<()> {
        around("release", self.0.release(session)).await
    }
}
