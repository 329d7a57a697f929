//! The collections in which other tools keep their histories. They are read, never written.

use admmgt_core::{ForeignEntry, ForeignHistory, Result};
use mongodb::bson::{Bson, Document, doc};

use crate::error;
use crate::link::Link;

/// A tool, its collection, and what tells its documents from others in a collection of that name.
struct Tool {
    name: &'static str,
    collection: &'static str,
    is_its_own: fn() -> Document,
    order: &'static str,
    entry: fn(&Document) -> Option<Found>,
}

/// What a document says of a version; a later one says more.
enum Found {
    Applied(ForeignEntry),
    TakenBack(String),
}

impl Found {
    fn version(&self) -> &str {
        match self {
            Self::Applied(entry) => &entry.version,
            Self::TakenBack(version) => version,
        }
    }
}

const TOOLS: [Tool; 3] = [
    // What was taken back is gone from it.
    Tool {
        name: "migrate-mongo",
        collection: "changelog",
        is_its_own: || doc! { "fileName": { "$type": "string" }, "appliedAt": { "$exists": true } },
        order: "fileName",
        entry: |found| found.get_str("fileName").ok().map(|name| Found::Applied(ForeignEntry::new(number(name)))),
    },
    // A number alone, and every version up to it; or none with it.
    Tool {
        name: "golang-migrate",
        collection: "schema_migrations",
        is_its_own: || doc! { "version": { "$type": "number" }, "dirty": { "$type": "bool" } },
        order: "version",
        entry: |found| {
            let version = match found.get("version")? {
                Bson::Int32(version) => i64::from(*version),
                Bson::Int64(version) => *version,
                _ => return None,
            };
            let entry = ForeignEntry::through(version.to_string());
            let is_dirty = found.get_bool("dirty").unwrap_or_default();
            (version >= 0).then(|| Found::Applied(if is_dirty { entry.failed() } else { entry }))
        },
    },
    // One for each time that a change was tried: the last one tells how it stands.
    Tool {
        name: "Mongock",
        collection: "mongockChangeLog",
        is_its_own: || {
            let of_its_own = doc! { "systemChange": { "$ne": true }, "type": { "$ne": "BEFORE_EXECUTION" } };
            doc! { "$and": [{ "changeId": { "$type": "string" }, "state": { "$ne": "IGNORED" } }, of_its_own] }
        },
        order: "timestamp",
        entry: |found| {
            let entry = ForeignEntry::new(number(found.get_str("changeId").ok()?));
            // Before its version 4 it put on record only what had ended well.
            Some(match found.get_str("state") {
                Ok("ROLLED_BACK") => Found::TakenBack(entry.version),
                Ok(state) if state != "EXECUTED" => Found::Applied(entry.failed()),
                _ => Found::Applied(entry),
            })
        },
    },
];

/// The number that a name starts with; all of it where it has none: `20160608155948-blacklist_the_beatles.js`.
fn number(name: &str) -> &str {
    let end = name.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(name.len());
    if end == 0 { name } else { &name[..end] }
}

const ACTION: &str = "reading the history of another tool";

/// What is found of them.
pub(crate) async fn histories(link: &mut Link) -> Result<Vec<ForeignHistory>> {
    let (mut found, mut unread) = (Vec::new(), None);
    for tool in TOOLS {
        match entries(link, &tool).await {
            Ok(entries) if entries.is_empty() => {}
            Ok(entries) => found.push(ForeignHistory::new(tool.name, entries)),
            // What may not be read hides nothing of the others.
            Err(error) if error::code(&error) == Some(13) => unread = Some(error),
            Err(error) => return Err(link.failed(ACTION, &error)),
        }
    }
    match unread {
        Some(error) if found.is_empty() => Err(link.failed(ACTION, &error)),
        _ => Ok(found),
    }
}

async fn entries(link: &Link, tool: &Tool) -> std::result::Result<Vec<ForeignEntry>, mongodb::error::Error> {
    let collection = link.database().collection::<Document>(tool.collection);
    let mut cursor = collection.find((tool.is_its_own)()).sort(doc! { tool.order: 1 }).await?;
    let mut all: Vec<Found> = Vec::new();
    while cursor.advance().await? {
        let Some(found) = (tool.entry)(&cursor.deserialize_current()?) else { continue };
        match all.iter_mut().find(|known| known.version() == found.version()) {
            Some(known) => *known = found,
            None => all.push(found),
        }
    }
    let applied = all.into_iter().filter_map(|found| match found {
        Found::Applied(entry) => Some(entry),
        Found::TakenBack(_) => None,
    });
    Ok(applied.collect())
}
