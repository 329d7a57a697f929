//! The lease: an advisory lock of our connection, or a row with the server's clock where no connection is ours alone.

mod lock;
mod row;

use std::time::Duration;

use admmgt_core::{Acquired, Error, LeaseRequest, Result, Token};

use crate::error::Marked;
use crate::lease_mode::LeaseMode;
use crate::link::Link;
use crate::pooler;

pub(crate) use self::row::TABLE;

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
