//! Records on their way into the history: with the heads first, and from there into it.

use admmgt::mongodb::bson::{Document, doc};
use admmgt::prelude::*;
use admmgt::{ErrorKind, Resolution, Standing};
use admmgt_tests::{MongoDatabase, sql};

const EACH: [(&str, &str); 3] = [("1", r#"{"create": "a"}"#), ("2", r#"{"create": "b"}"#), ("3", r#"{"create": "c"}"#)];

async fn heads(db: &MongoDatabase) -> Document {
    db.all("_admmgt_state").await.into_iter().find(|found| found.get_str("_id") == Ok("head")).unwrap()
}

/// As a kill between the two writes leaves it.
async fn put_back(db: &MongoDatabase, records: Vec<Document>) {
    let update = doc! { "q": { "_id": "head" }, "u": { "$set": { "tail": records } } };
    db.run(doc! { "update": "_admmgt_state", "updates": [update] }).await;
}

#[tokio::test]
async fn what_stands_with_the_heads_and_in_the_history_counts_once() {
    for db in MongoDatabase::both() {
        db.migrator(sql(&EACH[..2])).up().await.unwrap();
        let records = db.all("_admmgt_history").await;
        put_back(&db, records.clone()).await;
        let migrator = db.migrator(sql(&EACH));
        assert_eq!(migrator.history().await.unwrap().len(), records.len());
        assert_eq!(migrator.up().await.unwrap().already, 2);
        assert!(!heads(&db).await.contains_key("tail"));
        assert_eq!(db.all("_admmgt_history").await[..records.len()], records[..]);
    }
}

#[tokio::test]
async fn another_record_of_the_same_number_is_told() {
    for db in MongoDatabase::both() {
        db.migrator(sql(&EACH[..1])).up().await.unwrap();
        let mut records = db.all("_admmgt_history").await;
        records[0].insert("id", "another");
        put_back(&db, records).await;
        let error = db.migrator(sql(&EACH)).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State, "{error}");
        assert!(error.to_string().contains("its record 1 is another one in the history"), "{error}");
    }
}

fn many(count: usize) -> Migrations {
    let text = |number| SqlMigration::new("app", format!("{number:06}"), r#"{"create": "a"}"#).unwrap();
    (0..count).fold(Migrations::default(), |all, number| all.and(text(number)))
}

/// More than goes with the heads: into the history in one transaction, or, where there are none, with the heads all the same.
#[tokio::test]
async fn many_records_are_written_at_once() {
    for db in MongoDatabase::both() {
        let migrator = db.migrator(many(6_000));
        migrator.baseline(Some("app/005998"), "made by hand").await.unwrap();
        migrator.resolve("app/005999", Resolution::Applied, "by hand").await.unwrap_err();
        let status = migrator.status().await.unwrap();
        let applied = status.migrations.iter().filter(|line| line.standing == Standing::Applied).count();
        assert_eq!(applied, 5_999);
        assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
        assert!(!heads(&db).await.contains_key("tail"));
        assert!(migrator.verify().await.unwrap().records >= 6_000);
    }
}

/// More than one document holds.
#[tokio::test]
async fn more_records_than_a_standalone_writes_at_once_are_refused() {
    let Some(db) = MongoDatabase::alone() else { return };
    let error = db.migrator(many(60_000)).baseline(None, "made by hand").await.unwrap_err();
    assert!(error.to_string().contains("apply fewer migrations at a time"), "{error}");
    assert!(db.all("_admmgt_history").await.is_empty());
}
