//! Files of commands: nothing panics, every statement is in its text, and a way back that is told can be read.

use admmgt::mongo::MongoDialect;
use admmgt::{Dialect, TransactionMode};

use crate::fuzz::{Target, shape};
use crate::splitters::judged;

#[rustfmt::skip]
const WORDS: &[&str] = &[
    "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0041", "\\ud83e", "//", "/*", "*/", "#", " ", "\n", "\r\n", "\t", "null", "true", "-1", "1e999",
    "0.1", "9223372036854775808", "\u{feff}", "\0", "é", "🦀", "{}", "[]", "\"$oid\": \"65f0c0ffee65f0c0ffee65f0\"",
    "{\"$date\": \"2024-02-30T00:00:00Z\"}", "{\"$numberLong\": \"1\"}", "{\"$numberDecimal\": \"x\"}", "{\"$binary\": {\"base64\": \"AA==\", \"subType\": \"00\"}}",
    "{\"$regularExpression\": {\"pattern\": \"(\", \"options\": \"z\"}}", "{\"$minKey\": 1}", "\"createCollection\": \"t\"", "\"dropCollection\": \"t\"",
    "\"setValidator\": \"t\"", "\"validator\": {}", "\"validationLevel\": \"off\"", "\"validationAction\": \"warn\"", "\"createIndex\": \"t\"", "\"dropIndex\": \"t\"",
    "\"replaceIndex\": \"t\"", "\"restoreIndex\": \"t\"", "\"restoreValidator\": \"t\"", "\"rename\": \"t\"", "\"run\": {}", "\"back\": {}", "\"to\": \"u\"",
    "\"key\": {\"a\": 1}", "\"name\": \"a_1\"", "\"name\": \"*\"", "\"step\": 1", "\"insert\": \"t\"", "\"documents\": [{}]", "\"update\": \"t\"",
    "\"commitTransaction\": 1", "\"create\": \"t\"", "\"drop\": \"t\"", "\"collMod\": \"t\"", "\"aggregate\": \"t\"", "\"$out\": \"u\"",
];

const SEEDS: &[&str] = &[
    r#"{ "create": "users" } { "insert": "users", "documents": [{ "_id": 1, "at": { "$date": "2024-01-01T00:00:00Z" } }] }"#,
    r#"[{ "createCollection": "a" }, { "createIndex": "a", "key": { "b": 1, "c": -1 }, "unique": true }, { "rename": "a", "to": "b" }]"#,
    r#"{ "setValidator": "a", "validator": { "$jsonSchema": { "required": ["b"] } }, "validationLevel": "moderate" }"#,
    r#"{ "replaceIndex": "a", "key": { "b": 1 }, "name": "mine" } { "dropIndex": "a", "name": "other" }"#,
    r#"{ "run": { "collMod": "a", "changeStreamPreAndPostImages": { "enabled": true } }, "back": { "collMod": "a" } }"#,
    r#"{ "dropCollection": "a" }"#,
    r#"{ "restoreIndex": "a", "name": "mine", "step": 2, "of": "v1:sha256:0" } { "restoreValidator": "a" }"#,
    r#"{ "update": "a", "updates": [{ "q": { "n": { "$numberLong": "5" } }, "u": { "$set": { "x": null } }, "multi": true }] }"#,
];

#[test]
fn files_of_commands_keep_their_promises() {
    let seeds = SEEDS.iter().map(|seed| (*seed).to_owned()).collect();
    Target { name: "commands-mongodb", words: WORDS, seeds, check }.run();
}

fn check(text: &str) -> u64 {
    let found = judged(&MongoDialect, text);
    let Ok(script) = MongoDialect.parse(text, TransactionMode::Auto) else { return shape(found) };
    let kinds: Vec<String> = script.statements.iter().take(4).map(|one| MongoDialect.redacted(one)).collect();
    let back = MongoDialect.way_back(text);
    if let Some(back) = &back {
        let told = MongoDialect.parse(back, TransactionMode::Auto);
        let told = told.unwrap_or_else(|problems| panic!("{text:?} is taken back by {back:?}: {problems:?}"));
        assert_eq!(told.statements.len(), script.statements.len(), "{text:?} is taken back by {back:?}");
    }
    let shown = |kind: &String| kind.chars().take(16).collect::<String>();
    shape((found, kinds.iter().map(shown).collect::<Vec<_>>(), back.is_some()))
}
