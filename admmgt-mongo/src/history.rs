//! Reads the history: what has been put into its collection, and what still stands with the heads.

use std::collections::BTreeMap;

use admmgt_core::stored;
use admmgt_core::{Error, History, Record, Result};
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
    let found = head::all(link).await?;
    let Some(found) = found.filter(|found| found.contains_key("format")) else {
        head::check_unused(link).await?;
        link.saw(0);
        return Ok(History::default());
    };
    let head = head::head_of(&found)?;
    let last = u64::try_from(head::number(&found, "seq")?).map_err(|_| head::damaged("its field `seq` is negative"))?;
    let mut records = saved(link, last).await?;
    link.tail = Tail::default();
    for found in found.get_array("tail").map(Vec::as_slice).unwrap_or_default() {
        let found = found.as_document().ok_or_else(|| head::damaged("its field `tail` holds what is no record"))?;
        let record = record(found)?;
        match records.get(&record.seq) {
            Some(same) if *same == record => link.tail.is_left = true,
            Some(_) => return Err(head::damaged(&format!("its record {} is another one in the history", record.seq))),
            None => {
                link.tail.push(found.clone());
                records.insert(record.seq, record);
            }
        }
    }
    link.may_have_pending = kept::is_pending(&found);
    let newest = records.last_key_value().map_or(0, |(seq, _)| *seq);
    if !records.is_empty() && newest != last {
        let problem = format!("its last record is {newest}, and must be {last}; restore it from a backup");
        return Err(Error::corrupt("the history", problem));
    }
    link.saw(newest);
    stored::read(records.into_values().collect(), head.namespaces.into_iter().collect(), last > 0)
}

/// The records in the history, up to this one.
async fn saved(link: &mut Link, last: u64) -> Result<BTreeMap<u64, Record>> {
    let read = link.ours(HISTORY).find(doc! {}).sort(doc! { "_id": 1 }).await;
    let mut cursor = read.map_err(|error| link.failed("reading the history", &error))?;
    let (mut records, mut later) = (BTreeMap::new(), false);
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
        later |= record.seq > last;
        if record.seq <= last {
            records.insert(record.seq, record);
        }
    }
    if later && head::number(&head::find(link, "seq").await?.unwrap_or_default(), "seq")? == signed(last) {
        return Err(head::damaged(&format!("it says that record {last} is the last, and there are later ones")));
    }
    Ok(records)
}
