//! What people do each day.

use admmgt::mongo::{Answer, MongoCollection};
use admmgt::mongodb::IndexModel;
use admmgt::mongodb::bson::{Document, doc};
use admmgt::prelude::*;
use admmgt::{ErrorKind, FromContext, OnInterrupt, Resolution, Standing, sources};
use admmgt_tests::{MongoDatabase, asynchronous, id, mongo, outside, sql};
use serde::{Deserialize, Serialize};

const USERS: &str = r#"{"create": "users"} {"insert": "users", "documents": [{"_id": 1, "name": "Ada"}]}"#;

fn users() -> Migrations {
    let one = SqlMigration::new("app", "0001_users", USERS).unwrap().down(r#"{"drop": "users"}"#);
    let two = SqlMigration::new(
        "app",
        "0002_plan",
        r#"{"update": "users", "updates": [{"q": {}, "u": {"$set": {"plan": "free"}}, "multi": true}]}"#,
    );
    Migrations::new([
        one,
        two.unwrap()
            .down(r#"{"update": "users", "updates": [{"q": {}, "u": {"$unset": {"plan": ""}}, "multi": true}]}"#),
    ])
}

#[tokio::test]
async fn a_first_migration_on_an_empty_database_and_all_the_way_back() {
    for db in MongoDatabase::both() {
        let migrator = db.migrator(users());
        let report = migrator.up().await.unwrap();
        assert_eq!(report.ran.len(), 2);
        assert_eq!(db.all("users").await, [doc! { "_id": 1, "name": "Ada", "plan": "free" }]);
        assert!(migrator.status().await.unwrap().is_current());
        assert_eq!(migrator.up().await.unwrap().already, 2);
        migrator.down(Target::Back(1)).await.unwrap();
        assert_eq!(db.all("users").await, [doc! { "_id": 1, "name": "Ada" }]);
        migrator.down(Target::Nothing).await.unwrap();
        assert!(db.names().await.is_empty());
        let kinds: Vec<String> =
            db.all("_admmgt_history").await.iter().map(|record| record.get_str("kind").unwrap().to_owned()).collect();
        assert_eq!(kinds.iter().filter(|kind| *kind == "applied").count(), 2);
        assert_eq!(kinds.iter().filter(|kind| *kind == "reverted").count(), 2);
    }
}

#[tokio::test]
async fn a_target_is_gone_to_and_no_further() {
    for db in MongoDatabase::both() {
        let to = |name: &str| db.migrator(users()).target(Target::To(id(name)));
        assert_eq!(to("0001_users").up().await.unwrap().ran.len(), 1);
        let status = db.migrator(users()).status().await.unwrap();
        assert_eq!(status.migrations[1].standing, Standing::Pending);
        let error = to("0009_nothing").up().await.unwrap_err();
        assert!(error.to_string().contains("0009_nothing"), "{error}");
    }
}

/// A migration runs behind what it depends on, whatever their names, and is taken back before it.
#[tokio::test]
async fn what_depends_on_another_runs_behind_it() {
    for db in MongoDatabase::both() {
        let users = SqlMigration::new("app", "0002_users", r#"{"insert": "users", "documents": [{"_id": 1}]}"#);
        let users = users.unwrap().down(r#"{"delete": "users", "deletes": [{"q": {}, "limit": 0}]}"#);
        let names = SqlMigration::new(
            "app",
            "0001_names",
            r#"{"update": "users", "updates": [{"q": {"_id": 1}, "u": {"$set": {"name": "Ada"}}}]}"#,
        );
        let names = names.unwrap().with(|meta| meta.depends_on([id("0002_users")]));
        let migrator = db.migrator(Migrations::new([names, users]));
        let ran: Vec<String> = migrator.up().await.unwrap().ran.iter().map(|ran| ran.migration.to_string()).collect();
        assert_eq!(ran, ["app/0002_users", "app/0001_names"]);
        assert_eq!(db.all("users").await, [doc! { "_id": 1, "name": "Ada" }]);
        let refused = db.migrator(Migrations::new([SqlMigration::new("app", "0003", "{\"create\": \"a\"}")
            .unwrap()
            .with(|meta| meta.depends_on([id("0009_nothing")]))]));
        assert_eq!(refused.up().await.unwrap_err().kind(), ErrorKind::Refused);
    }
}

/// A standalone has no transactions: what does not ask for one runs without, and the plan says so; what asks is refused.
#[tokio::test]
async fn a_standalone_runs_without_transactions_and_says_so() {
    let Some(db) = MongoDatabase::alone() else { return };
    let plan = db.migrator(users()).plan().await.unwrap().to_string();
    assert!(plan.contains("without a transaction"), "{plan}");
    let asks =
        SqlMigration::new("app", "1", USERS).unwrap().with(|meta| meta.transaction(admmgt::TransactionMode::Required));
    let error = db.migrator(Migrations::new([asks])).plan().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(
        error.to_string().contains("(standalone) has none. Write `transaction = \"auto\"` or `\"none\"`"),
        "{error}"
    );
    assert!(db.names().await.is_empty());
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Plan {
    #[serde(rename = "_id")]
    id: u32,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seats: Option<u32>,
}

fn plan(id: u32, name: &str, seats: Option<u32>) -> Plan {
    Plan { id, name: name.to_owned(), seats }
}

/// Everything that a handle can do, with documents of a type of one's own.
async fn plans(db: &mut MongoSession) -> Result<(), BoxError> {
    db.create_collection("plans").await?;
    let mut plans: MongoCollection<'_, Plan> = db.collection("plans");
    plans.create_index(IndexModel::builder().keys(doc! { "name": 1 }).build()).await?;
    plans.insert_one(plan(1, "free", None)).await?;
    plans.insert_many([plan(2, "team", Some(5)), plan(3, "old", None), plan(4, "gone", None)]).await?;
    plans.update_one(doc! { "_id": 1 }, doc! { "$set": { "seats": 1 } }).await?;
    plans.update_many(doc! { "seats": { "$gte": 1 } }, doc! { "$inc": { "seats": 1 } }).await?;
    plans.replace_one(doc! { "_id": 3 }, plan(3, "new", Some(9))).await?;
    plans.delete_one(doc! { "_id": 4 }).await?;
    assert_eq!(plans.find_one(doc! { "_id": 3 }).await?, Some(plan(3, "new", Some(9))));
    assert_eq!(
        plans.find(doc! {}).sort(doc! { "_id": -1 }).limit(2).skip(1).all().await?,
        [plan(2, "team", Some(6)), plan(1, "free", Some(2))]
    );
    let taken = plans.find_one_and_update(doc! { "_id": 1 }, doc! { "$set": { "name": "starter" } }).await?;
    assert_eq!(taken, Some(plan(1, "free", Some(2))));
    assert_eq!(plans.count(doc! { "seats": { "$gt": 1 } }).await?, 3);
    assert_eq!(plans.distinct("name", doc! { "_id": 1 }).await?, [admmgt::mongodb::bson::Bson::from("starter")]);
    let seats = plans.aggregate(vec![doc! { "$group": { "_id": null, "seats": { "$sum": "$seats" } } }]).await?;
    assert_eq!(seats, [doc! { "_id": null, "seats": 17_i64 }]);
    db.run_command(doc! { "insert": "plans", "documents": [{ "_id": 7, "name": "by command" }] }).await?;
    let mut cursor = db.collection::<Plan>("plans");
    let mut cursor = cursor.find(doc! {}).sort(doc! { "_id": 1 }).projection(doc! { "name": 1 }).cursor().await?;
    assert_eq!(cursor.next().await?.map(|plan| plan.name).as_deref(), Some("starter"));
    assert_eq!(cursor.all().await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_body_has_typed_documents() {
    for db in MongoDatabase::both() {
        let report = db.migrator(Migrations::default().and(mongo("1", |db| Box::pin(plans(db))))).up().await.unwrap();
        assert_eq!(report.ran.len(), 1);
        assert_eq!(db.count("plans", doc! {}).await, 4);
        let indexes = db.run(doc! { "listIndexes": "plans" }).await;
        assert_eq!(indexes.get_document("cursor").unwrap().get_array("firstBatch").unwrap().len(), 2);
    }
}

/// Nothing that a failing body did through its handle is there: no operation slips out of the transaction.
#[tokio::test]
async fn a_body_that_fails_leaves_nothing() {
    let Some(db) = MongoDatabase::new() else { return };
    let body = mongo("1", |db| {
        Box::pin(async move {
            plans(db).await?;
            Err("it does not please".into())
        })
    });
    let error = db.migrator(Migrations::default().and(body)).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    assert!(error.to_string().contains("it does not please"), "{error}");
    assert!(db.names().await.is_empty());
}

/// What ended in a failure without a transaction is named, and goes on or is resolved by a person.
#[tokio::test]
async fn what_was_interrupted_is_named_and_goes_on() {
    for db in MongoDatabase::both() {
        let three =
            r#"{"create": "a"} {"insert": "b", "documents": [{"_id": 1}]} {"insert": "c", "documents": [{"_id": 1}]}"#;
        let list = || Migrations::new([SqlMigration::new("app", "1", three).unwrap().with(outside)]);
        db.collection("b").await.insert_one(doc! { "_id": 1 }).await.unwrap();
        let error = db.migrator(list()).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        assert!(error.to_string().contains("statement 2 of 3 (`insert b`)"), "{error}");
        assert_eq!(db.migrator(list()).up().await.unwrap_err().kind(), ErrorKind::Interrupted);
        db.run(doc! { "delete": "b", "deletes": [{ "q": {}, "limit": 0 }] }).await;
        let mut policy = Policy::default();
        policy.on_interrupt = Some(OnInterrupt::Retry);
        db.migrator(list()).policy(policy).up().await.unwrap();
        assert_eq!(db.names().await, ["a", "b", "c"]);
        let two = list()
            .and(SqlMigration::new("app", "2", r#"{"insert": "b", "documents": [{"_id": 1}]}"#).unwrap().with(outside));
        assert_eq!(db.migrator(two.clone()).up().await.unwrap_err().kind(), ErrorKind::Interrupted);
        db.migrator(two.clone()).resolve("app/2", Resolution::Applied, "it is there").await.unwrap();
        assert!(db.migrator(two).status().await.unwrap().is_current());
    }
}

#[tokio::test]
async fn an_edit_of_what_was_applied_is_refused() {
    for db in MongoDatabase::both() {
        db.migrator(sql(&[("1", "{\"create\": \"a\"}\n")])).up().await.unwrap();
        let error = db.migrator(sql(&[("1", "{\"create\": \"b\"}\n")])).up().await.unwrap_err();
        assert!(error.to_string().contains("has been edited since"), "{error}");
        // Line ends are no edit.
        db.migrator(sql(&[("1", "{\"create\": \"a\"}\r\n"), ("2", "{\r\n\"create\": \"b\"}")])).up().await.unwrap();
    }
}

/// `&mut MongoReader` has no method that writes.
#[tokio::test]
async fn what_only_reads_cannot_write() {
    for db in MongoDatabase::both() {
        db.run(doc! { "insert": "users", "documents": [{ "_id": 1 }, { "_id": 2 }] }).await;
        let one = SqlMigration::new(
            "app",
            "1",
            "{\"insert\": \"users\", \"documents\": [{\"_id\": 3}]} {\"insert\": \"users\", \"documents\": [{\"_id\": 1}]}",
        );
        let one = one.unwrap().with(outside).probe(|cx| {
            Box::pin(async move {
                let db = <MongoReader as FromContext<Mongo>>::from_context(cx)?;
                let mut users = db.collection::<Document>("users");
                assert!(users.find_one(doc! { "_id": 2 }).await?.is_some());
                let written = users.aggregate(vec![doc! { "$out": "copy" }]).await.unwrap_err();
                assert!(written.to_string().contains("this handle only reads"), "{written}");
                assert_eq!(users.aggregate(vec![doc! { "$match": { "_id": { "$lte": 2 } } }]).await?.len(), 2);
                let done = users.count(doc! { "_id": 3 }).await? == 1;
                Ok(if done { admmgt::Probed::Done } else { admmgt::Probed::NotDone })
            })
        });
        let mut policy = Policy::default();
        policy.foreign = admmgt::Verdict::Allow;
        let migrator = db.migrator(Migrations::new([one])).policy(policy);
        assert_eq!(migrator.up().await.unwrap_err().kind(), ErrorKind::Interrupted);
        // Its probe finds that it is done.
        migrator.up().await.unwrap();
        assert_eq!(db.names().await, ["users"]);
        // Neither plan nor status writes anything.
        let before = db.run(doc! { "dbStats": 1 }).await.get("objects").cloned();
        let empty = MongoDatabase::at(db.server());
        for looks in [empty.migrator(users()), empty.migrator(users()).target(Target::Back(1))] {
            let _ = (looks.plan().await, looks.status().await, looks.history().await, looks.ensure_current().await);
        }
        let all = empty.run(doc! { "listCollections": 1 }).await;
        assert_eq!(all.get_document("cursor").unwrap().get_array("firstBatch").unwrap().len(), 0, "{all}");
        let pending = db.migrator(sql(&[("2", "{\"create\": \"a\"}")]));
        pending.plan().await.unwrap();
        pending.status().await.unwrap();
        pending.ensure_current().await.unwrap_err();
        assert_eq!(db.run(doc! { "dbStats": 1 }).await.get("objects").cloned(), before);
    }
}

/// F67: no value of a document or a command is put on record, or shown.
#[tokio::test]
async fn no_value_is_put_on_record() {
    for db in MongoDatabase::both() {
        db.run(doc! { "insert": "users", "documents": [{ "_id": "SECRET" }] }).await;
        let text = sql(&[("1", r#"{"insert": "users", "documents": [{"_id": "SECRET"}]}"#)]);
        let code = mongo("1", |db| {
            Box::pin(async move {
                db.collection("users").insert_one(doc! { "_id": "SECRET" }).await?;
                Ok(())
            })
        });
        let wrapped = mongo("1", |db| {
            Box::pin(async move {
                let taken = db.collection("users").insert_one(doc! { "_id": "SECRET" }).await;
                taken.map(drop).map_err(|error| std::io::Error::other(error).into())
            })
        });
        let computed = asynchronous("1", |cx| {
            Box::pin(async move {
                cx.execute(r#"{"aggregate": 1, "pipeline": [{"$documents": [{}]}, {"$set": {"n": {"$toInt": "SECRET"}}}], "cursor": {}}"#).await?;
                Ok(())
            })
        });
        for list in [
            text,
            Migrations::default().and(code),
            Migrations::default().and(wrapped),
            Migrations::default().and(computed),
        ] {
            let mut policy = Policy::default();
            (policy.foreign, policy.on_interrupt) = (admmgt::Verdict::Allow, Some(OnInterrupt::Retry));
            let error = db.migrator(list).policy(policy).up().await.unwrap_err();
            // Whoever called is told which key it is, once, and in no other words.
            let others = |shown: String| {
                shown.replace("dup key: { _id: \"SECRET\" }", "").replace("dup key: { _id: \\\"SECRET\\\" }", "")
            };
            let mut shown = others(format!("{error} {error:?}"));
            sources(&error).for_each(|error| shown += &others(format!(" {error} {error:?}")));
            assert!(!shown.contains("SECRET"), "{shown}");
            let records = format!("{:?} {:?}", db.all("_admmgt_history").await, db.all("_admmgt_state").await);
            assert!(!records.contains("SECRET"), "{records}");
            for id in ["app/1"] {
                let _ =
                    db.migrator(sql(&[("1", "{\"create\": \"x\"}")])).resolve(id, Resolution::Pending, "again").await;
            }
        }
    }
}

#[tokio::test]
async fn the_code_of_an_answer_can_be_asked_for() {
    for db in MongoDatabase::both() {
        db.run(doc! { "create": "users" }).await;
        let mut policy = Policy::default();
        policy.foreign = admmgt::Verdict::Allow;
        let error = db.migrator(sql(&[("1", r#"{"create": "users"}"#)])).policy(policy).up().await.unwrap_err();
        let answer = sources(&error).chain(failure(&error)).find_map(|error| error.downcast_ref::<Answer>()).unwrap();
        assert_eq!(answer.code(), Some(48));
    }
}

fn failure<'a>(error: &'a admmgt::Error) -> Box<dyn Iterator<Item = &'a (dyn std::error::Error + 'static)> + 'a> {
    match error {
        admmgt::Error::Failed(failure) | admmgt::Error::Interrupted(failure) => Box::new(sources(&*failure.error)),
        _ => Box::new(std::iter::empty()),
    }
}

/// F75: two histories that know nothing of each other.
#[tokio::test]
async fn two_histories_share_a_database() {
    for db in MongoDatabase::both() {
        let of = |prefix: &str, text: &str| {
            let driver = db.driver().prefix(prefix).unwrap();
            Migrator::new(driver).migrations(sql(&[("1", text)]))
        };
        of("_admmgt", r#"{"create": "a"}"#).up().await.unwrap();
        of("billing", r#"{"create": "b"}"#).up().await.unwrap();
        assert_eq!(of("_admmgt", r#"{"create": "a"}"#).up().await.unwrap().already, 1);
        assert_eq!(db.all("billing_history").await.len(), db.all("_admmgt_history").await.len());
        assert!(db.driver().prefix("no good").is_err());
    }
}

/// The application's own client serves, and its database of another name.
#[tokio::test]
async fn the_client_of_an_application_serves() {
    let Some(db) = MongoDatabase::new() else { return };
    let client = admmgt::mongodb::Client::with_uri_str(db.url()).await.unwrap();
    let migrator = Migrator::new(Mongo::new(&client, db.name())).migrations(users());
    assert_eq!(migrator.up().await.unwrap().ran.len(), 2);
    assert_eq!(migrator.up().await.unwrap().already, 2);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() {
    let url = "mongodb://ada:SECRET@127.0.0.1:9/shop?serverSelectionTimeoutMS=300";
    let error = Migrator::new(Mongo::connect(url).unwrap()).migrations(users()).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("127.0.0.1:9") && !error.to_string().contains("SECRET"), "{error}");
    assert!(Mongo::connect("mongodb://ada:SECRET@127.0.0.1").is_err());
}

/// F106, F107: an index that cannot be made leaves none, and one of another form is told apart.
#[tokio::test]
async fn f106_f107_an_index_that_cannot_be_made_leaves_none() {
    for db in MongoDatabase::both() {
        db.run(
            doc! { "insert": "users", "documents": [{ "_id": 1, "mail": "SECRET" }, { "_id": 2, "mail": "SECRET" }] },
        )
        .await;
        let unique = r#"{"createIndexes": "users", "indexes": [{"key": {"mail": 1}, "name": "mail", "unique": true}]}"#;
        let mut policy = Policy::default();
        policy.foreign = admmgt::Verdict::Allow;
        let migrator = |text: &str| db.migrator(sql(&[("1", text)])).policy(policy.clone());
        let error = migrator(unique).up().await.unwrap_err();
        assert!(error.to_string().contains("(code 11000)"), "{error}");
        assert!(error.to_string().contains("dup key: { mail: \"SECRET\" }"), "whoever called is told which: {error}");
        assert!(!format!("{:?}", db.all("_admmgt_history").await).contains("SECRET"), "and nobody else");
        let indexes = async || {
            let found = db.run(doc! { "listIndexes": "users" }).await;
            found.get_document("cursor").unwrap().get_array("firstBatch").unwrap().len()
        };
        assert_eq!(indexes().await, 1);
        // Mended, it goes on: the server makes nothing twice.
        db.run(doc! { "update": "users", "updates": [{ "q": { "_id": 2 }, "u": { "$set": { "mail": "other" } } }] })
            .await;
        policy.on_interrupt = Some(OnInterrupt::Retry);
        let migrator = |text: &str| db.migrator(sql(&[("1", unique), ("2", text)])).policy(policy.clone());
        let other = r#"{"createIndexes": "users", "indexes": [{"key": {"mail": 1}, "name": "mail", "unique": false}]}"#;
        let error = migrator(other).up().await.unwrap_err();
        assert_eq!(indexes().await, 2);
        assert!(error.to_string().contains("(code 86)") || error.to_string().contains("(code 85)"), "{error}");
        assert!(error.to_string().contains("replace it (`replaceIndex`), or give it another name"), "{error}");
    }
}

/// F108: what the server takes in no transaction is known before anything runs.
#[tokio::test]
async fn f108_what_cannot_be_in_a_transaction_runs_without_one() {
    let Some(db) = MongoDatabase::new() else { return };
    let list = sql(&[
        ("1", r#"{"create": "a"} {"insert": "a", "documents": [{"_id": 1}]}"#),
        (
            "2",
            r#"{"collMod": "a", "validator": {"x": {"$exists": false}}} {"createIndexes": "a", "indexes": [{"key": {"x": 1}, "name": "x"}]}"#,
        ),
    ]);
    let report = db.migrator(list).up().await.unwrap();
    assert_eq!(report.ran.iter().map(|ran| ran.transaction).collect::<Vec<_>>(), [true, false]);
    // An index of what has documents already, and documents of a collection that goes round.
    let index = r#"{"createIndexes": "b", "indexes": [{"key": {"x": 1}, "name": "x"}]}"#;
    let insert = r#"{"insert": "b", "documents": [{"_id": 1}]}"#;
    for text in [
        format!(r#"{{"create": "b"}} {index} {insert}"#),
        format!(r#"{{"create": "b"}} {insert} {index}"#),
        format!(r#"{{"create": "b", "capped": true, "size": 4096}} {insert}"#),
    ] {
        let Some(db) = MongoDatabase::ours() else { return };
        let ran = db.migrator(sql(&[("1", &text)])).up().await.unwrap().ran;
        assert_eq!((ran.len(), db.count("b", doc! {}).await), (1, 1), "{text}");
    }
    let asks = SqlMigration::new("app", "3", r#"{"drop": "a"}"#).unwrap();
    let asks = asks.with(|meta| meta.transaction(admmgt::TransactionMode::Required));
    let error = db.migrator(Migrations::new([asks])).plan().await.unwrap_err();
    assert!(error.to_string().contains("`drop` cannot be in a transaction"), "{error}");
}

#[tokio::test]
async fn a_view_is_made_and_a_collection_renamed() {
    for db in MongoDatabase::both() {
        let rename = format!(r#"{{"renameCollection": "{0}.a", "to": "{0}.b"}}"#, db.name());
        let list = sql(&[
            ("1", r#"{"create": "a"} {"insert": "a", "documents": [{"_id": 1}]}"#),
            ("2", &rename),
            ("3", r#"{"create": "seen", "viewOn": "b", "pipeline": []}"#),
        ]);
        db.migrator(list).up().await.unwrap();
        assert_eq!(db.names().await, ["b", "seen"]);
        assert_eq!(db.count("seen", doc! {}).await, 1);
    }
}

/// F49, F50: a text is as large as it is, and a statement as large as the server takes.
#[tokio::test]
async fn large_texts_and_statements_run_and_what_is_too_large_is_told() {
    for db in MongoDatabase::both() {
        let document = |id: usize, bytes: usize| format!("{{\"_id\": {id}, \"text\": \"{}\"}}", "x".repeat(bytes));
        let insert =
            |documents: Vec<String>| format!("{{\"insert\": \"t\", \"documents\": [{}]}}\n", documents.join(", "));
        // 24 MB of text, whose longest statement has 12 MB.
        let many: String = (0..12).map(|id| insert(vec![document(id, 1 << 20)])).collect();
        let long = insert((20..32).map(|id| document(id, 1 << 20)).collect());
        let text = format!("{{\"create\": \"t\"}}\n{many}{long}");
        let first = SqlMigration::new("app", "1", text).unwrap().with(outside);
        db.migrator(Migrations::new([first.clone()])).up().await.unwrap();
        assert_eq!(db.count("t", doc! {}).await, 24);
        // More than a document may have.
        let wide = SqlMigration::new("app", "2", insert(vec![document(40, 17 << 20)])).unwrap();
        let error = db.migrator(Migrations::new([first, wide])).up().await.unwrap_err();
        let expected = if db.url().contains("replicaSet") { ErrorKind::Failed } else { ErrorKind::Interrupted };
        assert_eq!(error.kind(), expected, "{error}");
        let words = error.to_string();
        assert!(words.len() < 2000 && !words.contains("xxxx"), "{}", &words[..words.len().min(500)]);
        assert!(words.contains("a document, and a command but for its documents, has 16 MB at most"), "{words}");
    }
}
