//! Reads the history: what has been put into its collection, and what still stands with the heads.

use std::collections::BTreeSet;

use admmgt_core::stored;
use admmgt_core::{Error, History, Result};
use mongodb::bson::doc;

use crate::error;
use crate::head;
use crate::kept;
use crate::link::Link;
use crate::records::{record, signed};
use crate::tail::Tail;

pub(crate) const HISTORY: &str = "history";

/// The whole history: the documents up to the number that the heads have, and those that are still with them.
pub(crate) async fn history(link: &mut Link) -> Result<History> {
    let found = head::find(link).await?;
    let history = link.ours(HISTORY);
    let Some(found) = found.filter(|found| found.contains_key("format")) else {
        head::check_unused(link).await?;
        link.saw(0);
        return Ok(History::default());
    };
    let head = head::head_of(&found)?;
    let last = u64::try_from(head::number(&found, "seq")?).map_err(|_| head::damaged("its field `seq` is negative"))?;
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
        let now = head::find(link).await?.unwrap_or_default();
        if head::number(&now, "seq")? == signed(last) {
            return Err(head::damaged(&format!("it says that record {last} is the last, and there are later ones")));
        }
    }
    link.tail = Tail::default();
    for found in found.get_array("tail").map(Vec::as_slice).unwrap_or_default() {
        let found = found.as_document().ok_or_else(|| head::damaged("its field `tail` holds what is no record"))?;
        let record = record(found)?;
        if !there.contains(&record.seq) {
            link.tail.push(found.clone());
            records.push(record);
        }
    }
    link.may_have_pending = kept::is_pending(&found);
    records.sort_by_key(|record| record.seq);
    let newest = records.last().map_or(0, |record| record.seq);
    if !records.is_empty() && newest != last {
        let problem = format!("its last record is {newest}, and must be {last}; restore it from a backup");
        return Err(Error::corrupt("the history", problem));
    }
    link.saw(newest);
    stored::read(records, head.namespaces.into_iter().collect(), last > 0)
}
