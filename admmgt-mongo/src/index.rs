//! Makes, drops, replaces and restores indexes.

use admmgt_core::{Error, Result};
use mongodb::bson::{Bson, Document, doc};

use crate::command;
use crate::kept;
use crate::link::Link;
use crate::perform;
use crate::step::{Of, name_of};

/// An index of that name, or on these keys, is there and is another one; or there is a text index, and can be no second.
const IN_THE_WAY: [&str; 3] = ["85", "86", "67"];
const NO_INDEX: &str = "27";

/// Makes it; `keeps` where what there was before is to be kept.
pub(crate) async fn create(link: &mut Link, keeps: bool, collection: &str, index: &Document) -> Result<()> {
    let action = format!("making the index `{}` of `{collection}`", name_of(index));
    let now = alike(link, &action, collection, index).await?;
    keep(link, keeps, collection, index, now).await?;
    make(link, &action, collection, std::slice::from_ref(index)).await
}

/// Makes it in the place of those that have its name or its keys. Where it cannot be made, those are there again: rather the
/// earlier ones than none.
pub(crate) async fn replace(link: &mut Link, keeps: bool, collection: &str, index: &Document) -> Result<()> {
    let action = format!("replacing the index `{}` of `{collection}`", name_of(index));
    let now = alike(link, &action, collection, index).await?;
    let before = keep(link, keeps, collection, index, now.clone()).await?;
    match put(link, &action, collection, index, &now).await {
        // There may be both now, where the other one has another name.
        Ok(()) => {
            let now = alike(link, &action, collection, index).await?;
            drop_all(link, &action, collection, &now, |old| name_of(old) != name_of(index)).await
        }
        Err(error) => Err(or_again(link, &action, collection, &before, error).await),
    }
}

/// Makes an index, and drops what is in its way.
async fn put(link: &mut Link, action: &str, collection: &str, index: &Document, now: &[Document]) -> Result<()> {
    let only = std::slice::from_ref(index);
    match make(link, action, collection, only).await {
        Err(error) if is_of(&error, &IN_THE_WAY) && !now.is_empty() => {
            drop_all(link, action, collection, now, |_| true).await?;
            make(link, action, collection, only).await
        }
        made => made,
    }
}

/// What could not be made, with those that were dropped for it made again.
async fn or_again(link: &mut Link, action: &str, collection: &str, dropped: &[Document], error: Error) -> Error {
    if !dropped.is_empty() && !matches!(error, Error::ConnectionLost { .. }) {
        // What this fails with says less than why the other could not be made.
        let _ = make(link, action, collection, dropped).await;
    }
    error
}

/// Drops it by its name.
pub(crate) async fn remove(link: &mut Link, keeps: bool, collection: &str, name: &str) -> Result<()> {
    let action = format!("dropping the index `{name}` of `{collection}`");
    let index = doc! { "name": name };
    let now = alike(link, &action, collection, &index).await?;
    let before = keep(link, keeps, collection, &index, now).await?;
    match link.command(&action, doc! { "dropIndexes": collection, "index": name }).await {
        // An attempt before this one has dropped it.
        Err(error) if is_of(&error, &[NO_INDEX]) && !before.is_empty() => Ok(()),
        done => done.map(drop),
    }
}

/// Puts back what there was before a step: its own index goes, and whatever else is in the way of what was there.
pub(crate) async fn restore(link: &mut Link, collection: &str, name: &str, of: &Of) -> Result<()> {
    let what = format!("the index `{name}` of `{collection}`");
    let action = format!("restoring {what}");
    let mut like = kept::find(link, doc! { "before.index": collection, "before.name": name }, of, &what).await?;
    let was = taken(&mut like);
    like.insert("name", name);
    let mut now = alike(link, &action, collection, &like).await?;
    now.retain(|index| !was.contains(index));
    drop_all(link, &action, collection, &now, |index| name_of(index) == name).await?;
    for index in &was {
        if let Err(error) = put(link, &action, collection, index, &now).await {
            return Err(or_again(link, &action, collection, &now, error).await);
        }
    }
    Ok(())
}

/// Saves what there is, or finds what was saved before an interruption: the indexes as they were.
async fn keep(
    link: &mut Link,
    keeps: bool,
    collection: &str,
    index: &Document,
    now: Vec<Document>,
) -> Result<Vec<Document>> {
    if !keeps {
        return Ok(now);
    }
    let mut was: Document = [(ALIKE.to_owned(), Bson::from(now))].into_iter().collect();
    for field in LIKE {
        was.extend(index.get(field).map(|value| (field.to_owned(), value.clone())));
    }
    Ok(taken(&mut kept::keep(link, doc! { "index": collection, "name": name_of(index) }, was).await?))
}

const ALIKE: &str = "alike";
/// What indexes are alike by, besides their names: there can be several with the same keys and other collations.
const LIKE: [&str; 2] = ["key", "collation"];

/// The indexes that were alike.
fn taken(was: &mut Document) -> Vec<Document> {
    match was.remove(ALIKE) {
        Some(Bson::Array(all)) => all.iter().filter_map(Bson::as_document).cloned().collect(),
        _ => Vec::new(),
    }
}

/// The indexes that have the name of this one, or stand in its place, as the server describes them.
async fn alike(link: &mut Link, action: &str, collection: &str, index: &Document) -> Result<Vec<Document>> {
    let reply = link.command(action, doc! { "listIndexes": collection, "cursor": { "batchSize": 1000 } }).await?;
    let all = command::first_batch(&reply).into_iter();
    let mut full = index.clone();
    if full.contains_key("key") && !full.contains_key("collation") {
        // It will have that of its collection.
        let default = perform::options(link, collection).await?.and_then(|options| options.get("collation").cloned());
        full.extend(default.map(|default| ("collation".to_owned(), default)));
    }
    Ok(all.filter(|found| name_of(found) == name_of(index) || is_in_its_place(found, &full)).collect())
}

fn is_in_its_place(found: &Document, index: &Document) -> bool {
    let (Ok(key), Ok(other)) = (index.get_document("key"), found.get_document("key")) else { return false };
    // There can be one text index, which the server describes by keys of its own.
    let is_text = |key: &Document| key.values().any(|kind| kind.as_str() == Some("text"));
    is_text(key) && is_text(other) || same_keys(key, other) && same_collation(index, found)
}

/// Whether a collation says what the server says of it, who says more.
fn same_collation(index: &Document, found: &Document) -> bool {
    // That is to have none, where the collection has one.
    let is_simple = |collation: &&Document| collation.get_str("locale") == Ok("simple");
    let of = |index: &Document| index.get_document("collation").ok().filter(|said| !is_simple(said)).cloned();
    match (of(index), of(found)) {
        (Some(said), Some(full)) => said.iter().all(|(field, value)| full.get(field) == Some(value)),
        (said, full) => said.is_none() && full.is_none(),
    }
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
        match link.command(action, doc! { "dropIndexes": collection, "index": name_of(index) }).await {
            // It went a moment ago.
            Err(error) if is_of(&error, &[NO_INDEX]) => {}
            dropped => drop(dropped?),
        }
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
    fn indexes_with_the_same_keys_and_another_collation_stand_beside_one_another() {
        let plain = doc! { "key": { "a": 1 } };
        let german = doc! { "key": { "a": 1 }, "collation": { "locale": "de" } };
        let full = doc! { "key": { "a": 1 }, "collation": { "locale": "de", "strength": 3 } };
        assert!(is_in_its_place(&plain, &plain) && is_in_its_place(&full, &german));
        assert!(!is_in_its_place(&full, &plain) && !is_in_its_place(&plain, &german));
        let simple = doc! { "key": { "a": 1 }, "collation": { "locale": "simple" } };
        assert!(is_in_its_place(&plain, &simple) && !is_in_its_place(&full, &simple));
        let text = doc! { "key": { "_fts": "text", "_ftsx": 1 } };
        assert!(is_in_its_place(&text, &doc! { "key": { "title": "text" } }) && !is_in_its_place(&text, &plain));
    }

    #[test]
    fn keys_are_the_same_by_their_order_and_value() {
        assert!(same_keys(&doc! { "a": 1, "b": -1 }, &doc! { "a": 1.0, "b": -1_i64 }));
        assert!(!same_keys(&doc! { "a": 1, "b": 1 }, &doc! { "b": 1, "a": 1 }));
        assert!(!same_keys(&doc! { "a": 1 }, &doc! { "a": -1 }));
        assert!(!same_keys(&doc! { "a": "text" }, &doc! { "a": "2d" }) && !same_keys(&doc! { "a": 1 }, &doc! {}));
    }
}
