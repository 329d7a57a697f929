//! Sets and restores the validator of a collection.

use std::fmt::Write as _;

use admmgt_core::Result;
use mongodb::bson::{Bson, Document, doc};

use crate::error::Answer;
use crate::kept;
use crate::link::Link;

/// What a collection has of a validator.
const FIELDS: [&str; 3] = ["validator", "validationLevel", "validationAction"];

/// How many documents that do not fit are shown.
const SHOWN: i64 = 5;

/// Sets it, if all documents fit; `statement` where what there was before is to be kept.
pub(crate) async fn set(link: &mut Link, statement: Option<&str>, collection: &str, rule: &Document) -> Result<()> {
    let action = format!("setting the validator of `{collection}`");
    if let Some(violators) = violators(link, &action, collection, rule).await? {
        return Err(violators.while_doing(&action));
    }
    if let Some(statement) = statement {
        let now = now(link, &action, collection).await?;
        kept::keep(link, statement, doc! { "validator": collection }, now).await?;
    }
    modify(link, &action, collection, rule).await
}

/// Puts back what there was before a step.
pub(crate) async fn restore(link: &mut Link, collection: &str, step: Option<i64>) -> Result<()> {
    let what = format!("the validator of `{collection}`");
    let mut rule = doc! { "validator": {}, "validationLevel": "strict", "validationAction": "error" };
    rule.extend(kept::find(link, doc! { "before.validator": collection }, step, &what).await?);
    modify(link, &format!("restoring {what}"), collection, &rule).await
}

async fn modify(link: &mut Link, action: &str, collection: &str, rule: &Document) -> Result<()> {
    let mut command = doc! { "collMod": collection };
    command.extend(rule.clone());
    link.command(action, command).await.map(drop)
}

/// What the collection has now.
async fn now(link: &mut Link, action: &str, collection: &str) -> Result<Document> {
    let query = doc! { "listCollections": 1, "filter": { "name": collection } };
    let reply = link.command(action, query).await?;
    let options = first_batch(&reply).first().and_then(|found| found.get_document("options").ok()).cloned();
    let options = options.unwrap_or_default();
    Ok(options.into_iter().filter(|(field, _)| FIELDS.contains(&field.as_str())).collect())
}

/// What stands in the way where documents do not fit, and writes that do not are to be refused.
async fn violators(link: &mut Link, action: &str, collection: &str, rule: &Document) -> Result<Option<Answer>> {
    let is = |field, word| rule.get_str(field) == Ok(word);
    let validator = rule.get_document("validator").cloned().unwrap_or_default();
    if validator.is_empty() || is("validationLevel", "off") || is("validationAction", "warn") {
        return Ok(None);
    }
    let others = doc! { "$match": { "$nor": [validator] } };
    let pipeline = |last: Document| vec![others.clone(), last];
    let ask = |pipeline: Vec<Document>| doc! { "aggregate": collection, "pipeline": pipeline, "cursor": {} };
    let reply = link.command(action, ask(pipeline(doc! { "$count": "n" }))).await?;
    let count = match first_batch(&reply).first().and_then(|found| found.get("n").cloned()) {
        Some(Bson::Int32(count)) => i64::from(count),
        Some(Bson::Int64(count)) => count,
        _ => return Ok(None),
    };
    let documents = if count == 1 { "1 document does".to_owned() } else { format!("{count} documents do") };
    if is("validationLevel", "moderate") {
        link.notices.push(format!("{documents} not fit the validator of `{collection}`, and may stay: it is moderate"));
        return Ok(None);
    }
    let mut sample = pipeline(doc! { "$limit": SHOWN });
    sample.push(doc! { "$project": { "_id": 1 } });
    let reply = link.command(action, ask(sample)).await?;
    let mut detail = "their `_id`: ".to_owned();
    for (found, comma) in first_batch(&reply).iter().zip(std::iter::once("").chain(std::iter::repeat(", "))) {
        let _ = write!(detail, "{comma}{}", found.get("_id").unwrap_or(&Bson::Null));
    }
    if count > SHOWN {
        detail.push_str(", …");
    }
    let words = format!(
        "{documents} not fit it. The server would take it all the same, and refuse each change of them later: change them \
         first, with a backfill, or say `\"validationLevel\": \"moderate\"`, which leaves them as they are"
    );
    Ok(Some(Answer::found(words, detail)))
}

/// The documents of a reply that fits into one batch.
pub(crate) fn first_batch(reply: &Document) -> Vec<Document> {
    let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    let documents = batch.map(|batch| batch.iter().filter_map(Bson::as_document).cloned().collect());
    documents.unwrap_or_default()
}
