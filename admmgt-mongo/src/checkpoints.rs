//! How far backfills have come: a collection of its own, written with each batch.

use admmgt_core::{Checkpoint, CheckpointKey, Error, Result, Token};
use mongodb::bson::{Bson, doc};

use crate::error;
use crate::fence;
use crate::lease;
use crate::link::Link;
use crate::records::{signed, whole};

const CHECKPOINTS: &str = "checkpoint";

/// Takes away what is left of a history that is gone: what older tokens have saved. Returns the newest token, where that is not
/// an older one.
pub(crate) async fn forget(link: &mut Link, token: u64) -> Result<Option<i64>> {
    let checkpoints = link.ours(CHECKPOINTS);
    let newest = checkpoints.find_one(doc! {}).sort(doc! { "token": -1 }).projection(doc! { "token": 1 }).await;
    let newest = newest.map_err(|error| link.failed("preparing the state", &error))?;
    let Some(newest) = newest else { return Ok(None) };
    let newest = newest.get("token").and_then(whole).unwrap_or_default();
    if newest >= signed(token) {
        return Ok(Some(newest));
    }
    let older = doc! { "$or": [{ "token": null }, { "token": { "$lt": signed(token) } }] };
    let forgotten = checkpoints.delete_many(older).await;
    forgotten.map_err(|error| link.failed("preparing the state", &error))?;
    Ok(None)
}

/// How far a backfill has come.
pub(crate) async fn read(link: &mut Link, key: &CheckpointKey) -> Result<Option<Checkpoint>> {
    let found = link.ours(CHECKPOINTS).find_one(doc! { "_id": key.to_string() }).await;
    let found = found.map_err(|error| link.failed("reading a checkpoint", &error))?;
    let Some(found) = found else {
        link.make(CHECKPOINTS, "making the collection of checkpoints").await?;
        return Ok(None);
    };
    let place = || format!("the checkpoint `{key}`");
    if let Some(Token(token)) = link.fence
        && found.get("token").and_then(whole) > Some(signed(token))
    {
        if !fence::is_ours(link).await? {
            return Err(lease::taken_since(link, link.fence));
        }
        let problem =
            "it was saved with a newer lease than this one; restore all collections of the history from one backup";
        return Err(Error::corrupt(place(), problem));
    }
    let count = |name: &str| {
        let count = found.get_i64(name).ok().and_then(|count| u64::try_from(count).ok());
        count
            .ok_or_else(|| Error::corrupt(place(), format!("its field `{name}` is no count; restore it from a backup")))
    };
    let wrong = |name: &str| {
        Error::corrupt(place(), format!("its field `{name}` is of another type; restore it from a backup"))
    };
    let after = match found.get("last_key") {
        None | Some(Bson::Null) => None,
        Some(Bson::String(key)) => Some(key.clone()),
        Some(_) => return Err(wrong("last_key")),
    };
    let ended = found.get_bool("ended").map_err(|_| wrong("ended"))?;
    Ok(Some(Checkpoint::stored(count("begun")?, after, count("seen")?, count("changed")?, ended)))
}

/// Saves it, in the transaction that is open or at once, if nobody has a newer token. Where there is no transaction, somebody may
/// have one a moment later: then there is a newer token in what it has saved, and this one stays out of it.
pub(crate) async fn save(
    link: &mut Link,
    key: &CheckpointKey,
    checkpoint: &Checkpoint,
    token: Option<Token>,
) -> Result<()> {
    fence::prove(link, token).await?;
    let Checkpoint { begun, after, seen, changed, ended, .. } = checkpoint;
    let number = token.map(|Token(token)| signed(token));
    let set = doc! {
        "token": number, "begun": signed(*begun), "last_key": after.clone(), "seen": signed(*seen), "changed": signed(*changed), "ended": *ended,
    };
    let checkpoints = link.ours(CHECKPOINTS);
    let older = doc! { "_id": key.to_string(), "$or": [{ "token": null }, { "token": { "$lte": number } }] };
    let save = checkpoints.update_one(older, doc! { "$set": set }).upsert(true);
    let saved = if link.in_transaction() { save.session(link.handle().session()).await } else { save.await };
    match saved {
        Ok(_) => Ok(()),
        // It is there, with a newer token.
        Err(error) if error::code(&error) == Some(11000) => Err(lease::taken_since(link, token)),
        Err(error) => Err(link.failed("saving a checkpoint", &error)),
    }
}
