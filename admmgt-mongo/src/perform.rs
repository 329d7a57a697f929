//! Performs one statement of a file: a step, or a command of the server's own.

use admmgt_core::{Error, Outcome, Result};
use mongodb::bson::{Document, doc};

use crate::command;
use crate::error::Answer;
use crate::index;
use crate::kept;
use crate::link::Link;
use crate::step::Step;
use crate::validator;

const RUNNING: &str = "running a command";

/// Runs it to its end. `keeps` where it will have a record of its own, with which is kept what there was before.
pub(crate) async fn perform(link: &mut Link, keeps: bool, step: &Step) -> Result<Outcome> {
    match step {
        Step::CreateCollection { collection, .. } if keeps => create(link, collection, &step.as_command()).await?,
        Step::CreateCollection { .. } => return run(link, &step.as_command()).await,
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
    let reply = match link.handle().send(command.clone()).await {
        Ok(reply) => reply,
        // All of the transaction is gone, and can be done again.
        Err(error) if link.in_transaction() => return Err(Answer::of(&error).while_doing(RUNNING)),
        Err(error) => return Err(link.failed(RUNNING, &error)),
    };
    match command::failed(&reply) {
        Some(answer) => Err(answer.while_doing(RUNNING)),
        None => Ok(Outcome::rows(command::changed(command, &reply))),
    }
}

/// Whether there were collections of these names before the first attempt of a step, and whether there are now. A step that was
/// interrupted, or failed although it was done, has ended where that has changed as it changes it.
struct There {
    before: [bool; 2],
    now: [bool; 2],
}

impl There {
    async fn look(link: &mut Link, keeps: bool, of: &str, names: [&str; 2]) -> Result<Self> {
        let now = [is_there(link, names[0]).await?, is_there(link, names[1]).await?];
        let mut before = now;
        if keeps {
            let seen = doc! { "there": now.to_vec() };
            let kept = kept::keep(link, doc! { "collection": names[0], "step": of }, seen).await?;
            for (before, kept) in before.iter_mut().zip(kept.get_array("there").into_iter().flatten()) {
                *before = kept.as_bool().unwrap_or_default();
            }
        }
        Ok(Self { before, now })
    }

    fn has_become(&self, before: [bool; 2], now: [bool; 2]) -> bool {
        self.before == before && self.now == now
    }
}

async fn create(link: &mut Link, collection: &str, command: &Document) -> Result<()> {
    let there = There::look(link, true, "create", [collection, collection]).await?;
    if there.has_become([false; 2], [true; 2]) {
        return Ok(());
    }
    link.command(&format!("making the collection `{collection}`"), command.clone()).await.map(drop)
}

async fn drop_collection(link: &mut Link, keeps: bool, collection: &str) -> Result<()> {
    let there = There::look(link, keeps, "drop", [collection, collection]).await?;
    if there.has_become([true; 2], [false; 2]) {
        return Ok(());
    }
    if !there.now[0] {
        // The server says so too, or, a newer one, nothing.
        return Err(Error::database(RUNNING, None, format!("there is no collection `{collection}` to drop")));
    }
    link.command(&format!("dropping the collection `{collection}`"), doc! { "drop": collection }).await.map(drop)
}

async fn rename(link: &mut Link, keeps: bool, from: &str, to: &str) -> Result<()> {
    let there = There::look(link, keeps, "rename", [from, to]).await?;
    if there.has_become([true, false], [false, true]) {
        return Ok(());
    }
    let name = |collection: &str| format!("{}.{collection}", link.database().name());
    let command = doc! { "renameCollection": name(from), "to": name(to) };
    link.command(&format!("renaming `{from}` to `{to}`"), command).await.map(drop)
}

async fn is_there(link: &mut Link, collection: &str) -> Result<bool> {
    let query = doc! { "listCollections": 1, "filter": { "name": collection }, "nameOnly": true };
    let reply = link.command("looking for a collection", query).await?;
    Ok(!command::first_batch(&reply).is_empty())
}
