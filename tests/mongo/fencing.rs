//! Who has lost the lease writes nothing more, however it was lost.

use std::sync::Arc;
use std::time::Duration;

use admmgt::mongodb::bson::{Document, doc};
use admmgt::prelude::*;
use admmgt::{Driver, Error, ErrorKind, Origin, Standing};
use admmgt_tests::{MongoDatabase, mongo, outside, run_command, sql};
use tokio::sync::Mutex;

use crate::holder::{A_WHILE, Holder, change, expire, inserts};

/// Ends as a run does that could write no more.
fn check_lost(db: &MongoDatabase, error: &Error) {
    // Without a transaction its change is there, and could not be recorded.
    let expected = if db.url().contains("replicaSet") { ErrorKind::Busy } else { ErrorKind::Interrupted };
    assert_eq!(error.kind(), expected, "{error}");
    assert!(error.to_string().contains("the lease was lost"), "{error}");
}

async fn is_applied(migrator: &Migrator) -> bool {
    let status = migrator.status().await.unwrap();
    status.migrations.iter().any(|line| line.standing == Standing::Applied)
}

/// F29: nobody else has taken it, and still the next write is none.
#[tokio::test]
async fn f29_a_lease_that_is_handed_back_by_hand_stops_the_run() {
    for db in MongoDatabase::both() {
        let url = db.url().to_owned();
        let hands_back = mongo("1", move |_| {
            let url = url.clone();
            Box::pin(async move {
                run_command(&url, change("lease", doc! { "$set": { "owner": null } })).await;
                tokio::time::sleep(A_WHILE).await;
                Ok(())
            })
        });
        let migrator = db.migrator(Migrations::default().and(hands_back));
        let error = migrator.up().await.unwrap_err();
        check_lost(&db, &error);
        assert!(!is_applied(&migrator).await);
    }
}

/// F111: the lease is dropped with its collection while a migration runs.
#[tokio::test]
async fn f111_a_lease_that_is_dropped_stops_the_run() {
    for db in MongoDatabase::both() {
        let url = db.url().to_owned();
        let drops = mongo("1", move |_| {
            let url = url.clone();
            Box::pin(async move {
                run_command(&url, doc! { "drop": "_admmgt_state" }).await;
                tokio::time::sleep(A_WHILE).await;
                Ok(())
            })
        });
        let next = SqlMigration::new("app", "2", r#"{"create": "a"}"#).unwrap();
        check_lost(&db, &db.migrator(Migrations::default().and(drops).and(next)).up().await.unwrap_err());
        assert!(db.names().await.is_empty());
        let anew = db.migrator(sql(&[("3", r#"{"create": "b"}"#)])).up().await;
        if db.url().contains("replicaSet") {
            // Nothing of the run that lost it is left in the history that begins anew.
            assert_eq!(anew.unwrap().ran.len(), 1);
        } else {
            // It had begun, which is on record.
            let error = anew.unwrap_err();
            assert!(error.to_string().contains("it is not there, and there are records"), "{error}");
        }
    }
}

/// The document of the lease is deleted, so that its tokens begin anew: whoever takes it then does not have the same one.
#[tokio::test]
async fn tokens_that_begin_anew_do_not_meet_those_of_who_still_runs() {
    for db in MongoDatabase::both().map(Arc::new) {
        let held = Arc::new(Mutex::new(None));
        let (at, next) = (Arc::clone(&db), Arc::clone(&held));
        let deletes = mongo("1", move |_| {
            let (db, next) = (Arc::clone(&at), Arc::clone(&next));
            Box::pin(async move {
                let lease = doc! { "q": { "_id": "lease" }, "limit": 1 };
                db.run(doc! { "delete": "_admmgt_state", "deletes": [lease] }).await;
                *next.lock().await = Some(Holder::new(&db).await);
                Ok(())
            })
        });
        let migrator = db.migrator(Migrations::default().and(deletes));
        check_lost(&db, &migrator.up().await.unwrap_err());
        let mut next = held.lock().await.take().unwrap();
        assert_eq!(next.lease.token().map(|token| token.0), Some(2));
        next.save(1).await.unwrap();
        assert!(!is_applied(&migrator).await);
    }
}

/// The application's client may use that session for something else later: who comes next must not end it.
#[tokio::test]
async fn a_run_that_is_dropped_takes_its_session_from_the_lease() {
    for db in MongoDatabase::both() {
        let Holder { session, lease, .. } = Holder::new(&db).await;
        let noted = async || {
            let state = db.all("_admmgt_state").await;
            state.iter().any(|found| found.get("session").is_some_and(|session| session.as_null().is_none()))
        };
        assert!(noted().await);
        drop(session);
        drop(lease);
        let clock = std::time::Instant::now();
        while noted().await {
            assert!(clock.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// F30: a statement that takes longer than the lease has the only connection that is allowed.
#[tokio::test]
async fn f30_a_lease_is_renewed_where_one_connection_is_allowed() {
    for db in MongoDatabase::both() {
        db.run(doc! { "insert": "t", "documents": [{ "_id": 1 }] }).await;
        let url = crate::failing::named(&db, "one&maxPoolSize=1");
        let driver = Mongo::connect(&url).unwrap().lease_ttl(Duration::from_secs(5));
        let slow = mongo("1", |db| {
            Box::pin(async move {
                db.collection::<Document>("t").find(doc! { "$where": "sleep(8000) || true" }).all().await?;
                Ok(())
            })
        });
        let mut policy = Policy::default();
        policy.foreign = admmgt::Verdict::Allow;
        let migrator = Migrator::new(driver).migrations(Migrations::default().and(slow.with(outside)));
        migrator.policy(policy).up().await.unwrap();
    }
}

/// F30: two runs of one process have one client, which is allowed one connection.
#[tokio::test]
async fn f30_two_runs_over_one_connection_take_turns() {
    for db in MongoDatabase::both() {
        let url = crate::failing::named(&db, "two&maxPoolSize=1");
        let client = admmgt::mongodb::Client::with_uri_str(&url).await.unwrap();
        let run = || {
            let slow = mongo("1", |db| {
                Box::pin(async move {
                    db.collection::<Document>("t").insert_one(doc! { "_id": 1 }).await?;
                    tokio::time::sleep(A_WHILE).await;
                    Ok(())
                })
            });
            let set = sql(&[("2", r#"{"insert": "t", "documents": [{"_id": 2}]}"#)]).and(slow);
            Migrator::new(Mongo::new(&client, db.name())).migrations(set)
        };
        let (one, other) = (run(), run());
        let both = async { tokio::join!(one.up(), other.up()) };
        let (one, other) = tokio::time::timeout(Duration::from_secs(30), both).await.expect("they wait for each other");
        assert_eq!(one.unwrap().ran.len() + other.unwrap().ran.len(), 2);
        assert_eq!(db.all("t").await.len(), 2);
    }
}

/// Whoever comes next waits for what is being written, and reads it.
#[tokio::test]
async fn a_transaction_that_has_proven_its_lease_ends_before_the_next_holder_begins() {
    let Some(db) = MongoDatabase::ours() else { return };
    let mut first = Holder::new(&db).await;
    first.append(1).await.unwrap();
    first.save(1).await.unwrap();
    first.session.begin_batch().await.unwrap();
    first.save(2).await.unwrap();
    expire(&db).await;
    let next = async {
        let mut next = Holder::new(&db).await;
        (next.seen().await, next)
    };
    let ((seen, next), committed) = tokio::join!(next, async {
        tokio::time::sleep(A_WHILE).await;
        first.commit().await
    });
    committed.unwrap();
    assert_eq!(seen, Some(2));
    assert!(first.lease.token() < next.lease.token());
}

/// Whoever has begun before the next holder did, and has not written by then, does not write.
#[tokio::test]
async fn a_transaction_that_has_not_proven_its_lease_writes_nothing_behind_the_next_holder() {
    let Some(db) = MongoDatabase::ours() else { return };
    db.run(doc! { "create": "t" }).await;
    let mut first = Holder::new(&db).await;
    first.append(1).await.unwrap();
    first.save(1).await.unwrap();
    for origin in [None, Some(Origin::Sql)] {
        // Its snapshot is from before.
        match origin {
            None => first.session.begin_batch().await.unwrap(),
            Some(origin) => first.session.begin(origin).await.unwrap(),
        }
        first.session.execute(&inserts()).await.unwrap();
        expire(&db).await;
        let mut next = Holder::new(&db).await;
        first.save(3).await.unwrap_err();
        first.session.rollback().await.unwrap();
        assert_eq!(next.seen().await, Some(1));
        assert_eq!(db.count("t", doc! {}).await, 0);
        first = next;
    }
}

/// With its first record, which has a place that was held for it, and with a later one.
#[tokio::test]
async fn who_has_lost_the_lease_adds_no_record() {
    for db in MongoDatabase::both() {
        let mut first = Holder::new(&db).await;
        let mut last = 0;
        for written in [0, 1, 2] {
            for _ in 0..written {
                last += 1;
                first.append(last).await.unwrap();
            }
            expire(&db).await;
            let mut next = Holder::new(&db).await;
            let error = first.append(last + 1).await.unwrap_err();
            assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
            assert_eq!(next.records().await, last);
            first = next;
        }
        first.append(last + 1).await.unwrap();
        assert_eq!(first.records().await, last + 1);
    }
}

/// In a transaction that has begun before the next holder did, or behind that.
#[tokio::test]
async fn who_has_lost_the_lease_commits_no_record() {
    let Some(db) = MongoDatabase::ours() else { return };
    db.run(doc! { "create": "t" }).await;
    let mut first = Holder::new(&db).await;
    let mut last = 0;
    for (written, begins_before) in [(false, true), (false, false), (true, true), (true, false)] {
        if written {
            last += 1;
            first.append(last).await.unwrap();
        }
        let mut next = None;
        if !begins_before {
            expire(&db).await;
            next = Some(Holder::new(&db).await);
        }
        first.begin().await;
        let mut next = match next {
            Some(next) => next,
            None => {
                expire(&db).await;
                Holder::new(&db).await
            }
        };
        let batch = first.batch(last + 1);
        first.session.commit(&batch).await.unwrap_err();
        assert_eq!(next.records().await, last);
        assert_eq!(db.count("t", doc! {}).await, 0);
        first = next;
    }
}

/// Code can do what no rollback takes back: it does not begin behind the next holder.
#[tokio::test]
async fn who_has_lost_the_lease_begins_no_code() {
    let Some(db) = MongoDatabase::ours() else { return };
    let mut first = Holder::new(&db).await;
    first.append(1).await.unwrap();
    expire(&db).await;
    let next = Holder::new(&db).await;
    let error = first.session.begin(Origin::Code).await.unwrap_err();
    assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
    next.end().await;
}

/// It is of a newer lease, and this one is not ours any more.
#[tokio::test]
async fn a_checkpoint_of_the_next_holder_is_not_read_as_damage() {
    for db in MongoDatabase::both() {
        let mut first = Holder::new(&db).await;
        first.append(1).await.unwrap();
        expire(&db).await;
        let mut next = Holder::new(&db).await;
        next.save(5).await.unwrap();
        let error = first.try_seen().await.unwrap_err();
        assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
    }
}

/// Somebody wrote there who knows nothing of leases.
#[tokio::test]
async fn a_record_that_was_put_there_by_hand_stops_the_run() {
    for db in MongoDatabase::both() {
        let mut holder = Holder::new(&db).await;
        holder.append(1).await.unwrap();
        let mut foreign = db.all("_admmgt_history").await.pop().unwrap();
        foreign.insert("_id", 2_i64);
        db.collection("_admmgt_history").await.insert_one(foreign).await.unwrap();
        let error = holder.append(2).await.unwrap_err();
        assert!(matches!(error, Error::HistoryMoved { .. }), "{error}");
    }
}

/// The store is ready where somebody only looks.
#[tokio::test]
async fn without_the_lease_nothing_is_prepared() {
    for db in MongoDatabase::both() {
        let driver = db.driver();
        let mut session = driver.open(&admmgt::SessionOptions::new(admmgt::Access::Write)).await.unwrap();
        driver.store().prepare(&mut *session).await.unwrap();
        let all = db.run(doc! { "listCollections": 1 }).await;
        assert_eq!(all.get_document("cursor").unwrap().get_array("firstBatch").unwrap().len(), 0, "{all}");
    }
}
