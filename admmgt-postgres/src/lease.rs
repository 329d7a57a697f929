//! The lease: an advisory lock of our connection, or a row with the server's clock where no connection is ours alone.

mod lock;
mod row;

use std::time::Duration;

use admmgt_core::{Acquired, Error, LeaseRequest, Result, Token};

use crate::error::Marked;
use crate::link::Link;
use crate::pooler;

pub(crate) use self::row::TABLE;

/// How one migrator at a time is kept to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LeaseMode {
    /// An advisory lock of the run's own connection: gone with the connection, however the process ends. Where a pooler
    /// shares connections between transactions, that is found out and refused.
    #[default]
    Session,
    /// A row of the table `_admmgt_lease`, for use behind such a pooler. Its time runs by the server's clock, a second
    /// connection renews it, and every write carries its token, so that a holder who lost it without noticing
    /// cannot write.
    Row {
        /// How long a holder who does not renew it keeps it; renewed after a third of that.
        ttl: Duration,
    },
}

impl LeaseMode {
    /// [`LeaseMode::Row`] for 30 s.
    pub const fn row() -> Self {
        Self::Row { ttl: Duration::from_secs(30) }
    }
}

/// Asks for the lease, once.
pub(crate) async fn acquire(link: &mut Link, request: &LeaseRequest) -> Result<Acquired> {
    if link.facts.read_only {
        return Err(link.server.asked(Duration::ZERO).read_only());
    }
    match link.server.lease {
        LeaseMode::Session => {
            if !link.settled {
                pooler::refuse(link).await?;
                link.settle().await?;
            }
            lock::acquire(link).await
        }
        LeaseMode::Row { ttl } => row::acquire(link, request, ttl).await,
    }
}

/// A number as SQL that fails where the lease is not ours any more: it stands for the number of the first record in every
/// write. (A statement of its own for it would take as long as the insert.)
pub(crate) fn if_held(link: &Link, fence: Option<Token>, number: u64) -> Result<String> {
    let held = match (fence, link.locked) {
        (Some(Token(token)), _) => row::is_held(&link.table(TABLE)?, token),
        (None, Some(key)) => lock::is_held(key),
        (None, None) => return Err(Error::LeaseLost { problem: "nothing is written without the lease".to_owned() }),
    };
    Ok(format!("(case when {held} then '{number}' else '{}' end)::bigint", Marked::LeaseLost.text()))
}
