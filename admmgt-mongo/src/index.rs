//! Makes, drops, replaces and restores indexes.

use admmgt_core::{Error, Result};
use mongodb::bson::{Bson, Document, doc};

use crate::kept;
use crate::link::Link;
use crate::step::name_of;
use crate::validator::first_batch;

/// An index of that name, or on these keys, is there and is another one.
const IS_ANOTHER: [&str; 2] = ["85", "86"];
const NO_INDEX: &str = "27";
const NO_COLLECTION: &str = "26";

/// Makes it; `statement` where what there was before is to be kept.
pub(crate) async fn create(link: &mut Link, statement: Option<&str>, collection: &str, index: &Document) -> Result<()> {
    let action = format!("making the index `{}` of `{collection}`", name_of(index));
    let now = alike(link, &action, collection, index).await?;
    keep(link, statement, collection, index, now).await?;
    make(link, &action, collection, std::slice::from_ref(index)).await
}

/// Makes it in the place of those that have its name or its keys.
pub(crate) async fn replace(
    link: &mut Link,
    statement: Option<&str>,
    collection: &str,
    index: &Document,
) -> Result<()> {
    let action = format!("replacing the index `{}` of `{collection}`", name_of(index));
    let now = alike(link, &action, collection, index).await?;
    let before = keep(link, statement, collection, index, now.clone()).await?;
    let only = std::slice::from_ref(index);
    match make(link, &action, collection, only).await {
        // There are both now, where the other one has another name.
        Ok(()) => return drop_all(link, &action, collection, &now, |old| name_of(old) != name_of(index)).await,
        Err(error) if !is_of(&error, &IS_ANOTHER) => return Err(error),
        Err(_) => drop_all(link, &action, collection, &now, |_| true).await?,
    }
    let made = make(link, &action, collection, only).await;
    if made.is_err() && !before.is_empty() {
        // Rather the earlier one than none. What that fails with says less than why this one could not be made.
        let _ = make(link, &action, collection, &before).await;
    }
    made
}

/// Drops it by its name.
pub(crate) async fn remove(link: &mut Link, statement: Option<&str>, collection: &str, name: &str) -> Result<()> {
    let action = format!("dropping the index `{name}` of `{collection}`");
    let index = doc! { "name": name };
    let now = alike(link, &action, collection, &index).await?;
    let before = keep(link, statement, collection, &index, now).await?;
    match link.command(&action, doc! { "dropIndexes": collection, "index": name }).await {
        // An attempt before this one has dropped it.
        Err(error) if is_of(&error, &[NO_INDEX]) && !before.is_empty() => Ok(()),
        done => done.map(drop),
    }
}

/// Puts back what there was before a step.
pub(crate) async fn restore(link: &mut Link, collection: &str, name: &str, step: Option<i64>) -> Result<()> {
    let what = format!("the index `{name}` of `{collection}`");
    let action = format!("restoring {what}");
    let mut like = kept::find(link, doc! { "before.index": collection, "before.name": name }, step, &what).await?;
    let was = taken(&mut like);
    like.insert("name", name);
    let now = alike(link, &action, collection, &like).await?;
    drop_all(link, &action, collection, &now, |index| !was.contains(index)).await?;
    if was.is_empty() { Ok(()) } else { make(link, &action, collection, &was).await }
}

/// Saves what there is, or finds what was saved before an interruption: the indexes as they were.
async fn keep(
    link: &mut Link,
    statement: Option<&str>,
    collection: &str,
    index: &Document,
    now: Vec<Document>,
) -> Result<Vec<Document>> {
    let Some(statement) = statement else { return Ok(now) };
    let of_what = doc! { "index": collection, "name": name_of(index) };
    let mut now = doc! { ALIKE: now };
    now.extend(index.get("key").map(|key| ("key".to_owned(), key.clone())));
    Ok(taken(&mut kept::keep(link, statement, of_what, now).await?))
}

const ALIKE: &str = "alike";

/// The indexes that were alike.
fn taken(was: &mut Document) -> Vec<Document> {
    match was.remove(ALIKE) {
        Some(Bson::Array(all)) => all.iter().filter_map(Bson::as_document).cloned().collect(),
        _ => Vec::new(),
    }
}

/// The indexes that have the name of this one, or its keys, as the server describes them.
async fn alike(link: &mut Link, action: &str, collection: &str, index: &Document) -> Result<Vec<Document>> {
    let reply = match link.command(action, doc! { "listIndexes": collection, "cursor": { "batchSize": 1000 } }).await {
        Ok(reply) => reply,
        Err(error) if is_of(&error, &[NO_COLLECTION]) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let key = index.get_document("key").ok();
    let is_alike = |found: &Document| {
        let on_its_keys = key.zip(found.get_document("key").ok()).is_some_and(|(one, other)| same_keys(one, other));
        name_of(found) == name_of(index) || on_its_keys
    };
    Ok(first_batch(&reply).into_iter().filter(is_alike).collect())
}

/// Whether they are the same fields in the same order, with numbers compared as such: a file says `1`, the shell `1.0`.
fn same_keys(one: &Document, other: &Document) -> bool {
    let number = |value: &Bson| match value {
        Bson::Int32(value) => Some(f64::from(*value)),
        Bson::Int64(value) => Some(*value as f64),
        Bson::Double(value) => Some(*value),
        _ => None,
    };
    let same = |one: &Bson, other: &Bson| match (number(one), number(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    };
    one.len() == other.len()
        && one.iter().zip(other).all(|((name, value), (other_name, other))| name == other_name && same(value, other))
}

async fn make(link: &mut Link, action: &str, collection: &str, indexes: &[Document]) -> Result<()> {
    link.command(action, doc! { "createIndexes": collection, "indexes": indexes }).await.map(drop)
}

async fn drop_all(
    link: &mut Link,
    action: &str,
    collection: &str,
    indexes: &[Document],
    which: impl Fn(&Document) -> bool,
) -> Result<()> {
    for index in indexes.iter().filter(|index| which(index)) {
        link.command(action, doc! { "dropIndexes": collection, "index": name_of(index) }).await?;
    }
    Ok(())
}

fn is_of(error: &Error, codes: &[&str]) -> bool {
    matches!(error, Error::Database { code: Some(code), .. } if codes.contains(&&**code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_by_their_order_and_value() {
        assert!(same_keys(&doc! { "a": 1, "b": -1 }, &doc! { "a": 1.0, "b": -1_i64 }));
        assert!(!same_keys(&doc! { "a": 1, "b": 1 }, &doc! { "b": 1, "a": 1 }));
        assert!(!same_keys(&doc! { "a": 1 }, &doc! { "a": -1 }));
        assert!(!same_keys(&doc! { "a": "text" }, &doc! { "a": "2d" }) && !same_keys(&doc! { "a": 1 }, &doc! {}));
    }
}
