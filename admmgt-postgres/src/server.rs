//! A server, and how it is connected to.

use std::fmt;
use std::time::{Duration, Instant};

use admmgt_core::{Error, Result, SessionOptions};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

use crate::error::{self, Asked};
use crate::lease_mode::LeaseMode;
use crate::place::{self, Schemas};
use crate::wire;

/// The first version with `REINDEX CONCURRENTLY`, and with a view of the indexes that are being built.
pub(crate) const OLDEST: u32 = 12;

/// What all connections of a [`Postgres`](crate::Postgres) have in common.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) options: PgConnectOptions,
    /// For people.
    pub(crate) name: String,
    pub(crate) schemas: Schemas,
    pub(crate) lease: LeaseMode,
    /// The oldest major version that is accepted.
    pub(crate) oldest: u32,
}

impl fmt::Debug for Server {
    /// Without the options of `sqlx`, which show the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Server");
        shown.field("name", &self.name).field("schemas", &self.schemas).field("lease", &self.lease);
        shown.finish_non_exhaustive()
    }
}

impl Server {
    pub(crate) fn new(options: PgConnectOptions) -> Self {
        let name = place::name(&options);
        // What a pooler does not know it refuses; the server's own default is as exact.
        let options = options.extra_float_digits(None).disable_statement_logging();
        Self { options, name, schemas: Schemas::default(), lease: LeaseMode::default(), oldest: OLDEST }
    }

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
        wire::say_goodbye(connection).await;
        Err(Error::Unreachable { what: self.name.clone(), problem })
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
