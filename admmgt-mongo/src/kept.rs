//! What there was before a step, to be put back by its way back.
//!
//! It is saved with the fence before the step changes anything, so that who goes on after a kill does not take what the step
//! itself has made for what there was before; and it stands with the record of the step for good.
//!
//! ```text
//! before: { validator: "users", was: bytes, shown: "{…}" }
//! before: { index: "users", name: "email_1", was: bytes, shown: "{…}" }
//! before: { collection: "users", was: bytes, shown: "{…}" }
//! ```
//!
//! `was` are the bytes of a document, since older servers store no names with a `$` or a dot in them; `shown` is the same as
//! JSON, for people. With the fence they stand in `pending`, each `of` its migration, since several programs share a history, and
//! `behind` the record that was the last one then.

use admmgt_core::{Batch, Error, MigrationId, RecordKind, Result};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, RawDocumentBuf, doc};

use crate::fence;
use crate::history;
use crate::link::Link;
use crate::records::{record, signed};
use crate::step::Of;

/// Of a step that has no record yet.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    of: MigrationId,
    before: Document,
}

/// The field of the fence that it is saved in.
pub(crate) const PENDING: &str = "pending";

/// Saves what there is before a step, or finds what was saved before it was interrupted; `target` says of which collection or
/// index. Returns what there was.
pub(crate) async fn keep(link: &mut Link, target: Document, now: Document) -> Result<Document> {
    let Some(of) = link.entered.clone() else { return Ok(now) };
    // Not by the statement's text, which may have been mended meanwhile.
    let same = |before: &Document| target.iter().all(|(field, value)| before.get(field) == Some(value));
    let before = match pending(link, &of).await?.into_iter().find(same) {
        Some(before) => before,
        None => {
            let before = packed(target, &now)?;
            let behind = link.seen.map_or(0, signed);
            let entry = doc! { "of": of.to_string(), "behind": behind, "before": before.clone() };
            link.pending.push(of.to_string());
            fence::note(link, link.fence, doc! { "$push": { PENDING: entry } }).await?;
            before
        }
    };
    let was = was(&before)?;
    link.kept = Some(Kept { of, before });
    Ok(was)
}

fn packed(mut target: Document, now: &Document) -> Result<Document> {
    let raw = RawDocumentBuf::try_from(now)
        .map_err(|error| Error::database("saving what there was before a step", None, error))?;
    target.insert("was", Binary { subtype: BinarySubtype::Generic, bytes: raw.into_bytes() });
    target.insert("shown", serde_json::to_string(now).unwrap_or_default());
    Ok(target)
}

fn was(before: &Document) -> Result<Document> {
    let bytes = match before.get("was") {
        Some(Bson::Binary(binary)) => binary.bytes.clone(),
        _ => Vec::new(),
    };
    let raw = RawDocumentBuf::from_bytes(bytes).ok();
    raw.and_then(|raw| Document::try_from(&*raw).ok())
        .ok_or_else(|| Error::corrupt("what there was before a step", "it is no document; restore it from a backup"))
}

/// The migrations of which something is saved with this fence.
pub(crate) fn of_whom(fence: &Document) -> Vec<String> {
    let entries = fence.get_array(PENDING).into_iter().flatten().filter_map(Bson::as_document);
    entries.filter_map(|entry| entry.get_str("of").ok().map(str::to_owned)).collect()
}

/// What was saved for a migration, and has no record yet.
async fn pending(link: &mut Link, of: &MigrationId) -> Result<Vec<Document>> {
    let found = fence::find(link, doc! { PENDING: 1 }).await?.unwrap_or_default();
    let damaged = || fence::damaged("its field `pending` does not say what there was before a step");
    let all = match found.get(PENDING) {
        None | Some(Bson::Null) => return Ok(Vec::new()),
        Some(Bson::Array(all)) => all,
        Some(_) => return Err(damaged()),
    };
    let mut entries: Vec<(i64, Document)> = Vec::new();
    for entry in all {
        let entry = entry.as_document().ok_or_else(damaged)?;
        if entry.get_str("of").map_err(|_| damaged())? == of.to_string() {
            let behind = entry.get_i64("behind").map_err(|_| damaged())?;
            entries.push((behind, entry.get_document("before").map_err(|_| damaged())?.clone()));
        }
    }
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    // What has a record by now was not taken away with it.
    let on: Vec<&str> = GOES_ON.into_iter().map(RecordKind::as_str).collect();
    let which = doc! { "namespace": of.namespace().as_str(), "id": of.id(), "kind": { "$nin": on } };
    let last = match history::newest(link, &which).await? {
        Some(found) => record(&found)?.seq,
        None => 0,
    };
    Ok(entries.into_iter().filter(|(behind, _)| *behind >= signed(last)).map(|(_, before)| before).collect())
}

/// Behind such a record an attempt goes on that has not ended its step.
const GOES_ON: [RecordKind; 3] = [RecordKind::Started, RecordKind::Failed, RecordKind::Repaired];

/// Finds what goes with records that are not those of a step that this session has run: a person, or a probe, says that it has ended.
pub(crate) async fn recall(link: &mut Link, batch: &Batch) -> Result<()> {
    let said = batch.records.iter().rev().find(|record| match record.kind {
        RecordKind::Resolved => true,
        RecordKind::StepDone => link.stepped.as_ref() != Some(&record.migration),
        _ => false,
    });
    if let (None, Some(record)) = (&link.kept, said) {
        let of = record.migration.clone();
        link.kept = pending(link, &of).await?.pop().map(|before| Kept { of, before });
    }
    Ok(())
}

/// Puts it beside the record of its step.
pub(crate) fn put(kept: Option<&Kept>, batch: &Batch, documents: &mut [Document]) {
    let Some(Kept { of, before }) = kept else { return };
    let ends = |kind| matches!(kind, RecordKind::StepDone | RecordKind::Resolved);
    let both = batch.records.iter().zip(documents).rev();
    for (_, document) in both.filter(|(record, _)| ends(record.kind) && record.migration == *of).take(1) {
        document.insert("before", before.clone());
    }
}

/// Takes away what was saved of migrations of which, with these records, no attempt goes on that has not ended its step.
pub(crate) async fn settle(link: &mut Link, batch: &Batch) -> Result<()> {
    let settled = batch.records.iter().filter(|record| !GOES_ON.contains(&record.kind));
    let ids: Vec<String> = settled.map(|record| record.migration.to_string()).collect();
    if !link.pending.iter().any(|of| ids.contains(of)) {
        return Ok(());
    }
    let pull = doc! { "$pull": { PENDING: { "of": { "$in": ids.clone() } } } };
    if link.in_transaction() {
        return fence::note(link, batch.fence, pull).await;
    }
    // The records are there, and what cannot be taken away counts no more.
    let lost = link.lost.take();
    let _ = fence::note(link, batch.fence, pull).await;
    link.lost = lost;
    link.pending.retain(|of| !ids.contains(of));
    Ok(())
}

/// What there was before a step of the migration that is being taken back, of its last run: the step of that number, or the
/// last one that fits. Under another name it is found by the `statement` that it was.
pub(crate) async fn find(link: &mut Link, mut which: Document, of_which: &Of, what: &str) -> Result<Document> {
    let of = link.entered.clone();
    if let Some(of) = &of {
        which.insert("namespace", of.namespace().as_str());
    }
    which.insert("direction", "up");
    let mut by_name = which.clone();
    by_name.extend(of.as_ref().map(|of| ("id".to_owned(), Bson::from(of.id()))));
    if let Some(step) = of_which.step {
        by_name.insert("$or", vec![doc! { "step": step }, doc! { "kind": RecordKind::Resolved.as_str() }]);
    }
    let mut by_statement = which;
    by_statement.insert("detail", of_which.statement.clone());
    for query in [Some(by_name), of_which.statement.as_ref().map(|_| by_statement)].into_iter().flatten() {
        let found = history::newest(link, &query).await?;
        if let Some(Bson::Document(before)) = found.and_then(|mut found| found.remove("before")) {
            return was(&before);
        }
    }
    let of = of.as_ref().map_or_else(String::new, |of| format!(" of `{of}`"));
    let problem = format!(
        "nothing on record{of} says what {what} was before: it was counted in without being run, or its record is gone. \
         Write a way back that says what is to be there"
    );
    Err(Error::Usage { problem })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::{DateTime, oid::ObjectId};

    #[test]
    fn what_there_was_comes_back_as_it_was() {
        let was_there = doc! {
            "validator": { "$jsonSchema": { "required": ["a"], "properties": { "a.b": { "bsonType": "int", "minimum": 5_i64 } } },
                "c": { "$regex": "^x", "$options": "i" }, "d": { "$lt": DateTime::from_millis(5), "$ne": ObjectId::new() },
                "e": { "$in": [1, 1.5, null, true] } },
            "was": [{ "v": 2, "key": { "a.b": 1.0, "c": "text" } }],
        };
        let bytes = RawDocumentBuf::try_from(&was_there).unwrap().into_bytes();
        let kept = |bytes| doc! { "was": Binary { subtype: BinarySubtype::Generic, bytes } };
        assert_eq!(was(&kept(bytes)).unwrap(), was_there);
        for wrong in [doc! {}, doc! { "was": "{" }, kept(vec![1, 2, 3])] {
            assert!(was(&wrong).unwrap_err().to_string().contains("restore it from a backup"));
        }
    }
}
