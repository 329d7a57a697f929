//! Declared steps: each is done, put on record with what there was before it, and taken back.

use admmgt::mongo::{Answer, Steps, Validator};
use admmgt::mongodb::IndexModel;
use admmgt::mongodb::bson::{Bson, Document, doc};
use admmgt::mongodb::options::IndexOptions;
use admmgt::prelude::*;
use admmgt::{Error, ErrorKind, Event, OnInterrupt, Refusal, Standing, sources};
use admmgt_tests::{MongoDatabase, asynchronous, id, outside, sql};
use std::sync::{Arc, Mutex};

use crate::holder::change;

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
                doc! { "collMod": "people", "validationAction": "warn" },
                doc! { "collMod": "people", "validationAction": "error" },
            );
        let migrator = db.migrator(numbered(std::slice::from_ref(&steps)));
        let plan = migrator.plan().await.unwrap().to_string();
        assert!(plan.contains("without a transaction"), "{plan}");
        migrator.up().await.unwrap();
        assert_eq!(db.names().await, ["people"]);
        assert_eq!(indexes(&db, "people").await, Vec::<Document>::new());
        let now = validator(&db, "people").await;
        assert_eq!(now.get_document("validator"), Ok(&required("email")));
        assert_eq!(now.get_str("validationAction"), Ok("warn"));
        let plan = migrator.clone().target(Target::Back(1)).plan().await.unwrap().to_string();
        assert!(plan.contains("nobody wrote its way back"), "{plan}");
        assert!(plan.contains("drops `users` with its documents"), "{plan}");
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
        // In the plan: half-way back it would be in everybody's way.
        let error = migrator.down(Target::Back(1)).await.unwrap_err();
        assert!(error.to_string().contains("`app/0001` has no way back"), "{error}");
        assert_eq!(migrator.up().await.unwrap().already, 1);
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
    for (step, words) in [
        (r#"{"dropCollection": ""}"#, "`dropCollection` names no collection"),
        (r#"{"createIndex": "t", "key": {"a": 1}, "name": 5}"#, "the field `name` of `createIndex` is a text"),
        (r#"{"setValidator": "t", "validator": 5}"#, "the field `validator` of `setValidator` is an object"),
    ] {
        let error = db.migrator(sql(&[("1", step)])).up().await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
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

/// What is there before a step is another's: an interrupted step does not take it for its own.
#[tokio::test]
async fn what_was_there_before_a_step_is_not_taken_for_what_it_made() {
    for db in MongoDatabase::both() {
        db.collection("users").await.insert_one(doc! { "_id": 1 }).await.unwrap();
        let create = one(1, &Steps::new().create_collection("users", doc! {})).with(outside);
        let migrator = db.migrator_over(Migrations::new([create]));
        // Also of the second attempt, which goes on.
        for _ in 0..2 {
            let error = migrator.up().await.unwrap_err();
            assert_eq!(answer(&error).code(), Some(48), "{error}");
        }
        assert_eq!(db.count("users", doc! {}).await, 1);
    }
}

/// One that came to be while a step was interrupted is the step's where it is as the step makes it.
#[tokio::test]
async fn what_somebody_else_makes_in_the_place_of_a_step_is_not_taken_for_what_it_makes() {
    for db in MongoDatabase::both() {
        let capped = doc! { "capped": true, "size": 5000 };
        // The first attempt cannot make it: there is no such collation. It is mended then.
        let wrong = doc! { "capped": true, "size": 5000, "collation": { "locale": "nowhere" } };
        let steps = |options: Document| one(1, &Steps::new().create_collection("events", options)).with(outside);
        db.migrator_over(Migrations::new([steps(wrong)])).up().await.unwrap_err();
        db.collection("events").await.insert_one(doc! { "_id": 1 }).await.unwrap();
        let error = db.migrator_over(Migrations::new([steps(capped.clone())])).up().await.unwrap_err();
        assert_eq!(answer(&error).code(), Some(48), "{error}");
        assert_eq!(db.count("events", doc! {}).await, 1);
        db.run(doc! { "drop": "events" }).await;
        let mut create = doc! { "create": "events" };
        create.extend(capped.clone());
        db.run(create).await;
        db.migrator_over(Migrations::new([steps(capped)])).up().await.unwrap();
        assert!(db.migrator_over(Migrations::default()).history().await.unwrap().last().is_some());
    }
}

/// Some servers say nothing where a collection is there with the same options; its way back would take it away.
#[tokio::test]
async fn a_collection_that_is_there_is_not_made_in_a_transaction_either() {
    for db in MongoDatabase::both() {
        db.collection("users").await.insert_one(doc! { "_id": 1 }).await.unwrap();
        let create = one(1, &Steps::new().create_collection("users", doc! {}));
        let error = db.migrator_over(Migrations::new([create])).up().await.unwrap_err();
        let words = error.to_string();
        assert!(words.contains("there is a collection `users` already (code 48)"), "{words}");
    }
}

/// An index that could not be built the first time is mended in the file, and what was there before is kept all the same; also
/// where another program has migrated in between.
#[tokio::test]
async fn a_step_that_was_mended_is_taken_back_to_what_was_there_before_its_first_attempt() {
    for db in MongoDatabase::both() {
        db.run(doc! { "createIndexes": "t", "indexes": [{ "key": { "a": 1 }, "name": "mine" }] }).await;
        let before = indexes(&db, "t").await;
        db.collection("t").await.insert_many([doc! { "a": 1 }, doc! { "a": 1 }]).await.unwrap();
        let strict = [Steps::new().replace_index("t", unique(doc! { "a": 1 }, "mine"))];
        db.migrator_over(numbered(&strict)).up().await.unwrap_err();
        let other = SqlMigration::new("library", "0001", Steps::new().create_collection("books", doc! {}).to_string());
        db.migrator_over(Migrations::new([other.unwrap()])).up().await.unwrap();
        // Somebody has taken the index away meanwhile; a second attempt fails, and it is there again.
        db.run(doc! { "dropIndexes": "t", "index": "mine" }).await;
        db.migrator_over(numbered(&strict)).up().await.unwrap_err();
        assert_eq!(indexes(&db, "t").await, before);
        let mended = [Steps::new().replace_index("t", index(doc! { "a": -1, "b": 1 }).named("mine"))];
        let migrator = db.migrator_over(numbered(&mended));
        migrator.up().await.unwrap();
        assert_eq!(indexes(&db, "t").await[0].get_document("key"), Ok(&doc! { "a": -1, "b": 1 }));
        migrator.down(Target::Back(1)).await.unwrap();
        assert_eq!(indexes(&db, "t").await, before);
    }
}

trait Named {
    fn named(self, name: &str) -> Self;
}

impl Named for IndexModel {
    fn named(mut self, name: &str) -> Self {
        self.options = Some(IndexOptions::builder().name(name.to_owned()).build());
        self
    }
}

/// A person says that an interrupted step is done: what there was before it goes with that.
#[tokio::test]
async fn a_step_that_a_person_says_is_done_can_be_taken_back() {
    for db in MongoDatabase::both() {
        db.run(doc! { "createIndexes": "t", "indexes": [{ "key": { "a": 1 }, "name": "mine" }] }).await;
        let before = indexes(&db, "t").await;
        db.collection("t").await.insert_many([doc! { "a": 1 }, doc! { "a": 1 }]).await.unwrap();
        let strict = [Steps::new().replace_index("t", unique(doc! { "a": 1 }, "mine"))];
        let migrator = db.migrator_over(numbered(&strict));
        migrator.up().await.unwrap_err();
        db.run(doc! { "dropIndexes": "t", "index": "mine" }).await;
        migrator.resolve("app/0001", admmgt::Resolution::Applied, "by hand").await.unwrap();
        migrator.down(Target::Back(1)).await.unwrap();
        assert_eq!(indexes(&db, "t").await, before);
    }
}

/// Several indexes may have the same keys; and there is one text index.
#[tokio::test]
async fn an_index_is_replaced_by_what_stands_in_its_place_and_nothing_else() {
    for db in MongoDatabase::both() {
        db.run(doc! { "createIndexes": "t", "indexes": [
            { "key": { "a": 1 }, "name": "a_1" },
            { "key": { "a": 1 }, "name": "german", "collation": { "locale": "de" } },
            { "key": { "title": "text" }, "name": "words" },
        ] })
        .await;
        let before = indexes(&db, "t").await;
        let steps = [Steps::new()
            .replace_index("t", unique(doc! { "a": 1 }, "a_1"))
            .replace_index("t", index(doc! { "title": "text", "body": "text" }))];
        let migrator = db.migrator(numbered(&steps));
        migrator.up().await.unwrap();
        assert_eq!(names(&indexes(&db, "t").await), ["a_1", "german", "title_text_body_text"]);
        migrator.down(Target::Back(1)).await.unwrap();
        assert_eq!(indexes(&db, "t").await, before);
    }
}

/// What stands in the place of an index that is put back gives way to it; the step's own has gone before.
#[tokio::test]
async fn an_index_that_is_put_back_takes_the_place_of_one_made_meanwhile() {
    for db in MongoDatabase::both() {
        db.run(doc! { "createIndexes": "t", "indexes": [{ "key": { "a": 1 }, "name": "mine" }] }).await;
        let before = indexes(&db, "t").await;
        let strict = [Steps::new().replace_index("t", unique(doc! { "a": 1 }, "mine"))];
        let migrator = db.migrator_over(numbered(&strict));
        migrator.up().await.unwrap();
        db.run(doc! { "createIndexes": "t", "indexes": [{ "key": { "a": 1 }, "name": "theirs" }] }).await;
        migrator.down(Target::Back(1)).await.unwrap();
        assert_eq!(indexes(&db, "t").await, before);
    }
}

/// What was written under the newer validator may not fit the earlier one.
#[tokio::test]
async fn documents_that_do_not_fit_a_validator_that_is_put_back_are_told() {
    let Some(db) = MongoDatabase::new() else { return };
    db.run(doc! { "create": "t", "validator": required("a") }).await;
    let notices = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&notices);
    let migrator =
        db.migrator(numbered(&[Steps::new().set_validator("t", required("b"))])).observe(move |event: &Event| {
            if let Event::Notice { text, .. } = event {
                heard.lock().unwrap().push_str(text);
            }
        });
    migrator.up().await.unwrap();
    db.collection("t").await.insert_one(doc! { "b": 1 }).await.unwrap();
    migrator.down(Target::Back(1)).await.unwrap();
    let notices = notices.lock().unwrap();
    assert!(notices.contains("1 document does not fit the validator of `t`, which was put back"), "{notices}");
}

/// It has no way back, and says so before it is there; what is gone already is an error.
#[tokio::test]
async fn a_collection_is_dropped_for_good() {
    for db in MongoDatabase::both() {
        db.run(doc! { "insert": "old", "documents": [{ "_id": 1 }] }).await;
        let migrator = db.migrator_over(Migrations::new([one(1, &Steps::new().drop_collection("old"))]));
        migrator.up().await.unwrap();
        assert!(db.names().await.is_empty());
        assert_eq!(migrator.down(Target::Nothing).await.unwrap_err().kind(), ErrorKind::Refused);
        let again = db.migrator_over(Migrations::new([
            one(1, &Steps::new().drop_collection("old")),
            one(2, &Steps::new().drop_collection("old")),
        ]));
        let error = again.up().await.unwrap_err();
        assert!(error.to_string().contains("there is no collection `old` to drop"), "{error}");
    }
}

/// Documents that do not fit are let in, and told to the server's log.
#[tokio::test]
async fn a_validator_that_warns_lets_everything_in() {
    for db in MongoDatabase::both() {
        db.run(doc! { "insert": "users", "documents": [{ "_id": 1 }] }).await;
        let warns = Validator::from(doc! { "email": { "$type": "string" } }).warn();
        let migrator = db.migrator_over(Migrations::new([one(1, &Steps::new().set_validator("users", warns))]));
        migrator.up().await.unwrap();
        db.run(doc! { "insert": "users", "documents": [{ "_id": 2 }] }).await;
        assert_eq!(db.count("users", doc! {}).await, 2);
        assert_eq!(validator(&db, "users").await.get_str("validationAction"), Ok("warn"));
        migrator.down(Target::Nothing).await.unwrap();
        assert!(!validator(&db, "users").await.contains_key("validator"));
    }
}

/// Nothing is kept of what there was, and there is no way back but the code's own.
#[tokio::test]
async fn code_can_run_steps() {
    for db in MongoDatabase::both() {
        let steps = Steps::new()
            .create_collection("users", doc! { "validator": required("name") })
            .create_index("users", unique(doc! { "email": 1 }, "by_email"))
            .replace_index("users", index(doc! { "email": 1, "name": 1 }))
            .set_validator("users", required("email"))
            .rename("users", "people")
            .create_collection("old", doc! {})
            .drop_collection("old");
        let steps = steps.to_string();
        let code = asynchronous("1", move |cx| {
            let steps = steps.clone();
            Box::pin(async move {
                cx.execute_script(&steps).await?;
                // Nothing says what it was before.
                let restored = cx.execute(r#"{"restoreValidator": "people"}"#).await.unwrap_err();
                assert!(restored.to_string().contains("nothing on record"), "{restored}");
                assert!(cx.execute(r#"{"dropCollection": "nothing"}"#).await.is_err());
                Ok(())
            })
        });
        db.migrator(Migrations::default().and(code.with(outside))).up().await.unwrap();
        assert_eq!(db.names().await, ["people"]);
    }
}

/// What an interrupted step has saved goes where its file was mended to something that runs in a transaction.
#[tokio::test]
async fn what_was_kept_of_a_step_goes_with_the_transaction_that_ends_it() {
    for is_told in [false, true] {
        let Some(db) = MongoDatabase::new() else { return };
        let wrong = Steps::new().create_collection("users", doc! { "collation": { "locale": "nowhere" } });
        db.migrator(Migrations::new([one(1, &wrong).with(outside)])).up().await.unwrap_err();
        let pending = async || {
            let state = db.all("_admmgt_state").await;
            state.iter().find_map(|found| found.get_array("pending").ok().map(Vec::len)).unwrap_or_default()
        };
        assert_eq!(pending().await, 1);
        // What was saved cannot be read: it is not taken for nothing.
        let saved = db.all("_admmgt_state").await.into_iter().find_map(|mut found| found.remove("pending")).unwrap();
        let again = one(1, &Steps::new().create_collection("users", doc! {})).with(outside);
        let mut policy = Policy::default();
        policy.on_interrupt = Some(OnInterrupt::Retry);
        for damage in [Bson::from(5), vec![5].into(), vec![doc! {}].into()] {
            db.run(change("fence", doc! { "$set": { "pending": damage } })).await;
            let error = db.migrator(Migrations::new([again.clone()])).policy(policy.clone()).up().await.unwrap_err();
            assert!(error.to_string().contains("does not say what there was before a step"), "{error}");
        }
        db.run(change("fence", doc! { "$set": { "pending": saved } })).await;
        let migrator =
            db.migrator(Migrations::new([one(1, &Steps::new().create_collection("users", doc! {}))])).policy(policy);
        if is_told {
            migrator.resolve("app/0001", admmgt::Resolution::Pending, "nothing of it is there").await.unwrap();
            assert_eq!(pending().await, 0);
        }
        migrator.up().await.unwrap();
        assert_eq!((pending().await, db.names().await), (0, vec!["users".to_owned()]));
    }
}

/// An index that says nothing of a collation has that of its collection.
#[tokio::test]
async fn an_index_of_a_collection_with_a_collation_is_replaced() {
    for db in MongoDatabase::both() {
        db.run(doc! { "create": "t", "collation": { "locale": "de" } }).await;
        let simple = doc! { "key": { "a": 1 }, "name": "simple", "collation": { "locale": "simple" } };
        let german = doc! { "key": { "a": 1 }, "name": "german" };
        db.run(doc! { "createIndexes": "t", "indexes": [simple, german] }).await;
        let steps = Steps::new().replace_index("t", unique(doc! { "a": 1 }, "mine"));
        let migrator = db.migrator_over(Migrations::new([one(1, &steps)]));
        migrator.up().await.unwrap();
        assert_eq!(names(&indexes(&db, "t").await), ["mine", "simple"]);
        migrator.down(Target::Nothing).await.unwrap();
        assert_eq!(names(&indexes(&db, "t").await), ["german", "simple"]);
    }
}
