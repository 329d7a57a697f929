//! Runs that are given up while the server still works for them, or that leave something open.

use std::time::{Duration, Instant};

use admmgt::mongo::{Documents, MongoSession};
use admmgt::mongodb::bson::{Bson, Document, doc};
use admmgt::prelude::*;
use admmgt::{BatchEnd, Batches, FromContext, OnInterrupt, Verdict, async_trait};
use admmgt_tests::{AsyncCode, MongoDatabase, asynchronous, mongo, outside};

use crate::holder::{Holder, change};

/// A minute and more.
const DOCUMENTS: i32 = 700;

async fn filled(db: &MongoDatabase) {
    let all: Vec<Document> = (0..DOCUMENTS).map(|row| doc! { "_id": row, "n": 0 }).collect();
    db.run(doc! { "insert": "t", "documents": all }).await;
}

fn slowly() -> Document {
    doc! { "$where": "sleep(100) || true" }
}

fn migrator(db: &MongoDatabase, code: AsyncCode) -> Migrator {
    let mut policy = Policy::default();
    (policy.foreign, policy.on_interrupt) = (Verdict::Allow, Some(OnInterrupt::Retry));
    policy.lease_wait = Duration::from_millis(200);
    db.migrator(Migrations::default().and(code)).policy(policy)
}

/// Whether the server works on the collection.
async fn is_at_work(db: &MongoDatabase) -> bool {
    works_on(db.url(), db.name()).await
}

async fn works_on(url: &str, database: &str) -> bool {
    let of = format!("{database}.t");
    let pipeline = vec![doc! { "$currentOp": {} }, doc! { "$match": { "ns": of, "active": true } }];
    let command = doc! { "aggregate": 1, "pipeline": pipeline, "cursor": {} };
    let client = admmgt::mongodb::Client::with_uri_str(url).await.unwrap();
    let reply = client.database("admin").run_command(command).await.unwrap();
    !reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap().is_empty()
}

async fn until_at_work(db: &MongoDatabase) {
    until_works_on(db.url(), db.name()).await;
}

async fn until_works_on(url: &str, database: &str) {
    while !works_on(url, database).await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn lease(db: &MongoDatabase) -> Document {
    db.all("_admmgt_state").await.into_iter().find(|found| found.get_str("_id") == Ok("lease")).unwrap()
}

fn long(name: &str) -> AsyncCode {
    mongo(name, |db| {
        Box::pin(async move {
            db.collection::<Document>("t").update_many(slowly(), doc! { "$inc": { "n": 1 } }).await?;
            Ok(())
        })
    })
}

/// A client that goes away ends no write of the server's: it would go on beside that of whoever has the lease next.
#[tokio::test]
async fn what_a_run_that_was_dropped_still_does_is_ended_and_then_the_lease_is_free() {
    for db in MongoDatabase::both() {
        filled(&db).await;
        let migrator = migrator(&db, long("1").with(outside));
        let dropped = async {
            tokio::select! { done = migrator.up() => panic!("{done:?}"), () = until_at_work(&db) => {} }
        };
        dropped.await;
        let clock = Instant::now();
        migrator.settled().await;
        assert!(!is_at_work(&db).await);
        assert!(lease(&db).await.get("owner").is_some_and(|owner| *owner == Bson::Null));
        assert!(clock.elapsed() < Duration::from_secs(20), "it was waited for and not ended: {:?}", clock.elapsed());
        Holder::new(&db).await.end().await;
    }
}

/// F11: of a process that died it is ended by whoever has the lease next.
#[tokio::test]
async fn f11_what_still_runs_of_a_run_that_is_gone_ends_first() {
    for db in MongoDatabase::both() {
        filled(&db).await;
        // Nothing is done any more in a runtime that has ended, as in a process that has.
        let (theirs, url, name) = (migrator(&db, long("1").with(outside)), db.url().to_owned(), db.name().to_owned());
        let process = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.spawn(async move { theirs.up().await });
            runtime.block_on(async {
                until_works_on(&url, &name).await;
            });
        });
        process.join().unwrap();
        // At its beginning the server does not always say of which collection it is.
        let still = tokio::time::timeout(Duration::from_secs(20), until_at_work(&db)).await;
        still.expect("nothing runs on the server: the test shows nothing");
        let past = admmgt::mongodb::bson::DateTime::from_millis(0);
        db.run(change("lease", doc! { "$set": { "expires_at": past } })).await;
        let holder = Holder::new(&db).await;
        assert!(!is_at_work(&db).await);
        holder.end().await;
    }
}

/// Also where the body says that all is well.
#[tokio::test]
async fn what_a_body_did_not_wait_for_is_ended_before_the_lease_is_free() {
    for db in MongoDatabase::both() {
        filled(&db).await;
        let impatient = mongo("1", |db| {
            Box::pin(async move {
                let mut all = db.collection::<Document>("t");
                let update = all.update_many(slowly(), doc! { "$inc": { "n": 1 } });
                let ended = tokio::time::timeout(Duration::from_millis(300), update.into_future()).await;
                assert!(ended.is_err());
                Ok(())
            })
        });
        migrator(&db, impatient.with(outside)).up().await.unwrap();
        assert!(!is_at_work(&db).await);
    }
}

/// The next migration of the same run does not begin beside it either.
#[tokio::test]
async fn what_a_body_did_not_wait_for_is_ended_before_the_next_one_begins() {
    for by_handle in [true, false] {
        for db in MongoDatabase::both() {
            filled(&db).await;
            let (url, name) = (db.url().to_owned(), db.name().to_owned());
            let impatient = asynchronous("1", move |cx| {
                let (url, name) = (url.clone(), name.clone());
                Box::pin(async move {
                    let time = Duration::from_millis(300);
                    let ended = if by_handle {
                        let mut all =
                            <MongoSession as FromContext<Mongo>>::from_context(cx)?.collection::<Document>("t");
                        let update = all.update_many(slowly(), doc! { "$inc": { "n": 1 } });
                        tokio::time::timeout(time, update.into_future()).await.is_ok()
                    } else {
                        let update = doc! { "update": "t", "updates": [{ "q": slowly(), "u": { "$inc": { "n": 1 } }, "multi": true }] };
                        tokio::time::timeout(time, cx.execute(&update.to_string())).await.is_ok()
                    };
                    assert!(!ended);
                    until_works_on(&url, &name).await;
                    Ok(())
                })
            });
            let (url, name) = (db.url().to_owned(), db.name().to_owned());
            let next = asynchronous("2", move |_| {
                let (url, name) = (url.clone(), name.clone());
                Box::pin(async move {
                    assert!(!works_on(&url, &name).await, "it still runs");
                    Ok(())
                })
            });
            let both = Migrations::default().and(impatient.with(outside)).and(next.with(outside));
            assert_eq!(db.migrator_over(both).up().await.unwrap().ran.len(), 2);
        }
    }
}

/// Changes a document, and never ends.
struct Stuck;

#[async_trait]
impl Batches for Stuck {
    async fn next(&mut self, _: &mut Context, after: Option<&str>, count: u64) -> Result<Option<BatchEnd>, BoxError> {
        Ok(after.is_none().then(|| BatchEnd::new("5", count)))
    }

    async fn change(&mut self, cx: &mut Context, _: Option<&str>, _: &str) -> Result<u64, BoxError> {
        cx.execute(r#"{"insert": "t", "documents": [{"stuck": 1}]}"#).await?;
        std::future::pending().await
    }
}

/// The batch's transaction is open then: a record in it would be gone with it.
#[tokio::test]
async fn a_backfill_that_a_body_drops_takes_no_record_with_it() {
    for ends_well in [true, false] {
        for db in MongoDatabase::both() {
            filled(&db).await;
            let drops = asynchronous("1", move |cx| {
                Box::pin(async move {
                    let patience = Duration::from_millis(300);
                    let ended = tokio::time::timeout(patience, cx.backfill("stuck").run(&mut Stuck)).await;
                    assert!(ended.is_err());
                    if !ends_well {
                        return Err("it was given up".into());
                    }
                    // Another begins where the first has left its transaction open.
                    let mut all = Documents::of("t").update(doc! { "$set": { "n": 1 } });
                    cx.backfill("other").run(&mut all).await?;
                    let last = tokio::time::timeout(patience, cx.backfill("last").run(&mut Stuck)).await;
                    assert!(last.is_err());
                    Ok(())
                })
            });
            let migrator = migrator(&db, drops.with(outside));
            let ran = migrator.up().await;
            assert_eq!(ran.is_ok(), ends_well, "{ran:?}");
            let records = migrator.history().await.unwrap();
            let kinds: Vec<_> = records.iter().map(|record| record.kind.as_str()).collect();
            assert_eq!(kinds, ["started", if ends_well { "applied" } else { "failed" }]);
            let changed = db.count("t", doc! { "n": 1 }).await;
            let left = match (db.url().contains("replicaSet"), ends_well) {
                (true, _) => 0,
                (false, false) => 1,
                (false, true) => 2,
            };
            assert_eq!(db.count("t", doc! { "stuck": 1 }).await, left);
            assert!(changed >= if ends_well { 700 } else { 0 }, "{changed}");
            Holder::new(&db).await.end().await;
        }
    }
}

/// The first statement of the batch is dropped: the client does not know that it has begun a transaction, and the server runs it.
#[tokio::test]
async fn what_a_dropped_batch_still_does_is_ended_before_the_body_goes_on() {
    for db in MongoDatabase::both() {
        filled(&db).await;
        let drops = asynchronous("1", move |cx| {
            Box::pin(async move {
                let mut slow = Documents::of("t").update(doc! { "$set": { "n": -1 } }).only(slowly());
                let ended = tokio::time::timeout(Duration::from_secs(1), cx.backfill("slow").run(&mut slow)).await;
                assert!(ended.is_err());
                // Of the same documents: it would wait for the other, or write beside it.
                cx.execute(r#"{"update": "t", "updates": [{"q": {}, "u": {"$set": {"n": 5}}, "multi": true}]}"#)
                    .await?;
                Ok(())
            })
        });
        let clock = Instant::now();
        migrator(&db, drops.with(outside)).up().await.unwrap();
        assert!(clock.elapsed() < Duration::from_secs(40), "{:?}", clock.elapsed());
        assert_eq!(db.count("t", doc! { "n": 5 }).await, usize::try_from(DOCUMENTS).unwrap());
    }
}

/// The client asks secondaries, and wants to hear only of what a majority has: what runs is asked of the primary all the same.
#[tokio::test]
async fn what_runs_is_seen_whatever_the_client_reads() {
    let Some(db) = MongoDatabase::new() else { return };
    filled(&db).await;
    let url = format!("{}&readConcernLevel=majority&readPreference=secondaryPreferred", db.url());
    let mut policy = Policy::default();
    policy.foreign = Verdict::Allow;
    let migrations = Migrations::default().and(long("1").with(outside));
    let migrator = Migrator::new(Mongo::connect(&url).unwrap()).migrations(migrations).policy(policy);
    let dropped = async {
        tokio::select! { done = migrator.up() => panic!("{done:?}"), () = until_at_work(&db) => {} }
    };
    dropped.await;
    migrator.settled().await;
    assert!(!is_at_work(&db).await);
    assert_eq!(lease(&db).await.get("owner"), Some(&Bson::Null));
}

/// The client's session goes back to it when nobody will end what runs in it any more.
#[tokio::test]
async fn no_lease_names_a_session_that_went_back_to_the_client() {
    for db in MongoDatabase::both() {
        let mut holder = Holder::new(&db).await;
        holder.append(1).await.unwrap();
        // Handed back by hand: it is not the holder's any more, and still names its session.
        db.run(change("lease", doc! { "$set": { "owner": null } })).await;
        tokio::time::sleep(crate::holder::A_WHILE).await;
        holder.append(2).await.unwrap_err();
        let driver = holder.driver.clone();
        drop(holder);
        admmgt::Driver::settled(&driver).await;
        let lease = lease(&db).await;
        assert_eq!(lease.get("session"), Some(&Bson::Null), "{lease}");
    }
}
