//! The heads: one document that is the truth of how far the history goes, and the proof that a writer may still write.
//!
//! ```text
//! { _id: "head", format, token, owner, seq, heads, tail: [records], pending, proofs }
//! ```
//!
//! A write moves `seq` from the number it read, where `token` and `owner` are still its own: one operation, in the transaction or alone,
//! that cannot be half done. The records go with it in `tail`, and into the history later.

use std::time::Duration;

use admmgt_core::stored;
use admmgt_core::{Batch, Error, FORMAT, Head, Result, Token};
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{Hint, ReadConcern};

use crate::checkpoints;
use crate::error::{self, Asked};
use crate::history::HISTORY;
use crate::kept;
use crate::lease;
use crate::link::Link;
use crate::records::signed;
use crate::server::Server;

/// The collection of the heads and of the lease.
pub(crate) const STATE: &str = "state";
const ID: &str = "head";
const TOKEN: &str = "token";
const SETTLING: Duration = Duration::from_secs(10);

/// The heads, with one query and no more than the right to read.
pub(crate) async fn peek(server: &Server, database: &Database) -> Result<Option<Head>> {
    let state = database.collection::<Document>(&server.collection(STATE));
    let fields = doc! { "format": 1, "heads": 1 };
    let found = state.find_one(doc! { "_id": ID }).projection(fields).await;
    let asked = Asked { what: "the database of MongoDB" };
    let found = found.map_err(|error| asked.failed("reading the heads", &error))?;
    match found {
        Some(found) if found.contains_key("format") => head_of(&found).map(Some),
        _ => Ok(None),
    }
}

pub(crate) fn damaged(problem: &str) -> Error {
    Error::corrupt(format!("the document `{ID}` of the state"), format!("{problem}; restore it from a backup"))
}

pub(crate) fn number(found: &Document, name: &str) -> Result<i64> {
    match found.get(name) {
        Some(Bson::Int64(value)) => Ok(*value),
        Some(Bson::Int32(value)) => Ok(i64::from(*value)),
        Some(Bson::Double(value)) if value.fract() == 0.0 => Ok(*value as i64),
        None | Some(Bson::Null) => Ok(0),
        Some(_) => Err(damaged(&format!("its field `{name}` is no number"))),
    }
}

fn check_format(found: &Document) -> Result<()> {
    stored::check_format(format!("the document `{ID}` of the state"), number(found, "format")?)
}

pub(crate) fn head_of(found: &Document) -> Result<Head> {
    check_format(found)?;
    let heads = match found.get("heads") {
        None | Some(Bson::Null) => None,
        Some(Bson::String(text)) => Some(text.as_str()),
        Some(_) => return Err(damaged("its field `heads` is no text")),
    };
    let mut head = Head::default();
    head.namespaces.extend(stored::heads(heads)?);
    Ok(head)
}

/// The heads, by a session.
pub(crate) async fn head(link: &mut Link) -> Result<Option<Head>> {
    match read(link, doc! { "format": 1, "heads": 1 }).await? {
        Some(found) if found.contains_key("format") => head_of(&found).map(Some),
        _ => check_unused(link).await.map(|()| None),
    }
}

/// There are no records where there are no heads.
pub(crate) async fn check_unused(link: &mut Link) -> Result<()> {
    match link.ours(HISTORY).find_one(doc! {}).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(damaged("it is not there, and there are records")),
        Err(error) => Err(link.failed("reading the history", &error)),
    }
}

/// All of it, with the tail.
pub(crate) async fn all(link: &mut Link) -> Result<Option<Document>> {
    read(link, doc! {}).await
}

/// One field of it.
pub(crate) async fn find(link: &mut Link, field: &str) -> Result<Option<Document>> {
    read(link, doc! { field: 1 }).await
}

async fn read(link: &mut Link, fields: Document) -> Result<Option<Document>> {
    let found = link.ours(STATE).find_one(doc! { "_id": ID }).projection(fields).await;
    found.map_err(|error| link.failed("reading the heads", &error))
}

/// Waits until a majority of the servers has what was seen on one of them. The names of collections are seen before that, and the
/// history only behind it: whoever reads both would take what another run has just made for something that nobody knows of.
pub(crate) async fn settle(link: &mut Link) {
    // Where it cannot be had, a standalone among them, nothing is behind.
    let state = link.ours(STATE);
    let seen = state.find_one(doc! { "_id": ID }).read_concern(ReadConcern::linearizable()).max_time(SETTLING);
    let _ = seen.await;
}

/// Makes the document where it is not there, in the format that this version writes.
pub(crate) async fn prepare(link: &mut Link) -> Result<()> {
    if let Some(found) = find(link, "format").await?
        && found.contains_key("format")
    {
        return check_format(&found);
    }
    check_unused(link).await?;
    checkpoints::forget(link).await?;
    link.make(HISTORY, "preparing the state").await?;
    let state = link.ours(STATE);
    let made = state
        .update_one(
            doc! { "_id": ID, "format": { "$exists": false } },
            doc! { "$set": { "format": i64::from(FORMAT) } },
        )
        .upsert(true)
        .await;
    match made {
        Ok(_) => {}
        // Somebody else has just made it.
        Err(error) if error::code(&error) == Some(11000) => {}
        Err(error) => return Err(link.failed("preparing the state", &error)),
    }
    Ok(())
}

/// From now on only who has this token, and is this owner, writes. `Some` where the heads have a token that is not older, which
/// is returned: somebody took the document of the lease away, and its tokens began anew.
pub(crate) async fn fence(link: &mut Link, token: u64, owner: &str) -> Result<Option<i64>> {
    let state = link.ours(STATE);
    let older = doc! { "_id": ID, "$or": [{ TOKEN: null }, { TOKEN: { "$lt": signed(token) } }] };
    let ours = doc! { "$set": { TOKEN: signed(token), "owner": owner } };
    for _ in 0..2 {
        match state.update_one(older.clone(), ours.clone()).upsert(true).await {
            Ok(_) => return Ok(None),
            // It is there, and does not match.
            Err(error) if error::code(&error) == Some(11000) => {}
            Err(error) => return Err(link.failed("asking for the lease", &error)),
        }
        let newest = number(&find(link, TOKEN).await?.unwrap_or_default(), TOKEN)?;
        if newest >= signed(token) {
            return Ok(Some(newest));
        }
        // Somebody has just made it.
    }
    Ok(Some(signed(token)))
}

/// Fails where the last record is another one than was seen. Code can do what no rollback takes back.
pub(crate) async fn check(link: &mut Link, seen: u64) -> Result<()> {
    let found = find(link, "seq").await?;
    let last = found.as_ref().map_or(Ok(0), |found| number(found, "seq"))?;
    if last == signed(seen) { Ok(()) } else { Err(moved(seen, last)) }
}

fn moved(seen: u64, last: i64) -> Error {
    Error::HistoryMoved { problem: format!("its last record was {seen} and is {last}") }
}

/// Moves the heads from the record before the batch to its last one, if nobody else has and nobody has a newer token; with it
/// go the records as documents, where they are not too large.
pub(crate) async fn advance(link: &mut Link, batch: &Batch, tail: Option<&[Document]>) -> Result<()> {
    let after = batch.after().unwrap_or_default();
    let last = batch.records.last().map_or(after, |record| record.seq);
    if batch.records.iter().zip(after + 1..).any(|(record, next)| record.seq != next) {
        return Err(Error::HistoryMoved { problem: format!("record {after} is there already") });
    }
    let mut update = doc! { "$set": { "seq": signed(last), "heads": stored::heads_text(&batch.heads) } };
    if link.may_have_pending {
        update.extend(kept::settled(batch).map(|gone| ("$pull".to_owned(), Bson::from(gone))));
    }
    match tail {
        Some([one]) => drop(update.insert("$push", doc! { "tail": one })),
        Some(tail) => drop(update.insert("$push", doc! { "tail": { "$each": tail } })),
        None => {}
    }
    let at = if after == 0 { Bson::from(doc! { "$in": [null, 0_i64] }) } else { Bson::from(signed(after)) };
    match guarded(link, batch.fence, doc! { "_id": ID, "seq": at }, update).await? {
        true => Ok(()),
        false => Err(why_not(link, batch, after).await),
    }
}

/// Takes the tail from the heads, when its records are safe in the history.
pub(crate) fn shorten(link: &Link) -> impl Future<Output = mongodb::error::Result<()>> + use<> {
    let (state, last) = (link.ours(STATE), link.seen.map_or(0, signed));
    let token = link.fence.map(|Token(token)| signed(token));
    let heads = doc! { "_id": ID, "seq": last, TOKEN: token, "owner": link.owner.clone() };
    async move { state.update_one(heads, doc! { "$unset": { "tail": "" } }).await.map(drop) }
}

/// Writes something beside the heads, if nobody has a newer token.
pub(crate) async fn note(link: &mut Link, fence: Option<Token>, update: Document) -> Result<()> {
    match guarded(link, fence, doc! { "_id": ID }, update).await? {
        true => Ok(()),
        false => Err(lease::taken_since(link, fence)),
    }
}

/// Proves in the transaction that is open, or at once, that nobody has a newer token.
pub(crate) async fn prove(link: &mut Link, fence: Option<Token>) -> Result<()> {
    note(link, fence, doc! { "$inc": { "proofs": 1_i64 } }).await
}

/// Updates the heads where their token is still this one; `false` where nothing matched. Whoever takes the lease changes that
/// token before reading anything: from then on this matches nothing, and a transaction in which it did is aborted.
async fn guarded(link: &mut Link, fence: Option<Token>, mut heads: Document, update: Document) -> Result<bool> {
    lease::look(link).await?;
    heads.insert(TOKEN, fence.map(|Token(token)| signed(token)));
    heads.insert("owner", link.owner.clone());
    let state = link.ours(STATE);
    // Named, so that the server need not look for a way to find one document.
    let update = state.update_one(heads, update).hint(Hint::Keys(doc! { "_id": 1 }));
    let updated = match link.in_transaction() {
        true => update.session(link.handle().session()).await,
        false => update.await,
    };
    let updated = updated.map_err(|error| link.failed("writing the history", &error))?;
    Ok(updated.matched_count == 1)
}

/// Somebody else has the newest token, or has written.
async fn why_not(link: &mut Link, batch: &Batch, after: u64) -> Error {
    let found = match read(link, doc! { TOKEN: 1, "owner": 1, "seq": 1 }).await {
        Ok(found) => found.unwrap_or_default(),
        Err(error) => return error,
    };
    let is_ours = number(&found, TOKEN).ok() == batch.fence.map(|Token(token)| signed(token));
    if !is_ours || found.get_str("owner").ok() != link.owner.as_deref() {
        return lease::taken_since(link, batch.fence);
    }
    moved(after, number(&found, "seq").unwrap_or_default())
}
