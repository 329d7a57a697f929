//! What a body does through its handle: all of it in its session, and in the transaction where there is one.

use admmgt::mongo::{Answer, Documents};
use admmgt::mongodb::IndexModel;
use admmgt::mongodb::bson::{Document, doc};
use admmgt::mongodb::options::FindOptions;
use admmgt::prelude::*;
use admmgt::{FromContext, OnInterrupt, Verdict};
use admmgt_tests::{AsyncCode, MongoDatabase, asynchronous, mongo, outside};

fn over(db: &MongoDatabase, code: AsyncCode) -> Migrator {
    let mut policy = Policy::default();
    (policy.foreign, policy.on_interrupt) = (Verdict::Allow, Some(OnInterrupt::Retry));
    db.migrator(Migrations::default().and(code)).policy(policy)
}

async fn three(db: &MongoDatabase) {
    db.run(doc! { "insert": "users", "documents": [{ "_id": 1 }, { "_id": 2 }, { "_id": 3 }] }).await;
}

/// Every way to write a document.
fn writes(fails: bool) -> AsyncCode {
    mongo("1", move |db| {
        Box::pin(async move {
            let mut users = db.collection::<Document>("users");
            users.insert_one(doc! { "_id": 4 }).await?;
            users.insert_many([doc! { "_id": 5 }, doc! { "_id": 6 }, doc! { "_id": 7 }]).await?;
            users.replace_one(doc! { "_id": 1 }, doc! { "_id": 1, "by": "replace_one" }).await?;
            users.update_one(doc! { "_id": 2 }, doc! { "$set": { "by": "update_one" } }).await?;
            users.update_many(doc! { "_id": { "$gt": 3 } }, doc! { "$set": { "by": "update_many" } }).await?;
            let was =
                users.find_one_and_update(doc! { "_id": 3 }, doc! { "$set": { "by": "find_one_and_update" } }).await?;
            assert_eq!(was, Some(doc! { "_id": 3 }));
            let was = users.find_one_and_delete(doc! { "_id": 4 }).await?;
            assert_eq!(was, Some(doc! { "_id": 4, "by": "update_many" }));
            users.delete_one(doc! { "_id": 5 }).await?;
            users.delete_many(doc! { "_id": { "$gt": 5 } }).await?;
            let left = users.aggregate(vec![doc! { "$count": "left" }]).await?;
            assert_eq!(left, [doc! { "left": 3 }]);
            if fails { Err("at its end".into()) } else { Ok(()) }
        })
    })
}

#[tokio::test]
async fn whatever_a_body_writes_is_there_with_its_commit_or_not_at_all() {
    for db in MongoDatabase::both() {
        three(&db).await;
        let before = db.all("users").await;
        over(&db, writes(true)).up().await.unwrap_err();
        if db.url().contains("replicaSet") {
            assert_eq!(db.all("users").await, before);
        } else {
            db.run(doc! { "drop": "users" }).await;
            three(&db).await;
        }
        over(&db, writes(false)).up().await.unwrap();
        let by = |id: i32, by: &str| doc! { "_id": id, "by": by };
        assert_eq!(db.all("users").await, [by(1, "replace_one"), by(2, "update_one"), by(3, "find_one_and_update")]);
    }
}

#[tokio::test]
async fn collections_and_indexes_are_made_and_taken_away() {
    for db in MongoDatabase::both() {
        three(&db).await;
        let name = db.name().to_owned();
        let code = mongo("1", move |db| {
            let name = name.clone();
            Box::pin(async move {
                assert_eq!(db.name(), name);
                db.create_collection("made").await?;
                let mut names = db.collection_names().await?;
                names.retain(|name| !name.starts_with('_'));
                names.sort();
                assert_eq!(names, ["made", "users"]);
                let mut made = db.collection::<Document>("made");
                made.create_index(IndexModel::builder().keys(doc! { "email": 1 }).build()).await?;
                let keys: Vec<Document> = made.indexes().await?.into_iter().map(|index| index.keys).collect();
                assert_eq!(keys, [doc! { "_id": 1 }, doc! { "email": 1 }]);
                made.drop_index("email_1").await?;
                assert_eq!(made.indexes().await?.len(), 1);
                made.drop().await?;
                Ok(())
            })
        });
        over(&db, code.with(outside)).up().await.unwrap();
        assert_eq!(db.names().await, ["users"]);
    }
}

#[tokio::test]
async fn what_was_asked_for_is_read_one_by_one_or_at_once() {
    for db in MongoDatabase::both() {
        three(&db).await;
        let code = mongo("1", move |db| {
            Box::pin(async move {
                let mut users = db.collection::<Document>("users");
                let ids = async |find: admmgt::mongo::Find<'_, Document>| -> Result<Vec<i32>, BoxError> {
                    Ok(find.all().await?.iter().filter_map(|found| found.get_i32("_id").ok()).collect())
                };
                assert_eq!(ids(users.find(doc! {}).sort(doc! { "_id": -1 }).skip(1).limit(1)).await?, [2]);
                let two = FindOptions::builder().sort(doc! { "_id": 1 }).limit(2).build();
                assert_eq!(ids(users.find(doc! {}).limit(1).options(two)).await?, [1, 2]);
                let counted = users.aggregate(vec![doc! { "$match": { "_id": 2 } }]).await?;
                assert_eq!(counted, [doc! { "_id": 2 }]);
                let mut cursor = users.find(doc! { "_id": 3 }).projection(doc! { "_id": 1 }).cursor().await?;
                assert_eq!(format!("{cursor:?}"), "Cursor { .. }");
                assert_eq!(cursor.next().await?, Some(doc! { "_id": 3 }));
                assert_eq!(cursor.next().await?, None);
                Ok(())
            })
        });
        over(&db, code).up().await.unwrap();
    }
}

/// A handle says what it is of, and nothing of how it is connected to.
#[tokio::test]
async fn handles_are_shown_without_what_they_are_connected_with() {
    for db in MongoDatabase::both() {
        let name = db.name().to_owned();
        let code = mongo("1", move |db| {
            let name = name.clone();
            Box::pin(async move {
                let reader = format!("MongoReader {{ database: \"{name}\", .. }}");
                assert!(format!("{db:?}").starts_with(&format!("MongoSession {{ reader: {reader}")));
                let mut users = db.collection::<Document>("users");
                assert_eq!(format!("{users:?}"), "MongoCollection(\"users\")");
                assert_eq!(format!("{:?}", users.find(doc! {})), "Find(\"users\")");
                let shown: &admmgt::mongo::ReadCollection<'_, Document> = &users;
                assert_eq!(format!("{shown:?}"), "ReadCollection(\"users\")");
                let read: &mut admmgt::mongo::MongoReader = db;
                assert_eq!(format!("{:?}", read.collection::<Document>("users")), "ReadCollection(\"users\")");
                Ok(())
            })
        });
        over(&db, code).up().await.unwrap();
    }
}

/// What stands on record of a body that failed with an answer of the server.
async fn told(db: &MongoDatabase, code: AsyncCode) -> String {
    over(db, code).up().await.unwrap_err();
    let failed =
        db.all("_admmgt_history").await.into_iter().rev().find(|record| record.get_str("kind") == Ok("failed"));
    failed.unwrap().get_str("detail").unwrap().to_owned()
}

#[tokio::test]
async fn what_the_server_answers_to_a_body_is_told_with_what_to_do() {
    for db in MongoDatabase::both() {
        three(&db).await;
        db.run(doc! { "create": "checked", "validator": { "age": { "$type": "int" } } }).await;
        let many = mongo("1", |db| {
            Box::pin(async move {
                db.collection::<Document>("users").insert_many([doc! { "_id": 9 }, doc! { "_id": 1 }]).await?;
                Ok(())
            })
        });
        let words = told(&db, many).await;
        assert!(words.contains("(code 11000); take away or change the documents that have the same key"), "{words}");
        let unfit = mongo("1", |db| {
            Box::pin(async move {
                db.collection::<Document>("checked").insert_one(doc! { "age": "old" }).await?;
                Ok(())
            })
        });
        let words = told(&db, unfit).await;
        assert!(words.contains("(code 121); the document does not fit the validator of its collection"), "{words}");
        let command = mongo("1", |db| {
            Box::pin(async move {
                let taken = db.run_command(doc! { "insert": "users", "documents": [{ "_id": 1 }] }).await.unwrap_err();
                let answer = taken.get_custom::<Answer>().and_then(Answer::code);
                assert_eq!(answer, Some(11000));
                Err(taken.into())
            })
        });
        let words = told(&db, command).await;
        assert!(words.contains("(code 11000)"), "{words}");
        let another_type = mongo("1", |db| {
            Box::pin(async move {
                db.collection::<i32>("users").find_one(doc! {}).await?;
                Ok(())
            })
        });
        let words = told(&db, another_type).await;
        assert!(words.contains("not of the type that was asked for"), "{words}");
    }
    let Some(db) = MongoDatabase::new() else { return };
    three(&db).await;
    let within = mongo("1", |db| {
        Box::pin(async move {
            let index = IndexModel::builder().keys(doc! { "email": 1 }).build();
            db.collection::<Document>("users").create_index(index).await?;
            Ok(())
        })
    });
    let words = told(&db, within).await;
    assert!(words.contains("give the migration `transaction = \"none\"`"), "{words}");
}

/// Asks in a way that takes a second for each document.
async fn slowly(cx: &mut Context, way: &str) -> Result<(), BoxError> {
    let slow = || doc! { "$where": "sleep(1000) || true" };
    let function = doc! { "body": "function() { sleep(1000); return true }", "args": [], "lang": "js" };
    let in_pipeline = || doc! { "$expr": { "$function": function.clone() } };
    let update = || doc! { "$set": { "a": 1 } };
    if way == "backfill" {
        cx.backfill("slow").run(&mut Documents::of("users").update(update()).only(slow())).await?;
        return Ok(());
    }
    let db = <MongoSession as FromContext<Mongo>>::from_context(cx)?;
    let mut users = db.collection::<Document>("users");
    match way {
        "find" => users.find(slow()).all().await.map(drop),
        "find with options" => users.find(slow()).options(FindOptions::default()).all().await.map(drop),
        "find one" => users.find_one(slow()).await.map(drop),
        "count" => users.count(in_pipeline()).await.map(|_| ()),
        "distinct" => users.distinct("_id", slow()).await.map(drop),
        "aggregate" => users.aggregate(vec![doc! { "$match": in_pipeline() }]).await.map(drop),
        "find one and update" => users.find_one_and_update(slow(), update()).await.map(drop),
        "find one and delete" => users.find_one_and_delete(slow()).await.map(drop),
        "command" => {
            let updates = vec![doc! { "q": slow(), "u": update(), "multi": true }];
            db.run_command(doc! { "update": "users", "updates": updates }).await.map(drop)
        }
        other => panic!("{other}"),
    }?;
    Ok(())
}

/// What is read, and commands, may take as long as the policy allows, and so may a batch of a backfill.
#[tokio::test]
async fn what_takes_too_long_is_cut_short() {
    let ways = [
        "find",
        "find with options",
        "find one",
        "count",
        "distinct",
        "aggregate",
        "find one and update",
        "find one and delete",
        "command",
        "backfill",
    ];
    let Some(set) = MongoDatabase::new() else { return };
    for way in ways {
        let body = asynchronous("1", move |cx| Box::pin(slowly(cx, way)));
        let db = MongoDatabase::at(set.server());
        three(&db).await;
        let mut policy = Policy::default();
        (policy.foreign, policy.retries) = (Verdict::Allow, 0);
        policy.statement_timeout = Some(std::time::Duration::from_millis(300));
        let migrator = db.migrator(Migrations::default().and(body.with(outside))).policy(policy);
        let error = migrator.up().await.expect_err("it takes too long");
        assert!(error.to_string().contains("(code 50); allow more with `Policy::statement_timeout`"), "{way}: {error}");
        assert_eq!(db.count("users", doc! { "a": 1 }).await, 0);
    }
}

/// Whatever the client reads from elsewhere: in a transaction that is the primary.
#[tokio::test]
async fn a_client_that_reads_from_secondaries_migrates() {
    let Some(db) = MongoDatabase::new() else { return };
    three(&db).await;
    let reads = mongo("1", |db| {
        Box::pin(async move {
            let mut users = db.collection::<Document>("users");
            users.insert_one(doc! { "_id": 4 }).await?;
            assert_eq!(users.count(doc! {}).await?, 4);
            assert_eq!(users.find(doc! {}).all().await?.len(), 4);
            assert_eq!(users.distinct("_id", doc! {}).await?.len(), 4);
            assert_eq!(users.aggregate(vec![doc! { "$count": "all" }]).await?, [doc! { "all": 4 }]);
            assert!(users.find_one(doc! { "_id": 4 }).await?.is_some());
            Ok(())
        })
    });
    let driver = Mongo::connect(&format!("{}&readPreference=secondaryPreferred", db.url())).unwrap();
    let mut policy = Policy::default();
    policy.foreign = Verdict::Allow;
    let migrator = Migrator::new(driver).migrations(Migrations::default().and(reads)).policy(policy);
    migrator.up().await.unwrap();
    assert!(migrator.status().await.unwrap().is_current());
}
