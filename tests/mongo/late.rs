//! Writes that come late: the server has them when somebody else has taken the lease since. Only the places in the history and
//! the fence keep them out: whoever sent them had looked at the lease before.

#![allow(clippy::await_holding_lock)] // one test at a time has the server

use std::sync::MutexGuard;
use std::time::Duration;

use admmgt::Error;
use admmgt::mongodb::bson::doc;
use admmgt::prelude::*;
use admmgt_tests::{MongoDatabase, Mongod, admin};

use crate::failing::{alone, server};
use crate::holder::{Holder, expire, inserts};

const LATE: Duration = Duration::from_secs(2);

/// Who is late, by the name of its application.
fn late(db: &MongoDatabase) -> Mongo {
    let next = if db.url().contains('?') { '&' } else { '?' };
    Mongo::connect(&format!("{}{next}appName=admmgt-late", db.url())).unwrap()
}

/// The next such command of the late one on this collection comes to the server, and is done only after a while.
fn delay(db: &MongoDatabase, command: &str, collection: &str) {
    let data = doc! {
        "failCommands": [command], "namespace": format!("{}.{collection}", db.name()), "appName": "admmgt-late",
        "blockConnection": true, "blockTimeMS": i64::try_from(LATE.as_millis()).unwrap(),
    };
    admin(db.url(), doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": data }).unwrap();
}

/// Until it has come to the server, and longer than a look at the lease is believed.
async fn on_its_way() {
    tokio::time::sleep(LATE / 4).await;
}

fn each() -> impl Iterator<Item = (MutexGuard<'static, Option<Mongod>>, MongoDatabase)> {
    [server, alone].into_iter().filter_map(|server| {
        let server = server()?;
        let db = MongoDatabase::at(&server.as_ref()?.url("admin"));
        Some((server, db))
    })
}

/// The first record of a run takes the place that was held for it, and the later ones are added.
#[tokio::test]
async fn a_record_that_comes_late_is_not_there() {
    for (_server, db) in each() {
        for (last, command) in [(0_u64, "update"), (1, "insert")] {
            let before = db.count("_admmgt_history", doc! { "kind": "applied" }).await as u64;
            let mut first = Holder::at(late(&db)).await;
            for written in 0..last {
                first.append(before + written + 1).await.unwrap();
            }
            let last = before + last;
            delay(&db, command, "_admmgt_history");
            let (late, mut next) = tokio::join!(first.append(last + 1), async {
                on_its_way().await;
                expire(&db).await;
                let mut next = Holder::new(&db).await;
                next.append(last + 1).await.unwrap();
                next
            });
            let error = late.unwrap_err();
            assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
            next.append(last + 2).await.unwrap();
            assert_eq!(next.records().await, last + 2);
            expire(&db).await;
        }
    }
}

/// Whoever is late with taking the lease holds a place in front of who has it. They write on.
#[tokio::test]
async fn a_place_that_is_held_late_is_in_nobodys_way() {
    for (_server, db) in each() {
        for in_transaction in [false, true] {
            if in_transaction && !db.url().contains("replicaSet") {
                continue;
            }
            let mut ended = Holder::new(&db).await;
            let last = ended.records().await;
            ended.append(last + 1).await.unwrap();
            ended.end().await;
            let last = last + 1;
            delay(&db, "insert", "_admmgt_history");
            let (mut late, mut next) = tokio::join!(Holder::at(late(&db)), async {
                on_its_way().await;
                expire(&db).await;
                let mut next = Holder::new(&db).await;
                next.append(last + 1).await.unwrap();
                let token = next.lease.token();
                // The late one holds the place behind that record, and sees only then that there is a newer token.
                tokio::time::sleep(LATE).await;
                if in_transaction {
                    next.session.begin_batch().await.unwrap();
                    next.session.execute(&inserts()).await.unwrap();
                    let error = next.session.commit(&next.batch(last + 2)).await.unwrap_err();
                    assert!(matches!(error, Error::Busy { .. }), "all of it can be done again: {error}");
                    next.session.begin_batch().await.unwrap();
                    next.session.execute(&inserts()).await.unwrap();
                    next.session.commit(&next.batch(last + 2)).await.unwrap();
                } else {
                    next.append(last + 2).await.unwrap();
                }
                next.append(last + 3).await.unwrap();
                assert_eq!(next.records().await, last + 3);
                assert_eq!(next.lease.token(), token);
                expire(&db).await;
                next
            });
            assert!(late.lease.token() > next.lease.token());
            let error = next.append(last + 4).await.unwrap_err();
            assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
            late.append(last + 4).await.unwrap();
            late.end().await;
        }
    }
}

/// Whoever is late sees the place of a newer token, and leaves it alone.
#[tokio::test]
async fn a_place_of_a_newer_token_is_left_alone() {
    for (_server, db) in each() {
        let mut ended = Holder::new(&db).await;
        ended.append(1).await.unwrap();
        ended.end().await;
        delay(&db, "insert", "_admmgt_history");
        let (_late, ()) = tokio::join!(Holder::at(late(&db)), async {
            on_its_way().await;
            expire(&db).await;
            let next = Holder::new(&db).await;
            tokio::time::sleep(LATE).await;
            let place = db.all("_admmgt_history").await.pop().unwrap();
            let token = place.get_document("held_for").unwrap().get_i64("token").unwrap();
            assert_eq!(u64::try_from(token).ok(), next.lease.token().map(|token| token.0));
            expire(&db).await;
        });
    }
}

/// What is no record proves its lease by the fence, whether the next one has saved something by then or not.
#[tokio::test]
async fn a_checkpoint_that_comes_late_is_not_there() {
    for (_server, db) in each() {
        let mut first = Holder::at(late(&db)).await;
        first.append(1).await.unwrap();
        for (saves, collection) in [(false, "_admmgt_state"), (true, "_admmgt_state"), (true, "_admmgt_checkpoint")] {
            first.save(1).await.unwrap();
            delay(&db, "update", collection);
            let (late, mut next) = tokio::join!(first.save(5), async {
                on_its_way().await;
                expire(&db).await;
                let mut next = Holder::new(&db).await;
                if saves {
                    next.save(2).await.unwrap();
                }
                next
            });
            assert!(matches!(late.unwrap_err(), Error::LeaseLost { .. }));
            assert_eq!(next.seen().await, Some(if saves { 2 } else { 1 }));
            expire(&db).await;
            first = Holder::at(self::late(&db)).await;
        }
    }
}
