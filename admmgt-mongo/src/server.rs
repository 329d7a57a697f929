//! The client of a server, and what the server says of itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use admmgt_core::{Capabilities, Error, Result, SessionOptions};
use mongodb::bson::{Document, doc};
use mongodb::options::{
    Acknowledgment, ClientOptions, DatabaseOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};
use mongodb::{Client, Database};
use tokio::runtime::{Handle, Id};
use tokio::sync::watch;

use crate::error::Asked;

/// Collections can be made in transactions from 4.4 on.
const OLDEST_WIRE: i32 = 9;

/// Where the client comes from.
#[derive(Clone)]
enum From {
    /// One of ours is made; kept for the runtime it belongs to.
    Url { url: Arc<str>, kept: Arc<Mutex<Option<(Id, Client)>>> },
    /// The application's.
    Given(Client),
}

/// A server, and how one reaches it.
#[derive(Clone)]
pub(crate) struct Server {
    from: From,
    /// `None` where the URL names it.
    database: Option<String>,
    pub(crate) prefix: String,
    pub(crate) ttl: Duration,
    /// For how many runs that were dropped something is done.
    background: Arc<watch::Sender<usize>>,
}

impl std::fmt::Debug for Server {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("database", &self.database).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Server {
    fn new(from: From, database: Option<String>) -> Self {
        Self { from, database, prefix: "_admmgt".to_owned(), ttl: Duration::from_secs(30), background: Arc::default() }
    }

    pub(crate) fn at(url: &str, database: Option<&str>) -> Self {
        Self::new(From::Url { url: url.into(), kept: Arc::default() }, database.map(str::to_owned))
    }

    pub(crate) fn of(client: &Client, database: &str) -> Self {
        Self::new(From::Given(client.clone()), Some(database.to_owned()))
    }

    /// The database, with the concerns that what we write and what migrations write must have.
    pub(crate) async fn database(&self, options: &SessionOptions) -> Result<Database> {
        let client = match &self.from {
            From::Given(client) => client.clone(),
            From::Url { url, kept } => {
                // A client works in the background of the runtime that it was made in, and ends with it.
                let here = Handle::current().id();
                let known = kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
                match known.filter(|(runtime, _)| *runtime == here) {
                    Some((_, client)) => client,
                    None => {
                        let client = connect(url, options).await?;
                        *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((here, client.clone()));
                        client
                    }
                }
            }
        };
        let concerns = DatabaseOptions::builder()
            .read_concern(ReadConcern::majority())
            .write_concern(safely())
            .selection_criteria(primary())
            .build();
        let name = match (&self.database, client.default_database()) {
            (Some(name), _) => name.clone(),
            (None, Some(database)) => database.name().to_owned(),
            (None, None) => return Err(Error::Usage { problem: "the URL names no database".to_owned() }),
        };
        Ok(client.database_with_options(&name, concerns))
    }

    /// Comes when nothing is done for runs that were dropped.
    pub(crate) async fn settled(&self) {
        let _ = self.background.subscribe().wait_for(|doing| *doing == 0).await;
    }

    /// One of our collections: `_admmgt_history`.
    pub(crate) fn collection(&self, name: &str) -> String {
        format!("{}_{name}", self.prefix)
    }
}

/// What we read, and what migrations read, is of the primary.
pub(crate) fn primary() -> SelectionCriteria {
    SelectionCriteria::ReadPreference(ReadPreference::Primary)
}

/// As long as it lives, something is done for a run that was dropped.
#[derive(Debug)]
pub(crate) struct Doing(Arc<watch::Sender<usize>>);

impl Doing {
    pub(crate) fn of(server: &Server) -> Self {
        server.background.send_modify(|doing| *doing += 1);
        Self(Arc::clone(&server.background))
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        self.0.send_modify(|doing| *doing -= 1);
    }
}

/// How long a majority may take to have a write. Whoever waits longer is told that it is not known to be safe.
pub(crate) const MAJORITY: Duration = Duration::from_secs(30);

/// On a majority of the servers, and on their disks.
pub(crate) fn safely() -> WriteConcern {
    WriteConcern::builder().w(Acknowledgment::Majority).journal(true).w_timeout(MAJORITY).build()
}

async fn connect(url: &str, options: &SessionOptions) -> Result<Client> {
    // The error's words may repeat the URL, and so a password.
    let wrong = |_| Error::Usage {
        problem:
            "the URL of MongoDB cannot be read; check its options, and write signs like `@` in a password as `%40`"
                .to_owned(),
    };
    let mut settings = ClientOptions::parse(url).await.map_err(wrong)?;
    settings.app_name.get_or_insert_with(|| format!("admmgt/{}", options.author.run));
    // A server that starts is asked again for so long; the first answer takes its time too.
    settings.server_selection_timeout.get_or_insert(options.connect_wait.max(Duration::from_secs(2)));
    // The lease is renewed while a long statement has the other connection.
    settings.max_pool_size = settings.max_pool_size.map(|most| if most == 0 { 0 } else { most.max(2) });
    settings.connect_timeout.get_or_insert(Duration::from_secs(10));
    Client::with_options(settings).map_err(|error| Asked { what: "MongoDB" }.failed("connecting", &error))
}

/// What the server says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) capabilities: Capabilities,
    pub(crate) is_writable: bool,
}

impl Facts {
    /// Asks, in two round trips. That a server takes `startTransaction` says nothing: a standalone fails at the first
    /// operation in it.
    pub(crate) async fn ask(database: &Database, what: &str) -> Result<Self> {
        let asked = Asked { what };
        let admin = database.client().database("admin");
        let failed = |error| asked.failed("asking the server what it is", &error);
        let hello = admin.run_command(doc! { "hello": 1 }).await.map_err(failed)?;
        let version = admin.run_command(doc! { "buildInfo": 1 }).await.map_err(failed)?;
        Self::of(&hello, version.get_str("version").unwrap_or("of an unknown version"), what)
    }

    fn of(hello: &Document, version: &str, what: &str) -> Result<Self> {
        let wire = hello.get_i32("maxWireVersion").unwrap_or_default();
        if wire < OLDEST_WIRE {
            let problem = format!("it is MongoDB {version}, and 4.4 is the oldest that can be migrated");
            return Err(Error::Unreachable { what: what.to_owned(), problem });
        }
        let is_sharded = hello.get_str("msg").is_ok_and(|text| text == "isdbgrid");
        let set = hello.get_str("setName").ok();
        let kind = match set {
            Some(set) => format!("replica set `{set}`"),
            None if is_sharded => "sharded cluster".to_owned(),
            None => "standalone".to_owned(),
        };
        let mut capabilities = Capabilities::new(format!("MongoDB {version} ({kind})")).fencing();
        if set.is_some() || is_sharded {
            capabilities = capabilities.transactions();
        }
        let is_writable = hello.get_bool("isWritablePrimary").unwrap_or(is_sharded);
        Ok(Self { capabilities, is_writable })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(mut hello: Document) -> Result<Facts> {
        hello.insert("maxWireVersion", 17);
        Facts::of(&hello, "6.0.5", "a database")
    }

    #[test]
    fn what_has_transactions_says_so_in_its_hello() {
        let set = facts(doc! { "setName": "rs0", "isWritablePrimary": true }).unwrap();
        assert!(set.capabilities.transactions && set.is_writable);
        assert_eq!(set.capabilities.server, "MongoDB 6.0.5 (replica set `rs0`)");
        let sharded = facts(doc! { "msg": "isdbgrid" }).unwrap();
        assert!(sharded.capabilities.transactions && sharded.is_writable);
        let alone = facts(doc! { "isWritablePrimary": true }).unwrap();
        assert!(!alone.capabilities.transactions && alone.capabilities.fencing && alone.is_writable);
        assert!(!facts(doc! { "setName": "rs0", "secondary": true }).unwrap().is_writable);
        let old = Facts::of(&doc! { "maxWireVersion": 8 }, "4.2.0", "a database").unwrap_err();
        assert!(old.to_string().contains("4.4 is the oldest"), "{old}");
    }
}
