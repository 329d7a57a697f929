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
    entry: fn(&Document) -> Option<ForeignEntry>,
}

const TOOLS: [Tool; 3] = [
    // What was taken back is gone from it.
    Tool {
        name: "migrate-mongo",
        collection: "changelog",
        is_its_own: || doc! { "fileName": { "$type": "string" }, "appliedAt": { "$exists": true } },
        order: "fileName",
        entry: |found| found.get_str("fileName").ok().map(number).map(ForeignEntry::new),
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
            (version >= 0).then(|| if is_dirty { entry.failed() } else { entry })
        },
    },
    Tool {
        name: "Mongock",
        collection: "mongockChangeLog",
        is_its_own: || {
            let of_its_own = doc! { "systemChange": { "$ne": true }, "type": { "$ne": "BEFORE_EXECUTION" } };
            doc! { "$and": [{ "changeId": { "$type": "string" }, "state": { "$nin": ["ROLLED_BACK", "IGNORED"] } }, of_its_own] }
        },
        order: "changeId",
        entry: |found| {
            let entry = ForeignEntry::new(number(found.get_str("changeId").ok()?));
            // Before its version 4 it put on record only what had ended well.
            let has_failed = found.get_str("state").is_ok_and(|state| state != "EXECUTED");
            Some(if has_failed { entry.failed() } else { entry })
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
    let mut entries = Vec::new();
    while cursor.advance().await? {
        entries.extend((tool.entry)(&cursor.deserialize_current()?));
    }
    Ok(entries)
}
