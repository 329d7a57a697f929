//! The session of a [`FaultyDriver`](super::FaultyDriver).

use std::any::Any;
use std::sync::atomic::Ordering;

use admmgt_core::{
    Access, Atomicity, Batch, Batches, BlockingJob, BoxError, Capabilities, MakeBatch, MigrationId, Origin, Outcome,
    Recorded, Result, Rows, Session, Statement,
};
use async_trait::async_trait;

use super::{Faults, is_injected, lost};

#[derive(Debug)]
pub(super) struct FaultySession {
    pub(super) inner: Box<dyn Session>,
    pub(super) faults: Faults,
}

#[async_trait]
impl Session for FaultySession {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    fn serves(&self, access: Access) -> bool {
        self.inner.serves(access)
    }

    fn in_transaction(&self) -> bool {
        self.inner.in_transaction()
    }

    fn entering(&mut self, migration: &MigrationId) {
        self.inner.entering(migration);
    }

    fn describe(&self, error: &BoxError) -> String {
        self.inner.describe(error)
    }

    fn explain(&self, error: &BoxError) -> String {
        self.inner.explain(error)
    }

    fn may_be_shown(&self, error: &BoxError) -> bool {
        self.inner.may_be_shown(error)
    }

    fn is_transient(&self, error: &BoxError) -> bool {
        self.inner.is_transient(error)
    }

    async fn begin(&mut self, origin: Origin) -> Result<()> {
        self.faults.call("begin", self.inner.begin(origin)).await
    }

    async fn begin_batch(&mut self) -> Result<()> {
        self.faults.call("begin_batch", self.inner.begin_batch()).await
    }

    fn batches(&self, rows: &Rows) -> Result<Box<dyn Batches>> {
        self.inner.batches(rows)
    }

    async fn body_done(&mut self) -> Result<()> {
        self.faults.call("body_done", self.inner.body_done()).await
    }

    async fn between_bodies(&mut self) -> Result<()> {
        self.faults.call("between_bodies", self.inner.between_bodies()).await
    }

    async fn commit(&mut self, batch: &Batch) -> Result<Atomicity> {
        let committed = self.faults.call("commit", self.inner.commit(batch)).await;
        if committed.as_ref().is_err_and(is_injected) {
            self.inner.rollback().await?;
        }
        committed
    }

    async fn rollback(&mut self) -> Result<Atomicity> {
        let rolled_back = self.faults.call("rollback", self.inner.rollback()).await;
        if rolled_back.as_ref().is_err_and(is_injected) {
            self.faults.broken.store(true, Ordering::SeqCst);
            return Err(lost());
        }
        rolled_back
    }

    async fn execute(&mut self, statement: &Statement) -> Result<Outcome> {
        self.faults.call("execute", self.inner.execute(statement)).await
    }

    async fn execute_recorded(
        &mut self,
        statement: &Statement,
        batch: &mut MakeBatch<'_>,
    ) -> Result<(Outcome, Recorded)> {
        self.faults.call("execute_recorded", self.inner.execute_recorded(statement, batch)).await
    }

    async fn resuming(&mut self, statement: &Statement, may_have_ended: bool) -> Result<bool> {
        self.faults.call("resuming", self.inner.resuming(statement, may_have_ended)).await
    }

    async fn reset(&mut self) -> Result<()> {
        self.faults.call("reset", self.inner.reset()).await
    }

    async fn notices(&mut self) -> Vec<String> {
        match self.faults.is_broken() {
            true => Vec::new(),
            false => self.inner.notices().await,
        }
    }

    /// The inner session's own: its store and its bodies downcast it.
    fn connection(&mut self) -> &mut (dyn Any + Send) {
        self.inner.connection()
    }

    async fn blocking(&mut self, job: &mut BlockingJob<'_>) -> Result<()> {
        self.faults.call("blocking", self.inner.blocking(job)).await
    }

    /// A connection that is broken is dropped.
    async fn close(self: Box<Self>) {
        if self.faults.is_broken() {
            return;
        }
        let Self { inner, faults } = *self;
        faults.pass("before", "close");
        inner.close().await;
        faults.pass("after", "close");
    }
}
