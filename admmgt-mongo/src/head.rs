//! The heads: one document that is the truth of how far the history goes, and the proof that a writer may still write.
//!
//! ```text
//! { _id: "head", format, token, seq, heads, tail: [records], pending, proofs }
//! ```
//!
//! A write moves `seq` from the number it read, where `token` is still its own: one operation, in the transaction or alone,
//! that cannot be half done. The records go with it in `tail`, and into the history some at a time and at the end of the run;
//! who reads finds them in either place.

use std::collections::BTreeSet;
use std::time::Duration;

use admmgt_core::stored;
use admmgt_core::{Batch, Error, FORMAT, Head, History, Result, Token};
use mongodb::Database;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::options::{ReadConcern, ReturnDocument};

use crate::error::{self, Asked};
use crate::kept;
use crate::lease;
use crate::link::Link;
use crate::records::{document, record, signed};
use crate::server::Server;

/// The collection of the heads and of the lease.
pub(crate) const STATE: &str = "state";
pub(crate) const HISTORY: &str = "history";
const ID: &str = "head";
const SETTLING: Duration = Duration::from_secs(10);

/// So many records go with the heads before they are put into the history.
const TAIL: usize = 64;
/// So many bytes of records go with the heads, where there are transactions to write more.
const TAIL_LIMIT: usize = 1 << 20;
/// As much as fits into one document.
const DOCUMENT_LIMIT: usize = 12 << 20;

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

fn number(found: &Document, name: &str) -> Result<i64> {
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

fn head_of(found: &Document) -> Result<Head> {
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
    match find(link).await? {
        Some(found) if found.contains_key("format") => head_of(&found).map(Some),
        _ => check_unused(link).await.map(|()| None),
    }
}

/// There are no records where there are no heads.
async fn check_unused(link: &mut Link) -> Result<()> {
    match link.ours(HISTORY).find_one(doc! {}).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(damaged("it is not there, and there are records")),
        Err(error) => Err(link.failed("reading the history", &error)),
    }
}

pub(crate) async fn find(link: &mut Link) -> Result<Option<Document>> {
    let found = link.ours(STATE).find_one(doc! { "_id": ID }).await;
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
    if let Some(found) = find(link).await?
        && found.contains_key("format")
    {
        return check_format(&found);
    }
    check_unused(link).await?;
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

/// From now on nobody with an older token writes. Returns the newest: it is another one where somebody took the document of
/// the lease away, and its tokens began anew.
pub(crate) async fn fence(link: &mut Link, token: u64) -> Result<i64> {
    let newest = doc! { "$max": { "token": signed(token) } };
    let state = link.ours(STATE);
    let fence = || {
        let fence = state.find_one_and_update(doc! { "_id": ID }, newest.clone());
        fence.upsert(true).return_document(ReturnDocument::After).into_future()
    };
    let mut fenced = fence().await;
    if fenced.as_ref().is_err_and(|error| error::code(error) == Some(11000)) {
        fenced = fence().await;
    }
    let fenced = fenced.map_err(|error| link.failed("asking for the lease", &error))?;
    number(&fenced.unwrap_or_default(), "token")
}

/// The whole history: the documents up to the number that the heads have, and those that are still with them.
pub(crate) async fn history(link: &mut Link) -> Result<History> {
    let found = find(link).await?;
    let history = link.ours(HISTORY);
    let Some(found) = found.filter(|found| found.contains_key("format")) else {
        check_unused(link).await?;
        link.saw(0);
        return Ok(History::default());
    };
    let head = head_of(&found)?;
    let last = u64::try_from(number(&found, "seq")?).map_err(|_| damaged("its field `seq` is negative"))?;
    let read = history.find(doc! {}).sort(doc! { "_id": 1 }).await;
    let mut cursor = read.map_err(|error| link.failed("reading the history", &error))?;
    let mut records = Vec::new();
    let (mut there, mut later) = (BTreeSet::new(), false);
    loop {
        match cursor.advance().await {
            Ok(false) => break,
            Err(error) => return Err(link.failed("reading the history", &error)),
            Ok(true) => {}
        }
        let found = cursor.deserialize_current().map_err(|error| {
            Error::corrupt("a document of the history", format!("{}; restore it from a backup", error::words(&error)))
        })?;
        let record = record(&found)?;
        // What is written meanwhile is not of this moment.
        if record.seq <= last {
            there.insert(record.seq);
            records.push(record);
        } else {
            later = true;
        }
    }
    if later {
        let now = find(link).await?.unwrap_or_default();
        if number(&now, "seq")? == signed(last) {
            return Err(damaged(&format!("it says that record {last} is the last, and there are later ones")));
        }
    }
    link.tail.clear();
    for found in found.get_array("tail").map(Vec::as_slice).unwrap_or_default() {
        let found = found.as_document().ok_or_else(|| damaged("its field `tail` holds what is no record"))?;
        let record = record(found)?;
        if !there.contains(&record.seq) {
            link.tail.push(found.clone());
            records.push(record);
        }
    }
    link.tail_bytes = size(&link.tail);
    records.sort_by_key(|record| record.seq);
    let newest = records.last().map_or(0, |record| record.seq);
    if !records.is_empty() && newest != last {
        let problem = format!("its last record is {newest}, and must be {last}; restore it from a backup");
        return Err(Error::corrupt("the history", problem));
    }
    link.saw(newest);
    stored::read(records, head.namespaces.into_iter().collect(), last > 0)
}

/// Fails where the last record is another one than was seen. Code can do what no rollback takes back.
pub(crate) async fn check(link: &mut Link, seen: u64) -> Result<()> {
    let found = find(link).await?;
    let last = found.as_ref().map_or(Ok(0), |found| number(found, "seq"))?;
    if last == signed(seen) { Ok(()) } else { Err(moved(seen, last)) }
}

fn moved(seen: u64, last: i64) -> Error {
    Error::HistoryMoved { problem: format!("its last record was {seen} and is {last}") }
}

/// Writes records and moves the heads, in no transaction of the run's.
pub(crate) async fn append(link: &mut Link, batch: &Batch) -> Result<()> {
    kept::recall(link, batch).await?;
    let documents = documents(link, batch);
    let large = size(&documents) > TAIL_LIMIT;
    if large && link.facts.capabilities.transactions {
        link.begin().await?;
        if let Err(error) = write(link, batch).await {
            link.abort().await;
            return Err(error);
        }
        link.commit().await?;
    } else {
        if large {
            flush(link).await?;
        }
        if size(&documents) > DOCUMENT_LIMIT {
            let problem = "these records are too large to be written at once, and this server has no transactions; apply fewer \
                           migrations at a time, with a target";
            return Err(Error::Usage { problem: problem.to_owned() });
        }
        move_head(link, batch, Some(documents)).await?;
    }
    wrote(link, batch).await
}

/// Writes records and moves the heads in the transaction that is open.
pub(crate) async fn write(link: &mut Link, batch: &Batch) -> Result<()> {
    if batch.records.is_empty() {
        // Whatever else was written has proven the lease.
        return Ok(());
    }
    let documents = documents(link, batch);
    if size(&documents) <= TAIL_LIMIT {
        return move_head(link, batch, Some(documents)).await;
    }
    move_head(link, batch, None).await?;
    let history = link.ours(HISTORY);
    match history.insert_many(documents).session(link.handle().session()).await {
        Ok(_) => Ok(()),
        Err(error) if error::code(&error) == Some(11000) => {
            Err(Error::HistoryMoved { problem: "a record with the next number is there already".to_owned() })
        }
        Err(error) => Err(link.failed("writing the history", &error)),
    }
}

fn documents(link: &Link, batch: &Batch) -> Vec<Document> {
    let mut documents: Vec<Document> = batch.records.iter().map(document).collect();
    kept::put(link.kept.as_ref(), batch, &mut documents);
    documents
}

/// Moves the head from the record before the batch to its last one, if nobody else has, the lease is ours and nobody has a
/// newer token; with it go the records, where they are not too large.
async fn move_head(link: &mut Link, batch: &Batch, tail: Option<Vec<Document>>) -> Result<()> {
    let after = batch.after().unwrap_or_default();
    let last = batch.records.last().map_or(after, |record| record.seq);
    if batch.records.iter().zip(after + 1..).any(|(record, next)| record.seq != next) {
        return Err(Error::HistoryMoved { problem: format!("record {after} is there already") });
    }
    let mut update = doc! { "$set": { "seq": signed(last), "heads": stored::heads_text(&batch.heads) } };
    update.extend(kept::settled(batch).map(|gone| ("$pull".to_owned(), Bson::from(gone))));
    if let Some(tail) = tail {
        update.insert("$push", doc! { "tail": { "$each": tail } });
    }
    let at = if after == 0 {
        doc! { "$in": [null, 0_i64] }
    } else {
        doc! { "$eq": signed(after) }
    };
    match guarded(link, batch.fence, doc! { "_id": ID, "seq": at }, update).await? {
        true => Ok(()),
        false => Err(why_not(link, batch, after).await),
    }
}

/// Updates the heads where their token is still this one, and looks at the lease at the same time. `false` where nothing
/// matched.
async fn guarded(link: &mut Link, fence: Option<Token>, mut heads: Document, update: Document) -> Result<bool> {
    let state = link.ours(STATE);
    let lease = lease::Look::new(link, fence)?;
    heads.insert("token", fence.map(|Token(token)| signed(token)));
    let update = state.update_one(heads, update);
    let (held, updated) = if link.in_transaction() {
        let update = update.session(link.handle().session());
        tokio::join!(lease.is_held(), update.into_future())
    } else {
        // Nothing takes this write back: the lease is looked at first.
        lease::judged(link, lease.is_held().await)?;
        (Ok(true), update.await)
    };
    lease::judged(link, held)?;
    let updated = updated.map_err(|error| link.failed("writing the history", &error))?;
    Ok(updated.matched_count == 1)
}

fn size(documents: &[Document]) -> usize {
    let bytes = |document: &Document| RawDocumentBuf::try_from(document).map_or(usize::MAX, |raw| raw.as_bytes().len());
    documents.iter().map(bytes).fold(0, usize::saturating_add)
}

/// A batch is there. Many records are put where they belong together, and what is left at the end of a run.
pub(crate) async fn wrote(link: &mut Link, batch: &Batch) -> Result<()> {
    let Some(last) = batch.records.last() else { return Ok(()) };
    link.saw(last.seq);
    let documents = documents(link, batch);
    let bytes = size(&documents);
    if bytes <= TAIL_LIMIT || !link.facts.capabilities.transactions {
        link.tail.extend(documents);
        link.tail_bytes = link.tail_bytes.saturating_add(bytes);
    }
    link.kept = None;
    if link.tail.len() < TAIL && link.tail_bytes <= TAIL_LIMIT {
        return Ok(());
    }
    // What was written is written: where this cannot be done now, the next write does it, or the end of the run.
    let lost = link.lost.take();
    let flushed = flush(link).await;
    link.lost = lost;
    if link.tail_bytes > DOCUMENT_LIMIT / 2 { flushed } else { Ok(()) }
}

/// Some of the tail stand in the history already: whether they are the same.
async fn check_there(link: &mut Link) -> Result<()> {
    for document in link.tail.clone() {
        let id = document.get("_id").cloned().unwrap_or(Bson::Null);
        let found = link.ours(HISTORY).find_one(doc! { "_id": id.clone() }).await;
        let found = found.map_err(|error| link.failed("reading the history", &error))?;
        if found.is_none_or(|found| record(&found).ok() != record(&document).ok()) {
            return Err(Error::HistoryMoved { problem: format!("record {id} is there already, and is another one") });
        }
    }
    Ok(())
}

/// Puts into the history what stands with the heads only.
pub(crate) async fn flush(link: &mut Link) -> Result<()> {
    if link.tail.is_empty() {
        return Ok(());
    }
    let history = link.ours(HISTORY);
    // They must be safe there before they go from the heads.
    match history.insert_many(&link.tail).ordered(false).await {
        Ok(_) => {}
        Err(error) if error::is_taken_only(&error) => check_there(link).await?,
        Err(error) => return Err(link.failed("writing the history", &error)),
    }
    let last = link.seen.map_or(0, signed);
    let flushed = link.ours(STATE).update_one(doc! { "_id": ID, "seq": last }, doc! { "$unset": { "tail": "" } }).await;
    flushed.map_err(|error| link.failed("writing the history", &error))?;
    link.tail.clear();
    link.tail_bytes = 0;
    Ok(())
}

/// Somebody else has the newest token, or has written.
async fn why_not(link: &mut Link, batch: &Batch, after: u64) -> Error {
    let found = match find(link).await {
        Ok(found) => found.unwrap_or_default(),
        Err(error) => return error,
    };
    let token = number(&found, "token").ok();
    if token != batch.fence.map(|Token(token)| signed(token)) {
        return lease::taken_since();
    }
    moved(after, number(&found, "seq").unwrap_or_default())
}

/// Writes something beside the heads, if nobody has a newer token.
pub(crate) async fn note(link: &mut Link, fence: Option<Token>, update: Document) -> Result<()> {
    match guarded(link, fence, doc! { "_id": ID }, update).await? {
        true => Ok(()),
        false => Err(lease::taken_since()),
    }
}

/// Proves in the transaction that is open, or at once, that nobody has a newer token.
pub(crate) async fn prove(link: &mut Link, fence: Option<Token>) -> Result<()> {
    note(link, fence, doc! { "$inc": { "proofs": 1_i64 } }).await
}
