//! What is sent to the server: how often, and how safely.

use std::sync::{Arc, Mutex};

use admmgt::mongo::{Documents, Steps};
use admmgt::mongodb::Client;
use admmgt::mongodb::bson::{Bson, Document, doc};
use admmgt::mongodb::event::EventHandler;
use admmgt::mongodb::event::command::CommandEvent;
use admmgt::mongodb::options::ClientOptions;
use admmgt::prelude::*;
use admmgt_tests::{MongoDatabase, asynchronous, mongo, outside};

type Sent = Arc<Mutex<Vec<(String, Document)>>>;

/// A driver whose commands are heard.
async fn heard(db: &MongoDatabase) -> (Mongo, Sent) {
    let sent = Sent::default();
    let hears = Arc::clone(&sent);
    let mut options = ClientOptions::parse(db.url()).await.unwrap();
    options.command_event_handler = Some(EventHandler::callback(move |event| {
        if let CommandEvent::Started(event) = event {
            hears.lock().unwrap().push((event.command_name, event.command));
        }
    }));
    (Mongo::new(&Client::with_options(options).unwrap(), db.name()), sent)
}

/// A text, steps, a body, and a backfill.
fn all() -> Migrations {
    let text = r#"{"create": "plans"} {"insert": "plans", "documents": [{"_id": 1}, {"_id": 2}]}"#;
    let steps = Steps::new().create_collection("users", doc! {}).rename("users", "people");
    let body = mongo("3", |db| {
        Box::pin(async move {
            let mut plans = db.collection::<Document>("plans");
            plans.insert_one(doc! { "_id": 3 }).await?;
            plans.update_many(doc! {}, doc! { "$set": { "seats": 1 } }).await?;
            plans.delete_one(doc! { "_id": 3 }).await?;
            db.run_command(doc! { "collMod": "plans", "validationLevel": "moderate" }).await?;
            Ok(())
        })
    });
    let fill = asynchronous("4", |cx| {
        Box::pin(async move {
            cx.backfill("seats").run(&mut Documents::of("plans").update(doc! { "$inc": { "seats": 1 } })).await?;
            Ok(())
        })
    });
    Migrations::new([
        SqlMigration::new("app", "1", text).unwrap(),
        SqlMigration::new("app", "2", steps.to_string()).unwrap(),
    ])
    .and(body.with(outside))
    .and(fill.with(outside))
}

const WRITES: [&str; 9] =
    ["insert", "update", "delete", "findAndModify", "create", "createIndexes", "collMod", "renameCollection", "drop"];

/// With the word of a majority of the servers, and on their disks.
#[tokio::test]
async fn whatever_is_written_is_written_safely() {
    for db in MongoDatabase::both() {
        let (driver, sent) = heard(&db).await;
        let migrator = Migrator::new(driver).migrations(all());
        migrator.up().await.unwrap();
        let sent = std::mem::take(&mut *sent.lock().unwrap());
        let (mut outside, mut commits) = (0, 0);
        for (name, command) in &sent {
            let in_transaction = command.get_bool("autocommit") == Ok(false);
            if name == "commitTransaction" {
                commits += 1;
            } else if in_transaction || !WRITES.contains(&name.as_str()) {
                continue;
            }
            outside += 1;
            let concern = command.get_document("writeConcern").unwrap_or_else(|_| panic!("{command}"));
            assert_eq!((concern.get_str("w"), concern.get_bool("j")), (Ok("majority"), Ok(true)), "{command}");
        }
        assert!(outside > 10, "{sent:?}");
        assert_eq!(commits > 0, db.url().contains("replicaSet"));
    }
}

/// Whatever there is, one query is enough to see that there is nothing to do.
#[tokio::test]
async fn a_start_with_nothing_to_do_sends_one_command() {
    for db in MongoDatabase::both() {
        db.migrator(all()).up().await.unwrap();
        let (driver, sent) = heard(&db).await;
        let migrator = Migrator::new(driver).migrations(all());
        for _ in 0..2 {
            assert_eq!(migrator.up().await.unwrap().ran.len(), 0);
            let sent = std::mem::take(&mut *sent.lock().unwrap());
            let names: Vec<&str> = sent.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["find"], "{sent:?}");
            assert_eq!(sent[0].1.get("find"), Some(&Bson::from("_admmgt_history")));
        }
        migrator.ensure_current().await.unwrap();
        assert_eq!(sent.lock().unwrap().len(), 1);
    }
}
