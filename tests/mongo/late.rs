//! Writes that come late: the server has them when somebody else has taken the lease since. Only the places in the history and
//! the fence keep them out: whoever sent them had looked at the lease before.

#![allow(clippy::await_holding_lock)] // one test at a time has the server

use std::sync::MutexGuard;
use std::time::Duration;

use admmgt::Error;
use admmgt::mongodb::bson::doc;
use admmgt::prelude::*;
use admmgt_tests::{MongoDatabase, Mongod, admin};

use crate::failing::{alone, named, server};
use crate::holder::{A_WHILE, Holder, expire};

const LATE: Duration = Duration::from_secs(4);

/// Who is late, by the name of its application.
fn late(db: &MongoDatabase) -> Mongo {
    Mongo::connect(&named(db, "admmgt-late")).unwrap()
}

/// What the server holds up.
struct Delayed<'a> {
    db: &'a MongoDatabase,
    before: i32,
}

/// The next such command of the late one on this collection comes to the server, and is done only after a while.
fn delay<'a>(db: &'a MongoDatabase, command: &str, collection: &str) -> Delayed<'a> {
    let data = doc! {
        "failCommands": [command], "namespace": format!("{}.{collection}", db.name()), "appName": "admmgt-late",
        "blockConnection": true, "blockTimeMS": i64::try_from(LATE.as_millis()).unwrap(),
    };
    let set = admin(db.url(), doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": data });
    Delayed { db, before: set.unwrap().get_i32("count").unwrap() }
}

impl Delayed<'_> {
    /// Waits until it has come to the server, and longer than a look at the lease is believed.
    async fn has_come(&self) {
        let url = self.db.url().to_owned();
        let wait = doc! { "waitForFailPoint": "failCommand", "timesEntered": self.before + 1, "maxTimeMS": 60_000 };
        tokio::task::spawn_blocking(move || admin(&url, wait)).await.unwrap().unwrap();
        tokio::time::sleep(A_WHILE).await;
    }
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
            let delayed = delay(&db, command, "_admmgt_history");
            let (late, mut next) = tokio::join!(first.append(last + 1), async {
                delayed.has_come().await;
                expire(&db).await;
                let mut next = Holder::new(&db).await;
                next.append(last + 1).await.unwrap();
                next
            });
            let error = late.unwrap_err();
            assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
            next.append(last + 2).await.unwrap();
            assert_eq!(next.records().await, last + 2);
            first.end().await;
            next.end().await;
        }
    }
}

/// When the transaction of who has the lease begins, if there is one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Begun {
    Never,
    Before,
    Behind,
}

/// Whoever is late with taking the lease holds a place in front of who has it. They write on.
#[tokio::test]
async fn a_place_that_is_held_late_is_in_nobodys_way() {
    for (_server, db) in each() {
        for begun in [Begun::Never, Begun::Before, Begun::Behind] {
            if begun != Begun::Never && !db.url().contains("replicaSet") {
                continue;
            }
            let mut ended = Holder::new(&db).await;
            let last = ended.records().await + 1;
            ended.append(last).await.unwrap();
            ended.end().await;
            let delayed = delay(&db, "insert", "_admmgt_history");
            let (mut late, mut next) = tokio::join!(Holder::at(late(&db)), async {
                delayed.has_come().await;
                expire(&db).await;
                let mut next = Holder::new(&db).await;
                next.append(last + 1).await.unwrap();
                if begun == Begun::Before {
                    next.begin().await;
                }
                place_behind(&db, last + 1).await;
                match begun {
                    Begun::Never => next.append(last + 2).await.unwrap(),
                    Begun::Before | Begun::Behind => {
                        if begun == Begun::Behind {
                            next.begin().await;
                        }
                        let error = next.session.commit(&next.batch(last + 2)).await.unwrap_err();
                        assert!(matches!(error, Error::Busy { .. }), "all of it can be done again: {error}");
                        next.begin().await;
                        next.session.commit(&next.batch(last + 2)).await.unwrap();
                    }
                }
                next.append(last + 3).await.unwrap();
                assert_eq!(next.records().await, last + 3);
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

/// Waits until somebody holds the place behind this record.
async fn place_behind(db: &MongoDatabase, last: u64) {
    let place = doc! { "_id": i64::try_from(last + 1).unwrap(), "held_for": { "$exists": true } };
    while db.count("_admmgt_history", place.clone()).await == 0 {
        tokio::time::sleep(A_WHILE).await;
    }
}

/// Whoever is late sees the place of a newer token, and leaves it alone.
#[tokio::test]
async fn a_place_of_a_newer_token_is_left_alone() {
    for (_server, db) in each() {
        let mut ended = Holder::new(&db).await;
        ended.append(1).await.unwrap();
        ended.end().await;
        let delayed = delay(&db, "insert", "_admmgt_history");
        let (_late, ()) = tokio::join!(Holder::at(late(&db)), async {
            delayed.has_come().await;
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
        for (saves, collection) in [(false, "_admmgt_state"), (true, "_admmgt_state"), (true, "_admmgt_checkpoint")] {
            let mut first = Holder::at(late(&db)).await;
            if first.records().await == 0 {
                first.append(1).await.unwrap();
            }
            first.save(1).await.unwrap();
            let delayed = delay(&db, "update", collection);
            let (late, mut next) = tokio::join!(first.save(5), async {
                delayed.has_come().await;
                expire(&db).await;
                let mut next = Holder::new(&db).await;
                if saves {
                    next.save(2).await.unwrap();
                }
                next
            });
            assert!(matches!(late.unwrap_err(), Error::LeaseLost { .. }));
            assert_eq!(next.seen().await, Some(if saves { 2 } else { 1 }));
            first.end().await;
            next.end().await;
        }
    }
}
