//! Histories that were changed by hand.

use std::time::Duration;

use admmgt::mongodb::bson::{Bson, Document, doc};
use admmgt::prelude::*;
use admmgt::{Error, ErrorKind, Resolution};
use admmgt_tests::{MongoDatabase, sql};

use crate::holder::Holder;

fn list() -> Migrations {
    sql(&[("1", r#"{"create": "a"}"#), ("2", r#"{"create": "b"}"#)])
}

async fn migrated(db: &MongoDatabase) {
    db.migrator(sql(&[("1", r#"{"create": "a"}"#)])).up().await.unwrap();
}

/// Changes the document that the history ends with.
async fn change_last(db: &MongoDatabase, update: Document) {
    let last = db.all("_admmgt_history").await.pop().unwrap();
    change(db, "_admmgt_history", doc! { "_id": last.get("_id") }, update).await;
}

/// Changes the state or the history as somebody would in a shell.
async fn change(db: &MongoDatabase, collection: &str, which: Document, update: Document) {
    let updates = vec![doc! { "q": which, "u": update }];
    let changed = db.run(doc! { "update": collection, "updates": updates }).await;
    assert_eq!(changed.get_i32("n"), Ok(1), "{changed}");
}

#[tokio::test]
async fn a_garbage_record_is_named() {
    for (field, value, words) in [
        ("checksum", Bson::from("no checksum"), "column `checksum` of the row with seq 1"),
        ("kind", "guessed".into(), "column `kind` of the row with seq 1"),
        ("direction", "sideways".into(), "column `direction` of the row with seq 1"),
        ("at", "yesterday".into(), "column `at` of the row with seq 1"),
        ("detail", 5.into(), "is of type Int32 and must be text"),
        ("body", "text".into(), "is of type String and must be binary"),
        ("body", Bson::Null, "is NULL"),
    ] {
        // The body stands with the record that it was applied: elsewhere it is the first one.
        for db in MongoDatabase::both().filter(|db| field != "body" || db.url().contains("replicaSet")) {
            migrated(&db).await;
            change(&db, "_admmgt_history", doc! { "_id": 1_i64 }, doc! { "$set": { field: value.clone() } }).await;
            let error = db.migrator(list()).up().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::State, "{error}");
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(db.names().await, ["a"]);
        }
    }
}

/// F68, F69: more fields than we know are left alone, and fewer are none.
#[tokio::test]
async fn fields_of_another_version_are_no_obstacle() {
    for db in MongoDatabase::both() {
        migrated(&db).await;
        change(
            &db,
            "_admmgt_history",
            doc! { "_id": 1_i64 },
            doc! { "$set": { "colour": "red" }, "$unset": { "body": "", "codec": "" } },
        )
        .await;
        change(&db, "_admmgt_state", doc! { "_id": "fence" }, doc! { "$set": { "colour": "red" } }).await;
        assert_eq!(db.migrator(list()).up().await.unwrap().ran.len(), 1);
        assert_eq!(db.all("_admmgt_history").await[0].get_str("colour"), Ok("red"));
    }
}

#[tokio::test]
async fn f70_what_a_newer_version_wrote_is_not_touched() {
    for db in MongoDatabase::both() {
        migrated(&db).await;
        // With a kind of record that this version does not know, and a state of another shape.
        change_last(&db, doc! { "$set": { "format": 99, "kind": "foreseen", "last": [1] } }).await;
        change(&db, "_admmgt_state", doc! { "_id": "fence" }, doc! { "$set": { "ended": "two" } }).await;
        let before = (db.all("_admmgt_state").await, db.all("_admmgt_history").await);
        for error in [
            db.migrator(list()).up().await.unwrap_err(),
            db.migrator(list()).down(Target::Back(1)).await.unwrap_err(),
            db.migrator(list()).status().await.unwrap_err(),
            db.migrator(list()).plan().await.unwrap_err(),
            db.migrator(list()).history().await.unwrap_err(),
            db.migrator(list()).ensure_current().await.unwrap_err(),
        ] {
            assert!(matches!(error, Error::NewerFormat { found: 99, .. }), "{error}");
        }
        assert_eq!((db.all("_admmgt_state").await, db.all("_admmgt_history").await), before);
    }
}

#[tokio::test]
async fn heads_that_cannot_be_read_are_named() {
    for (update, words) in [
        (doc! { "$set": { "heads": 5 } }, "its field `heads` is no text"),
        (doc! { "$set": { "heads": "nonsense" } }, "which is no head"),
        (doc! { "$set": { "format": "one" } }, "its field `format` must be a whole number"),
        (doc! { "$set": { "format": 0 } }, "0 is not a format"),
    ] {
        for db in MongoDatabase::both() {
            migrated(&db).await;
            change_last(&db, update.clone()).await;
            let error = db.migrator(list()).up().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::State, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

/// F74: what was emptied by hand is not begun anew over what is there, whoever takes the lease meanwhile.
#[tokio::test]
async fn a_history_that_was_emptied_is_refused() {
    for db in MongoDatabase::both() {
        for was_killed in [false, true] {
            migrated(&db).await;
            if was_killed {
                // The number of the last record is noted with the lease from time to time.
                let unknown = doc! { "q": {}, "u": { "$unset": { "ended": "" } }, "multi": true };
                db.run(doc! { "update": "_admmgt_state", "updates": [unknown] }).await;
            }
            db.run(doc! { "drop": "_admmgt_history" }).await;
            for _ in 0..2 {
                let error = db.migrator(list()).up().await.unwrap_err();
                assert!(error.to_string().contains("it is empty, and there were records"), "{error}");
                let error = db.migrator(list()).resolve("app/1", Resolution::Pending, "to try").await.unwrap_err();
                assert!(error.to_string().contains("it is empty, and there were records"), "{error}");
            }
            assert!(db.all("_admmgt_history").await.is_empty(), "a backup can be put back");
            db.run(doc! { "drop": "_admmgt_state" }).await;
            db.run(doc! { "drop": "a" }).await;
        }
        migrated(&db).await;
        db.run(doc! { "drop": "_admmgt_state" }).await;
        let error = db.migrator(list()).up().await.unwrap_err();
        assert!(error.to_string().contains("it is not there, and there are records"), "{error}");
    }
}

#[tokio::test]
async fn a_record_that_is_gone_is_missed() {
    for gone in [1_i64, 2] {
        for db in MongoDatabase::both() {
            db.migrator(list()).up().await.unwrap();
            let last = db.all("_admmgt_history").await.pop().unwrap().get_i64("_id").unwrap();
            let which = if gone == 1 { 1 } else { last };
            db.run(doc! { "delete": "_admmgt_history", "deletes": [{ "q": { "_id": which }, "limit": 1 }] }).await;
            let error = db
                .migrator(list().and(SqlMigration::new("app", "3", "{\"create\": \"c\"}").unwrap()))
                .up()
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::State, "{error}");
        }
    }
}

/// F73: a view with the name of ours.
#[tokio::test]
async fn a_view_in_our_place_is_no_history() {
    for db in MongoDatabase::both() {
        for ours in ["_admmgt_state", "_admmgt_history"] {
            let db = MongoDatabase::at(db.server());
            db.run(doc! { "create": ours, "viewOn": "other", "pipeline": [] }).await;
            let error = db.migrator(list()).up().await.unwrap_err();
            assert!(error.to_string().contains("view"), "{ours}: {error}");
            assert_eq!(db.names().await, [""; 0]);
        }
    }
}

/// Where records are and no state, nothing begins anew over them, and nobody resolves that away.
#[tokio::test]
async fn a_state_that_is_gone_is_not_made_anew() {
    for db in MongoDatabase::both() {
        migrated(&db).await;
        db.run(doc! { "drop": "_admmgt_state" }).await;
        for _ in 0..2 {
            let resolved = db.migrator(list()).resolve("app/1", Resolution::Pending, "to try").await.unwrap_err();
            assert_eq!(resolved.kind(), ErrorKind::State, "{resolved}");
        }
        assert_eq!(db.migrator(list()).up().await.unwrap_err().kind(), ErrorKind::State);
        assert_eq!(db.names().await, ["a"]);
    }
}

/// Each is a history as no run leaves it.
#[tokio::test]
async fn records_that_cannot_stand_as_they_do_are_told() {
    for (which, update, words) in [
        (
            1_i64,
            doc! { "$set": { "held_for": { "token": 1_i64, "owner": "x" } } },
            "records stand behind a place that is held",
        ),
        (1, doc! { "$set": { "more": 5 } }, "its field `more` is no list of records"),
        (1, doc! { "$set": { "more": [5] } }, "its field `more` holds what is no record"),
        (2, doc! { "$unset": { "heads": "" } }, "it has no heads"),
        (2, doc! { "$set": { "held_for": 5 } }, "its field `held_for` names nobody"),
        (2, doc! { "$set": { "more": [], "last": 7_i64 } }, "its field `last` is not its last record"),
        (2, doc! { "$set": { "last": "x" } }, "its field `last` must be a whole number"),
    ] {
        let Some(db) = MongoDatabase::new() else { return };
        db.migrator(list()).up().await.unwrap();
        change(&db, "_admmgt_history", doc! { "_id": which }, update).await;
        let three = list().and(SqlMigration::new("app", "3", r#"{"create": "c"}"#).unwrap());
        let error = db.migrator(three).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(db.names().await, ["a", "b"]);
    }
}

/// What is written by hand into the state.
#[tokio::test]
async fn a_state_that_cannot_be_read_is_named() {
    for (which, update, words) in [
        ("lease", doc! { "token": "x" }, "the document `lease` of the state: its token is no number"),
        ("lease", doc! { "ended": "x" }, "its field `ended` must be a whole number"),
        ("fence", doc! { "token": "x" }, "the document `fence` of the state: its field `token` is no number"),
    ] {
        for db in MongoDatabase::both() {
            migrated(&db).await;
            change(&db, "_admmgt_state", doc! { "_id": which }, doc! { "$set": update.clone() }).await;
            let error = db.migrator(list()).up().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::State, "{error}");
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(db.names().await, ["a"]);
        }
    }
}

/// As the shell writes numbers.
#[tokio::test]
async fn numbers_of_another_type_are_numbers() {
    for db in MongoDatabase::both() {
        migrated(&db).await;
        change_last(&db, doc! { "$set": { "at": 5, "step": 1.0, "format": 1.0 } }).await;
        change(&db, "_admmgt_state", doc! { "_id": "fence" }, doc! { "$set": { "token": 1, "ended": 1.0 } }).await;
        assert_eq!(db.migrator(list()).up().await.unwrap().ran.len(), 1);
    }
}

/// A place that is held behind records that are not there.
#[tokio::test]
async fn a_place_behind_lost_records_is_told() {
    for db in MongoDatabase::both() {
        migrated(&db).await;
        let last = db.all("_admmgt_history").await.pop().unwrap();
        let place = doc! {
            "_id": last.get_i64("_id").unwrap() + 5, "held_for": { "token": 1_i64, "owner": "x" },
            "format": 1_i64, "heads": last.get("heads"),
        };
        db.run(doc! { "insert": "_admmgt_history", "documents": [place] }).await;
        let error = db.migrator(list()).up().await.unwrap_err();
        assert!(error.to_string().contains("and must be"), "{error}");
        assert_eq!(error.kind(), ErrorKind::State, "{error}");
    }
}

/// A checkpoint that is damaged is named, and does not begin its backfill anew.
#[tokio::test]
async fn a_checkpoint_that_cannot_be_read_is_named() {
    for (update, words) in [
        (doc! { "seen": -1_i64 }, "its field `seen` is no count"),
        (doc! { "last_key": 5 }, "its field `last_key` is of another type"),
        (doc! { "ended": "yes" }, "its field `ended` is of another type"),
    ] {
        for db in MongoDatabase::both() {
            let mut first = Holder::new(&db).await;
            first.append(1).await.unwrap();
            first.save(1).await.unwrap();
            change(&db, "_admmgt_checkpoint", doc! {}, doc! { "$set": update.clone() }).await;
            let error = first.try_seen().await.unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            first.end().await;
        }
    }
}

/// A backup of the history that is older than that of the state.
#[tokio::test]
async fn a_history_that_is_older_than_its_state_is_refused() {
    for db in MongoDatabase::both() {
        migrated(&db).await;
        let older = db.all("_admmgt_history").await;
        db.migrator(list()).up().await.unwrap();
        db.run(doc! { "delete": "_admmgt_history", "deletes": [{ "q": {}, "limit": 0 }] }).await;
        db.run(doc! { "insert": "_admmgt_history", "documents": older }).await;
        let three = list().and(SqlMigration::new("app", "3", r#"{"create": "c"}"#).unwrap());
        let error = db.migrator(three).up().await.unwrap_err();
        assert!(error.to_string().contains("and there were"), "{error}");
        assert_eq!(error.kind(), ErrorKind::State, "{error}");
    }
}

/// An operator takes the document of the lease away: its tokens go on behind those that were given.
#[tokio::test]
async fn a_lease_that_was_taken_away_goes_on_behind_its_tokens() {
    for db in MongoDatabase::both() {
        migrated(&db).await;
        change(&db, "_admmgt_state", doc! { "_id": "fence" }, doc! { "$set": { "token": 41_i64 } }).await;
        db.run(doc! { "delete": "_admmgt_state", "deletes": [{ "q": { "_id": "lease" }, "limit": 1 }] }).await;
        assert_eq!(db.migrator(list()).up().await.unwrap().ran.len(), 1);
        let tokens: Vec<i64> =
            db.all("_admmgt_state").await.iter().map(|found| found.get_i64("token").unwrap()).collect();
        assert_eq!(tokens, [42, 42]);
    }
}

/// A state of an older backup: the tokens that it gives are those that saved the checkpoint, again.
#[tokio::test]
async fn a_checkpoint_of_a_newer_lease_than_there_was_is_told() {
    for db in MongoDatabase::both() {
        let mut first = Holder::new(&db).await;
        first.append(1).await.unwrap();
        first.save(1).await.unwrap();
        first.end().await;
        change(&db, "_admmgt_checkpoint", doc! {}, doc! { "$set": { "token": 41_i64 } }).await;
        let mut next = Holder::new(&db).await;
        let error = next.try_seen().await.unwrap_err();
        assert!(error.to_string().contains("saved with a newer lease"), "{error}");
        next.end().await;
    }
}

/// Where the history and its state are gone, a checkpoint that is left is of nobody's backfill.
#[tokio::test]
async fn a_history_that_begins_anew_has_no_checkpoints() {
    for db in MongoDatabase::both() {
        for token in [1_i64, 41] {
            let mut first = Holder::new(&db).await;
            first.append(1).await.unwrap();
            first.save(1).await.unwrap();
            first.end().await;
            change(&db, "_admmgt_checkpoint", doc! {}, doc! { "$set": { "token": token } }).await;
            db.run(doc! { "drop": "_admmgt_state" }).await;
            db.run(doc! { "drop": "_admmgt_history" }).await;
            let mut next = Holder::new(&db).await;
            assert!(next.lease.token().unwrap().0 > u64::try_from(token).unwrap());
            assert_eq!(next.seen().await, None);
            next.end().await;
            db.run(doc! { "drop": "_admmgt_state" }).await;
            db.run(doc! { "drop": "_admmgt_history" }).await;
        }
    }
}

/// How far the history goes is noted while a run goes on.
#[tokio::test]
async fn what_a_killed_run_has_written_is_missed() {
    for db in MongoDatabase::both() {
        let mut first = Holder::at(db.driver().lease_ttl(Duration::from_millis(300))).await;
        first.append(1).await.unwrap();
        first.append(2).await.unwrap();
        let noted = doc! { "_id": "lease", "ended": 2_i64 };
        while db.count("_admmgt_state", noted.clone()).await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(first);
        db.run(doc! { "delete": "_admmgt_history", "deletes": [{ "q": { "_id": 2_i64 }, "limit": 1 }] }).await;
        let error = db.migrator(list()).up().await.unwrap_err();
        assert!(error.to_string().contains("its last record is 1, and there were 2"), "{error}");
    }
}
