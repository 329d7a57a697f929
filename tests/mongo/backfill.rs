//! Backfills of collections, batch by batch.

use admmgt::mongo::Documents;
use admmgt::mongodb::bson::{Binary, Bson, DateTime, Timestamp, doc, oid::ObjectId, spec::BinarySubtype};
use admmgt::prelude::*;
use admmgt::{ErrorKind, OnInterrupt};
use std::sync::Arc;

use admmgt_tests::{
    AloneDatabase, MongoDatabase, Orders, asynchronous, backfill_killed_anywhere, backfill_killed_at_random,
    batches_of, filling, is_full, outside,
};

/// One more than there are of anything: an `_id` of each type, and many of some.
fn ids() -> Vec<Bson> {
    let mut ids = vec![
        Bson::MinKey,
        Bson::MaxKey,
        Bson::Null,
        true.into(),
        false.into(),
        f64::NAN.into(),
        f64::INFINITY.into(),
        f64::NEG_INFINITY.into(),
    ];
    ids.extend((0..50).map(Bson::Int32));
    ids.extend((50..60).map(Bson::Int64));
    ids.extend((0..10).map(|number| Bson::Double(f64::from(number) + 0.5)));
    ids.extend((0..40).map(|number| Bson::String(format!("key {number} '\"{{}}"))));
    ids.extend((0..20).map(|_| Bson::ObjectId(ObjectId::new())));
    ids.extend((0..5).map(|number| Bson::DateTime(DateTime::from_millis(number - 2))));
    ids.extend((0..5).map(|number| Bson::Timestamp(Timestamp { time: number, increment: 1 })));
    ids.extend((0..5).map(|number| doc! { "a": number, "b": "x" }.into()));
    ids.extend((0..5).map(|number| Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: vec![number; 3] })));
    ids
}

#[tokio::test]
async fn every_document_is_changed_once_whatever_its_id_is() {
    for db in MongoDatabase::both() {
        for rows in [7, 1, 1000] {
            db.run(doc! { "delete": "t", "deletes": [{ "q": {}, "limit": 0 }] }).await;
            let all = ids().into_iter().map(|id| doc! { "_id": id, "done": 0 });
            let count = u64::try_from(all.len()).unwrap();
            db.collection("t").await.insert_many(all).await.unwrap();
            let (fill, filled) = filling(Documents::of("t").update(doc! { "$inc": { "done": 1 } }));
            let driver = db.driver().prefix(format!("p{rows}")).unwrap();
            let migrator = Migrator::new(driver).migrations(Migrations::default().and(fill)).policy(batches_of(rows));
            migrator.up().await.unwrap();
            let wrong = db.collection("t").await.find_one(doc! { "done": { "$ne": 1 } }).await.unwrap();
            assert_eq!(wrong, None, "batches of {rows}");
            let filled = filled.lock().unwrap()[0];
            assert_eq!((filled.seen, filled.changed), (count, count), "batches of {rows}");
        }
    }
}

#[tokio::test]
async fn only_what_matches_is_changed_and_a_pipeline_reads_other_fields() {
    for db in MongoDatabase::both() {
        let all = (1..=500).map(|number| doc! { "_id": number, "net": number });
        db.collection("sales").await.insert_many(all).await.unwrap();
        db.run(doc! { "update": "sales", "updates": [{ "q": { "_id": { "$lte": 100 } }, "u": { "$set": { "gross": 0 } }, "multi": true }] }).await;
        let double = doc! { "$set": { "gross": { "$multiply": ["$net", 2] } } };
        let (fill, filled) =
            filling(Documents::of("sales").update(vec![double]).only(doc! { "gross": { "$exists": false } }));
        db.migrator(Migrations::default().and(fill)).policy(batches_of(64)).up().await.unwrap();
        assert_eq!(db.count("sales", doc! { "gross": 0 }).await, 100);
        assert_eq!(db.count("sales", doc! { "$expr": { "$eq": ["$gross", { "$multiply": ["$net", 2] }] } }).await, 400);
        assert_eq!(filled.lock().unwrap()[0].changed, 400);
    }
}

/// F112: documents come and go meanwhile.
#[tokio::test]
async fn f112_documents_that_come_and_go_meanwhile_are_no_obstacle() {
    for db in MongoDatabase::both() {
        let all = (0..5000).map(|number| doc! { "_id": ObjectId::new(), "net": number });
        let sales = db.collection("sales").await;
        sales.insert_many(all).await.unwrap();
        let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (stops, writes) = (Arc::clone(&over), sales.clone());
        let writer = tokio::spawn(async move {
            let mut rounds = 0;
            while !stops.load(std::sync::atomic::Ordering::SeqCst) {
                writes.insert_one(doc! { "net": 5, "gross": 10 }).await.unwrap();
                writes.find_one_and_delete(doc! { "net": { "$gte": rounds * 7 % 5000 } }).await.unwrap();
                rounds += 1;
            }
            rounds
        });
        let double = doc! { "$set": { "gross": { "$multiply": ["$net", 2] } } };
        let (fill, _) =
            filling(Documents::of("sales").update(vec![double]).only(doc! { "gross": { "$exists": false } }));
        let done = db.migrator(Migrations::default().and(fill)).policy(batches_of(100)).up().await;
        over.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(writer.await.unwrap() > 3);
        done.unwrap();
        assert_eq!(db.count("sales", doc! { "$expr": { "$ne": ["$gross", { "$multiply": ["$net", 2] }] } }).await, 0);
    }
}

/// F113: documents of many megabytes. (A batch that is too large for one transaction: `failing`.)
#[tokio::test]
async fn f113_large_documents_are_changed() {
    let Some(db) = MongoDatabase::new() else { return };
    let large = "x".repeat(3 << 20);
    for number in 0..4 {
        db.collection("t").await.insert_one(doc! { "_id": number, "text": &large }).await.unwrap();
    }
    let copy = doc! { "$set": { "copy": "$text" } };
    let (fill, filled) = filling(Documents::of("t").update(vec![copy]).only(doc! { "copy": { "$exists": false } }));
    db.migrator(Migrations::default().and(fill)).policy(batches_of(1000)).up().await.unwrap();
    assert_eq!(filled.lock().unwrap()[0].changed, 4);
    assert_eq!(db.count("t", doc! { "$expr": { "$eq": ["$copy", "$text"] } }).await, 4);
}

#[tokio::test]
async fn without_the_lease_no_batch_is_committed() {
    for db in MongoDatabase::both() {
        let all = (1..=100).map(|number| doc! { "_id": number });
        db.collection("t").await.insert_many(all).await.unwrap();
        let url = db.url().to_owned();
        let body = asynchronous("2", move |cx| {
            let url = url.clone();
            Box::pin(async move {
                let some =
                    |done: i32, filter| Documents::of("t").update(doc! { "$set": { "done": done } }).only(filter);
                cx.backfill("some").run(&mut some(5, doc! { "_id": { "$lte": 50 } })).await?;
                let taken = doc! { "$set": { "owner": "another" }, "$inc": { "token": 1_i64 } };
                admmgt_tests::run_command(
                    &url,
                    doc! { "update": "_admmgt_state", "updates": [{ "q": { "_id": "lease" }, "u": taken }] },
                )
                .await;
                // A look at the lease is believed for a moment.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                cx.backfill("more").run(&mut some(6, doc! {})).await?;
                Ok(())
            })
        });
        let body = body.with(|meta| outside(meta).on_interrupt(OnInterrupt::Retry));
        let error = db.migrator(Migrations::default().and(body)).policy(batches_of(20)).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        // Where there is no transaction, one batch was changed before that could be known.
        let most = if db.url().contains("replicaSet") { 0 } else { 20 };
        let six = db.count("t", doc! { "done": 6 }).await;
        assert!(six <= most, "{six}");
        assert_eq!(db.count("t", doc! { "done": { "$in": [5, 6] } }).await, 50);
    }
}

/// The history is dropped by hand, and the checkpoints are not: numbers and tokens begin anew.
#[tokio::test]
async fn a_checkpoint_of_another_history_does_not_count() {
    for db in MongoDatabase::both() {
        db.collection("t").await.insert_many((1..=10).map(|number| doc! { "_id": number })).await.unwrap();
        let fill = || {
            let (fill, filled) = filling(Documents::of("t").update(doc! { "$set": { "done": 1 } }));
            (db.migrator_over(Migrations::default().and(fill)), filled)
        };
        let (migrator, _) = fill();
        for _ in 0..3 {
            migrator.up().await.unwrap();
        }
        db.run(doc! { "update": "_admmgt_checkpoint", "updates": [{ "q": {}, "u": { "$set": { "token": 41_i64 } }, "multi": true }] }).await;
        for name in ["_admmgt_state", "_admmgt_history"] {
            db.run(doc! { "drop": name }).await;
        }
        let (migrator, filled) = fill();
        migrator.up().await.unwrap();
        assert_eq!(filled.lock().unwrap()[0].seen, 10);
    }
}

#[test]
fn killed_anywhere_a_backfill_goes_on() {
    if MongoDatabase::ours().is_some() {
        backfill_killed_anywhere(if is_full() { 1 } else { 6 }, |db: &MongoDatabase| {
            Orders::at(db.url().to_owned(), &std::env::temp_dir())
        });
    }
}

#[test]
fn killed_at_random_moments_a_backfill_goes_on() {
    if MongoDatabase::ours().is_some() {
        backfill_killed_at_random(2032, |db: &MongoDatabase| Orders::at(db.url().to_owned(), &std::env::temp_dir()));
    }
}

#[test]
fn killed_at_random_moments_on_a_standalone_a_backfill_goes_on() {
    if MongoDatabase::alone().is_some() {
        backfill_killed_at_random(2033, |db: &AloneDatabase| Orders::at(db.url().to_owned(), &std::env::temp_dir()));
    }
}

/// Without transactions, one batch may be done again.
#[test]
fn killed_anywhere_on_a_standalone_a_backfill_goes_on() {
    if MongoDatabase::alone().is_some() {
        backfill_killed_anywhere(if is_full() { 1 } else { 9 }, |db: &AloneDatabase| {
            Orders::at(db.url().to_owned(), &std::env::temp_dir())
        });
    }
}

/// Given up again and again, at any moment: where there are transactions each document is changed once, and elsewhere no more
/// of them twice than one batch has, each time.
#[tokio::test]
async fn at_most_one_batch_is_done_again() {
    const ROWS: usize = 3000;
    const BATCH: u64 = 50;
    let mut random = fastrand::Rng::with_seed(6);
    for db in MongoDatabase::both() {
        db.filled(ROWS).await;
        let fill = asynchronous("1", |cx| {
            Box::pin(async move {
                let mut all = Documents::of("big").update(doc! { "$inc": { "value": 1 } });
                cx.backfill("one more").run(&mut all).await?;
                Ok(())
            })
        });
        let fill = fill.with(|meta| outside(meta).on_interrupt(OnInterrupt::Retry));
        let mut policy = Policy::default();
        (policy.foreign, policy.batch_rows) = (admmgt::Verdict::Allow, BATCH);
        let migrator = db.migrator(Migrations::default().and(fill)).policy(policy);
        let mut given_up: i64 = 0;
        loop {
            let patience = std::time::Duration::from_millis(random.u64(20..80) + 2 * u64::try_from(given_up).unwrap());
            match tokio::time::timeout(patience, migrator.up()).await {
                Ok(ended) => break drop(ended.unwrap()),
                Err(_) => given_up += 1,
            }
            migrator.settled().await;
        }
        let changed: Vec<i64> =
            db.all("big").await.iter().map(|row| row.get("value").and_then(number).unwrap()).collect();
        assert!(changed.iter().all(|times| *times >= 1), "not all were changed");
        let again = changed.iter().sum::<i64>() - i64::try_from(ROWS).unwrap();
        let most = if db.url().contains("replicaSet") { 0 } else { given_up * i64::try_from(BATCH).unwrap() };
        assert!(again <= most, "given up {given_up} times, and {again} documents were changed again");
        assert!(given_up > 3, "it was given up {given_up} times");
    }
}

fn number(value: &Bson) -> Option<i64> {
    value.as_i64().or_else(|| value.as_i32().map(i64::from))
}
