//! How records come into the history: those of a batch as one document, in places that are given once.

use admmgt::mongodb::bson::{Document, doc};
use admmgt::prelude::*;
use admmgt::{Resolution, Standing};
use admmgt_tests::{MongoDatabase, sql};

const EACH: [(&str, &str); 3] = [("1", r#"{"create": "a"}"#), ("2", r#"{"create": "b"}"#), ("3", r#"{"create": "c"}"#)];

fn many(count: usize) -> Migrations {
    let text = |number| SqlMigration::new("app", format!("{number:06}"), r#"{"create": "a"}"#).unwrap();
    (0..count).fold(Migrations::default(), |all, number| all.and(text(number)))
}

fn is_held(found: &Document) -> bool {
    found.contains_key("held_for")
}

#[tokio::test]
async fn records_that_are_written_at_once_are_one_document() {
    for db in MongoDatabase::both() {
        let migrator = db.migrator(many(6_001));
        migrator.baseline(Some("app/005998"), "made by hand").await.unwrap();
        let history = db.all("_admmgt_history").await;
        assert_eq!((history.len(), history[0].get_array("more").unwrap().len()), (1, 5_998));
        migrator.resolve("app/005999", Resolution::Applied, "by hand").await.unwrap_err();
        let status = migrator.status().await.unwrap();
        let applied = status.migrations.iter().filter(|line| line.standing == Standing::Applied).count();
        assert_eq!(applied, 5_999);
        // What comes behind them is the record of the next number.
        let one = db.migrator(many(6_000));
        assert_eq!(one.up().await.unwrap().ran.len(), 1);
        assert_eq!(db.all("_admmgt_history").await[1].get_i64("_id"), Ok(6_000));
        assert!(migrator.verify().await.unwrap().records >= 6_000);
    }
}

/// More than one document holds: several in one transaction, where there are transactions.
#[tokio::test]
async fn more_records_than_one_document_holds_are_written_as_a_whole() {
    for db in MongoDatabase::both() {
        let migrator = db.migrator(many(60_000));
        let done = migrator.baseline(None, "made by hand").await;
        let history = db.all("_admmgt_history").await;
        if db.url().contains("replicaSet") {
            done.unwrap();
            let has_heads: Vec<bool> = history.iter().map(|found| found.contains_key("heads")).collect();
            assert!(has_heads.len() > 1, "{} documents", has_heads.len());
            assert_eq!(has_heads.iter().filter(|has| **has).count(), 1, "only the last has the heads");
            migrator.ensure_current().await.unwrap();
            assert_eq!(migrator.history().await.unwrap().len(), 60_000);
        } else {
            let error = done.unwrap_err();
            assert!(error.to_string().contains("apply fewer migrations at a time"), "{error}");
            assert!(history.iter().all(is_held));
            assert!(migrator.history().await.unwrap().is_empty());
        }
    }
}

/// A run that writes nothing, or is killed before it does, leaves the place that it held.
#[tokio::test]
async fn a_place_that_is_held_is_no_record() {
    for db in MongoDatabase::both() {
        db.migrator(sql(&EACH[..1])).up().await.unwrap();
        let records = db.all("_admmgt_history").await;
        let next = records.last().unwrap().get_i64("_id").unwrap() + 1;
        let place = doc! { "_id": next, "held_for": { "token": 1_i64, "owner": "somebody" }, "format": 1_i64, "heads": records.last().unwrap().get("heads") };
        db.run(doc! { "insert": "_admmgt_history", "documents": [place] }).await;

        let first = db.migrator(sql(&EACH[..1]));
        assert_eq!(first.history().await.unwrap().len(), records.len());
        first.ensure_current().await.unwrap();
        first.verify().await.unwrap();
        assert_eq!(db.migrator(sql(&EACH)).up().await.unwrap().ran.len(), 2);
        let history = db.all("_admmgt_history").await;
        assert!(!history.iter().any(is_held), "its place was taken by the next record");
        assert_eq!(history[records.len()].get_i64("_id"), Ok(next));
        db.migrator(sql(&EACH)).verify().await.unwrap();
    }
}

/// Somebody writes while the history is read: whatever is seen was so at some moment.
#[tokio::test]
async fn a_history_that_grows_can_be_read() {
    for db in MongoDatabase::both() {
        let text =
            |number| SqlMigration::new("app", format!("{number:06}"), r#"{"insert": "a", "documents": [{}]}"#).unwrap();
        let all = (0..60).fold(Migrations::default(), |all, number| all.and(text(number)));
        let (migrator, reader) = (db.migrator(all.clone()), db.migrator(all));
        let reading = async {
            let mut seen = 0;
            loop {
                let status = reader.status().await.unwrap();
                let applied = status.migrations.iter().filter(|line| line.standing == Standing::Applied).count();
                assert!(applied >= seen, "{applied} behind {seen}");
                seen = applied;
            }
        };
        let done = tokio::select! {
            done = migrator.up() => done,
            () = reading => unreachable!("it reads on"),
        };
        assert_eq!(done.unwrap().ran.len(), 60);
    }
}
