//! The next place in the history, held for whoever has the lease.
//!
//! The number of a record is given once. So whoever takes the lease puts a document into the place of the next one: who had
//! the lease before would write there, and cannot. With the first record of the run it becomes that record, and all the
//! others are simply added: nothing else has to prove that they may be.
//!
//! Whoever is too late, and does not know yet that somebody else has taken the lease since, may hold a place in front of them. Its
//! token is older, so they take that place and write there.

use std::time::{Duration, Instant};

use admmgt_core::{Result, Token};
use mongodb::bson::{Document, doc};

use crate::checkpoints;
use crate::end::{self, End, with_heads};
use crate::error;
use crate::fence;
use crate::history::{self, HISTORY};
use crate::link::Link;
use crate::records::{signed, whole};

/// For whom a place is held.
pub(crate) fn mark(token: u64, owner: &str) -> Document {
    doc! { "token": signed(token), "owner": owner }
}

fn token_of(held_for: &Document) -> i64 {
    held_for.get("token").and_then(whole).unwrap_or_default()
}

/// Whether the next place is held for another run, and not for somebody who is too late.
pub(crate) fn is_anothers(link: &Link, end: &End) -> bool {
    let Some(held_for) = &end.held_for else { return false };
    let (Some(Token(token)), Some(owner)) = (link.fence, &link.owner) else { return true };
    token_of(held_for) >= signed(token) && *held_for != mark(token, owner)
}

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(5);

/// What came of it.
pub(crate) enum Held {
    /// Nobody else writes there from now on. It stands behind the last record.
    Place { last: u64 },
    /// Somebody has a newer token.
    Newer(i64),
    /// It was too late, or others went on writing.
    No,
}

/// Holds the next place; `end` is where the history was seen to end.
pub(crate) async fn hold(
    link: &mut Link,
    token: u64,
    owner: &str,
    mut end: Option<End>,
    until: Instant,
) -> Result<Held> {
    while Instant::now() < until {
        if end.is_none()
            && let Some(newest) = begin_anew(link, token).await?
        {
            return Ok(Held::Newer(newest));
        }
        let seen = end.unwrap_or_default();
        if let Some(held_for) = &seen.held_for
            && token_of(held_for) >= signed(token)
        {
            return Ok(Held::Newer(token_of(held_for)));
        }
        let last = seen.last;
        if put(link, seen, mark(token, owner)).await? {
            return Ok(Held::Place { last });
        }
        tokio::time::sleep(PAUSE).await;
        end = end::end(link).await?;
    }
    Ok(Held::No)
}

/// There is no history. Where there was none, what is left of one whose state is gone, too, goes. Returns the newest token that
/// it was written with, where that is not an older one.
async fn begin_anew(link: &mut Link, token: u64) -> Result<Option<i64>> {
    if fence::find(link, doc! { "_id": 1 }).await?.is_some() {
        // Whoever has set it has held a place before.
        return if end::end(link).await?.is_some() { Ok(None) } else { Err(history::gone(link)) };
    }
    checkpoints::forget(link, token).await
}

/// `false` where somebody else has just written.
async fn put(link: &mut Link, end: End, held_for: Document) -> Result<bool> {
    let (history, next) = (link.ours(HISTORY), signed(end.last + 1));
    let put = match end.held_for {
        Some(before) => {
            let place = doc! { "_id": next, "held_for": before };
            let taken = history.update_one(place, doc! { "$set": { "held_for": held_for } }).await;
            taken.map(|taken| taken.matched_count == 1)
        }
        None => {
            let place = doc! { "_id": next, "held_for": held_for };
            history.insert_one(with_heads(place, end.heads)).await.map(|_| true)
        }
    };
    match put {
        Err(error) if error::has_collided(&error) => Ok(false),
        put => put.map_err(|error| link.failed("asking for the lease", &error)),
    }
}

/// Takes a place that somebody holds who is too late, in no transaction. `false` where there is none.
pub(crate) async fn retake(link: &mut Link, next: u64) -> Result<bool> {
    let (Some(Token(token)), Some(owner)) = (link.fence, link.owner.clone()) else { return Ok(false) };
    let place = doc! { "_id": signed(next), "held_for.token": { "$lt": signed(token) } };
    let taken = link.ours(HISTORY).update_one(place, doc! { "$set": { "held_for": mark(token, &owner) } }).await;
    let taken = taken.map_err(|error| link.failed("writing the history", &error))?;
    link.is_held |= taken.matched_count == 1;
    Ok(taken.matched_count == 1)
}
