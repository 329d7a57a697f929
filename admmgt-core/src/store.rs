//! Where history, heads and the lease are kept.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::adopt::ForeignHistory;
use crate::backfill::{Checkpoint, CheckpointKey};
use crate::driver::Session;
use crate::history::{Head, History};
use crate::lease::{Acquired, LeaseRequest};
use crate::record::{Batch, Token};
use crate::{Error, Namespace, Result};

/// Remembers what happened. It keeps no connection: every call gets the session of the run, so that
/// a change and its record can share a transaction.
///
/// Implement it over tables, collections or files of the database itself. What must hold: records
/// are only ever added, in the order of their sequence numbers; a second record with the same number
/// is refused; heads move in the same transaction as the records they belong to.
#[async_trait]
pub trait StateStore: Debug + Send + Sync + 'static {
    /// The heads of the given namespaces, in one round trip, with no more than the right to read;
    /// `None` where the store was never prepared.
    ///
    /// # Errors
    /// [`crate::Error::NewerFormat`], [`crate::Error::CorruptState`], or what the database says.
    async fn head(&self, session: &mut dyn Session, namespaces: &[Namespace]) -> Result<Option<Head>>;

    /// Creates and upgrades the store's own tables. Called with the lease held; still safe to race,
    /// because a lease can be lost. Never called when there is nothing to do.
    ///
    /// # Errors
    /// [`crate::Error::NewerFormat`] before anything is written, or what the database says.
    async fn prepare(&self, session: &mut dyn Session) -> Result<()>;

    /// Every record and every head, in one consistent read. An unprepared store has an empty one.
    ///
    /// # Errors
    /// [`crate::Error::CorruptState`] names the row that cannot be read.
    async fn history(&self, session: &mut dyn Session) -> Result<History>;

    /// Adds records and moves heads, in a transaction of their own. Never called while a transaction
    /// is open in the session.
    ///
    /// # Errors
    /// [`crate::Error::HistoryMoved`] where a record with that number is there already,
    /// [`crate::Error::LeaseLost`] where the fence of the batch is older than the newest lease.
    async fn append(&self, session: &mut dyn Session, batch: &Batch) -> Result<()>;

    /// How far a backfill has come, whichever attempt it was; `None` where it never was saved. Default: there are no
    /// backfills.
    ///
    /// # Errors
    /// What the database says.
    async fn checkpoint(&self, session: &mut dyn Session, key: &CheckpointKey) -> Result<Option<Checkpoint>> {
        let _ = (session, key);
        Err(no_backfills())
    }

    /// Saves how far a backfill has come, over what was saved before: in the transaction that is open in the session, or
    /// in one of its own where none is.
    ///
    /// # Errors
    /// [`crate::Error::LeaseLost`] where the fence is older than the newest lease, and what the database says.
    async fn save_checkpoint(
        &self,
        session: &mut dyn Session,
        key: &CheckpointKey,
        checkpoint: &Checkpoint,
        fence: Option<Token>,
    ) -> Result<()> {
        let _ = (session, key, checkpoint, fence);
        Err(no_backfills())
    }

    /// Histories that other tools keep in the same database: read, never written. Default: none is known.
    ///
    /// # Errors
    /// What the database says.
    async fn foreign(&self, session: &mut dyn Session) -> Result<Vec<ForeignHistory>> {
        let _ = session;
        Ok(Vec::new())
    }

    /// The names of all tables and the like in the database but the store's own; asked for only where nothing is on record
    /// yet. Default: they are not known.
    ///
    /// # Errors
    /// What the database says.
    async fn names(&self, session: &mut dyn Session) -> Result<Vec<String>> {
        let _ = session;
        Ok(Vec::new())
    }

    /// Asks for the lease. Never waits: the engine polls.
    ///
    /// # Errors
    /// Where the question itself failed; that somebody else has the lease is an answer.
    async fn acquire(&self, session: &mut dyn Session, request: &LeaseRequest) -> Result<Acquired>;
}

fn no_backfills() -> Error {
    Error::unsupported("a backfill", "change the rows with statements; this driver keeps no checkpoints yet")
}
