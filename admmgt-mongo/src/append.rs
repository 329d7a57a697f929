//! Adds records to the history: those of a batch are there together or not at all. They are one document, where they fit into one,
//! and else several in a transaction.

use std::sync::atomic::Ordering;
use std::time::Duration;

use admmgt_core::stored::heads_text;
use admmgt_core::{Batch, Error, Result, Token};
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

use crate::end::{self, with_heads};
use crate::error;
use crate::fence;
use crate::held;
use crate::history::{self, HISTORY};
use crate::kept;
use crate::lease;
use crate::link::Link;
use crate::records::document;

/// As many bytes of records as fit into one document.
const DOCUMENT: usize = 12 << 20;

/// So often a batch is tried where somebody who has lost the lease was in its way.
const TRIES: usize = 3;

/// Adds records, in no transaction of the run's.
pub(crate) async fn append(link: &mut Link, batch: &Batch) -> Result<()> {
    kept::recall(link, batch).await?;
    for _ in 1..TRIES {
        match append_once(link, batch).await {
            Err(Error::Busy { .. }) => {}
            done => return done,
        }
    }
    append_once(link, batch).await
}

async fn append_once(link: &mut Link, batch: &Batch) -> Result<()> {
    let documents = documents(link, batch);
    if documents.len() < 2 {
        put(link, batch, documents).await?;
    } else if link.facts.capabilities.transactions {
        link.begin().await?;
        match put(link, batch, documents).await {
            Ok(()) => link.commit().await?,
            Err(error) => {
                link.abort().await;
                return Err(error);
            }
        }
    } else {
        let problem = "these records are too large to be written at once, and this server has no transactions; apply fewer \
                       migrations at a time, with a target";
        return Err(Error::Usage { problem: problem.to_owned() });
    }
    wrote(link, batch);
    Ok(())
}

/// Adds records in the transaction that is open. When that is committed, they are [`wrote`].
pub(crate) async fn write(link: &mut Link, batch: &Batch) -> Result<()> {
    let documents = documents(link, batch);
    put(link, batch, documents).await
}

/// A batch is there.
pub(crate) fn wrote(link: &mut Link, batch: &Batch) {
    let Some(last) = batch.records.last() else { return };
    link.saw(last.seq);
    link.written.store(last.seq, Ordering::Relaxed);
    link.next = Some(last.seq + 1);
    link.is_held = false;
    link.kept = None;
}

/// The documents of a batch: one, where its records fit into it. The last one has the heads.
fn documents(link: &Link, batch: &Batch) -> Vec<Document> {
    let mut records: Vec<Document> = batch.records.iter().map(document).collect();
    kept::put(link.kept.as_ref(), batch, &mut records);
    let mut documents: Vec<Document> = fitting(records).into_iter().filter_map(joined).collect();
    if let Some(last) = documents.pop() {
        documents.push(with_heads(last, heads_text(&batch.heads)));
    }
    documents
}

/// As many records together as fit into one document.
fn fitting(records: Vec<Document>) -> Vec<Vec<Document>> {
    if records.len() < 2 {
        return vec![records];
    }
    let (mut all, mut bytes): (Vec<Vec<Document>>, usize) = (Vec::new(), 0);
    for record in records {
        let size = RawDocumentBuf::try_from(&record).map_or(DOCUMENT, |raw| raw.as_bytes().len());
        bytes = bytes.saturating_add(size);
        match all.last_mut().filter(|_| bytes <= DOCUMENT) {
            Some(together) => together.push(record),
            None => {
                all.push(vec![record]);
                bytes = size;
            }
        }
    }
    all
}

fn joined(records: Vec<Document>) -> Option<Document> {
    let mut records = records.into_iter();
    let mut first = records.next()?;
    let more: Vec<Document> = records.collect();
    if let Some(last) = more.last() {
        first.insert("last", last.get("_id").cloned().unwrap_or(Bson::Null));
        first.insert("more", more);
    }
    Some(first)
}

async fn put(link: &mut Link, batch: &Batch, documents: Vec<Document>) -> Result<()> {
    let Some(after) = batch.after() else { return Ok(()) };
    check_place(link, batch, after)?;
    lease::look(link).await?;
    let mut is_held = link.is_held;
    for document in documents {
        // All of it can be done again, in a place that somebody has held who is too late.
        match add(link, document, is_held).await {
            Ok(true) => {}
            Ok(false) if held::retake(link, after + 1).await? => return Err(Error::Busy { waited: Duration::ZERO }),
            Ok(false) => return Err(why_not(link, batch, after).await),
            Err(error @ Error::Busy { .. }) => {
                held::retake(link, after + 1).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        is_held = false;
    }
    kept::settle(link, batch).await
}

/// Whether these records follow the last one, and are written by who has the lease.
fn check_place(link: &mut Link, batch: &Batch, after: u64) -> Result<()> {
    if batch.fence != link.fence {
        return Err(lease::taken_since(link, batch.fence));
    }
    if batch.records.iter().zip(after + 1..).any(|(record, next)| record.seq != next) {
        return Err(Error::HistoryMoved { problem: format!("record {after} is there already") });
    }
    match link.next {
        Some(next) if next != after + 1 => Err(history::moved(after, next - 1)),
        _ => Ok(()),
    }
}

/// Adds a document, or puts it into the place that is held for it; `false` where another one is there.
async fn add(link: &mut Link, document: Document, is_held: bool) -> Result<bool> {
    let history = link.ours(HISTORY);
    let in_transaction = link.in_transaction();
    let added = if is_held {
        let (token, owner) = (link.fence.map_or(0, |Token(token)| token), link.owner.clone().unwrap_or_default());
        let place = doc! { "_id": document.get("_id"), "held_for": held::mark(token, &owner) };
        let replace = history.replace_one(place, document);
        let replaced = if in_transaction { replace.session(link.handle().session()).await } else { replace.await };
        replaced.map(|replaced| replaced.matched_count == 1)
    } else {
        let insert = history.insert_one(document);
        let inserted = if in_transaction { insert.session(link.handle().session()).await } else { insert.await };
        inserted.map(|_| true)
    };
    match added {
        Err(error) if error::code(&error) == Some(11000) => Ok(false),
        added => added.map_err(|error| link.failed("writing the history", &error)),
    }
}

/// Somebody else has the newest token, or has written.
async fn why_not(link: &mut Link, batch: &Batch, after: u64) -> Error {
    let end = match end::end(link).await {
        Ok(end) => end.unwrap_or_default(),
        Err(error) => return error,
    };
    if held::is_anothers(link, &end) {
        return lease::taken_since(link, batch.fence);
    }
    match fence::is_ours(link).await {
        Ok(true) => history::moved(after, end.last),
        Ok(false) => lease::taken_since(link, batch.fence),
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_fit_are_together() {
        let record = |id: i64, bytes: usize| doc! { "_id": id, "detail": "x".repeat(bytes) };
        let ids = |sizes: &[usize]| -> Vec<(i64, usize, Option<i64>)> {
            let records = (1..).zip(sizes).map(|(id, bytes)| record(id, *bytes)).collect();
            let documents = fitting(records).into_iter().filter_map(joined);
            let said = |found: Document| {
                let more = found.get_array("more").map_or(0, Vec::len);
                (found.get_i64("_id").unwrap(), more, found.get_i64("last").ok())
            };
            documents.map(said).collect()
        };
        assert_eq!(ids(&[]), []);
        assert_eq!(ids(&[13 << 20]), [(1, 0, None)]);
        assert_eq!(ids(&[1, 1, 1]), [(1, 2, Some(3))]);
        assert_eq!(ids(&[5 << 20, 5 << 20, 5 << 20, 1]), [(1, 1, Some(2)), (3, 1, Some(4))]);
        assert_eq!(ids(&[13 << 20, 1, 13 << 20]), [(1, 0, None), (2, 0, None), (3, 0, None)]);
    }
}
