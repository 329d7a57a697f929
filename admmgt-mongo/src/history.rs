//! The history: a collection of records, in which the last of a batch has the heads as they are with it.
//!
//! ```text
//! { _id: 5, namespace, id, kind, …, format, heads }                              a record
//! { _id: 6, namespace, id, kind, …, more: [record, …], last: 8, format, heads }  records that were written at once
//! { _id: 9, held_for: { token, owner }, format, heads }                          the next place, until its holder writes there
//! ```

use std::time::Duration;

use admmgt_core::stored;
use admmgt_core::{Error, History, Record, Result};
use mongodb::bson::{Bson, Document, doc};

use crate::end::{self, End, damaged, held_for, number};
use crate::error;
use crate::fence::{self, STATE};
use crate::held;
use crate::kept;
use crate::lease;
use crate::link::Link;
use crate::records::{record, whole};

pub(crate) const HISTORY: &str = "history";

/// So often a history is read that cannot be as it was read: others write meanwhile.
const READS: usize = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// Who has the lease has a place for its records, in a format that this version writes.
pub(crate) async fn prepare(link: &mut Link) -> Result<()> {
    match link.next {
        Some(_) => Ok(()),
        None => end::end(link).await.map(drop),
    }
}

/// Fails where the last record is another one than was seen, or the next will be somebody else's. Code can do what no rollback
/// takes back.
pub(crate) async fn check(link: &mut Link, seen: u64) -> Result<()> {
    let end = end::end(link).await?.unwrap_or_default();
    if held::is_anothers(link, &end) {
        return Err(lease::taken_since(link, link.fence));
    }
    if end.last == seen { Ok(()) } else { Err(moved(seen, end.last)) }
}

pub(crate) fn moved(seen: u64, last: u64) -> Error {
    Error::HistoryMoved { problem: format!("its last record was {seen} and is {last}") }
}

/// Where there was a history, and is none.
pub(crate) fn gone(link: &Link) -> Error {
    let state = link.server.collection(STATE);
    let problem = format!(
        "it is empty, and there were records; restore it from a backup, or drop `{state}` too if there never was one"
    );
    Error::corrupt("the history", problem)
}

/// The whole history.
pub(crate) async fn history(link: &mut Link) -> Result<History> {
    let mut tries = 1;
    loop {
        let error = match read(link).await {
            Ok(Ok(history)) => return Ok(history),
            Ok(Err(_)) if tries < READS => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Ok(Err(error)) | Err(error) => error,
        };
        // What is not known here is no damage where a newer version wrote it.
        let is_damage = matches!(error, Error::CorruptState { .. });
        return match if is_damage { end::end(link).await } else { Ok(None) } {
            Err(newer @ Error::NewerFormat { .. }) => Err(newer),
            _ => Err(error),
        };
    }
}

/// The inner error is of a history that cannot be as it was read, except that somebody has written meanwhile.
async fn read(link: &mut Link) -> Result<Result<History>> {
    // First, so that what it says was so before the records are read.
    let fence::Said { ended, fence } = fence::said(link).await?;
    let Read { records, last, behind_held } = records(link).await?;
    if behind_held {
        let problem = "records stand behind a place that is held for the next one; restore it from a backup";
        return Ok(Err(Error::corrupt("the history", problem)));
    }
    let newest = records.last().map_or(0, |record| record.seq);
    if newest > 0 && fence.is_none() {
        return Ok(Err(fence::damaged("it is not there, and there are records")));
    }
    if newest > 0 && newest < ended {
        let problem = format!("its last record is {newest}, and there were {ended}; restore it from a backup");
        return Ok(Err(Error::corrupt("the history", problem)));
    }
    let Some(last) = last else {
        // Who has set the fence has held a place before.
        if fence.is_some() {
            return Ok(Err(gone(link)));
        }
        link.saw(0);
        return Ok(Ok(History::default()));
    };
    if !last.contains_key("heads") {
        return Err(damaged(&last, "it has no heads"));
    }
    let end = End::of(&last)?;
    if end.last != newest {
        let problem = format!("its last record is {newest}, and must be {}; restore it from a backup", end.last);
        return Ok(Err(Error::corrupt("the history", problem)));
    }
    let head = end.head()?;
    link.pending = fence.map(|fence| kept::of_whom(&fence)).unwrap_or_default();
    link.saw(newest);
    stored::read(records, head.namespaces.into_iter().collect(), ended > 0).map(Ok)
}

#[derive(Default)]
struct Read {
    records: Vec<Record>,
    /// The last document, without the records in it.
    last: Option<Document>,
    /// There was a record behind a place that was held when it was read.
    behind_held: bool,
}

async fn records(link: &mut Link) -> Result<Read> {
    let found = link.ours(HISTORY).find(doc! {}).sort(doc! { "_id": 1 }).await;
    let mut cursor = found.map_err(|error| link.failed("reading the history", &error))?;
    let (mut read, mut is_held) = (Read::default(), false);
    loop {
        match cursor.advance().await {
            Ok(false) => return Ok(read),
            Err(error) => return Err(link.failed("reading the history", &error)),
            Ok(true) => {}
        }
        let mut found = cursor.deserialize_current().map_err(|error| {
            Error::corrupt("a document of the history", format!("{}; restore it from a backup", error::words(&error)))
        })?;
        read.behind_held |= is_held;
        is_held = held_for(&found)?.is_some();
        if !is_held {
            add(&mut read.records, &found)?;
        }
        found.remove("more");
        read.last = Some(found);
    }
}

/// The records of a document.
fn add(records: &mut Vec<Record>, found: &Document) -> Result<()> {
    records.push(record(found)?);
    let more = match found.get("more") {
        None => return Ok(()),
        Some(Bson::Array(more)) => more,
        Some(_) => return Err(damaged(found, "its field `more` is no list of records")),
    };
    for one in more {
        let one = one.as_document().ok_or_else(|| damaged(found, "its field `more` holds what is no record"))?;
        records.push(record(one)?);
    }
    match records.last() {
        Some(last) if last.seq != number(found, "last")? => {
            Err(damaged(found, "its field `last` is not its last record"))
        }
        _ => Ok(()),
    }
}

/// The newest record of which this is so, as a document.
pub(crate) async fn newest(link: &mut Link, which: &Document) -> Result<Option<Document>> {
    let history = link.ours(HISTORY);
    let within = vec![
        doc! { "$match": { "more": { "$elemMatch": which.clone() } } },
        doc! { "$sort": { "_id": -1 } },
        doc! { "$limit": 1 },
        doc! { "$unwind": "$more" },
        doc! { "$replaceRoot": { "newRoot": "$more" } },
        doc! { "$match": which.clone() },
        doc! { "$sort": { "_id": -1 } },
        doc! { "$limit": 1 },
    ];
    let found = async {
        let first = history.find_one(which.clone()).sort(doc! { "_id": -1 }).await?;
        let mut cursor = history.aggregate(within).await?;
        let within = if cursor.advance().await? { Some(cursor.deserialize_current()?) } else { None };
        Ok([first, within])
    };
    let found: mongodb::error::Result<[Option<Document>; 2]> = found.await;
    let found = found.map_err(|error| link.failed("reading the history", &error))?;
    Ok(found.into_iter().flatten().max_by_key(|found| found.get("_id").and_then(whole)))
}
