//! Performs one statement of a file: a step, or a command of the server's own.

use admmgt_core::{Error, Outcome, Result};
use mongodb::bson::{Document, doc};

use crate::command;
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
            now.push(is_there(link, name).await?);
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

async fn create(link: &mut Link, collection: &str, command: &Document) -> Result<()> {
    let there = There::look(link, true, "create", &[collection]).await?;
    if there.has_become(&[false], &[true]) {
        return Ok(());
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

async fn is_there(link: &mut Link, collection: &str) -> Result<bool> {
    let query = doc! { "listCollections": 1, "filter": { "name": collection }, "nameOnly": true };
    let reply = link.command("looking for a collection", query).await?;
    Ok(!command::first_batch(&reply).is_empty())
}
