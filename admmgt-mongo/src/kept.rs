//! What there was before a step, to be put back by its way back.
//!
//! It is saved with the heads before the step changes anything, so that who goes on after a kill does not take what the step
//! itself has made for what there was before; and it stands with the record of the step for good.
//!
//! ```text
//! before: { validator: "users", was: bytes, shown: "{…}" }
//! before: { index: "users", name: "email_1", was: bytes, shown: "{…}" }
//! ```
//!
//! `was` are the bytes of a document, since older servers store no names with a `$` or a dot in them; `shown` is the same as
//! JSON, for people.

use admmgt_core::{Batch, Error, MigrationId, RecordKind, Result};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, RawDocumentBuf, doc};

use crate::head;
use crate::link::Link;

/// Of a step that has no record yet.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    of: MigrationId,
    before: Document,
}

/// The field of the heads that it is saved in.
pub(crate) const PENDING: &str = "pending";

/// Saves what there is before a statement, or finds what was saved before it was interrupted; `of_what` says of which
/// collection or index. Returns what there was.
pub(crate) async fn keep(link: &mut Link, statement: &str, mut of_what: Document, now: Document) -> Result<Document> {
    let Some(of) = link.entered.clone() else { return Ok(now) };
    let raw = RawDocumentBuf::try_from(&now)
        .map_err(|error| Error::database("saving what there was before a step", None, error))?;
    of_what.insert("was", Binary { subtype: BinarySubtype::Generic, bytes: raw.into_bytes() });
    of_what.insert("shown", serde_json::to_string(&now).unwrap_or_default());
    let whose = doc! { "of": of.to_string(), "statement": statement };
    let saved = head::find(link).await?.and_then(|mut found| found.remove(PENDING));
    let before = match saved {
        Some(Bson::Document(mut saved)) if whose.iter().all(|(field, value)| saved.get(field) == Some(value)) => {
            match saved.remove("before") {
                Some(Bson::Document(before)) => before,
                _ => return Err(head::damaged("its field `pending` does not say what there was before a step")),
            }
        }
        _ => {
            let mut pending = whose;
            pending.insert("before", of_what.clone());
            head::note(link, doc! { PENDING: pending }).await?;
            of_what
        }
    };
    let was = was(&before)?;
    link.kept = Some(Kept { of, before });
    Ok(was)
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

/// Puts it beside the record of its step.
pub(crate) fn put(kept: Option<&Kept>, batch: &Batch, documents: &mut [Document]) {
    let Some(Kept { of, before }) = kept else { return };
    let both = batch.records.iter().zip(documents).rev();
    for (_, document) in both.filter(|(record, _)| is_ended(record.kind) && record.migration == *of).take(1) {
        document.insert("before", before.clone());
    }
}

/// With these records no attempt goes on that has not ended its step: what was saved with the heads is of no use any more.
pub(crate) fn is_settled(batch: &Batch) -> bool {
    batch.records.iter().any(|record| !matches!(record.kind, RecordKind::Started | RecordKind::Failed))
}

fn is_ended(kind: RecordKind) -> bool {
    kind == RecordKind::StepDone
}

/// What there was before a step of the migration that is being taken back, of its last run: the step of that number, or the
/// last one that fits.
pub(crate) async fn find(link: &mut Link, mut which: Document, step: Option<i64>, what: &str) -> Result<Document> {
    // All records stand in the history then.
    head::flush(link).await?;
    let of = link.entered.clone();
    let missing = || {
        let of = of.as_ref().map_or_else(String::new, |of| format!(" of `{of}`"));
        let problem = format!(
            "nothing on record{of} says what {what} was before: it was counted in without being run, or its record is gone. \
             Write a way back that says what is to be there"
        );
        Error::Usage { problem }
    };
    if let Some(of) = &of {
        which.extend(doc! { "namespace": of.namespace().as_str(), "id": of.id() });
    }
    which.extend(doc! { "kind": RecordKind::StepDone.as_str(), "direction": "up" });
    which.extend(step.map(|step| ("step".to_owned(), Bson::from(step))));
    let found = link.ours(head::HISTORY).find_one(which).sort(doc! { "_id": -1 }).await;
    let found = found.map_err(|error| link.failed("reading the history", &error))?;
    match found.and_then(|mut found| found.remove("before")) {
        Some(Bson::Document(before)) => was(&before),
        _ => Err(missing()),
    }
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
