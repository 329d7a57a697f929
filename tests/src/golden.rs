//! Makes the golden files of `tests/formats/v1`: a database and the JSON of each kind of output, as the
//! first landing wrote them. They are made once; every later version must read them.
//!
//! `cargo run -p admmgt-tests --bin golden -- FOLDER`; with a URL of a server behind it (PostgreSQL, or a replica set of MongoDB),
//! the history there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use admmgt::mongo::Documents;
use admmgt::mongodb::bson::{Bson, doc};
use admmgt::prelude::*;
use admmgt::{Event, Plan, Resolution, Status, TransactionMode, Verdict};
use admmgt_tests::{Database, MongoDatabase, binaries, filling};

type Failure = Box<dyn std::error::Error>;

fn sql(id: &str, text: &str) -> SqlMigration {
    SqlMigration::new("app", id, text.to_owned()).expect("a name")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("the folder to write to is missing")?);
    match std::env::args().nth(2) {
        Some(server) if server.starts_with("mongodb:") => return mongo(&folder, &server).await,
        Some(server) => return postgres(&folder, &server).await,
        None => {}
    }
    let database = folder.join("sqlite.db");
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let migrator = |migrations: Migrations| {
        let heard = Arc::clone(&heard);
        Migrator::new(Sqlite::open(&database).expect("a path"))
            .migrations(migrations)
            .by("golden")
            .observe(move |event: &Event| heard.lock().expect("no panic").push(event.clone()))
    };
    let (plan, report, status) = story(migrator).await?;

    std::fs::write(folder.join("plan.json"), serde_json::to_string_pretty(&plan)?)?;
    std::fs::write(folder.join("report.json"), serde_json::to_string_pretty(&report)?)?;
    std::fs::write(folder.join("status.json"), serde_json::to_string_pretty(&status)?)?;
    let lines: Result<Vec<String>, _> = events.lock().expect("no panic").iter().map(serde_json::to_string).collect();
    std::fs::write(folder.join("events.ndjson"), lines?.join("\n") + "\n")?;
    // No side files beside a golden database.
    let db = admmgt::rusqlite::Connection::open(&database)?;
    db.execute_batch("pragma journal_mode = delete")?;
    drop(db);
    std::fs::remove_file(folder.join("sqlite.db-admmgt.lock"))?;
    Ok(())
}

/// The same kinds of records on PostgreSQL, as the statements that put them there.
async fn postgres(folder: &Path, server: &str) -> Result<(), Failure> {
    let db = Database::on(server, true).await;
    story(|migrations| db.migrator(migrations).by("golden")).await?;

    let dump = binaries().ok_or("PostgreSQL is not installed")?.join("pg_dump");
    let mut command = Command::new(dump);
    let output = command.args(["--inserts", "--no-owner", "--no-acl", "-t", "_admmgt*", &db.url()]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let is_sql = |line: &&str| !line.is_empty() && !line.starts_with("--") && !line.starts_with('\\');
    let lines: Vec<&str> = text.lines().filter(is_sql).collect();
    std::fs::write(folder.join("postgres.sql"), lines.join("\n") + "\n")?;
    Ok(())
}

/// The same kinds of records on MongoDB, a validator that is kept for the way back and the checkpoint of a backfill: the
/// documents of the state, as extended JSON.
async fn mongo(folder: &Path, server: &str) -> Result<(), Failure> {
    let db = MongoDatabase::at(server);
    let migrator = |all: Migrations| db.migrator(all).by("golden");
    let first = Migrations::new([
        sql("0001_users", "{\"create\": \"users\"}"),
        sql("0002_long", &"{\"insert\": \"users\", \"documents\": [{\"name\": \"Ada\"}]}\n".repeat(100)),
    ]);
    migrator(first.clone()).up().await?;
    let failing = first.clone().and(sql("0003_bad", "{\"find\": \"users\", \"filter\": {\"$no\": 1}}"));
    migrator(failing).up().await.expect_err("it fails");
    let rule = "{\"setValidator\": \"users\", \"validator\": {\"name\": {\"$type\": \"string\"}}}";
    let half = sql("0003_half", &format!("{rule} {{\"find\": \"users\", \"filter\": {{\"$no\": 1}}}}"));
    let halted = first.and(half);
    migrator(halted.clone()).up().await.expect_err("it is interrupted");
    migrator(halted.clone()).resolve("app/0003_half", Resolution::Applied, "looked at by hand").await?;
    let books = SqlMigration::new("library", "0001_books", "{\"create\": \"books\"}")?;
    let (fill, _) = filling(Documents::of("users").update(doc! { "$set": { "plan": "free" } }));
    let validator = sql("0004_validator", rule);
    // It is called `2`.
    let mut policy = Policy::default();
    policy.out_of_order = Verdict::Allow;
    migrator(halted.and(validator).and(books).and(fill)).policy(policy).up().await?;

    let mut all = serde_json::Map::new();
    for name in ["_admmgt_state", "_admmgt_history", "_admmgt_checkpoint"] {
        let documents = db.all(name).await.into_iter().map(|document| Bson::from(document).into_canonical_extjson());
        all.insert(name.to_owned(), documents.collect());
    }
    std::fs::write(folder.join("mongo.json"), serde_json::to_string_pretty(&all)? + "\n")?;
    Ok(())
}

/// What happens to a database before it is kept.
async fn story(migrator: impl Fn(Migrations) -> Migrator) -> Result<(Plan, Report, Status), Failure> {
    let long = format!("create table long (id integer);\n{}", "insert into long values (1);\n".repeat(100));
    let none = |meta: admmgt::Meta| meta.transaction(TransactionMode::None);
    let first = Migrations::new([
        sql("0001_users", "create table users (id integer primary key, name text not null);\n"),
        sql("0002_long", &long).with(|meta| meta.description("Deflated in the archive")),
    ]);
    let plan = migrator(first.clone()).plan().await?;
    let report = migrator(first.clone()).up().await?;

    // One that failed and was rolled back, one that was interrupted and resolved, one of another crate.
    let failing = first.clone().and(sql("0003_bad", "insert into nowhere values (1);"));
    migrator(failing).up().await.expect_err("it fails");
    let half = sql("0003_half", "create table half (id integer);\nvacuum;\ninsert into nowhere values (1);").with(none);
    let halted = first.and(half);
    migrator(halted.clone()).up().await.expect_err("it is interrupted");
    migrator(halted.clone()).resolve("app/0003_half", Resolution::Applied, "looked at by hand").await?;
    let other = SqlMigration::new("library", "0001_books", "create table books (id integer primary key)")?;
    let all = halted.and(other);
    migrator(all.clone()).up().await?;
    let status = migrator(all).status().await?;
    Ok((plan, report, status))
}
