//! Sets and restores the validator of a collection.

use admmgt_core::Result;
use mongodb::bson::{Bson, Document, doc};

use crate::command;
use crate::error::Answer;
use crate::kept;
use crate::link::Link;
use crate::step::Of;

/// What a collection has of a validator.
const FIELDS: [&str; 3] = ["validator", "validationLevel", "validationAction"];

/// How many documents that do not fit are shown.
const SHOWN: i64 = 5;

/// Sets it, if all documents fit; `keeps` where what there was before is to be kept.
pub(crate) async fn set(link: &mut Link, keeps: bool, collection: &str, rule: &Document) -> Result<()> {
    let action = format!("setting the validator of `{collection}`");
    let misfits = misfits(link, &action, collection, rule).await?;
    if misfits > 0 && rule.get_str("validationLevel").is_ok_and(|text| text == "moderate") {
        notice(link, collection, misfits, "and may stay: it is moderate");
    } else if misfits > 0 {
        return Err(refused(link, &action, collection, rule, misfits).await?.while_doing(&action));
    }
    if keeps {
        let now = now(link, &action, collection).await?;
        kept::keep(link, doc! { "validator": collection }, now).await?;
    }
    modify(link, &action, collection, rule).await
}

/// Puts back what there was before a step. Documents that do not fit it were written under the other one, and are no reason to
/// stay half-way.
pub(crate) async fn restore(link: &mut Link, collection: &str, of: &Of) -> Result<()> {
    let what = format!("the validator of `{collection}`");
    let action = format!("restoring {what}");
    let mut rule = doc! { "validator": {}, "validationLevel": "strict", "validationAction": "error" };
    rule.extend(kept::find(link, doc! { "before.validator": collection }, of, &what).await?);
    let misfits = misfits(link, &action, collection, &rule).await?;
    if misfits > 0 {
        notice(link, collection, misfits, "which was put back: each change of them is refused until they do");
    }
    modify(link, &action, collection, &rule).await
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
    let options = command::first_batch(&reply).first().and_then(|found| found.get_document("options").ok()).cloned();
    let options = options.unwrap_or_default();
    Ok(options.into_iter().filter(|(field, _)| FIELDS.contains(&field.as_str())).collect())
}

fn documents(count: i64) -> String {
    if count == 1 { "1 document does".to_owned() } else { format!("{count} documents do") }
}

fn notice(link: &mut Link, collection: &str, count: i64, so: &str) {
    link.notices.push(format!("{} not fit the validator of `{collection}`, {so}", documents(count)));
}

/// The beginning of a query for the documents that do not fit a rule.
fn not_fitting(rule: &Document) -> Document {
    doc! { "$match": { "$nor": [rule.get_document("validator").cloned().unwrap_or_default()] } }
}

async fn ask(link: &mut Link, action: &str, collection: &str, pipeline: Vec<Document>) -> Result<Vec<Document>> {
    let reply = link.command(action, doc! { "aggregate": collection, "pipeline": pipeline, "cursor": {} }).await?;
    Ok(command::first_batch(&reply))
}

/// How many documents do not fit, where writes that do not are to be refused.
async fn misfits(link: &mut Link, action: &str, collection: &str, rule: &Document) -> Result<i64> {
    let is = |field, word| rule.get_str(field).is_ok_and(|text| text == word);
    let says_nothing = rule.get_document("validator").is_ok_and(Document::is_empty);
    if says_nothing || is("validationLevel", "off") || is("validationAction", "warn") {
        return Ok(0);
    }
    let found = ask(link, action, collection, vec![not_fitting(rule), doc! { "$count": "n" }]).await?;
    Ok(match found.first().and_then(|found| found.get("n")) {
        Some(Bson::Int32(count)) => i64::from(*count),
        Some(Bson::Int64(count)) => *count,
        _ => 0,
    })
}

/// What stands in the way, with some of it.
async fn refused(link: &mut Link, action: &str, collection: &str, rule: &Document, count: i64) -> Result<Answer> {
    let some = vec![not_fitting(rule), doc! { "$limit": SHOWN }, doc! { "$project": { "_id": 1 } }];
    let some = ask(link, action, collection, some).await?;
    let ids: Vec<String> = some.iter().map(|found| found.get("_id").unwrap_or(&Bson::Null).to_string()).collect();
    let more = if count > SHOWN { ", …" } else { "" };
    let words = format!(
        "{} not fit it. The server would take it all the same, and refuse each change of them later: change them \
         first, with a backfill, or say `\"validationLevel\": \"moderate\"`, which leaves them as they are",
        documents(count)
    );
    Ok(Answer::found(words, format!("their `_id`: {}{more}", ids.join(", "))))
}
