//! Writes records: with the heads first, in one operation, and from there into the history, some at a time and at the end of a
//! run. Who reads finds them in either place.

use admmgt_core::{Batch, Error, Result};
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

use crate::error;
use crate::head;
use crate::history::HISTORY;
use crate::kept;
use crate::link::Link;
use crate::records::{document, record};

/// So many records go with the heads before they are put into the history.
const RECORDS: usize = 128;
/// So many bytes of records go with the heads, where there are transactions to write more.
const BYTES: usize = 1 << 20;
/// As much as fits into one document.
const DOCUMENT: usize = 12 << 20;

/// Records that are committed with the heads, and may not stand in the history yet.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    records: Vec<Document>,
    bytes: usize,
    /// The heads have records that stand in the history already.
    pub(crate) is_left: bool,
}

impl Tail {
    /// The records of a batch.
    fn of(link: &Link, batch: &Batch) -> Self {
        let mut records: Vec<Document> = batch.records.iter().map(document).collect();
        kept::put(link.kept.as_ref(), batch, &mut records);
        let bytes = records.iter().map(size).fold(0, usize::saturating_add);
        Self { records, bytes, is_left: false }
    }

    pub(crate) fn push(&mut self, record: Document) {
        self.bytes = self.bytes.saturating_add(size(&record));
        self.records.push(record);
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty() && !self.is_left
    }

    fn is_long(&self) -> bool {
        self.records.len() >= RECORDS || self.bytes > BYTES
    }
}

fn size(document: &Document) -> usize {
    RawDocumentBuf::try_from(document).map_or(usize::MAX, |raw| raw.as_bytes().len())
}

/// Writes records and moves the heads, in no transaction of the run's.
pub(crate) async fn append(link: &mut Link, batch: &Batch) -> Result<()> {
    kept::recall(link, batch).await?;
    let new = Tail::of(link, batch);
    let written = if new.bytes > BYTES && link.facts.capabilities.transactions {
        link.begin().await?;
        match insert(link, batch, new).await {
            Ok(written) => link.commit().await.map(|()| written)?,
            Err(error) => {
                link.abort().await;
                return Err(error);
            }
        }
    } else {
        if new.bytes > DOCUMENT {
            let problem = "these records are too large to be written at once, and this server has no transactions; apply fewer \
                           migrations at a time, with a target";
            return Err(Error::Usage { problem: problem.to_owned() });
        }
        with_heads(link, batch, new).await?
    };
    wrote(link, batch, written).await;
    Ok(())
}

/// Writes records and moves the heads in the transaction that is open. Returns what stands with the heads only, when that is
/// committed: for [`wrote`].
pub(crate) async fn write(link: &mut Link, batch: &Batch) -> Result<Tail> {
    if batch.records.is_empty() {
        // Whatever else was written has proven the lease.
        return Ok(Tail::default());
    }
    let new = Tail::of(link, batch);
    if new.bytes > BYTES { insert(link, batch, new).await } else { with_heads(link, batch, new).await }
}

/// What could not be put into the history for so long that nothing fits beside it any more must be now.
async fn with_heads(link: &mut Link, batch: &Batch, new: Tail) -> Result<Tail> {
    if link.tail.bytes > DOCUMENT / 2 || new.bytes > BYTES {
        flush(link).await?;
    }
    head::advance(link, batch, Some(&new.records)).await?;
    Ok(new)
}

/// Many of them go into the history at once.
async fn insert(link: &mut Link, batch: &Batch, new: Tail) -> Result<Tail> {
    head::advance(link, batch, None).await?;
    let history = link.ours(HISTORY);
    match history.insert_many(new.records).session(link.handle().session()).await {
        Ok(_) => Ok(Tail::default()),
        Err(error) if error::code(&error) == Some(11000) => {
            Err(Error::HistoryMoved { problem: "a record with the next number is there already".to_owned() })
        }
        Err(error) => Err(link.failed("writing the history", &error)),
    }
}

/// A batch is there. Many records are put where they belong together, and what is left at the end of a run.
pub(crate) async fn wrote(link: &mut Link, batch: &Batch, written: Tail) {
    let Some(last) = batch.records.last() else { return };
    link.saw(last.seq);
    link.kept = None;
    link.tail.bytes = link.tail.bytes.saturating_add(written.bytes);
    link.tail.records.extend(written.records);
    if link.tail.is_long() {
        // What was written is written: where this cannot be done now, a later write does it, or the end of the run.
        let lost = link.lost.take();
        let _ = flush(link).await;
        link.lost = lost;
    }
}

/// Puts into the history what stands with the heads only.
pub(crate) async fn flush(link: &mut Link) -> Result<()> {
    if link.tail.is_empty() {
        return Ok(());
    }
    save(link).await?;
    let shortened = head::shorten(link).await;
    shortened.map_err(|error| link.failed("writing the history", &error))?;
    link.tail = Tail::default();
    Ok(())
}

/// At the end of a run: what stands with the heads is put into the history, and can then be taken from the heads beside
/// something else. What cannot be done now the next run does.
pub(crate) async fn end(link: &mut Link) -> impl Future<Output = ()> + use<> {
    // Whoever has lost the lease leaves all of it to the others.
    let is_saved = link.owner.is_some() && !link.tail.is_empty() && save(link).await.is_ok();
    let shorten = head::shorten(link);
    async move {
        if is_saved {
            let _ = shorten.await;
        }
    }
}

/// They must be safe in the history before they go from the heads.
async fn save(link: &mut Link) -> Result<()> {
    if link.tail.records.is_empty() {
        return Ok(());
    }
    match link.ours(HISTORY).insert_many(&link.tail.records).ordered(false).await {
        Ok(_) => Ok(()),
        Err(error) if error::is_taken_only(&error) => check_there(link).await,
        Err(error) => Err(link.failed("writing the history", &error)),
    }
}

/// Some of the tail stand in the history already: whether they are the same.
async fn check_there(link: &mut Link) -> Result<()> {
    for document in link.tail.records.clone() {
        let id = document.get("_id").cloned().unwrap_or(Bson::Null);
        let found = link.ours(HISTORY).find_one(doc! { "_id": id.clone() }).await;
        let found = found.map_err(|error| link.failed("reading the history", &error))?;
        if found.is_none_or(|found| record(&found).ok() != record(&document).ok()) {
            return Err(Error::HistoryMoved { problem: format!("record {id} is there already, and is another one") });
        }
    }
    Ok(())
}
