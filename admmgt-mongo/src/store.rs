//! The history, as collections of the database itself.

use admmgt_core::{
    Acquired, Batch, Checkpoint, CheckpointKey, ForeignHistory, Head, History, LeaseRequest, Namespace, Result,
    Session, StateStore, Token, async_trait,
};

use crate::append;
use crate::checkpoints;
use crate::end;
use crate::fence;
use crate::foreign;
use crate::history;
use crate::lease;
use crate::link::Link;

/// The history of a MongoDB database.
#[derive(Debug)]
pub(crate) struct MongoStore;

#[async_trait]
impl StateStore for MongoStore {
    async fn head(&self, session: &mut dyn Session, _: &[Namespace]) -> Result<Option<Head>> {
        end::head(Link::of(session)?).await
    }

    async fn prepare(&self, session: &mut dyn Session) -> Result<()> {
        history::prepare(Link::of(session)?).await
    }

    async fn history(&self, session: &mut dyn Session) -> Result<History> {
        history::history(Link::of(session)?).await
    }

    async fn append(&self, session: &mut dyn Session, batch: &Batch) -> Result<()> {
        append::append(Link::of(session)?, batch).await
    }

    async fn checkpoint(&self, session: &mut dyn Session, key: &CheckpointKey) -> Result<Option<Checkpoint>> {
        checkpoints::read(Link::of(session)?, key).await
    }

    async fn save_checkpoint(
        &self,
        session: &mut dyn Session,
        key: &CheckpointKey,
        checkpoint: &Checkpoint,
        fence: Option<Token>,
    ) -> Result<()> {
        checkpoints::save(Link::of(session)?, key, checkpoint, fence).await
    }

    async fn foreign(&self, session: &mut dyn Session) -> Result<Vec<ForeignHistory>> {
        foreign::histories(Link::of(session)?).await
    }

    async fn names(&self, session: &mut dyn Session) -> Result<Vec<String>> {
        let link = Link::of(session)?;
        let names = link.database().list_collection_names().await;
        let mut names = names.map_err(|error| link.failed("reading the names of the collections", &error))?;
        fence::settle(link).await;
        let ours = link.server.collection("");
        names.retain(|name| !name.starts_with(&ours) && !name.starts_with("system."));
        Ok(names)
    }

    async fn acquire(&self, session: &mut dyn Session, request: &LeaseRequest) -> Result<Acquired> {
        lease::acquire(Link::of(session)?, request).await
    }
}
