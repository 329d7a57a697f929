//! [`Postgres`]: which database, and how it is connected to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use admmgt_core::{
    Access, Backend, Dialect, Driver, Error, Head, Namespace, Result, Session, SessionOptions, StateStore, async_trait,
};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use crate::PgDialect;
use crate::error::{self, Asked};
use crate::hygiene::Settings;
use crate::lease::LeaseMode;
use crate::place::{self, Schemas};
use crate::session::PgSession;
use crate::store::{self, Peeked, PgStore};

pub(crate) const BACKEND: Backend = Backend::new("postgres");

/// The first version whose `COMMIT AND CHAIN`, `REINDEX CONCURRENTLY` and progress views are there.
const OLDEST: u32 = 12;

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
/// of choice. What the roles need is said in [`Postgres::lease`]'s neighbours and, as SQL, in the README.
#[derive(Debug, Clone)]
pub struct Postgres {
    base: Arc<Base>,
}

/// What all sessions of a [`Postgres`] have in common.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) options: PgConnectOptions,
    /// For people.
    pub(crate) name: String,
    pub(crate) schemas: Schemas,
    pub(crate) lease: LeaseMode,
    /// The oldest major version that is accepted.
    oldest: u32,
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
        let options = PgConnectOptions::from_str(url).map_err(|error| Error::Usage {
            problem: format!(
                "that is not a URL of PostgreSQL ({}); write `postgres://user:password@host:5432/database`",
                without_url(&error, url)
            ),
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
        let name = place::name(&options);
        // What a pooler does not know it refuses; the server's own default is as exact.
        let options = options.extra_float_digits(None).disable_statement_logging();
        let base = Base { options, name, schemas: Schemas::default(), lease: LeaseMode::default(), oldest: OLDEST };
        Self { base: Arc::new(base) }
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
        Ok(self.but(|base| base.schemas.path = names))
    }

    /// Keeps the history in this schema, which is made where it is not there.
    ///
    /// # Errors
    /// Where that cannot be the name of a schema.
    pub fn history_schema(self, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        named(&name)?;
        Ok(self.but(|base| base.schemas.history = Some(name)))
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
        self.but(|base| base.lease = mode)
    }

    /// Refuses servers older than this major version before anything runs. Default, and least: 12.
    pub fn min_server_version(self, major: u32) -> Self {
        self.but(|base| base.oldest = major.max(OLDEST))
    }

    fn but(mut self, change: impl FnOnce(&mut Base)) -> Self {
        change(Arc::make_mut(&mut self.base));
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

impl fmt::Debug for Base {
    /// Without the options of `sqlx`, which show the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Base");
        shown.field("name", &self.name).field("schemas", &self.schemas).field("lease", &self.lease);
        shown.finish_non_exhaustive()
    }
}

impl Base {
    /// Whether the connection to the server is ours for a transaction only.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.lease, LeaseMode::Row { .. })
    }

    pub(crate) fn asked(&self, patience: Duration) -> Asked<'_> {
        Asked { what: &self.name, patience }
    }

    /// A connection of our own. A server that does not answer yet is asked again for a while.
    pub(crate) async fn connect(&self, options: &SessionOptions) -> Result<PgConnection> {
        const LONGEST: Duration = Duration::from_millis(500);
        let mut named = self.options.clone().application_name(&application(options));
        if self.is_shared() {
            // A statement prepared on one server connection is not there on the next.
            named = named.statement_cache_capacity(0);
        }
        let clock = Instant::now();
        let mut pause = Duration::from_millis(20);
        loop {
            let error = match named.connect().await {
                Ok(connection) => return self.young_enough(connection).await,
                Err(error) => error,
            };
            let left = options.connect_wait.checked_sub(clock.elapsed()).filter(|left| !left.is_zero());
            let Some(left) = left.filter(|_| error::is_worth_another_try(&error)) else {
                return Err(self.asked(options.lock_timeout).unconnected(&error));
            };
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0).min(left)).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    async fn young_enough(&self, connection: PgConnection) -> Result<PgConnection> {
        let version = connection.server_version_num().unwrap_or_default();
        if version == 0 || version / 10_000 >= self.oldest {
            return Ok(connection);
        }
        let problem = format!("it is of version {}, and {} or newer is needed", major(version), self.oldest);
        let _ = connection.close().await;
        Err(Error::Unreachable { what: self.name.clone(), problem })
    }

    async fn read_head(self: &Arc<Self>, options: &SessionOptions) -> Result<Option<Head>> {
        let mut connection = self.connect(options).await?;
        let settings = Settings::new(options, self.schemas.path_text(), true);
        let peeked = store::peek(&mut connection, &self.schemas, &settings).await;
        let head = match peeked {
            Ok(Peeked::Nothing) => Ok(None),
            Ok(Peeked::Head(head)) => Ok(Some(head)),
            Ok(Peeked::Strange) => {
                let mut session = PgSession::greet(Arc::clone(self), connection, options).await?;
                let head = PgStore.head(&mut session, &[]).await;
                Box::new(session).close().await;
                return head;
            }
            Err(error) => Err(self.asked(options.lock_timeout).failed("reading the heads", &error)),
        };
        let _ = connection.close().await;
        head
    }
}

/// `9.6`, `15`.
pub(crate) fn major(version: u32) -> String {
    match version / 10_000 {
        old @ ..10 => format!("{old}.{}", version / 100 % 100),
        major => major.to_string(),
    }
}

/// Who we are, for `pg_stat_activity`: `admmgt/<run> <who>@<host>`. The server keeps 63 bytes of it.
fn application(options: &SessionOptions) -> String {
    let author = &options.author;
    let name = format!("admmgt/{} {}@{}", author.run, author.by, author.host);
    name.chars().filter(|character| !character.is_control()).collect()
}

#[async_trait]
impl Driver for Postgres {
    fn backend(&self) -> Backend {
        BACKEND
    }

    fn dialect(&self) -> Arc<dyn Dialect> {
        Arc::new(match self.base.schemas.path.first() {
            Some(schema) => PgDialect::in_schema(schema),
            None => PgDialect::default(),
        })
    }

    fn store(&self) -> Arc<dyn StateStore> {
        Arc::new(PgStore)
    }

    async fn open(&self, options: &SessionOptions) -> Result<Box<dyn Session>> {
        let connection = self.base.connect(options).await?;
        Ok(Box::new(PgSession::greet(Arc::clone(&self.base), connection, options).await?))
    }

    async fn peek(&self, options: &SessionOptions, _: &[Namespace]) -> Result<Option<Head>> {
        let mut options = options.clone();
        options.access = Access::Read;
        self.base.read_head(&options).await
    }
}
