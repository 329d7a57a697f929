//! The next place in the history, held for whoever has the lease.
//!
//! The number of a record is given once. So whoever takes the lease puts a document into the place of the next one: who had
//! the lease before would write there, and cannot. With the first record of the run it becomes that record, and all the
//! others are simply added: nothing else has to prove that they may be.

use admmgt_core::Result;
use mongodb::bson::{Document, doc};

use crate::checkpoints;
use crate::error;
use crate::history::{self, HISTORY, with_heads};
use crate::link::Link;
use crate::records::signed;

/// So many records somebody may write whose lease was just taken.
const TRIES: usize = 100;

/// The holder, as the place names it.
pub(crate) fn holder(token: u64, owner: &str) -> Document {
    doc! { "token": signed(token), "owner": owner }
}

/// Holds the next place, in which nobody else writes from now on; returns its number. `None` where others went on writing.
pub(crate) async fn hold(link: &mut Link, token: u64, owner: &str) -> Result<Option<u64>> {
    for _ in 0..TRIES {
        let end = history::end(link).await?;
        if end.is_none() {
            checkpoints::forget(link).await?;
        }
        let end = end.unwrap_or_default();
        let next = end.last + 1;
        let history = link.ours(HISTORY);
        let held_for = holder(token, owner);
        let is_held = match end.held_for {
            Some(before) => {
                let place = doc! { "_id": signed(next), "held_for": before };
                let taken = history.update_one(place, doc! { "$set": { "held_for": held_for } }).await;
                taken.map(|taken| taken.matched_count == 1)
            }
            None => {
                let place = doc! { "_id": signed(next), "held_for": held_for };
                match history.insert_one(with_heads(place, end.heads)).await {
                    // A record has just been written there.
                    Err(error) if error::code(&error) == Some(11000) => Ok(false),
                    held => held.map(|_| true),
                }
            }
        };
        if is_held.map_err(|error| link.failed("asking for the lease", &error))? {
            return Ok(Some(next));
        }
    }
    Ok(None)
}
