//! Declared steps: each is done, put on record with what there was before it, and taken back.

use admmgt::mongo::{Answer, Steps, Validator};
use admmgt::mongodb::IndexModel;
use admmgt::mongodb::bson::{Document, doc};
use admmgt::mongodb::options::IndexOptions;
use admmgt::prelude::*;
use admmgt::{Error, ErrorKind, Event, Refusal, Standing, sources};
use admmgt_tests::{MongoDatabase, id};
use std::sync::{Arc, Mutex};

fn index(keys: Document) -> IndexModel {
    IndexModel::builder().keys(keys).build()
}

fn unique(keys: Document, name: &str) -> IndexModel {
    let options = IndexOptions::builder().unique(true).name(name.to_owned()).build();
    IndexModel::builder().keys(keys).options(options).build()
}

fn one(number: usize, steps: &Steps) -> SqlMigration {
    steps.migration("app", format!("{number:04}")).unwrap()
}

fn numbered(all: &[Steps]) -> Migrations {
    Migrations::new(all.iter().zip(1..).map(|(steps, number)| one(number, steps)))
}

fn required(field: &str) -> Document {
    doc! { "$jsonSchema": { "required": [field] } }
}

/// The indexes of a collection but that of its `_id`, as the server describes them.
async fn indexes(db: &MongoDatabase, collection: &str) -> Vec<Document> {
    let reply = db.run(doc! { "listIndexes": collection }).await;
    let all = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    let mut all: Vec<Document> = all.iter().filter_map(|index| index.as_document().cloned()).collect();
    all.retain(|index| index.get_str("name") != Ok("_id_"));
    all.sort_by_key(|index| index.get_str("name").unwrap().to_owned());
    all
}

fn names(indexes: &[Document]) -> Vec<&str> {
    indexes.iter().map(|index| index.get_str("name").unwrap()).collect()
}

/// What a collection says of its validator.
async fn validator(db: &MongoDatabase, collection: &str) -> Document {
    let reply = db.run(doc! { "listCollections": 1, "filter": { "name": collection } }).await;
    let found = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    found[0].as_document().unwrap().get_document("options").unwrap().clone()
}

/// The answer behind a migration that failed.
fn answer(error: &Error) -> &Answer {
    let (Error::Failed(failure) | Error::Interrupted(failure)) = error else { panic!("{error}") };
    sources(&*failure.error).find_map(|error| error.downcast_ref()).expect("an answer of the database")
}

#[tokio::test]
async fn each_step_is_done_and_taken_back_without_a_word_of_a_way_back() {
    for db in MongoDatabase::both() {
        let steps = Steps::new()
            .create_collection("users", doc! { "validator": required("name") })
            .set_validator("users", required("email"))
            .create_index("users", unique(doc! { "email": 1 }, "by_email"))
            .rename("users", "people")
            .replace_index("people", index(doc! { "email": 1 }))
            .drop_index("people", "email_1")
            .run(
                doc! { "collMod": "people", "changeStreamPreAndPostImages": { "enabled": true } },
                doc! { "collMod": "people", "changeStreamPreAndPostImages": { "enabled": false } },
            );
        // A standalone has no change streams.
        let steps = if db.url().contains("replicaSet") {
            steps
        } else {
            Steps::new().create_collection("users", doc! {}).rename("users", "people")
        };
        let migrator = db.migrator(numbered(std::slice::from_ref(&steps)));
        let plan = migrator.plan().await.unwrap().to_string();
        assert!(plan.contains("without a transaction"), "{plan}");
        migrator.up().await.unwrap();
        assert_eq!(db.names().await, ["people"]);
        assert_eq!(indexes(&db, "people").await, Vec::<Document>::new());
        if db.url().contains("replicaSet") {
            assert_eq!(validator(&db, "people").await.get_document("validator"), Ok(&required("email")));
        }
        let plan = migrator.clone().target(Target::Back(1)).plan().await.unwrap().to_string();
        assert!(plan.contains("app/0001"), "{plan}");
        migrator.down(Target::Back(1)).await.unwrap();
        assert!(db.names().await.is_empty());
        // And once more, by the records of the second time.
        migrator.up().await.unwrap();
        migrator.down(Target::Nothing).await.unwrap();
        assert!(db.names().await.is_empty());
        assert_eq!(migrator.status().await.unwrap().migrations[0].standing, Standing::Pending);
    }
}

/// F109: the server takes a validator that documents do not fit.
#[tokio::test]
async fn f109_documents_that_do_not_fit_a_validator_are_counted_before_it_is_set() {
    for db in MongoDatabase::both() {
        let all = (0..20).map(|number| {
            if number < 7 {
                doc! { "_id": number }
            } else {
                doc! { "_id": number, "a": 1 }
            }
        });
        db.collection("t").await.insert_many(all).await.unwrap();
        let strict = Steps::new().set_validator("t", required("a"));
        let error = db.migrator(numbered(std::slice::from_ref(&strict))).up().await.unwrap_err();
        assert!(error.to_string().contains("7 documents do not fit it"), "{error}");
        assert!(error.to_string().contains("`\"validationLevel\": \"moderate\"`"), "{error}");
        assert!(error.to_string().contains("their `_id`: 0, 1, 2, 3, 4, …"), "whoever called is shown some: {error}");
        assert_eq!(answer(&error).detail(), Some("their `_id`: 0, 1, 2, 3, 4, …"));
        for record in db.all("_admmgt_history").await {
            assert!(
                !record.to_string().contains("their `_id`"),
                "what stands in the database is not put on record: {record}"
            );
        }
        assert_eq!(validator(&db, "t").await, doc! {}, "nothing was set");

        // As it is now, it goes well, once nothing stands in its way.
        db.run(doc! { "delete": "t", "deletes": [{ "q": { "a": { "$exists": false } }, "limit": 0 }] }).await;
        db.migrator(numbered(&[strict])).up().await.unwrap();
        assert_eq!(validator(&db, "t").await.get_document("validator"), Ok(&required("a")));
    }
}

#[tokio::test]
async fn a_moderate_validator_leaves_what_does_not_fit_and_says_so() {
    for db in MongoDatabase::both() {
        db.collection("t").await.insert_one(doc! { "_id": 1 }).await.unwrap();
        let moderate = Steps::new().set_validator("t", Validator::from(required("a")).moderate());
        let notices = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&notices);
        let migrator = db.migrator(numbered(&[moderate])).observe(move |event: &Event| {
            if let Event::Notice { text, .. } = event {
                heard.lock().unwrap().push(text.clone());
            }
        });
        migrator.up().await.unwrap();
        let notices = notices.lock().unwrap().join("\n");
        assert!(notices.contains("1 document does not fit the validator of `t`, and may stay"), "{notices}");
        assert_eq!(validator(&db, "t").await.get_str("validationLevel"), Ok("moderate"));
    }
}

#[tokio::test]
async fn each_validator_gives_way_to_the_one_before_it() {
    for db in MongoDatabase::both() {
        let before = doc! { "validator": { "$expr": { "$gt": ["$a.b", 5_i64] } }, "validationLevel": "moderate", "validationAction": "warn" };
        let mut create = doc! { "create": "t" };
        create.extend(before.clone());
        db.run(create).await;
        let to = |field: &str| Steps::new().set_validator("t", required(field));
        let twice = Steps::new().set_validator("t", required("c")).set_validator("t", required("d"));
        let migrator = db.migrator(numbered(&[to("a"), to("b"), to("a"), twice]));
        migrator.up().await.unwrap();
        for field in ["d", "a", "b", "a"] {
            assert_eq!(validator(&db, "t").await.get_document("validator"), Ok(&required(field)));
            assert_eq!(validator(&db, "t").await.get_str("validationAction"), Ok("error"));
            migrator.down(Target::Back(1)).await.unwrap();
        }
        assert_eq!(validator(&db, "t").await, before);
    }
}

#[tokio::test]
async fn an_index_comes_back_as_it_was() {
    for db in MongoDatabase::both() {
        db.run(doc! { "createIndexes": "t", "indexes": [
            { "key": { "a.b": 1.0, "c": -1 }, "name": "mine", "unique": true, "partialFilterExpression": { "c": { "$gt": 5 } } },
            { "key": { "at": 1 }, "name": "gone", "expireAfterSeconds": 60 },
            { "key": { "words": "text" }, "name": "words", "weights": { "words": 3 }, "default_language": "german" },
            { "key": { "left": 1 }, "name": "left_1" },
        ] })
        .await;
        let before = indexes(&db, "t").await;
        let migrator = db.migrator(numbered(&[
            Steps::new().drop_index("t", "mine").drop_index("t", "gone").drop_index("t", "words"),
            Steps::new().create_index("t", index(doc! { "left": 1 })).create_index("t", index(doc! { "new": 1 })),
        ]));
        migrator.up().await.unwrap();
        assert_eq!(names(&indexes(&db, "t").await), ["left_1", "new_1"]);
        migrator.down(Target::Back(1)).await.unwrap();
        assert_eq!(names(&indexes(&db, "t").await), ["left_1"], "what was there before stays");
        migrator.down(Target::Back(1)).await.unwrap();
        assert_eq!(indexes(&db, "t").await, before);
    }
}

#[tokio::test]
async fn an_index_is_replaced_by_its_name_or_by_its_keys() {
    for db in MongoDatabase::both() {
        db.run(doc! { "createIndexes": "t", "indexes": [
            { "key": { "a": 1 }, "name": "mine" },
            { "key": { "b": 1 }, "name": "b_1", "expireAfterSeconds": 60 },
            { "key": { "c": 1 }, "name": "by_c" },
        ] })
        .await;
        let before = indexes(&db, "t").await;
        let steps = Steps::new()
            .replace_index("t", unique(doc! { "a": 1, "z": 1 }, "mine"))
            .replace_index("t", index(doc! { "b": 1.0 }))
            .replace_index("t", unique(doc! { "c": 1 }, "another"));
        let migrator = db.migrator(numbered(&[steps]));
        migrator.up().await.unwrap();
        let now = indexes(&db, "t").await;
        assert_eq!(names(&now), ["another", "b_1", "mine"]);
        assert_eq!(now[2].get_document("key"), Ok(&doc! { "a": 1, "z": 1 }));
        assert!(now[0].get_bool("unique").unwrap() && !now[1].contains_key("expireAfterSeconds"), "{now:?}");
        migrator.down(Target::Back(1)).await.unwrap();
        assert_eq!(indexes(&db, "t").await, before);
    }
}

/// F107: the server does not make an index over another of its name, or of its keys.
#[tokio::test]
async fn f107_an_index_in_the_way_is_told_with_what_to_do() {
    for db in MongoDatabase::both() {
        db.run(doc! { "createIndexes": "t", "indexes": [{ "key": { "a": 1 }, "name": "mine" }] }).await;
        let before = indexes(&db, "t").await;
        for (steps, code) in [
            (Steps::new().create_index("t", unique(doc! { "a": 1 }, "mine")), 86),
            (Steps::new().create_index("t", unique(doc! { "b": 1 }, "mine")), 86),
            (Steps::new().create_index("t", index(doc! { "a": 1 })), 85),
        ] {
            let driver = db.driver().prefix(format!("p{:016x}", fastrand::u64(..))).unwrap();
            let mut policy = Policy::default();
            policy.foreign = admmgt::Verdict::Allow;
            let migrator = Migrator::new(driver).migrations(numbered(&[steps])).policy(policy);
            let error = migrator.up().await.unwrap_err();
            assert_eq!(answer(&error).code(), Some(code), "{error}");
            assert!(error.to_string().contains("replace it (`replaceIndex`)"), "{error}");
            assert_eq!(indexes(&db, "t").await, before);
        }
    }
}

/// F106: over documents that are alike no unique index is built, and none is left; the one it was to replace is there again.
#[tokio::test]
async fn f106_an_index_that_cannot_be_built_leaves_what_was_there() {
    for db in MongoDatabase::both() {
        db.run(doc! { "createIndexes": "t", "indexes": [{ "key": { "a": 1 }, "name": "mine" }] }).await;
        let before = indexes(&db, "t").await;
        db.collection("t").await.insert_many([doc! { "a": "SECRET" }, doc! { "a": "SECRET" }]).await.unwrap();
        for steps in [
            Steps::new().replace_index("t", unique(doc! { "a": 1 }, "mine")),
            Steps::new().create_index("t", unique(doc! { "a": 1, "b": 1 }, "new")),
        ] {
            let driver = db.driver().prefix(format!("p{:016x}", fastrand::u64(..))).unwrap();
            let mut policy = Policy::default();
            policy.foreign = admmgt::Verdict::Allow;
            let error = Migrator::new(driver).migrations(numbered(&[steps])).policy(policy).up().await.unwrap_err();
            assert_eq!(answer(&error).code(), Some(11000), "{error}");
            assert!(answer(&error).detail().unwrap().contains("SECRET"), "whoever called is shown the key");
            assert!(!answer(&error).to_string().contains("SECRET"));
            assert_eq!(indexes(&db, "t").await, before);
        }
    }
}

#[tokio::test]
async fn what_was_counted_in_has_nothing_to_go_back_to() {
    for db in MongoDatabase::both() {
        db.run(doc! { "create": "t", "validator": required("a") }).await;
        let migrator = db.migrator(numbered(&[Steps::new().set_validator("t", required("a"))]));
        migrator.baseline(None, "it was there").await.unwrap();
        let error = migrator.down(Target::Back(1)).await.unwrap_err();
        assert!(
            error.to_string().contains("nothing on record of `app/0001` says what the validator of `t` was"),
            "{error}"
        );
        assert_eq!(validator(&db, "t").await.get_document("validator"), Ok(&required("a")));
    }
}

/// Only what is said in steps alone has a way back of itself.
#[tokio::test]
async fn a_command_of_the_servers_own_has_no_way_back() {
    let Some(db) = MongoDatabase::new() else { return };
    let text = r#"{ "createCollection": "t" } { "insert": "t", "documents": [{ "_id": 1 }] }"#;
    let mixed = SqlMigration::new("app", "0001", text).unwrap();
    let migrator = db.migrator(Migrations::new([mixed.clone()]));
    migrator.up().await.unwrap();
    let error = migrator.down(Target::Back(1)).await.unwrap_err();
    assert!(
        matches!(&error, Error::Refused { refusals } if matches!(refusals[..], [Refusal::Irreversible { .. }])),
        "{error}"
    );
    // One that was written is taken before one that could be told.
    let written = SqlMigration::new("app", "0002", r#"{ "createCollection": "u" }"#).unwrap();
    let written = written.down(r#"{ "run": { "renameCollection": "nowhere.u", "to": "nowhere.v" } }"#);
    let migrator = db.migrator(Migrations::new([mixed, written]));
    migrator.up().await.unwrap();
    assert!(migrator.down(Target::Back(1)).await.is_err());
    assert_eq!(migrator.status().await.unwrap().migrations.len(), 2);
    assert!(db.names().await.contains(&"u".to_owned()));
}

#[tokio::test]
async fn what_is_wrong_with_a_step_is_refused_with_its_place() {
    let Some(db) = MongoDatabase::new() else { return };
    let text = "{ \"createCollection\": \"t\" }\n{ \"setValidator\": \"t\", \"level\": \"strict\" }";
    let wrong = SqlMigration::new("app", "0001", text).unwrap();
    let error = db.migrator(Migrations::new([wrong])).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("2:1: `setValidator` needs the field `validator`"), "{error}");
    let asks = one(1, &Steps::new().rename("a", "b")).with(|meta| meta.transaction(admmgt::TransactionMode::Required));
    let error = db.migrator(Migrations::new([asks])).up().await.unwrap_err();
    assert!(error.to_string().contains("`rename` cannot be in a transaction"), "{error}");
    assert!(db.names().await.is_empty());
}

/// A folder of files, as the command line and `migrations_dir!` read it.
#[tokio::test]
async fn steps_in_files_are_taken_back() {
    let Some(db) = MongoDatabase::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, steps: Steps| std::fs::write(folder.path().join(name), steps.to_string()).unwrap();
    file("0001_users.json", Steps::new().create_collection("users", doc! {}));
    file("0002_people.json", Steps::new().rename("users", "people").create_index("people", index(doc! { "a": 1 })));
    let migrator = db.migrator(Migrations::from_dir("app", folder.path(), "mongo").unwrap());
    migrator.up().await.unwrap();
    assert_eq!(names(&indexes(&db, "people").await), ["a_1"]);
    migrator.down(Target::BackTo(id("0001_users"))).await.unwrap();
    assert_eq!((db.names().await, indexes(&db, "users").await), (vec!["users".to_owned()], vec![]));
    migrator.down(Target::Nothing).await.unwrap();
    assert!(db.names().await.is_empty());
}
