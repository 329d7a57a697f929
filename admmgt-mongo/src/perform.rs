//! Performs one statement of a file: a step, or a command of the server's own.

use admmgt_core::{Outcome, Result};
use mongodb::bson::{Document, doc};

use crate::command;
use crate::error::Answer;
use crate::index;
use crate::link::Link;
use crate::step::Step;
use crate::validator;

const RUNNING: &str = "running a command";

/// Runs it to its end. `statement` is its text where it will have a record of its own, with which is kept what there was before.
pub(crate) async fn perform(link: &mut Link, statement: Option<&str>, step: &Step) -> Result<Outcome> {
    match step {
        Step::CreateCollection { .. } => return run(link, &step.as_command()).await,
        Step::Run { command, .. } => return run(link, command).await,
        Step::SetValidator { collection, rule } => validator::set(link, statement, collection, rule).await?,
        Step::RestoreValidator { collection, step } => validator::restore(link, collection, *step).await?,
        Step::CreateIndex { collection, index } => index::create(link, statement, collection, index).await?,
        Step::ReplaceIndex { collection, index } => index::replace(link, statement, collection, index).await?,
        Step::DropIndex { collection, name } => index::remove(link, statement, collection, name).await?,
        Step::RestoreIndex { collection, name, step } => index::restore(link, collection, name, *step).await?,
        Step::Rename { from, to } => rename(link, from, to).await?,
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

async fn rename(link: &mut Link, from: &str, to: &str) -> Result<()> {
    let name = |collection: &str| format!("{}.{collection}", link.database().name());
    let command = doc! { "renameCollection": name(from), "to": name(to) };
    link.command(&format!("renaming `{from}` to `{to}`"), command).await.map(drop)
}

/// Whether a step that was interrupted had ended, as far as what is there can tell.
pub(crate) async fn has_ended(link: &mut Link, step: &Step) -> Result<bool> {
    match step {
        Step::CreateCollection { collection, .. } => is_there(link, collection).await,
        Step::Rename { from, to } => Ok(!is_there(link, from).await? && is_there(link, to).await?),
        _ => Ok(false),
    }
}

async fn is_there(link: &mut Link, collection: &str) -> Result<bool> {
    let query = doc! { "listCollections": 1, "filter": { "name": collection }, "nameOnly": true };
    let reply = link.command("looking for a collection", query).await?;
    Ok(!validator::first_batch(&reply).is_empty())
}
