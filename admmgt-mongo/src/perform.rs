//! Performs one statement of a file: a step, or a command of the server's own.

use admmgt_core::{Error, Outcome, Result};
use mongodb::bson::{Bson, Document, doc};

use crate::command;
use crate::error::Answer;
use crate::index;
use crate::kept;
use crate::link::Link;
use crate::records::whole;
use crate::step::Step;
use crate::validator;

const RUNNING: &str = "running a command";

/// Runs it to its end. `keeps` where it will have a record of its own, with which is kept what there was before.
pub(crate) async fn perform(link: &mut Link, keeps: bool, step: &Step) -> Result<Outcome> {
    match step {
        Step::CreateCollection { collection, .. } => create(link, keeps, collection, &step.as_command()).await?,
        Step::DropCollection { collection } => drop_collection(link, keeps, collection).await?,
        Step::Run { command, .. } => return run(link, command).await,
        Step::SetValidator { collection, rule } => validator::set(link, keeps, collection, rule).await?,
        Step::RestoreValidator { collection, of } => validator::restore(link, collection, of).await?,
        Step::CreateIndex { collection, index } => index::create(link, keeps, collection, index).await?,
        Step::ReplaceIndex { collection, index } => index::replace(link, keeps, collection, index).await?,
        Step::DropIndex { collection, name } => index::remove(link, keeps, collection, name).await?,
        Step::RestoreIndex { collection, name, of } => index::restore(link, collection, name, of).await?,
        Step::Rename { from, to } => rename(link, keeps, from, to).await?,
    }
    Ok(Outcome::default())
}

/// Runs a command of the server's own.
pub(crate) async fn run(link: &mut Link, command: &Document) -> Result<Outcome> {
    let reply = link.command(RUNNING, command.clone()).await?;
    Ok(Outcome::rows(command::changed(command, &reply)))
}

/// Which collections there were before the first attempt of a step, and which there are now.
struct There {
    before: Vec<bool>,
    now: Vec<bool>,
}

impl There {
    async fn look(link: &mut Link, keeps: bool, of: &str, names: &[&str]) -> Result<Self> {
        let mut now = Vec::new();
        for name in names {
            now.push(options(link, name).await?.is_some());
        }
        if !keeps {
            return Ok(Self { before: now.clone(), now });
        }
        let target = doc! { "collection": names.join(", "), "step": of };
        let kept = kept::keep(link, target, doc! { "there": now.clone() }).await?;
        let before = kept.get_array("there").into_iter().flatten().map(|one| one.as_bool().unwrap_or_default());
        Ok(Self { before: before.collect(), now })
    }

    /// A step that was interrupted, or failed although it was done, has ended where that has changed as it changes it.
    fn has_become(&self, before: &[bool], now: &[bool]) -> bool {
        self.before == before && self.now == now
    }
}

async fn create(link: &mut Link, keeps: bool, collection: &str, command: &Document) -> Result<()> {
    let there = There::look(link, keeps, "create", &[collection]).await?;
    if there.now == [true]
        && let Some(options) = options(link, collection).await?
    {
        // An interrupted attempt has made it as it is to be. Another than that is somebody else's, as one is that was there
        // before: some servers say nothing then, and the way back would take it away.
        if there.has_become(&[false], &[true]) && is_as_asked(command, &options) {
            return Ok(());
        }
        let exists = Answer::replied(EXISTS, &format!("there is a collection `{collection}` already"));
        return Err(exists.while_doing(RUNNING));
    }
    link.command(&format!("making the collection `{collection}`"), command.clone()).await.map(drop)
}

async fn drop_collection(link: &mut Link, keeps: bool, collection: &str) -> Result<()> {
    let there = There::look(link, keeps, "drop", &[collection]).await?;
    if there.has_become(&[true], &[false]) {
        return Ok(());
    }
    if there.now == [false] {
        // The server says so too, or, a newer one, nothing.
        return Err(Error::database(RUNNING, None, format!("there is no collection `{collection}` to drop")));
    }
    link.command(&format!("dropping the collection `{collection}`"), doc! { "drop": collection }).await.map(drop)
}

async fn rename(link: &mut Link, keeps: bool, from: &str, to: &str) -> Result<()> {
    let there = There::look(link, keeps, "rename", &[from, to]).await?;
    if there.has_become(&[true, false], &[false, true]) {
        return Ok(());
    }
    let name = |collection: &str| format!("{}.{collection}", link.database().name());
    let command = doc! { "renameCollection": name(from), "to": name(to) };
    link.command(&format!("renaming `{from}` to `{to}`"), command).await.map(drop)
}

/// The options of a collection, where it is there. Asked outside of the session: the server does not tell it in a transaction.
pub(crate) async fn options(link: &mut Link, collection: &str) -> Result<Option<Document>> {
    let query = doc! { "listCollections": 1, "filter": { "name": collection } };
    let reply = link.database().run_command(query).await;
    let reply = reply.map_err(|error| link.failed("looking for a collection", &error))?;
    let found = command::first_batch(&reply).into_iter().next();
    Ok(found.map(|found| found.get_document("options").cloned().unwrap_or_default()))
}

/// Whether a collection with these options is one that this command makes. The server adds to what it is given, and leaves out what
/// goes without saying.
fn is_as_asked(command: &Document, options: &Document) -> bool {
    let mut asked = command.iter().skip(1).filter(|(name, value)| is_said(command, name, value)).peekable();
    if asked.peek().is_none() {
        return options.is_empty();
    }
    asked.all(|(name, value)| match (options.get(name), whole(value)) {
        // The server makes the size of a capped one round.
        (Some(found), Some(size)) if name == "size" => whole(found).is_some_and(|found| found >= size),
        (Some(found), _) if name == "validator" => holds(found, value) && holds(value, found),
        (Some(found), _) => holds(found, value),
        (None, _) => false,
    })
}

/// Whether it stands with the options of a collection that was made with it.
fn is_said(command: &Document, name: &str, value: &Bson) -> bool {
    let is_off = |value: &Bson| matches!(value, Bson::Boolean(false) | Bson::Null);
    match (name, value) {
        // Of the command, and not of the collection.
        ("writeConcern" | "comment" | "maxTimeMS" | "autoIndexId" | "idIndex", _) => false,
        ("size" | "max", _) => command.get_bool("capped") == Ok(true),
        (_, Bson::Document(value)) if value.is_empty() => false,
        ("collation", Bson::Document(value)) => value.get_str("locale") != Ok("simple"),
        ("changeStreamPreAndPostImages", Bson::Document(value)) => !value.get("enabled").is_some_and(is_off),
        _ => !is_off(value),
    }
}

/// Whether what was found is what was asked for, with whatever more there is.
fn holds(found: &Bson, asked: &Bson) -> bool {
    match (found, asked) {
        (Bson::Document(found), Bson::Document(asked)) => {
            asked.iter().all(|(name, asked)| found.get(name).is_some_and(|found| holds(found, asked)))
        }
        _ => found == asked || whole(found).is_some() && whole(found) == whole(asked),
    }
}

/// The server's code for a collection that is there.
const EXISTS: i32 = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_is_known_by_what_it_was_made_with() {
        let is = |asked: Document, options: Document| {
            let mut command = doc! { "create": "a" };
            command.extend(asked);
            is_as_asked(&command, &options)
        };
        assert!(is(doc! {}, doc! {}) && !is(doc! {}, doc! { "capped": true, "size": 4096 }));
        let capped = doc! { "capped": true, "size": 5000, "writeConcern": { "w": 1 } };
        assert!(is(capped.clone(), doc! { "capped": true, "size": 5120_i64 }));
        assert!(!is(capped.clone(), doc! { "capped": true, "size": 4096 }) && !is(capped, doc! {}));
        let full = doc! { "collation": { "locale": "de", "strength": 3 } };
        assert!(is(doc! { "collation": { "locale": "de" } }, full.clone()));
        assert!(!is(doc! { "collation": { "locale": "fr" } }, full));
        let rule = |max: i32| doc! { "validator": { "a": { "$lt": max } }, "validationLevel": "strict" };
        assert!(is(rule(5), rule(5)) && !is(rule(5), rule(6)));
        let wider = doc! { "validator": { "a": { "$lt": 5 }, "b": 1 }, "validationLevel": "strict" };
        assert!(!is(rule(5), wider));
        // What goes without saying.
        for silent in [
            doc! { "collation": { "locale": "simple" } },
            doc! { "capped": false, "size": 5 },
            doc! { "validator": {}, "autoIndexId": true },
            doc! { "idIndex": { "key": { "_id": 1 }, "name": "_id_" } },
            doc! { "changeStreamPreAndPostImages": { "enabled": false } },
        ] {
            assert!(is(silent.clone(), doc! {}), "{silent}");
        }
        assert!(!is(doc! { "changeStreamPreAndPostImages": { "enabled": true } }, doc! {}));
        let view = doc! { "viewOn": "b", "pipeline": [] };
        assert!(is(view.clone(), view.clone()) && !is(view, doc! {}));
    }
}
