//! Databases for tests: on a server, each copied from one that is migrated once.
//!
//! MongoDB renames no database. So a template is one of the test databases, and which one it is stands in a document of the
//! database `admmgt_templates`: there it is with one write.

mod look;

use std::sync::{Arc, Once};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use admmgt_core::{Dialect, Driver, Error, Result, TransactionMode, async_trait};
use admmgt_testkit::{Data, Schema, TestDatabase, TestDatabases, TestServer};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;
use mongodb::{Client, Collection, Database};

use crate::command;
use crate::dialect::{MongoDialect, Said, read};
use crate::driver::Mongo;
use crate::error::{Asked, code};
use crate::place;

/// What the names of test databases start with; then come the second in which they were made, and what no other has.
const TEST: &str = "admmgt_test_";
/// The database in which stands which of them are templates.
const TEMPLATES: &str = "admmgt_templates";
/// What is older than this and no template was left by a test that was killed.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// A template that nobody has copied for so long is of a set that is gone.
const UNUSED: Duration = Duration::from_secs(7 * 24 * 3600);
/// For how long the others wait for one that makes a template; then they make it too.
const TURN: Duration = Duration::from_secs(120);

impl Mongo {
    /// A fresh, migrated database for each test, with every registered migration, on the server of a URL.
    ///
    /// ```no_run
    /// use admmgt_mongo::{Mongo, mongodb::bson::{Document, doc}};
    ///
    /// # async fn a_test() -> Result<(), Box<dyn std::error::Error>> {
    /// let database = Mongo::tests("mongodb://localhost/?replicaSet=rs0")?.fresh().await?;
    /// let users = database.database().await?.collection::<Document>("users");
    /// users.insert_one(doc! { "name": "Ada" }).await?;
    /// # Ok(()) }                                                                      // it is dropped here
    /// ```
    ///
    /// The user may make and drop databases whose names start with `admmgt_te`. Templates stay on the server until nobody has used
    /// them for a week. What tests leave behind when they are killed is dropped by the next ones, after an hour.
    ///
    /// # Errors
    /// Where it is no URL of MongoDB.
    pub fn tests(url: &str) -> Result<TestDatabases<MongoTestServer>> {
        Ok(TestDatabases::of(MongoTestServer::new(url)?))
    }
}

/// A server on which tests make databases.
#[derive(Clone)]
pub struct MongoTestServer {
    url: Arc<str>,
}

impl std::fmt::Debug for MongoTestServer {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MongoTestServer").finish_non_exhaustive()
    }
}

const ASKED: Asked<'static> = Asked { what: "the MongoDB of the tests" };
const MAKING: &str = "making a test database";

fn failed(error: mongodb::error::Error) -> Error {
    ASKED.failed(MAKING, &error)
}

impl MongoTestServer {
    /// The server of a URL.
    ///
    /// # Errors
    /// Where it is no URL of MongoDB.
    pub fn new(url: &str) -> Result<Self> {
        place::check_server(url)?;
        Ok(Self { url: url.into() })
    }

    /// A client of the calling test's runtime.
    async fn client(&self) -> Result<Client> {
        Client::with_uri_str(&self.url)
            .await
            .map_err(|_| Error::Usage { problem: "the URL of MongoDB cannot be read; check its options".to_owned() })
    }

    async fn templates(&self) -> Result<Collection<Document>> {
        Ok(self.client().await?.database(TEMPLATES).collection("templates"))
    }

    async fn made(&self, name: String) -> MongoTest {
        static SWEPT: Once = Once::new();
        let mut first = false;
        SWEPT.call_once(|| first = true);
        if first {
            // That it fails is no failure of a test.
            let _ = self.sweep().await;
        }
        MongoTest { server: self.clone(), name, is_kept: false }
    }

    /// Drops what tests that were killed have left: databases that are older than an hour and no templates, and templates that
    /// nobody has copied for a week. The first database of a process does it by itself.
    ///
    /// # Errors
    /// Where the server cannot be reached.
    pub async fn sweep(&self) -> Result<()> {
        let (client, templates) = (self.client().await?, self.templates().await?);
        let long_ago = i64::try_from(now().saturating_sub(UNUSED.as_secs())).unwrap_or_default();
        let old = doc! { "database": { "$exists": true }, "used": { "$lt": long_ago } };
        templates.delete_many(old).await.map_err(failed)?;
        let mut kept = Vec::new();
        let mut cursor = templates.find(doc! {}).await.map_err(failed)?;
        while cursor.advance().await.map_err(failed)? {
            let found = cursor.deserialize_current().map_err(failed)?;
            kept.extend(found.get_str("database").map(str::to_owned));
        }
        for name in client.list_database_names().await.map_err(failed)? {
            if is_forgotten(&name) && !kept.contains(&name) {
                let _ = client.database(&name).drop().await;
            }
        }
        Ok(())
    }
}

/// Whether a database of ours was made too long ago for a test that still runs.
fn is_forgotten(name: &str) -> bool {
    let rest = name.strip_prefix(TEST).and_then(|rest| rest.split_once('_'));
    let made = rest.filter(|(made, unique)| made.len() == 10 && unique.len() == 16);
    let made = made.and_then(|(made, _)| u64::from_str_radix(made, 16).ok());
    made.is_some_and(|made| made < now().saturating_sub(FORGOTTEN.as_secs()))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A name that no other database has.
fn fresh_name() -> String {
    format!("{TEST}{:010x}_{:016x}", now(), fastrand::u64(..))
}

#[async_trait]
impl TestServer for MongoTestServer {
    type Database = MongoTest;

    /// It is there with the first collection in it.
    async fn empty(&self) -> Result<MongoTest> {
        Ok(self.made(fresh_name()).await)
    }

    async fn copy(&self, template: &str) -> Result<Option<MongoTest>> {
        let used = doc! { "$set": { "used": i64::try_from(now()).unwrap_or_default() } };
        let found =
            self.templates().await?.find_one_and_update(doc! { "_id": template }, used).await.map_err(failed)?;
        let Some(from) = found.as_ref().and_then(|found| found.get_str("database").ok()) else { return Ok(None) };
        let copy = self.made(fresh_name()).await;
        let client = self.client().await?;
        look::copy(&client.database(from), &client.database(&copy.name)).await.map_err(failed)?;
        Ok(Some(copy))
    }

    async fn keep(&self, template: &str, mut database: MongoTest) -> Result<()> {
        let used = i64::try_from(now()).unwrap_or_default();
        let kept = doc! { "_id": template, "database": &database.name, "used": used };
        match self.templates().await?.insert_one(kept).await {
            Ok(_) => database.is_kept = true,
            // Another process was faster.
            Err(error) if code(&error) == Some(11000) => {}
            Err(error) => return Err(failed(error)),
        }
        Ok(())
    }

    async fn forget(&self, template: &str) -> Result<()> {
        let gone = self.templates().await?.find_one_and_delete(doc! { "_id": template }).await.map_err(failed)?;
        match gone.as_ref().and_then(|gone| gone.get_str("database").ok()) {
            Some(name) => self.client().await?.database(name).drop().await.map_err(failed),
            None => Ok(()),
        }
    }

    async fn turn(&self, template: &str) -> Result<Box<dyn Send>> {
        let turns: Collection<Document> = self.client().await?.database(TEMPLATES).collection("turns");
        let (owner, clock) = (format!("{:016x}", fastrand::u64(..)), Instant::now());
        let millis = i64::try_from(TURN.as_millis()).unwrap_or(i64::MAX);
        let is_free = doc! { "$lt": [{ "$ifNull": ["$until", { "$toDate": 0_i64 }] }, "$$NOW"] };
        let taken = |new: Bson, old: &str| doc! { "$cond": ["$free", new, old] };
        let take = vec![
            doc! { "$set": { "free": is_free } },
            doc! { "$set": { "owner": taken(owner.as_str().into(), "$owner"),
            "until": taken(doc! { "$add": ["$$NOW", millis] }.into(), "$until") } },
            doc! { "$unset": "free" },
        ];
        while clock.elapsed() < TURN {
            let asked = turns.find_one_and_update(doc! { "_id": template }, take.clone()).upsert(true);
            match asked.return_document(ReturnDocument::After).await {
                Ok(Some(found)) if found.get_str("owner").is_ok_and(|text| text == &*owner) => break,
                // Several asked first.
                Err(error) if code(&error) != Some(11000) => return Err(failed(error)),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        Ok(Box::new(Turn { server: self.clone(), template: template.to_owned(), owner }))
    }
}

/// Others wait while it is there.
struct Turn {
    server: MongoTestServer,
    template: String,
    owner: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let ours = doc! { "_id": &self.template, "owner": &self.owner };
        aside(self.server.clone(), async move |client| {
            let turns: Collection<Document> = client.database(TEMPLATES).collection("turns");
            let _ = turns.delete_one(ours).await;
        });
    }
}

/// Does something on a runtime of its own: a test's own cannot be waited for inside of it, and may be gone.
fn aside(server: MongoTestServer, work: impl AsyncFnOnce(Client) + Send + 'static) {
    let done = std::thread::Builder::new().spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        // Where it cannot be done now, a later test will.
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let Ok(client) = server.client().await else { return };
            work(client.clone()).await;
            client.shutdown().immediate(true).await;
        });
    });
    if let Ok(done) = done {
        let _ = done.join();
    }
}

/// A MongoDB database for one test. It is dropped with this value, whoever is still connected.
#[derive(Debug)]
pub struct MongoTest {
    server: MongoTestServer,
    name: String,
    is_kept: bool,
}

impl MongoTest {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// It, by a client of its own.
    ///
    /// # Errors
    /// Where the URL of the server cannot be read.
    pub async fn database(&self) -> Result<Database> {
        Ok(self.server.client().await?.database(&self.name))
    }
}

#[async_trait]
impl TestDatabase for MongoTest {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(Mongo::at(&self.server.url, &self.name))
    }

    async fn run(&self, text: &str) -> Result<()> {
        let script = MongoDialect.parse(text, TransactionMode::None).map_err(|problems| Error::Script { problems })?;
        let database = self.database().await?;
        for statement in &script.statements {
            let Ok(Said::Command(command)) = read(statement) else {
                return Err(Error::unsupported("steps in a fixture", "write the server's own commands"));
            };
            let reply =
                database.run_command(command).await.map_err(|error| ASKED.failed("running a fixture", &error))?;
            if let Some(answer) = command::failed(&reply) {
                return Err(answer.while_doing("running a fixture"));
            }
        }
        Ok(())
    }

    async fn schema(&self) -> Result<Schema> {
        look::schema(&self.database().await?).await.map_err(failed)
    }

    async fn data(&self) -> Result<Data> {
        look::data(&self.database().await?).await.map_err(failed)
    }
}

impl Drop for MongoTest {
    fn drop(&mut self) {
        if !self.is_kept {
            let name = self.name.clone();
            aside(self.server.clone(), async move |client| {
                let _ = client.database(&name).drop().await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_and_old_is_forgotten() {
        let test = |ago: u64| format!("{TEST}{:010x}_0123456789abcdef", now() - ago);
        assert!(is_forgotten(&test(2 * 3600)));
        assert!(!is_forgotten(&test(60)));
        for other in
            ["admmgt_test_data", "admmgt_test_0000000001_0123", "admmgt_test_000000zzzz_0123456789abcdef", "shop"]
        {
            assert!(!is_forgotten(other), "{other}");
        }
    }
}
