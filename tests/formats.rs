//! What the first landing stored is read by every later version, and what a newer one stored is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use admmgt::mongo::Documents;
use admmgt::mongodb::bson::{Document, doc};
use admmgt::prelude::*;
use admmgt::rusqlite::Connection;
use admmgt::{
    Access, Driver, Event, Plan, RecordKind, Session, SessionOptions, Standing, State, Status, TransactionMode,
};
use admmgt_tests::{Database, MongoDatabase, Scratch, filling};
use expect_test::expect;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("formats/v1").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(golden(name)).unwrap()
}

/// A copy of the golden database, to change.
fn copy() -> Scratch {
    let scratch = Scratch::new();
    std::fs::copy(golden("sqlite.db"), scratch.path()).unwrap();
    scratch
}

/// The migrations that the golden database was made with.
fn migrations() -> Migrations {
    let long = format!("create table long (id integer);\n{}", "insert into long values (1);\n".repeat(100));
    let sql = |id: &str, text: &str| SqlMigration::new("app", id, text.to_owned()).unwrap();
    let half = sql("0003_half", "create table half (id integer);\nvacuum;\ninsert into nowhere values (1);");
    Migrations::new([
        sql("0001_users", "create table users (id integer primary key, name text not null);\n"),
        sql("0002_long", &long),
        half.with(|meta| meta.transaction(TransactionMode::None)),
    ])
    .and(SqlMigration::new("library", "0001_books", "create table books (id integer primary key)").unwrap())
}

async fn state(scratch: &Scratch) -> (admmgt::History, State) {
    let driver = scratch.sqlite();
    let mut session: Box<dyn Session> = driver.open(&SessionOptions::new(Access::Read)).await.unwrap();
    let history = driver.store().history(&mut *session).await.unwrap();
    session.close().await;
    let state = State::fold(&history).unwrap();
    (history, state)
}

#[tokio::test]
async fn a_database_of_version_1_is_current() {
    let scratch = copy();
    let migrator = scratch.migrator(migrations());
    migrator.ensure_current().await.unwrap();
    assert_eq!(migrator.up().await.unwrap().to_string(), "nothing to do: 4 migrations are applied");
}

#[tokio::test]
async fn a_database_of_version_1_takes_new_migrations() {
    let scratch = copy();
    let more = migrations().and(SqlMigration::new("app", "0004_more", "create table more (id integer)").unwrap());
    let report = scratch.migrator(more.clone()).up().await.unwrap();
    assert_eq!((report.ran.len(), report.already), (1, 4));
    assert_eq!(scratch.migrator(more).up().await.unwrap().ran.len(), 0);
}

#[tokio::test]
async fn every_record_of_version_1_is_understood() {
    let (history, state) = state(&copy()).await;
    let lines = history.records.iter().map(|record| {
        let body = record.body.as_ref().map_or("no body".to_owned(), |body| {
            format!("body of {} bytes", body.unpack().expect("it can be read").len())
        });
        let step = record.step.map_or(String::new(), |step| format!(" {step}/{}", record.steps.unwrap_or(0)));
        format!("{} {} {}{step} by {}, {body}", record.seq, record.migration, record.kind, record.by)
    });
    expect![[r#"
        1 app/0001_users applied by golden, body of 65 bytes
        2 app/0002_long applied by golden, body of 2932 bytes
        3 app/0003_bad failed by golden, no body
        4 app/0003_half started by golden, no body
        5 app/0003_half step_done 1/3 by golden, no body
        6 app/0003_half step_done 2/3 by golden, no body
        7 app/0003_half failed by golden, no body
        8 app/0003_half resolved by golden, no body
        9 library/0001_books applied by golden, body of 43 bytes"#]]
    .assert_eq(&lines.collect::<Vec<_>>().join("\n"));
    assert!(history.records.iter().all(|record| record.at.0 > 1_700_000_000_000 && record.library == "0.1.0"));
    assert_eq!(state.applied().len(), 4);
    let resolved = history.records.iter().find(|record| record.kind == RecordKind::Resolved).unwrap();
    assert_eq!(resolved.detail.as_deref(), Some("looked at by hand"));
    let heads: Vec<String> = state
        .heads()
        .iter()
        .map(|(namespace, head)| format!("{namespace} {} {} {}", head.digest, head.count, head.seq))
        .collect();
    expect![[r#"
        app 06ccb12d4baf0d2271f969afd291e7690de6b4607b18c956519894f256fb5cb7 3 8
        library 4f6e52ef7d28cd89a30896e67ee97314740bca13a861bea564b138264c909643 1 9"#]]
    .assert_eq(&heads.join("\n"));
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let scratch = copy();
    Connection::open(scratch.path()).unwrap().execute_batch("update _admmgt_format set format = 2").unwrap();
    let before = std::fs::read(scratch.path()).unwrap();
    let migrator = scratch.migrator(migrations().and(SqlMigration::new("app", "0009", "create table x (y)").unwrap()));
    let words =
        "the history is of format 2; this version reads up to format 1. Use a newer admmgt; nothing was changed";
    assert_eq!(migrator.up().await.unwrap_err().to_string(), words);
    assert_eq!(migrator.status().await.unwrap_err().to_string(), words);
    assert_eq!(migrator.ensure_current().await.unwrap_err().to_string(), words);
    assert_eq!(std::fs::read(scratch.path()).unwrap(), before);
}

#[test]
fn plans_reports_statuses_and_events_of_version_1_are_read() {
    let plan: Plan = serde_json::from_str(&text("plan.json")).unwrap();
    assert_eq!((plan.format, plan.steps.len()), (1, 2));
    let report: Report = serde_json::from_str(&text("report.json")).unwrap();
    assert_eq!((report.format, report.ran.len()), (1, 2));
    let status: Status = serde_json::from_str(&text("status.json")).unwrap();
    assert!(status.migrations.iter().all(|row| row.standing == Standing::Applied));
    let events: Vec<Event> = text("events.ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| matches!(event, Event::MigrationInterrupted { .. })));
    let filled = r#"{"event":"backfill","migration":"app/0003_gross","name":"gross","seen":2000,"changed":1500,"of":10000,"per_second":50000,"left_ms":160}"#;
    let event: Event = serde_json::from_str(filled).unwrap();
    assert!(matches!(event, Event::Backfill { per_second: 50_000, left_ms: Some(160), .. }));
    assert_eq!(serde_json::to_string(&event).unwrap(), filled);
    // And they are written as they were read.
    assert_eq!(serde_json::to_string_pretty(&plan).unwrap(), text("plan.json"));
    assert_eq!(serde_json::to_string_pretty(&status).unwrap(), text("status.json"));
}

/// A database with the golden history, to change.
async fn on_postgres() -> Option<Database> {
    let db = Database::new().await?;
    db.run(&text("postgres.sql")).await;
    Some(db)
}

#[tokio::test]
async fn a_history_of_version_1_on_postgres_is_current_and_takes_new_migrations() {
    let Some(db) = on_postgres().await else { return };
    db.migrator(migrations()).ensure_current().await.unwrap();
    assert_eq!(db.migrator(migrations()).up().await.unwrap().to_string(), "nothing to do: 4 migrations are applied");
    let more = migrations().and(SqlMigration::new("app", "0004_more", "create table more (id integer)").unwrap());
    assert_eq!(db.migrator(more.clone()).up().await.unwrap().ran.len(), 1);
    assert_eq!(db.migrator(more).up().await.unwrap().ran.len(), 0);
}

#[tokio::test]
async fn every_record_of_version_1_on_postgres_is_understood() {
    let Some(db) = on_postgres().await else { return };
    let records = db.migrator(migrations()).history().await.unwrap();
    let kinds: Vec<RecordKind> = records.iter().map(|record| record.kind).collect();
    use RecordKind::{Applied, Failed, Resolved, Started, StepDone};
    assert_eq!(kinds, [Applied, Applied, Failed, Started, StepDone, StepDone, Failed, Resolved, Applied]);
    assert!(records.iter().all(|record| &*record.by == "golden"));
    let long = records[1].body.as_ref().and_then(|body| body.unpack()).unwrap();
    assert!(long.starts_with("create table long"));
    db.migrator(migrations()).verify().await.unwrap();
}

#[tokio::test]
async fn a_newer_format_on_postgres_is_refused_and_left_alone() {
    let Some(db) = on_postgres().await else { return };
    db.run("update _admmgt_format set format = 2").await;
    let more = migrations().and(SqlMigration::new("app", "0004_more", "create table more (id integer)").unwrap());
    let error = db.migrator(more).up().await.unwrap_err();
    assert!(matches!(error, admmgt::Error::NewerFormat { found: 2, .. }), "{error}");
    assert_eq!(db.number("select count(*) from _admmgt_history").await, 9);
}

/// A database of MongoDB with the golden history, to change.
async fn on_mongo() -> Option<MongoDatabase> {
    let db = MongoDatabase::new()?;
    let golden: BTreeMap<String, Vec<Document>> = serde_json::from_str(&text("mongo.json")).unwrap();
    for (collection, documents) in golden {
        db.collection(&collection).await.insert_many(documents).await.unwrap();
    }
    Some(db)
}

/// The migrations that it was made with.
fn of_mongo() -> Migrations {
    let sql = |id: &str, text: String| SqlMigration::new("app", id, text).unwrap();
    let rule = "{\"setValidator\": \"users\", \"validator\": {\"name\": {\"$type\": \"string\"}}}";
    let (fill, _) = filling(Documents::of("users").update(doc! { "$set": { "plan": "free" } }));
    Migrations::new([
        sql("0001_users", "{\"create\": \"users\"}".to_owned()),
        sql("0002_long", "{\"insert\": \"users\", \"documents\": [{\"name\": \"Ada\"}]}\n".repeat(100)),
        sql("0003_half", format!("{rule} {{\"find\": \"users\", \"filter\": {{\"$no\": 1}}}}")),
        sql("0004_validator", rule.to_owned()),
    ])
    .and(SqlMigration::new("library", "0001_books", "{\"create\": \"books\"}").unwrap())
    .and(fill)
}

#[tokio::test]
async fn a_history_of_version_1_on_mongo_is_current_and_takes_new_migrations() {
    let Some(db) = on_mongo().await else { return };
    db.migrator(of_mongo()).ensure_current().await.unwrap();
    db.migrator(of_mongo()).verify().await.unwrap();
    assert_eq!(db.migrator(of_mongo()).up().await.unwrap().to_string(), "nothing to do: 6 migrations are applied");
    let more = of_mongo().and(SqlMigration::new("app", "0009_more", "{\"create\": \"more\"}").unwrap());
    assert_eq!(db.migrator(more.clone()).up().await.unwrap().ran.len(), 1);
    assert_eq!(db.migrator(more).up().await.unwrap().ran.len(), 0);
}

#[tokio::test]
async fn every_record_of_version_1_on_mongo_is_understood() {
    let Some(db) = on_mongo().await else { return };
    let records = db.migrator(of_mongo()).history().await.unwrap();
    let kinds: Vec<RecordKind> = records.iter().map(|record| record.kind).collect();
    use RecordKind::{Applied, Failed, Resolved, Started, StepDone};
    let half = [Started, StepDone, Failed, Resolved];
    let validator = [Started, StepDone, Applied];
    let expected = [&[Applied, Applied, Failed][..], &half, &[Started, Applied], &validator, &[Applied]].concat();
    assert_eq!(kinds, expected);
    assert!(records.iter().all(|record| &*record.by == "golden"));
    // What there was before a step is put back.
    db.run(doc! { "create": "users", "validator": { "age": 1 } }).await;
    let validator = || async {
        let found = db.run(doc! { "listCollections": 1, "filter": { "name": "users" } }).await;
        let found = found.get_document("cursor").unwrap().get_array("firstBatch").unwrap()[0].clone();
        found.as_document().unwrap().get_document("options").unwrap().get_document("validator").unwrap().clone()
    };
    db.migrator(of_mongo().filter(|meta| meta.id.id() != "2"))
        .down(Target::BackTo("app/0003_half".parse().unwrap()))
        .await
        .unwrap();
    assert_eq!(validator().await, doc! { "name": { "$type": "string" } });
}

#[tokio::test]
async fn a_newer_format_on_mongo_is_refused_and_left_alone() {
    let Some(db) = on_mongo().await else { return };
    let newer = doc! { "q": { "format": 1 }, "u": { "$set": { "format": 2 } }, "multi": true };
    db.run(doc! { "update": "_admmgt_history", "updates": [newer] }).await;
    let before = (db.all("_admmgt_state").await, db.all("_admmgt_history").await);
    let more = of_mongo().and(SqlMigration::new("app", "0009_more", "{\"create\": \"more\"}").unwrap());
    let error = db.migrator(more).up().await.unwrap_err();
    assert!(matches!(error, admmgt::Error::NewerFormat { found: 2, .. }), "{error}");
    assert_eq!((db.all("_admmgt_state").await, db.all("_admmgt_history").await), before);
}
