//! The history: a collection of records, in which the last of a batch has the heads as they are with it.
//!
//! ```text
//! { _id: 5, namespace, id, kind, …, format, heads }                         a record
//! { _id: 6, namespace, id, kind, …, more: [record, …], last: 8, format, heads }    records that were written at once
//! { _id: 9, held_for: { token, owner }, format, heads }                     the next place, until its holder writes there
//! ```

use admmgt_core::stored;
use admmgt_core::{Error, FORMAT, Head, History, Record, Result};
use mongodb::Collection;
use mongodb::Database;
use mongodb::action::FindOne;
use mongodb::bson::{Bson, Document, doc};

use crate::error::{self, Asked};
use crate::fence;
use crate::kept;
use crate::link::Link;
use crate::records::record;
use crate::server::Server;

pub(crate) const HISTORY: &str = "history";

/// So often a history is read whose end moves meanwhile.
const READS: usize = 20;

/// Where the history ends.
#[derive(Debug, Default)]
pub(crate) struct End {
    /// The number of the last record; 0 where there is none.
    pub(crate) last: u64,
    /// For whom the place behind it is held.
    pub(crate) held_for: Option<Document>,
    /// The heads with that record.
    pub(crate) heads: Option<String>,
}

impl End {
    fn of(found: &Document) -> Result<Self> {
        let id = number(found, "_id")?;
        check_format(found)?;
        let held_for = found.get_document("held_for").ok().cloned();
        let last = match held_for {
            Some(_) => id.saturating_sub(1),
            None if found.contains_key("last") => number(found, "last")?,
            None => id,
        };
        Ok(Self { last, held_for, heads: heads(found)?.map(str::to_owned) })
    }

    fn head(&self) -> Result<Head> {
        let mut head = Head::default();
        head.namespaces.extend(stored::heads(self.heads.as_deref())?);
        Ok(head)
    }
}

fn place(found: &Document) -> String {
    let id = found.get("_id").unwrap_or(&Bson::Null);
    format!("the document with `_id` {id} of the history")
}

fn damaged(found: &Document, problem: &str) -> Error {
    Error::corrupt(place(found), format!("{problem}; restore it from a backup"))
}

fn number(found: &Document, name: &str) -> Result<u64> {
    let value = match found.get(name) {
        Some(Bson::Int64(value)) => Some(*value),
        Some(Bson::Int32(value)) => Some(i64::from(*value)),
        // As the shell writes them.
        Some(Bson::Double(value)) if value.fract() == 0.0 => Some(*value as i64),
        _ => None,
    };
    let value = value.and_then(|value| u64::try_from(value).ok());
    value.ok_or_else(|| damaged(found, &format!("its field `{name}` is no number")))
}

fn check_format(found: &Document) -> Result<()> {
    let format = number(found, "format")?;
    stored::check_format(place(found), i64::try_from(format).unwrap_or(i64::MAX))
}

fn heads(found: &Document) -> Result<Option<&str>> {
    match found.get("heads") {
        None | Some(Bson::Null) => Ok(None),
        Some(Bson::String(text)) => Ok(Some(text)),
        Some(_) => Err(damaged(found, "its field `heads` is no text")),
    }
}

/// What stands with the heads.
pub(crate) fn with_heads(mut document: Document, heads: impl Into<Bson>) -> Document {
    document.insert("format", i64::from(FORMAT));
    document.insert("heads", heads);
    document
}

/// The document that the history ends with, as far as it says where that is.
fn last(history: &Collection<Document>) -> FindOne<'_, Document> {
    let fields = doc! { "format": 1, "heads": 1, "held_for": 1, "last": 1 };
    history.find_one(doc! {}).sort(doc! { "_id": -1 }).projection(fields)
}

/// The heads, with one query and no more than the right to read.
pub(crate) async fn peek(server: &Server, database: &Database) -> Result<Option<Head>> {
    let history = database.collection::<Document>(&server.collection(HISTORY));
    let asked = Asked { what: "the database of MongoDB" };
    let found = last(&history).await.map_err(|error| asked.failed("reading the heads", &error))?;
    found.map(|found| End::of(&found)?.head()).transpose()
}

/// The heads, by a session.
pub(crate) async fn head(link: &mut Link) -> Result<Option<Head>> {
    end(link).await?.map(|end| end.head()).transpose()
}

/// Where it ends; `None` where nothing was ever written.
pub(crate) async fn end(link: &mut Link) -> Result<Option<End>> {
    let found = last(&link.ours(HISTORY)).await;
    let found = found.map_err(|error| link.failed("reading the history", &error))?;
    found.map(|found| End::of(&found)).transpose()
}

/// Who has the lease has a place for its records, in a format that this version writes.
pub(crate) async fn prepare(link: &mut Link) -> Result<()> {
    match link.next {
        Some(_) => Ok(()),
        None => end(link).await.map(drop),
    }
}

/// Fails where the last record is another one than was seen. Code can do what no rollback takes back.
pub(crate) async fn check(link: &mut Link, seen: u64) -> Result<()> {
    let last = end(link).await?.map_or(0, |end| end.last);
    if last == seen { Ok(()) } else { Err(moved(seen, last)) }
}

pub(crate) fn moved(seen: u64, last: u64) -> Error {
    Error::HistoryMoved { problem: format!("its last record was {seen} and is {last}") }
}

/// The whole history.
pub(crate) async fn history(link: &mut Link) -> Result<History> {
    for _ in 0..READS {
        // What was on record by then is there.
        let fence::Said { ended, fence } = fence::said(link).await?;
        let Some(read) = read(link).await? else { continue };
        let last = read.records.last().map_or(0, |record| record.seq);
        if last > 0 && fence.is_none() {
            return Err(fence::damaged("it is not there, and there are records"));
        }
        if last > 0 && last < ended {
            let problem = format!("its last record is {last}, and there were {ended}; restore it from a backup");
            return Err(Error::corrupt("the history", problem));
        }
        link.pending = fence.map(|fence| kept::of_whom(&fence)).unwrap_or_default();
        link.saw(last);
        return stored::read(read.records, read.head.namespaces.into_iter().collect(), ended > 0);
    }
    Err(Error::corrupt(
        "the history",
        "records stand behind a place that is held for the next one; restore it from a backup",
    ))
}

#[derive(Default)]
struct Read {
    records: Vec<Record>,
    head: Head,
}

/// `None` where a record was written meanwhile, in a place that was held when it was read.
async fn read(link: &mut Link) -> Result<Option<Read>> {
    let found = link.ours(HISTORY).find(doc! {}).sort(doc! { "_id": 1 }).await;
    let mut cursor = found.map_err(|error| link.failed("reading the history", &error))?;
    let (mut all, mut is_held, mut is_whole) = (Read::default(), false, true);
    loop {
        match cursor.advance().await {
            Ok(false) => break,
            Err(error) => return Err(link.failed("reading the history", &error)),
            Ok(true) => {}
        }
        let found = cursor.deserialize_current().map_err(|error| {
            Error::corrupt("a document of the history", format!("{}; restore it from a backup", error::words(&error)))
        })?;
        if is_held {
            return Ok(None);
        }
        is_held = found.contains_key("held_for");
        if !is_held {
            add(&mut all.records, &found)?;
        }
        is_whole = found.contains_key("heads");
        if is_whole {
            all.head = End::of(&found)?.head()?;
        }
    }
    if !is_whole {
        let last = all.records.last().map_or(0, |record| record.seq);
        let problem = format!("the last of them, {last}, has no heads; restore it from a backup");
        return Err(Error::corrupt("the records of the history", problem));
    }
    Ok(Some(all))
}

/// The records of a document.
fn add(records: &mut Vec<Record>, found: &Document) -> Result<()> {
    records.push(record(found)?);
    let more = match found.get("more") {
        None => return Ok(()),
        Some(Bson::Array(more)) => more,
        Some(_) => return Err(damaged(found, "its field `more` is no list of records")),
    };
    for found_more in more {
        let more =
            found_more.as_document().ok_or_else(|| damaged(found, "its field `more` holds what is no record"))?;
        records.push(record(more)?);
    }
    Ok(())
}

/// The newest record of which this is so, as a document.
pub(crate) async fn newest(link: &mut Link, which: &Document) -> Result<Option<Document>> {
    let pipeline = vec![
        doc! { "$match": { "$or": [which.clone(), { "more": { "$elemMatch": which.clone() } }] } },
        doc! { "$project": { "record": { "$concatArrays": [["$$ROOT"], { "$ifNull": ["$more", []] }] } } },
        doc! { "$unwind": "$record" },
        doc! { "$replaceRoot": { "newRoot": "$record" } },
        doc! { "$match": which.clone() },
        doc! { "$sort": { "_id": -1 } },
        doc! { "$limit": 1 },
    ];
    let found = async {
        let mut cursor = link.ours(HISTORY).aggregate(pipeline).await?;
        match cursor.advance().await? {
            true => cursor.deserialize_current().map(Some),
            false => Ok(None),
        }
    };
    let found: mongodb::error::Result<Option<Document>> = found.await;
    found.map_err(|error| link.failed("reading the history", &error))
}
