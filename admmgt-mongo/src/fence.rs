//! The fence: one document by which a writer proves that nobody has taken the lease since, where no record proves it.
//!
//! ```text
//! { _id: "fence", token, owner, ended, pending, proofs }
//! ```
//!
//! Whoever takes the lease writes its token and owner here before it reads the history. A write that goes with an update of this
//! document is done where both are still its own: a transaction that has read older ones is aborted.

use std::time::Duration;

use admmgt_core::{Error, Result, Token};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReadConcern;

use crate::error;
use crate::kept;
use crate::lease;
use crate::link::Link;
use crate::records::{signed, whole};

/// The collection of the fence and of the lease.
pub(crate) const STATE: &str = "state";
const ID: &str = "fence";
const TOKEN: &str = "token";
/// The last record as far as the state knows: of a history that ends before it, the end is lost. The lease has such a field too.
pub(crate) const ENDED: &str = "ended";
const SETTLING: Duration = Duration::from_secs(10);

pub(crate) fn damaged(problem: &str) -> Error {
    damaged_in(ID, problem)
}

/// A document of the state that is not as it should be.
pub(crate) fn damaged_in(id: &str, problem: &str) -> Error {
    Error::corrupt(format!("the document `{id}` of the state"), format!("{problem}; restore it from a backup"))
}

/// These fields of it; `None` where it is not there.
pub(crate) async fn find(link: &mut Link, fields: Document) -> Result<Option<Document>> {
    let found = link.ours(STATE).find_one(doc! { "_id": ID }).projection(fields).await;
    found.map_err(|error| link.failed("reading the state", &error))
}

/// Waits until a majority of the servers has what was seen on one of them. The names of collections are seen before that, and the
/// history only behind it: whoever reads both would take what another run has just made for something that nobody knows of.
pub(crate) async fn settle(link: &mut Link) {
    // Where it cannot be had, a standalone among them, nothing is behind.
    let state = link.ours(STATE);
    let seen = state.find_one(doc! { "_id": ID }).read_concern(ReadConcern::linearizable()).max_time(SETTLING);
    let _ = seen.await;
}

fn token_of(found: &Document) -> Result<i64> {
    match found.get(TOKEN) {
        None | Some(Bson::Null) => Ok(0),
        Some(value) => whole(value).ok_or_else(|| damaged(&format!("its field `{TOKEN}` is no number"))),
    }
}

/// What the state says of the history.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The last record when a lease was taken, renewed or handed back. There may be later ones.
    pub(crate) ended: u64,
    /// The fence, as far as it says what there was before a step.
    pub(crate) fence: Option<Document>,
}

pub(crate) async fn said(link: &mut Link) -> Result<Said> {
    let found = link.ours(STATE).find(doc! {}).projection(doc! { ENDED: 1, kept::PENDING: 1 }).await;
    let mut cursor = found.map_err(|error| link.failed("reading the state", &error))?;
    let mut said = Said::default();
    while cursor.advance().await.map_err(|error| link.failed("reading the state", &error))? {
        let found = cursor.deserialize_current().map_err(|error| damaged(&error::words(&error)))?;
        said.ended = said.ended.max(ended(&found)?);
        if found.get_str("_id") == Ok(ID) {
            said.fence = Some(found);
        }
    }
    Ok(said)
}

fn ended(found: &Document) -> Result<u64> {
    let Some(value) = found.get(ENDED).filter(|value| !matches!(value, Bson::Null)) else { return Ok(0) };
    whole(value).and_then(|ended| u64::try_from(ended).ok()).ok_or_else(|| {
        damaged_in(found.get_str("_id").unwrap_or_default(), &format!("its field `{ENDED}` must be a whole number"))
    })
}

/// From now on only who has this token, and is this owner, writes behind the `last` record. `Some` where the fence has a token
/// that is not older, which is returned: somebody took the document of the lease away, and its tokens began anew.
pub(crate) async fn set(link: &mut Link, token: u64, owner: &str, last: u64) -> Result<Option<i64>> {
    let state = link.ours(STATE);
    let older = doc! { "_id": ID, "$or": [{ TOKEN: null }, { TOKEN: { "$lt": signed(token) } }] };
    let ours = doc! { "$set": { TOKEN: signed(token), "owner": owner }, "$max": { ENDED: signed(last) } };
    for _ in 0..TRIES {
        // Where there are records, there is a fence: one that is made anew would know nothing of the tokens that were given.
        let set = state.update_one(older.clone(), ours.clone()).upsert(last == 0).await;
        let collided = match set {
            Ok(updated) if updated.matched_count == 1 || updated.upserted_id.is_some() => return Ok(None),
            // It is there, and does not match; or it should be.
            Ok(_) => false,
            // Somebody else writes it just now.
            Err(error) if error::has_collided(&error) => true,
            Err(error) => return Err(link.failed("asking for the lease", &error)),
        };
        match find(link, doc! { TOKEN: 1 }).await? {
            Some(found) if !collided || token_of(&found)? >= signed(token) => {
                return Ok(Some(token_of(&found)?.max(signed(token))));
            }
            None if !collided => return Err(damaged("it is not there, and there are records")),
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
    Err(Error::Busy { waited: PAUSE * TRIES })
}

/// So often it is written where others write it at the same time.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(10);

/// Whether it has the token and the owner of this link's lease.
pub(crate) async fn is_ours(link: &mut Link) -> Result<bool> {
    let found = find(link, doc! { TOKEN: 1, "owner": 1 }).await?.unwrap_or_default();
    let token = link.fence.map(|Token(token)| signed(token));
    Ok(token.is_some() && token_of(&found).ok() == token && found.get_str("owner").ok() == link.owner.as_deref())
}

/// Writes something beside it, if nobody has a newer token.
pub(crate) async fn note(link: &mut Link, fence: Option<Token>, update: Document) -> Result<()> {
    lease::look(link).await?;
    let token = fence.map(|Token(token)| signed(token));
    let ours = doc! { "_id": ID, TOKEN: token, "owner": link.owner.clone() };
    let state = link.ours(STATE);
    let update = state.update_one(ours, update);
    let updated = match link.in_transaction() {
        true => update.session(link.handle().session()).await,
        false => update.await,
    };
    match updated {
        Ok(updated) if updated.matched_count == 1 => Ok(()),
        Ok(_) => Err(lease::taken_since(link, fence)),
        Err(error) => Err(link.failed("writing the state", &error)),
    }
}

/// Proves in the transaction that is open, or at once, that nobody has a newer token.
pub(crate) async fn prove(link: &mut Link, fence: Option<Token>) -> Result<()> {
    note(link, fence, doc! { "$inc": { "proofs": 1_i64 } }).await
}
