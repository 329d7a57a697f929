//! Test databases of MongoDB, and the claims of the kit on them.

use std::collections::BTreeSet;

use admmgt::mongo::{MongoTestServer, Steps};
use admmgt::mongodb::bson::{Document, doc};
use admmgt::mongodb::{Client, IndexModel};
use admmgt::prelude::*;
use admmgt::testkit::{Preserved, TestDatabase, TestDatabases, TestServer, assert_data_preserved, assert_reversible};
use admmgt_tests::{MongoDatabase, mongo_url};

fn all(migrations: impl Into<Migrations>) -> Option<TestDatabases<MongoTestServer>> {
    Some(Mongo::tests(MongoDatabase::new()?.server()).unwrap().migrations(migrations))
}

fn users(of: &str) -> SqlMigration {
    let rule = doc! { "$jsonSchema": { "title": of, "properties": { "name": { "bsonType": "string" } } } };
    let by_name = IndexModel::builder().keys(doc! { "name": 1 }).build();
    let steps = Steps::new().create_collection("users", doc! { "validator": rule }).create_index("users", by_name);
    steps.migration("app", "0001_users").unwrap()
}

#[tokio::test]
async fn each_test_has_a_migrated_database_of_its_own() {
    let Some(all) = all(Migrations::new([users("each")])) else { return };
    all.forget().await.unwrap();
    let all = all.fixture(r#"{ "insert": "users", "documents": [{ "_id": 1, "name": "Ada" }] }"#);
    let (first, second) = (all.fresh().await.unwrap(), all.fresh().await.unwrap());
    let documents = first.database().await.unwrap().collection::<Document>("users");
    documents.insert_one(doc! { "name": "Eve" }).await.unwrap();
    assert!(documents.insert_one(doc! { "name": 5 }).await.is_err(), "the validator is copied");
    let count = async |database: &admmgt::mongo::MongoTest| database.data().await.unwrap()["users"].rows.len();
    assert_eq!((count(&first).await, count(&second).await), (2, 1));
    assert_eq!(first.schema().await.unwrap(), second.schema().await.unwrap());
    assert_eq!(first.schema().await.unwrap().lines().count(), 2);
    let migrator = Migrator::new(second.driver()).migrations(Migrations::new([users("each")]));
    assert_eq!(migrator.up().await.unwrap().already, 1);
    // Gone with the value.
    let name = second.name().to_owned();
    drop(second);
    let client = Client::with_uri_str(mongo_url().unwrap()).await.unwrap();
    assert!(!client.list_database_names().await.unwrap().contains(&name));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_start_at_once_copy_one() {
    let Some(all) = all(Migrations::new([users("many")])) else { return };
    all.forget().await.unwrap();
    let made: Vec<_> = (0..6)
        .map(|_| {
            let all = all.clone();
            tokio::spawn(async move { all.fresh().await })
        })
        .collect();
    let mut runs = BTreeSet::new();
    for one in made {
        let database = one.await.unwrap().unwrap();
        let migrator = Migrator::new(database.driver()).migrations(Migrations::new([users("many")]));
        runs.insert(migrator.history().await.unwrap()[0].run.to_string());
    }
    assert_eq!(runs.len(), 1, "it was migrated once");
    all.server().sweep().await.unwrap();
    all.forget().await.unwrap();
    assert!(all.server().copy("0123456789abcdef").await.unwrap().is_none());
}

/// Views are copied too; what was made by tests that are gone is dropped after an hour.
#[tokio::test]
async fn what_is_copied_and_what_is_swept() {
    let view = SqlMigration::new("app", "0002", r#"{ "create": "named", "viewOn": "users", "pipeline": [] }"#).unwrap();
    let Some(all) = all(Migrations::new([users("a view"), view])) else { return };
    let kept = all.fresh().await.unwrap();
    let shown = kept.schema().await.unwrap();
    assert!(shown.lines().any(|line| line.contains("named")), "{shown:?}");
    let client = Client::with_uri_str(mongo_url().unwrap()).await.unwrap();
    // `admmgt_test_`, when it was made, and what no other has.
    let (rest, unique) = kept.name().rsplit_once('_').unwrap();
    let old = format!("{}{:010x}_{unique}", &rest[..rest.len() - 10], 5);
    client.database(&old).create_collection("t").await.unwrap();
    all.server().sweep().await.unwrap();
    let names = client.list_database_names().await.unwrap();
    assert!(!names.contains(&old) && names.contains(&kept.name().to_owned()), "{names:?}");
    all.forget().await.unwrap();
}

#[tokio::test]
async fn a_fixture_that_does_not_fit_is_told() {
    let Some(all) = all(Migrations::new([users("a fixture")])) else { return };
    for (fixture, words) in [
        (r#"{ "insert": "#, "it is never closed"),
        (r#"{ "nonsense": 1 }"#, "nonsense"),
        (r#"{ "insert": "users", "documents": [{ "name": 5 }] }"#, "ailed validation"),
        (r#"{ "dropCollection": "users" }"#, "write the server's own commands"),
    ] {
        let error = all.clone().fixture(fixture).fresh().await.unwrap_err();
        assert!(error.to_string().contains(words), "{fixture}: {error}");
    }
    all.forget().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_are_reversible_without_a_written_way_back() {
    let people = Steps::new()
        .rename("users", "people")
        .set_validator("people", doc! {})
        .drop_index("people", "name_1")
        .migration("app", "0002_people")
        .unwrap();
    let Some(all) = all(Migrations::new([users("reversible"), people])) else { return };
    assert_reversible(&all).await;
    // What a way back leaves behind is found.
    let leaves = SqlMigration::new("app", "0003", r#"{ "create": "tags" }"#).unwrap().down(r#"{ "create": "more" }"#);
    let all = all.migrations(Migrations::new([users("left behind"), leaves]));
    let claim = tokio::spawn(async move { assert_reversible(&all).await }).await.unwrap_err().into_panic();
    let said = *claim.downcast::<String>().unwrap();
    assert!(said.contains("app/0003: taken back, the schema is not what it was"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_survive_are_preserved() {
    let split = SqlMigration::new(
        "app",
        "0002_split",
        r#"{ "update": "users", "updates": [{ "q": {}, "u": [{ "$set": { "first": "$name" } }], "multi": true }] }"#,
    );
    let split = split
        .unwrap()
        .down(r#"{ "update": "users", "updates": [{ "q": {}, "u": { "$unset": { "first": "" } }, "multi": true }] }"#);
    let Some(all) = all(Migrations::new([users("preserved"), split])) else { return };
    let mut kept = Preserved::by("app/0002_split");
    kept.seed = r#"{ "insert": "users", "documents": [{ "_id": 1, "name": "Ada" }, { "_id": 2 }] }"#;
    assert_data_preserved(&all, kept).await;
}
