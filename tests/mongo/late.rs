//! Writes that come late: the server has them when somebody else has taken the lease since. Only the places in the history and
//! the fence keep them out: whoever sent them had looked at the lease before.

use std::sync::Arc;

use admmgt::Error;
use admmgt::mongodb::bson::doc;
use admmgt::prelude::*;
use admmgt_tests::{MongoDatabase, Proxy};

use crate::holder::{A_WHILE, Holder, expire};

/// Who is late: what it says can be held up on its way to the server.
struct Late(Arc<Proxy>, String);

impl Late {
    fn to(db: &MongoDatabase) -> Self {
        let (server, _) = db.url().strip_prefix("mongodb://127.0.0.1:").unwrap().split_once('/').unwrap();
        let proxy = Proxy::to(server.parse().unwrap());
        let url = format!("mongodb://127.0.0.1:{}/{}?directConnection=true", proxy.port(), db.name());
        Self(Arc::new(proxy), url)
    }

    fn driver(&self) -> Mongo {
        Mongo::connect(&self.1).unwrap()
    }

    /// The next such command on this collection comes to the server only when it may.
    fn hold(&self, command: &str, collection: &str) {
        let length = u32::try_from(collection.len() + 1).unwrap().to_le_bytes();
        // As the first field of a document of BSON.
        let field = [b"\x02", command.as_bytes(), b"\0", &length, collection.as_bytes(), b"\0"].concat();
        self.0.hold_at(&field);
    }

    /// Waits until it is on its way, and longer than a look at the lease is believed.
    async fn is_held(&self) {
        let proxy = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || proxy.wait_until_held()).await.unwrap();
        tokio::time::sleep(A_WHILE).await;
    }

    fn go_on(&self) {
        self.0.go_on();
    }
}

/// On the tests' own servers, one each.
fn each() -> impl Iterator<Item = (Late, MongoDatabase)> {
    [MongoDatabase::ours(), MongoDatabase::alone()].into_iter().flatten().map(|db| (Late::to(&db), db))
}

/// The first record of a run takes the place that was held for it, and the later ones are added.
#[tokio::test]
async fn a_record_that_comes_late_is_not_there() {
    for (late, db) in each() {
        for (last, command) in [(0_u64, "update"), (1, "insert")] {
            let before = db.count("_admmgt_history", doc! { "kind": "applied" }).await as u64;
            let mut first = Holder::at(late.driver()).await;
            for written in 0..last {
                first.append(before + written + 1).await.unwrap();
            }
            let last = before + last;
            late.hold(command, "_admmgt_history");
            let (written, mut next) = tokio::join!(first.append(last + 1), async {
                late.is_held().await;
                expire(&db).await;
                let mut next = Holder::new(&db).await;
                next.append(last + 1).await.unwrap();
                late.go_on();
                next
            });
            let error = written.unwrap_err();
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
    for (late, db) in each() {
        for begun in [Begun::Never, Begun::Before, Begun::Behind] {
            if begun != Begun::Never && !db.url().contains("replicaSet") {
                continue;
            }
            let mut ended = Holder::new(&db).await;
            let last = ended.records().await + 1;
            ended.append(last).await.unwrap();
            ended.end().await;
            late.hold("insert", "_admmgt_history");
            let (mut behind, mut next) = tokio::join!(Holder::at(late.driver()), async {
                late.is_held().await;
                expire(&db).await;
                let mut next = Holder::new(&db).await;
                next.append(last + 1).await.unwrap();
                if begun == Begun::Before {
                    next.begin().await;
                }
                late.go_on();
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
            assert!(behind.lease.token() > next.lease.token());
            let error = next.append(last + 4).await.unwrap_err();
            assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
            behind.append(last + 4).await.unwrap();
            behind.end().await;
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
    for (late, db) in each() {
        let mut ended = Holder::new(&db).await;
        ended.append(1).await.unwrap();
        ended.end().await;
        late.hold("insert", "_admmgt_history");
        let (_late, ()) = tokio::join!(Holder::at(late.driver()), async {
            late.is_held().await;
            expire(&db).await;
            let next = Holder::new(&db).await;
            late.go_on();
            tokio::time::sleep(5 * A_WHILE).await;
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
    for (late, db) in each() {
        for (saves, collection) in [(false, "_admmgt_state"), (true, "_admmgt_state"), (true, "_admmgt_checkpoint")] {
            let mut first = Holder::at(late.driver()).await;
            if first.records().await == 0 {
                first.append(1).await.unwrap();
            }
            first.save(1).await.unwrap();
            late.hold("update", collection);
            let (saved, mut next) = tokio::join!(first.save(5), async {
                late.is_held().await;
                expire(&db).await;
                let mut next = Holder::new(&db).await;
                if saves {
                    next.save(2).await.unwrap();
                }
                late.go_on();
                next
            });
            assert!(matches!(saved.unwrap_err(), Error::LeaseLost { .. }));
            assert_eq!(next.seen().await, Some(if saves { 2 } else { 1 }));
            first.end().await;
            next.end().await;
        }
    }
}
