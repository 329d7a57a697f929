//! What a command of the server does, as far as its name tells, and what its reply says.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};

use crate::error::Answer;
use crate::records::whole;
use crate::server::MAJORITY;

/// Whether a command can be run for somebody: it has a name, which is the server's, and begins and ends no transaction.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn check(command: &Document) -> Result<(), String> {
    match command.keys().next() {
        None => Err("a command has a name: its first field".to_owned()),
        Some(name) if is_of_transactions(name) => {
            Err(format!("`{name}` is the executor's: the change and its record are committed together; take it out"))
        }
        Some(name) if name.starts_with('$') => {
            Err(format!("`{name}` is no command; the first field is the command's name"))
        }
        Some(_) => Ok(()),
    }
}

/// Whether it would begin or end a transaction.
fn is_of_transactions(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["committransaction", "aborttransaction", "starttransaction", "preparetransaction", "endsessions", "killsessions"]
        .contains(&&*name)
}

/// The collections that a text makes, as far as it was read: a transaction may do more with them than with others, or less.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// Nothing was written to them yet.
    empty: Vec<String>,
    capped: Vec<String>,
}

impl Made {
    /// Takes note of what a command does.
    pub(crate) fn pass(&mut self, command: &Document) {
        if let Some(name) = makes(command) {
            self.empty.push(name.to_owned());
            if command.get_bool("capped") == Ok(true) {
                self.capped.push(name.to_owned());
            }
        } else if let Some((name, Bson::String(of))) = command.iter().next()
            && OF_DOCUMENTS.contains(&name.as_str())
        {
            self.empty.retain(|made| made != of);
        }
    }

    fn has(made: &[String], of: &Bson) -> bool {
        of.as_str().is_some_and(|name| made.iter().any(|made| made == name))
    }
}

/// What writes documents.
const OF_DOCUMENTS: [&str; 5] = ["insert", "update", "delete", "findAndModify", "findandmodify"];

/// Whether a command can be in a transaction, behind those that have `made` something in it.
pub(crate) fn runs_in_transaction(command: &Document, made: &Made) -> bool {
    let Some((name, of)) = command.iter().next() else { return false };
    match name.as_str() {
        name if OF_DOCUMENTS.contains(&name) => !Made::has(&made.capped, of),
        "find" | "distinct" => true,
        "create" => !command.contains_key("viewOn") && !command.contains_key("timeseries"),
        "aggregate" => !is_writing(command),
        // On what is there already, or may be, or has documents, the server refuses it.
        "createIndexes" => Made::has(&made.empty, of),
        _ => false,
    }
}

/// The stage of a pipeline that writes what comes out of it.
pub(crate) fn writing_stage<'a>(pipeline: impl IntoIterator<Item = &'a Document>) -> Option<&'a str> {
    let mut stages = pipeline.into_iter().flat_map(Document::keys).map(String::as_str);
    stages.find(|stage| matches!(*stage, "$out" | "$merge"))
}

fn is_writing(aggregate: &Document) -> bool {
    let stages = aggregate.get_array("pipeline").map(Vec::as_slice).unwrap_or_default();
    writing_stage(stages.iter().filter_map(Bson::as_document)).is_some()
}

/// Whether the server takes a command on its database `admin` only, though it is about others.
pub(crate) fn is_of_admin(command: &Document) -> bool {
    is_first(command, "renameCollection") || is_first(command, "bulkWrite")
}

/// The name of the collection that a command makes.
pub(crate) fn makes(command: &Document) -> Option<&str> {
    command.get_str("create").ok().filter(|_| is_first(command, "create"))
}

/// The name of the collection that is not there any more after it.
pub(crate) fn frees(command: &Document) -> Option<&str> {
    if is_first(command, "drop") {
        return command.get_str("drop").ok();
    }
    let from = command.get_str("renameCollection").ok().filter(|_| is_first(command, "renameCollection"))?;
    from.split_once('.').map(|(_, name)| name)
}

fn is_first(command: &Document, name: &str) -> bool {
    command.keys().next().is_some_and(|first| first == name)
}

/// Whether the server makes nothing twice where it runs again after it was interrupted.
pub(crate) fn is_repeatable(command: &Document) -> bool {
    ["createIndexes", "collMod"].iter().any(|name| is_first(command, name))
}

/// What takes a write concern, besides what may only read.
const WITH_CONCERN: [&str; 14] = [
    "insert",
    "update",
    "delete",
    "findAndModify",
    "findandmodify",
    "bulkWrite",
    "create",
    "createIndexes",
    "drop",
    "dropIndexes",
    "deleteIndexes",
    "collMod",
    "renameCollection",
    "dropDatabase",
];

fn takes_concern(command: &Document) -> bool {
    let is_map = is_first(command, "mapReduce") || is_first(command, "mapreduce");
    let is_inline = command.get_document("out").is_ok_and(|out| out.contains_key("inline"));
    WITH_CONCERN.iter().any(|name| is_first(command, name))
        || is_first(command, "aggregate") && is_writing(command)
        || is_map && !is_inline
}

/// The command with what it was not given: outside of a transaction the concern that it is safe, and everywhere how long
/// it may take.
pub(crate) fn limited(mut command: Document, in_transaction: bool, limit: Option<Duration>) -> Document {
    if !in_transaction && takes_concern(&command) && !command.contains_key("writeConcern") {
        let millis = i64::try_from(MAJORITY.as_millis()).unwrap_or(i64::MAX);
        command.insert("writeConcern", doc! { "w": "majority", "j": true, "wtimeout": millis });
    }
    // The server takes none for what it reads of a cursor: that has the time of its query.
    if let Some(limit) = limit.filter(|_| !command.contains_key("maxTimeMS") && !is_first(&command, "getMore")) {
        command.insert("maxTimeMS", i64::try_from(limit.as_millis()).unwrap_or(i64::MAX));
    }
    command
}

/// The documents of a reply that fits into one batch.
pub(crate) fn first_batch(reply: &Document) -> Vec<Document> {
    let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    batch.map(|batch| batch.iter().filter_map(Bson::as_document).cloned().collect()).unwrap_or_default()
}

/// What failed in a reply that says it is fine: the first write that did, or the concern.
pub(crate) fn failed(reply: &Document) -> Option<Answer> {
    let first = reply.get_array("writeErrors").ok().and_then(|errors| errors.first()).and_then(Bson::as_document);
    let first = first.or_else(|| failed_of_many(reply));
    let error = first.or_else(|| reply.get_document("writeConcernError").ok())?;
    Some(Answer::replied(error.get_i32("code").unwrap_or_default(), error.get_str("errmsg").unwrap_or_default()))
}

/// The first write of a `bulkWrite` that failed.
fn failed_of_many(reply: &Document) -> Option<&Document> {
    reply.get("nErrors").and_then(whole).filter(|errors| *errors > 0)?;
    let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch")).ok()?;
    let failed = |one: &&Document| one.get("ok").and_then(whole) == Some(0);
    // Where it is behind the first batch, that some failed is all that is said.
    Some(batch.iter().filter_map(Bson::as_document).find(failed).unwrap_or(reply))
}

/// How many documents it inserted, changed or took away.
pub(crate) fn changed(command: &Document, reply: &Document) -> u64 {
    let count = |name| reply.get_i32(name).ok().and_then(|count| u64::try_from(count).ok()).unwrap_or_default();
    match command.keys().next().map(String::as_str) {
        Some("insert" | "delete") => count("n"),
        Some("update") => count("nModified") + reply.get_array("upserted").map_or(0, |all| all.len() as u64),
        Some("bulkWrite") => ["nInserted", "nModified", "nDeleted", "nUpserted"].into_iter().map(count).sum(),
        Some("findAndModify" | "findandmodify") => u64::from(reply.get_document("value").is_ok()),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_in_a_transaction_is_known_by_its_name() {
        let mut made = Made::default();
        for name in ["fresh", "full"] {
            made.pass(&doc! { "create": name });
        }
        made.pass(&doc! { "insert": "full", "documents": [{}] });
        made.pass(&doc! { "create": "round", "capped": true, "size": 1 });
        let runs = |command: Document| runs_in_transaction(&command, &made);
        assert!(!runs(doc! { "createIndexes": "full" }) && !runs(doc! { "insert": "round" }));
        assert!(runs(doc! { "insert": "full" }) && runs(doc! { "createIndexes": "round" }));
        assert!(
            runs(doc! { "insert": "a" }) && runs(doc! { "create": "a" }) && runs(doc! { "createIndexes": "fresh" })
        );
        assert!(runs(doc! { "aggregate": "a", "pipeline": [{ "$match": {} }] }));
        for outside in ["createIndexes", "collMod", "drop", "dropIndexes", "renameCollection", "count", "whatever"] {
            assert!(!runs(doc! { outside: "a" }), "{outside}");
        }
        assert!(!runs(doc! { "aggregate": "a", "pipeline": [{ "$out": "b" }] }) && !runs(doc! {}));
        assert!(!runs(doc! { "create": "v", "viewOn": "a" }) && !runs(doc! { "create": "t", "timeseries": {} }));
        assert!(is_of_transactions("commitTransaction") && is_of_transactions("ABORTTRANSACTION"));
    }

    #[test]
    fn a_reply_can_tell_of_writes_that_failed() {
        let reply = doc! { "ok": 1.0, "n": 1, "writeErrors": [{ "index": 1, "code": 11000, "errmsg": "E11000" }] };
        assert_eq!(failed(&reply).unwrap().code(), Some(11000));
        let one = doc! { "ok": 0.0, "idx": 1, "code": 11000, "errmsg": "E11000" };
        let many = doc! { "ok": 1.0, "nErrors": 1, "nInserted": 2, "nUpserted": 1, "cursor": { "firstBatch": [{ "ok": 1.0 }, one] } };
        assert_eq!(failed(&many).unwrap().code(), Some(11000));
        assert_eq!(changed(&doc! { "bulkWrite": 1 }, &many), 3);
        assert!(failed(&doc! { "ok": 1.0, "nErrors": 1, "cursor": { "firstBatch": [] } }).is_some());
        assert_eq!(failed(&doc! { "ok": 1.0, "nErrors": 0, "cursor": { "firstBatch": [{ "ok": 1.0 }] } }), None);
        let slow = doc! { "ok": 1.0, "writeConcernError": { "code": 64, "errmsg": "waiting" } };
        assert_eq!(failed(&slow).unwrap().code(), Some(64));
        assert_eq!(failed(&doc! { "ok": 1.0, "n": 3 }), None);
        assert_eq!(changed(&doc! { "insert": "a" }, &doc! { "n": 3 }), 3);
        assert_eq!(changed(&doc! { "update": "a" }, &doc! { "n": 3, "nModified": 2, "upserted": [{}] }), 3);
    }

    #[test]
    fn a_write_outside_of_a_transaction_is_to_be_safe() {
        let limit = Some(Duration::from_millis(5));
        let outside = limited(doc! { "drop": "a" }, false, limit);
        assert_eq!(outside.get_document("writeConcern").unwrap().get_str("w"), Ok("majority"));
        assert_eq!(outside.get_i64("maxTimeMS"), Ok(5));
        assert_eq!(limited(doc! { "insert": "a" }, true, None), doc! { "insert": "a" });
        let own = doc! { "insert": "a", "writeConcern": { "w": 1 }, "maxTimeMS": 7 };
        assert_eq!(limited(own.clone(), false, limit), own);
        let maps = |out: Bson| doc! { "mapReduce": "a", "map": "f", "reduce": "g", "out": out };
        assert!(limited(maps("b".into()), false, None).contains_key("writeConcern"));
        assert!(!limited(maps(doc! { "inline": 1 }.into()), false, None).contains_key("writeConcern"));
        let reads = doc! { "aggregate": "a", "pipeline": [{ "$match": {} }] };
        assert_eq!(limited(reads.clone(), false, None), reads);
        let writes = doc! { "aggregate": "a", "pipeline": [{ "$merge": "b" }] };
        assert!(limited(writes, false, None).contains_key("writeConcern"));
        assert_eq!(limited(doc! { "getMore": 5_i64 }, false, limit), doc! { "getMore": 5_i64 });
    }
}
