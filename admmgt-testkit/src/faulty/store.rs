//! The store of a [`FaultyDriver`](super::FaultyDriver).

use std::sync::Arc;

use admmgt_core::{
    Acquired, Batch, Checkpoint, CheckpointKey, ForeignHistory, Head, History, LeaseRequest, Namespace, Result,
    Session, StateStore, Token,
};
use async_trait::async_trait;

use super::Faults;
use super::lease::FaultyLease;

#[derive(Debug)]
pub(super) struct FaultyStore {
    pub(super) inner: Arc<dyn StateStore>,
    pub(super) faults: Faults,
}

#[async_trait]
impl StateStore for FaultyStore {
    async fn head(&self, session: &mut dyn Session, namespaces: &[Namespace]) -> Result<Option<Head>> {
        self.faults.call("head", self.inner.head(session, namespaces)).await
    }

    async fn prepare(&self, session: &mut dyn Session) -> Result<()> {
        self.faults.call("prepare", self.inner.prepare(session)).await
    }

    async fn history(&self, session: &mut dyn Session) -> Result<History> {
        self.faults.call("history", self.inner.history(session)).await
    }

    async fn append(&self, session: &mut dyn Session, batch: &Batch) -> Result<()> {
        self.faults.call("append", self.inner.append(session, batch)).await
    }

    async fn checkpoint(&self, session: &mut dyn Session, key: &CheckpointKey) -> Result<Option<Checkpoint>> {
        self.faults.call("checkpoint", self.inner.checkpoint(session, key)).await
    }

    async fn save_checkpoint(
        &self,
        session: &mut dyn Session,
        key: &CheckpointKey,
        checkpoint: &Checkpoint,
        fence: Option<Token>,
    ) -> Result<()> {
        self.faults.call("save_checkpoint", self.inner.save_checkpoint(session, key, checkpoint, fence)).await
    }

    async fn foreign(&self, session: &mut dyn Session) -> Result<Vec<ForeignHistory>> {
        self.faults.call("foreign", self.inner.foreign(session)).await
    }

    async fn names(&self, session: &mut dyn Session) -> Result<Vec<String>> {
        self.faults.call("names", self.inner.names(session)).await
    }

    async fn acquire(&self, session: &mut dyn Session, request: &LeaseRequest) -> Result<Acquired> {
        Ok(match self.faults.call("acquire", self.inner.acquire(session, request)).await? {
            Acquired::Yes(inner) => Acquired::Yes(Box::new(FaultyLease { inner, faults: self.faults.clone() })),
            no => no,
        })
    }
}
