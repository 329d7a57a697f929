//! [`Mongo`]: which database, and how it is connected to.

use std::sync::Arc;
use std::time::Duration;

use admmgt_core::{
    Backend, Context, Dialect, Driver, Error, FromContext, Head, Namespace, Result, Session, SessionOptions,
    StateStore, async_trait,
};
use mongodb::Client;

use crate::dialect::MongoDialect;
use crate::end;
use crate::handle::MongoSession;
use crate::link::Link;
use crate::place;
use crate::read::MongoReader;
use crate::server::Server;
use crate::session::LinkSession;
use crate::store::MongoStore;

const BACKEND: Backend = Backend::new("mongo");

/// A MongoDB database.
///
/// ```no_run
/// use admmgt_core::Migrator;
/// use admmgt_mongo::Mongo;
///
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// let report = Migrator::new(Mongo::connect("mongodb://app@localhost/shop?replicaSet=rs0")?).up().await?;
/// println!("{report}");
/// # Ok(()) }
/// ```
///
/// On a replica set or a sharded cluster a migration runs in a transaction with its record, where what it does can be in
/// one. A standalone server has no transactions: there each migration runs without one, and its plan says so.
///
/// The history is the collection `_admmgt_history`; `_admmgt_state` holds the lease, its newest token, how far the history goes, and
/// what there was before a step that is not done; `_admmgt_checkpoint` says how far backfills have come. Whoever makes a backup of one of them needs the
/// others too. Everything is written with the concern `majority` and to disk, also what
/// migrations write.
#[derive(Debug, Clone)]
pub struct Mongo {
    server: Arc<Server>,
}

impl Mongo {
    /// A database by its URL: `mongodb://user:password@one:27017,two:27017/shop?replicaSet=rs0`. Nothing connects yet.
    /// One client is made, with the first run and as long to wait for a server as that one has, and serves all runs of the same
    /// runtime.
    ///
    /// ```
    /// use admmgt_mongo::Mongo;
    ///
    /// let database = Mongo::connect("mongodb://app:secret@db.example.com/shop").unwrap();
    /// assert!(!format!("{database:?}").contains("secret"));
    /// ```
    ///
    /// # Errors
    /// Where it is no such URL, or names no database. The URL is not repeated: it may hold a password.
    pub fn connect(url: &str) -> Result<Self> {
        place::check(url)?;
        Ok(Self { server: Arc::new(Server::at(url, None)) })
    }

    /// A database of the server of a URL, whichever that names.
    #[cfg(feature = "testkit")]
    pub(crate) fn at(url: &str, database: &str) -> Self {
        Self { server: Arc::new(Server::at(url, Some(database))) }
    }

    /// A database of the application's own client. It must be allowed two connections at least (`maxPoolSize`): while a long
    /// statement has one, the lease is renewed with the other, and is lost where that cannot be.
    ///
    /// ```no_run
    /// use admmgt_core::Migrator;
    /// use admmgt_mongo::{Mongo, mongodb::Client};
    ///
    /// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = Client::with_uri_str("mongodb://localhost").await?;
    /// Migrator::new(Mongo::new(&client, "shop")).up().await?;
    /// # Ok(()) }
    /// ```
    pub fn new(client: &Client, database: &str) -> Self {
        Self { server: Arc::new(Server::of(client, database)) }
    }

    /// What the names of admmgt's own collections begin with: two sets of migrations that know nothing of each other can
    /// share a database. Default: `_admmgt`.
    ///
    /// # Errors
    /// Where it is not of letters, digits and `_`.
    pub fn prefix(self, prefix: impl Into<String>) -> Result<Self> {
        let prefix = prefix.into();
        place::check_prefix(&prefix)?;
        Ok(self.but(|server| server.prefix = prefix))
    }

    /// How long a process that does not renew its lease keeps it; it is renewed after a third of that. When a process dies,
    /// others wait for so long. Default: 30 s; at least 300 ms, at most a day.
    pub fn lease_ttl(self, ttl: Duration) -> Self {
        self.but(|server| server.ttl = ttl.clamp(Duration::from_millis(300), Duration::from_secs(86_400)))
    }

    fn but(mut self, change: impl FnOnce(&mut Server)) -> Self {
        change(Arc::make_mut(&mut self.server));
        self
    }
}

impl FromContext<Mongo> for MongoSession {
    const BACKEND: Option<Backend> = Some(BACKEND);

    fn from_context(cx: &mut Context) -> Result<&mut Self, Error> {
        let link: Option<&mut Link> = cx.connection().downcast_mut();
        Ok(link.ok_or_else(|| Error::wrong_backend("MongoSession"))?.lend())
    }
}

/// What cannot write, for probes.
impl FromContext<Mongo> for MongoReader {
    const BACKEND: Option<Backend> = Some(BACKEND);

    fn from_context(cx: &mut Context) -> Result<&mut Self, Error> {
        let link: Option<&mut Link> = cx.connection().downcast_mut();
        Ok(link.ok_or_else(|| Error::wrong_backend("MongoReader"))?.lend().reader())
    }
}

#[async_trait]
impl Driver for Mongo {
    fn backend(&self) -> Backend {
        BACKEND
    }

    fn dialect(&self) -> Arc<dyn Dialect> {
        Arc::new(MongoDialect)
    }

    fn store(&self) -> Arc<dyn StateStore> {
        Arc::new(MongoStore)
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let database = self.server.database(options).await?;
        Ok(Box::new(LinkSession(Link::open(Arc::clone(&self.server), database, options).await?)))
    }

    /// One query, and nothing is asked before it.
    async fn peek(&self, options: &SessionOptions, _: &[Namespace]) -> Result<Option<Head>> {
        end::peek(&self.server, &self.server.database(options).await?).await
    }

    async fn settled(&self) {
        self.server.settled().await;
    }
}
