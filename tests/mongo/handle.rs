//! What a body does through its handle: all of it in its session, and in the transaction where there is one.

use admmgt::mongo::Answer;
use admmgt::mongodb::IndexModel;
use admmgt::mongodb::bson::{Document, doc};
use admmgt::mongodb::options::FindOptions;
use admmgt::prelude::*;
use admmgt::{OnInterrupt, Verdict};
use admmgt_tests::{AsyncCode, MongoDatabase, mongo, outside};

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
