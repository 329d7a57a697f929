//! Databases that other tools have migrated: their histories are counted in, and left as they are.

use admmgt::mongodb::bson::{DateTime, Document, doc};
use admmgt::prelude::*;
use admmgt::{ErrorKind, Refusal};
use admmgt_tests::{MongoDatabase, sql};

/// What tools write, with version 1 applied, and 2 taken back where that is kept.
fn tools() -> [(&'static str, &'static str, Vec<Document>); 3] {
    let now = DateTime::now();
    let mongock = |id: &str, state: &str, at: i64| {
        let at = DateTime::from_millis(at);
        doc! { "executionId": at, "changeId": id, "author": "ada", "timestamp": at, "state": state, "type": "EXECUTION" }
    };
    [
        ("migrate-mongo", "changelog", vec![doc! { "fileName": "0001-blacklist_the_beatles.js", "appliedAt": now }]),
        ("golang-migrate", "schema_migrations", vec![doc! { "version": 1_i64, "dirty": false }]),
        (
            "Mongock",
            "mongockChangeLog",
            vec![
                doc! { "executionId": "x", "changeId": "system-change-00001", "author": "mongock", "timestamp": now, "state": "EXECUTED", "systemChange": true },
                doc! { "executionId": "x", "changeId": "1_before", "author": "ada", "state": "EXECUTED", "type": "BEFORE_EXECUTION" },
                // As it stands after its last try.
                mongock("1", "FAILED", 1),
                mongock("2", "EXECUTED", 2),
                mongock("1", "EXECUTED", 3),
                mongock("2", "ROLLED_BACK", 4),
            ],
        ),
    ]
}

fn list() -> Migrations {
    sql(&[("0001_a", r#"{ "create": "a" }"#), ("0002_b", r#"{ "create": "b" }"#)])
}

#[tokio::test]
async fn histories_of_other_tools_are_counted_in_and_left_alone() {
    for (tool, collection, documents) in tools() {
        for db in MongoDatabase::both() {
            db.collection(collection).await.insert_many(documents.clone()).await.unwrap();
            db.run(doc! { "create": "a" }).await;
            let (before, migrator) = (db.all(collection).await, db.migrator(list()));
            // Nothing runs over what it has done.
            let error = migrator.up().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{tool}: {error}");
            let Error::Refused { refusals } = &error else { panic!("{error}") };
            assert!(refusals.iter().any(|refusal| matches!(refusal, Refusal::Foreign { .. })), "{tool}: {error}");
            let mut histories = migrator.foreign().await.unwrap();
            assert_eq!((histories.len(), histories[0].tool.as_str()), (1, tool));
            assert_eq!(migrator.adopt(histories.remove(0)).await.unwrap(), 1, "{tool}");
            assert_eq!(migrator.up().await.unwrap().ran.len(), 1, "{tool}");
            let mut names = vec!["a".to_owned(), "b".to_owned(), collection.to_owned()];
            names.sort();
            assert_eq!((db.names().await, db.all(collection).await), (names, before), "{tool}");
        }
    }
}

#[tokio::test]
async fn what_did_not_end_well_there_is_told() {
    let Some(db) = MongoDatabase::new() else { return };
    db.collection("schema_migrations").await.insert_one(doc! { "version": 1, "dirty": true }).await.unwrap();
    let migrator = db.migrator(list());
    let error = migrator.adopt(migrator.foreign().await.unwrap().remove(0)).await.unwrap_err();
    assert!(
        error.to_string().contains("version 1 did not end well; put that right with golang-migrate first"),
        "{error}"
    );
}

/// An application may have collections of such names.
#[tokio::test]
async fn what_only_has_the_name_of_a_history_is_none() {
    let Some(db) = MongoDatabase::new() else { return };
    for (_, collection, _) in tools() {
        db.collection(collection).await.insert_one(doc! { "version": "one", "text": "news" }).await.unwrap();
    }
    assert_eq!(db.migrator(list()).foreign().await.unwrap(), []);
    assert_eq!(db.migrator(list()).up().await.unwrap().ran.len(), 2);
}
