//! [`Postgres`]: which database, and how it is connected to.

use std::str::FromStr;
use std::sync::Arc;

use admmgt_core::{
    Access, Backend, Context, Dialect, Driver, Error, FromContext, Head, Namespace, Result, Session, SessionOptions,
    StateStore, async_trait,
};
use sqlx::postgres::PgConnectOptions;
use sqlx::{PgConnection, PgPool};

use crate::hygiene::Settings;
use crate::lease_mode::LeaseMode;
use crate::link::Link;
use crate::place;
use crate::server::{OLDEST, Server};
use crate::session::PgSession;
use crate::store::{self, Peeked, PgStore};
use crate::{PgDialect, wire};

const BACKEND: Backend = Backend::new("postgres");

const FORM: &str = "`postgres://user:password@host:5432/database`";

/// A PostgreSQL database.
///
/// ```no_run
/// use admmgt_core::Migrator;
/// use admmgt_postgres::Postgres;
///
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// let report = Migrator::new(Postgres::connect("postgres://app@localhost/shop")?).up().await?;
/// println!("{report}");
/// # Ok(()) }
/// ```
///
/// Every run has a connection of its own, also where a pool is given: a lock that belongs to a connection must not
/// come back to a pool. The lease is an advisory lock of that connection, polled and never waited for; it is gone
/// with the connection, however the process ends. Behind a pooler that shares connections between transactions,
/// such as PgBouncer, that is found out and refused; [`Postgres::lease`] has the other mode.
///
/// The history is the table `_admmgt_history`, in the schema where a table without a schema would be made, or in one
/// of choice. What the role that migrates and the application's need is in the file `grants.sql` of this crate.
#[derive(Debug, Clone)]
pub struct Postgres {
    server: Arc<Server>,
}

impl Postgres {
    /// A database by its URL: `postgres://user:password@host:5432/database?sslmode=require`. Nothing connects yet.
    ///
    /// ```
    /// use admmgt_postgres::Postgres;
    ///
    /// let database = Postgres::connect("postgres://app:secret@db.example.com/shop").unwrap();
    /// assert!(!format!("{database:?}").contains("secret"));
    /// ```
    ///
    /// # Errors
    /// Where it is no such URL. The URL is not repeated: it may hold a password.
    pub fn connect(url: &str) -> Result<Self> {
        // `sqlx` takes any scheme for its own.
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(Error::Usage { problem: format!("that is not a URL of PostgreSQL; write {FORM}") });
        }
        let options = PgConnectOptions::from_str(url).map_err(|error| Error::Usage {
            problem: format!("that is not a URL of PostgreSQL ({}); write {FORM}", without_url(&error, url)),
        })?;
        Ok(Self::with(options))
    }

    /// The database of a pool. Its connections are not used: each run opens one as the pool would.
    ///
    /// ```no_run
    /// use admmgt_core::Migrator;
    /// use admmgt_postgres::{Postgres, sqlx::PgPool};
    ///
    /// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = PgPool::connect("postgres://app@localhost/shop").await?;
    /// Migrator::new(Postgres::new(&pool)).up().await?;
    /// # Ok(()) }
    /// ```
    pub fn new(pool: &PgPool) -> Self {
        Self::with((*pool.connect_options()).clone())
    }

    /// A database by the options of `sqlx`.
    ///
    /// ```
    /// use admmgt_postgres::{Postgres, sqlx::postgres::PgConnectOptions};
    ///
    /// let options = PgConnectOptions::new_without_pgpass().host("db.example.com").username("app").database("shop");
    /// let database = Postgres::with(options);
    /// ```
    pub fn with(options: PgConnectOptions) -> Self {
        Self { server: Arc::new(Server::new(options)) }
    }

    /// Migrates one schema: names without a schema are looked for and made in it, and the history is in it. It is made
    /// where it is not there. The same set can run in many schemas of one database, at the same time.
    ///
    /// ```
    /// use admmgt_postgres::Postgres;
    ///
    /// # fn main() -> Result<(), admmgt_core::Error> {
    /// let server = Postgres::connect("postgres://app@localhost/shop")?;
    /// let tenants = [server.clone().schema("tenant_1")?, server.schema("tenant_2")?];
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Where that cannot be the name of a schema.
    pub fn schema(self, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        self.search_path([name.clone()])?.history_schema(name)
    }

    /// Where names without a schema are looked for, instead of what the role or the database has set; new objects are
    /// made in the first.
    ///
    /// # Errors
    /// Where one of them cannot be the name of a schema.
    pub fn search_path<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        names.iter().try_for_each(|name| named(name))?;
        Ok(self.but(|server| server.schemas.path = names))
    }

    /// Keeps the history in this schema, which is made where it is not there.
    ///
    /// # Errors
    /// Where that cannot be the name of a schema.
    pub fn history_schema(self, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        named(&name)?;
        Ok(self.but(|server| server.schemas.history = Some(name)))
    }

    /// How one migrator at a time is kept to. Default: [`LeaseMode::Session`].
    ///
    /// ```
    /// use admmgt_postgres::{LeaseMode, Postgres};
    ///
    /// # fn main() -> Result<(), admmgt_core::Error> {
    /// // Through PgBouncer in transaction mode.
    /// let database = Postgres::connect("postgres://app@pooler:6432/shop")?.lease(LeaseMode::row());
    /// # Ok(()) }
    /// ```
    pub fn lease(self, mode: LeaseMode) -> Self {
        self.but(|server| server.lease = mode)
    }

    /// Refuses servers older than this major version before anything runs. Default, and least: 12.
    pub fn min_server_version(self, major: u32) -> Self {
        self.but(|server| server.oldest = major.max(OLDEST))
    }

    fn but(mut self, change: impl FnOnce(&mut Server)) -> Self {
        change(Arc::make_mut(&mut self.server));
        self
    }
}

fn named(name: &str) -> Result<()> {
    place::check_name(name).map_err(|problem| Error::Usage { problem })
}

/// What is wrong with a URL, unless its words repeat a part of it.
fn without_url(error: &sqlx::Error, url: &str) -> String {
    let words = error.to_string();
    let secret = url.split_once("://").map_or(url, |(_, rest)| rest);
    if secret.len() > 3 && words.contains(secret) { "it cannot be read".to_owned() } else { words }
}

impl Postgres {
    /// The heads, by a connection that is made for this one question.
    async fn read_heads(&self, options: &SessionOptions) -> Result<Option<Head>> {
        let mut connection = self.server.connect(options).await?;
        let settings = Settings::new(options, &self.server);
        let peeked = store::peek(&mut connection, &self.server.schemas, &settings).await;
        let heads = match peeked {
            Ok(Peeked::Nothing) => Ok(None),
            Ok(Peeked::Head(head)) => Ok(Some(head)),
            Ok(Peeked::Strange) => {
                let mut session = self.session(connection, options).await?;
                let head = PgStore.head(&mut session, &[]).await;
                Box::new(session).close().await;
                return head;
            }
            Err(error) => Err(self.server.asked(options.lock_timeout).failed("reading the heads", &error)),
        };
        wire::say_goodbye(connection).await;
        heads
    }

    async fn session(&self, connection: PgConnection, options: &SessionOptions) -> Result<PgSession> {
        Ok(PgSession::new(Link::greet(Arc::clone(&self.server), connection, options).await?))
    }
}

impl FromContext<Postgres> for PgConnection {
    const BACKEND: Option<Backend> = Some(BACKEND);

    fn from_context(cx: &mut Context) -> Result<&mut Self, Error> {
        let link: Option<&mut Link> = cx.connection().downcast_mut();
        link.map(Link::lend).ok_or_else(|| Error::wrong_backend("sqlx::PgConnection"))
    }
}

#[async_trait]
impl Driver for Postgres {
    fn backend(&self) -> Backend {
        BACKEND
    }

    fn dialect(&self) -> Arc<dyn Dialect> {
        Arc::new(match self.server.schemas.path.first() {
            Some(schema) => PgDialect::in_schema(schema),
            None => PgDialect::default(),
        })
    }

    fn store(&self) -> Arc<dyn StateStore> {
        Arc::new(PgStore)
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let connection = self.server.connect(options).await?;
        Ok(Box::new(self.session(connection, options).await?))
    }

    async fn peek(&self, options: &SessionOptions, _: &[Namespace]) -> Result<Option<Head>> {
        let mut options = options.clone();
        options.access = Access::Read;
        self.read_heads(&options).await
    }
}
