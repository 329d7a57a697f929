//! A new database of a MongoDB server.

use std::time::Duration;

use admmgt::mongo::Documents;
use admmgt::mongodb::bson::{Document, doc};
use admmgt::mongodb::{Client, Collection};
use admmgt::prelude::*;
use admmgt::{BoxFuture, FromContext, MigrationId, OnInterrupt, TransactionMode, Verdict};

use crate::bodies::meta;
use crate::orders::{Hold, Orders};
use crate::points::pass;
use crate::{AsyncCode, Ground, Left, Sets, asynchronous, mongo_database, mongo_url, now, run_command, say};

/// A new one, dropped at the end.
#[derive(Debug)]
pub struct MongoDatabase {
    server: String,
    url: String,
    name: String,
}

/// How long a lease of a process lasts that a test starts: others wait for so long where it is killed.
pub const MONGO_TTL: Duration = Duration::from_secs(4);

impl MongoDatabase {
    /// A new one on the replica set; where there is none, says that the test is skipped.
    pub fn new() -> Option<Self> {
        Self::of(mongo_url())
    }

    /// As [`MongoDatabase::new`], for tests that kill and stop: only where the server is the tests' own.
    pub fn ours() -> Option<Self> {
        Self::of(std::env::var("ADMMGT_TEST_MONGO").ok())
    }

    /// A new one on a standalone.
    pub fn alone() -> Option<Self> {
        Self::of(std::env::var("ADMMGT_TEST_MONGO_ALONE").ok())
    }

    /// One each: on the replica set, and on the standalone.
    pub fn both() -> impl Iterator<Item = Self> {
        [Self::new(), Self::alone()].into_iter().flatten()
    }

    fn of(server: Option<String>) -> Option<Self> {
        let Some(server) = server else {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            say(format_args!(
                "SKIPPED {test}: no MongoDB. `./tests/run test` starts one; or set ADMMGT_MONGO_URL=mongodb://user@host/?replicaSet=…"
            ));
            return None;
        };
        Some(Self::at(&server))
    }

    /// A new one on a server.
    pub fn at(server: &str) -> Self {
        let name = format!("t_{:016x}", fastrand::u64(..));
        Self { server: server.to_owned(), url: mongo_database(server, &name), name }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of its server.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The driver. Its lease lasts as long as an application's: a busy machine can stand still for seconds.
    pub fn driver(&self) -> Mongo {
        Mongo::connect(&self.url).expect("a URL")
    }

    /// A migrator of the database with these migrations.
    pub fn migrator(&self, migrations: impl Into<Migrations>) -> Migrator {
        Migrator::new(self.driver()).migrations(migrations)
    }

    /// As [`MongoDatabase::migrator`], where there is something in the database that no migration has made.
    pub fn migrator_over(&self, migrations: impl Into<Migrations>) -> Migrator {
        let mut policy = Policy::default();
        policy.foreign = Verdict::Allow;
        self.migrator(migrations).policy(policy)
    }

    /// Runs a command as the application would.
    pub async fn run(&self, command: Document) -> Document {
        run_command(&self.url, command).await
    }

    /// A collection, by a client of its own.
    pub async fn collection(&self, name: &str) -> Collection<Document> {
        let client = Client::with_uri_str(&self.url).await.expect("a client");
        client.database(&self.name).collection(name)
    }

    /// All documents of a collection, in the order of their `_id`.
    pub async fn all(&self, name: &str) -> Vec<Document> {
        let collection = self.collection(name).await;
        let mut cursor = collection.find(doc! {}).sort(doc! { "_id": 1 }).await.expect("it can be read");
        let mut all = Vec::new();
        while cursor.advance().await.expect("it can be read") {
            all.push(cursor.deserialize_current().expect("a document"));
        }
        all
    }

    /// How many documents match.
    pub async fn count(&self, name: &str, filter: Document) -> usize {
        let count = self.collection(name).await.count_documents(filter).await.expect("they can be counted");
        usize::try_from(count).expect("a count")
    }

    /// Makes the collection `big`: so many documents whose value is 0.
    pub async fn filled(&self, documents: usize) {
        let all = (1..=i64::try_from(documents).expect("a count")).map(|row| doc! { "_id": 3 * row, "value": 0 });
        self.collection("big").await.insert_many(all).await.expect("they are inserted");
    }

    /// The names of the collections, in order.
    pub async fn names(&self) -> Vec<String> {
        let client = Client::with_uri_str(&self.url).await.expect("a client");
        let names = client.database(&self.name).list_collection_names().await;
        let mut names = names.expect("they can be read");
        names.retain(|name| !name.starts_with("_admmgt") && !name.starts_with("system."));
        names.sort();
        names
    }
}

impl Drop for MongoDatabase {
    fn drop(&mut self) {
        let url = self.url.clone();
        let dropped = std::thread::spawn(move || now(run_command(&url, doc! { "dropDatabase": 1 })));
        let _ = dropped.join();
    }
}

impl Ground for MongoDatabase {
    fn new() -> Self {
        Self::ours().expect("there is a server, or the test is skipped before")
    }

    fn left(&self, orders: &Orders) -> Left {
        now(async {
            let status = self.migrator(Sets::migrations(orders)).status().await.expect("the history can be read");
            let log = self.all("log").await;
            let mut log: Vec<String> =
                log.iter().map(|row| row.get_str("migration").expect("a text").to_owned()).collect();
            log.sort();
            let mut tables = self.names().await;
            tables.retain(|table| table != "log");
            Left { tables, log, status }
        })
    }

    fn repair(&self, command: &str) {
        let command: Document = serde_json::from_str(command).expect("a command");
        now(self.run(command));
    }

    fn fill(&self, rows: usize) {
        now(self.filled(rows));
    }

    fn with_value(&self, value: i64) -> usize {
        now(MongoDatabase::count(self, "big", doc! { "value": value }))
    }
}

/// A new database on a standalone, which has no transactions.
#[derive(Debug)]
pub struct AloneDatabase(MongoDatabase);

impl AloneDatabase {
    /// Its address.
    pub fn url(&self) -> &str {
        self.0.url()
    }
}

impl Ground for AloneDatabase {
    fn new() -> Self {
        Self(MongoDatabase::alone().expect("there is a server, or the test is skipped before"))
    }

    fn left(&self, orders: &Orders) -> Left {
        self.0.left(orders)
    }

    fn repair(&self, command: &str) {
        self.0.repair(command);
    }

    fn fill(&self, rows: usize) {
        self.0.fill(rows);
    }

    fn with_value(&self, value: i64) -> usize {
        self.0.with_value(value)
    }
}

/// A migration from a closure over a session of MongoDB.
#[track_caller]
pub fn mongo(
    name: &str,
    body: impl for<'a> Fn(&'a mut MongoSession) -> BoxFuture<'a, Result<(), BoxError>> + Send + Sync + 'static,
) -> AsyncCode {
    let body = std::sync::Arc::new(body);
    asynchronous(name, move |cx| {
        let body = std::sync::Arc::clone(&body);
        Box::pin(async move { body(<MongoSession as FromContext<Mongo>>::from_context(cx)?).await })
    })
}

/// The sets that can be said in commands.
pub(crate) fn migrations(orders: &Orders) -> Migrations {
    (1..=orders.count).fold(Migrations::default(), |all, number| {
        let name = format!("{:04}", number);
        let id = MigrationId::new(&*orders.namespace, &*name).expect("a name");
        let make = |number: usize| format!("{{\"create\": \"{}_m{number}\"}}\n", orders.namespace);
        let log = |number: usize| {
            let migration = format!("{}/{number:04}", orders.namespace);
            format!("{{\"insert\": \"log\", \"documents\": [{{\"migration\": \"{migration}\"}}]}}\n")
        };
        let text = |text: String| SqlMigration::new(&*orders.namespace, &*name, text).expect("a name");
        // Without transactions, only a step can simply run again wherever it was interrupted.
        if orders.set == Sets::Backfill && number != 2 && !orders.is_of_a_set() {
            let step = |number: usize| format!("{{\"createCollection\": \"{}_s{number}\"}}\n", orders.namespace);
            return all.and(text(format!("{}{}", step(2 * number), step(2 * number + 1))));
        }
        match (orders.set, number) {
            (Sets::Small | Sets::Outside | Sets::Held | Sets::Backfill, 1) => {
                all.and(text(format!("{{\"create\": \"log\"}}\n{}{}", make(1), log(1))))
            }
            (Sets::Outside, 2) => {
                let more = format!("{{\"create\": \"{}_m2_more\"}}", orders.namespace);
                let three = text(format!("{}{}{more}", make(2), log(2)));
                all.and(three.with(|meta| meta.transaction(TransactionMode::None)))
            }
            (Sets::Held, 2) => all.and(held(id, orders)),
            (Sets::Backfill, 2) => all.and(backfill(id, orders.is_of_a_set())),
            (Sets::Backfill, 3) => all.and(text(format!("{}{}{}{}", make(2), log(2), make(3), log(3)))),
            (Sets::Small | Sets::Outside | Sets::Held | Sets::Backfill, number) => {
                all.and(text(format!("{}{}", make(number), log(number))))
            }
            (other, _) => panic!("{other:?} is of SQL"),
        }
    })
}

/// Waits in its body for [`Orders::hold`].
fn held(id: MigrationId, orders: &Orders) -> AsyncCode {
    let (namespace, hold) = (orders.namespace.clone(), orders.hold.clone());
    let body = mongo("held", move |db| {
        let (namespace, hold) = (namespace.clone(), hold.clone());
        Box::pin(async move {
            pass("before a statement in a body");
            db.create_collection(format!("{namespace}_m2")).await?;
            db.collection("log").insert_one(doc! { "migration": format!("{namespace}/0002") }).await?;
            if let Some(Hold { running, release }) = hold {
                std::fs::write(&running, "")?;
                while !release.exists() {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            Ok(())
        })
    });
    body.with(|_| meta(id))
}

/// Each batch is done once where it is committed with its checkpoint; else one may be done again, and has to leave out what it
/// has done before.
fn backfill(id: MigrationId, has_transactions: bool) -> AsyncCode {
    let body = asynchronous("backfill", move |cx| {
        Box::pin(async move {
            let all = Documents::of("big").update(doc! { "$inc": { "value": 1 } });
            let mut all = if has_transactions { all } else { all.only(doc! { "value": 0 }) };
            cx.backfill("one more").run(&mut all).await?;
            Ok(())
        })
    });
    body.with(|_| meta(id).transaction(TransactionMode::None).on_interrupt(OnInterrupt::Retry))
}
