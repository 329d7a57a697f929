//! The connection of a run, and what is known of it: what every other part works with.

use std::sync::Arc;

use admmgt_core::{Error, Result, Session, SessionOptions};
use sqlx::{Connection, PgConnection};

use crate::depth;
use crate::error::{self, Answer, code};
use crate::facts::Facts;
use crate::hygiene::Settings;
use crate::quote;
use crate::server::Server;
use crate::wire;

/// The savepoint between the transaction and the body. Nobody can know its name.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) savepoint: String,
}

impl Guard {
    pub(crate) fn new() -> Self {
        Self { savepoint: format!("admmgt_{:016x}", fastrand::u64(..)) }
    }
}

/// One connection, its settings, and what is open on it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: PgConnection,
    pub(crate) server: Arc<Server>,
    pub(crate) options: SessionOptions,
    pub(crate) facts: Facts,
    pub(crate) settings: Settings,
    /// The settings are those of the connection: it is known to be ours alone.
    pub(crate) settled: bool,
    /// The guard of the transaction of ours that is open.
    pub(crate) guard: Option<Guard>,
    /// The guard of the next one, which the message that committed the last has begun already.
    pub(crate) next: Option<Guard>,
    /// The key of the advisory lock that is our lease.
    pub(crate) locked: Option<u32>,
    /// Our tables are there, with all their columns.
    pub(crate) is_prepared: bool,
    /// A transaction is open that the statements of a file began by themselves.
    pub(crate) own: bool,
    /// Statements ran, or code had the connection, outside of a transaction of ours.
    pub(crate) outside: bool,
    /// An earlier body may have left something that lives as long as the connection.
    pub(crate) littered: bool,
    /// This one may.
    pub(crate) littering: bool,
    /// The last record that was seen or written.
    pub(crate) seen: Option<u64>,
}

impl Link {
    /// The link of a session, for the parts that are called with one.
    pub(crate) fn of(session: &mut dyn Session) -> Result<&mut Self> {
        session.connection().downcast_mut().ok_or_else(|| Error::wrong_backend("sqlx::PgConnection"))
    }

    /// Asks a new connection where it is, in one round trip. Nothing is set on it: it may be shared with others.
    pub(crate) async fn greet(
        server: Arc<Server>,
        mut connection: PgConnection,
        options: &SessionOptions,
    ) -> Result<Self> {
        let settings = Settings::new(options, &server);
        // The search path decides where the history is.
        let sql = format!("{}{}", settings.for_now(), Facts::query(&server.schemas));
        let greeted = wire::row(&mut connection, sql).await;
        let greeted =
            greeted.map_err(|error| server.asked(options.lock_timeout).failed("setting up the connection", &error))?;
        let facts = Facts::of(connection.server_version_num().unwrap_or_default(), greeted.unwrap_or_default());
        Ok(Self {
            connection,
            server,
            options: options.clone(),
            facts,
            settings,
            settled: false,
            guard: None,
            next: None,
            locked: None,
            is_prepared: false,
            own: false,
            outside: false,
            littered: false,
            littering: false,
            seen: None,
        })
    }

    /// Makes the settings those of the connection, which is known to be ours alone by now.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        if !self.settled {
            let sql = self.settings.for_good(&self.facts);
            self.run("setting up the connection", sql).await?;
            self.settled = true;
        }
        Ok(())
    }

    /// The connection, for a body.
    pub(crate) fn lend(&mut self) -> &mut PgConnection {
        self.littering = true;
        self.outside |= self.guard.is_none();
        self.wire()
    }

    /// The connection, for what is not in a transaction of ours, unless one is open: the next one is not begun yet.
    pub(crate) fn wire(&mut self) -> &mut PgConnection {
        if self.guard.is_none() && self.next.take().is_some() {
            depth::leave(&mut self.connection);
        }
        &mut self.connection
    }

    /// Whether any transaction is open that we know of.
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.own || self.guard.is_some() || (self.next.is_none() && depth::depth(&self.connection) > 0)
    }

    /// The schema of the history, if there can be one.
    pub(crate) fn schema(&self) -> Option<&str> {
        self.facts.schema.as_deref()
    }

    /// A table of ours by its full name: whatever a body sets, it is the same.
    pub(crate) fn table(&self, table: &str) -> Result<String> {
        let schema = self.schema().ok_or_else(|| Error::Usage {
            problem: "no schema of the `search_path` exists, so there is none for the history; choose one with \
                      `Postgres::schema` or `Postgres::history_schema`"
                .to_owned(),
        })?;
        Ok(format!("{}.{table}", quote::name(schema)))
    }

    /// The error of an answer to SQL of ours.
    pub(crate) fn failed(&self, action: &str, error: &sqlx::Error) -> Error {
        self.server.asked(self.options.lock_timeout).failed(action, error)
    }

    /// The error of an answer to a statement of a body.
    pub(crate) fn refused(&self, statement: &str, error: &sqlx::Error) -> Error {
        if error::is_lost(error) {
            return self.server.asked(self.options.lock_timeout).lost(error);
        }
        let answer = Answer::within(error, statement);
        Error::database("running a statement", answer.code().map(str::to_owned), answer)
    }

    /// Runs SQL of ours.
    pub(crate) async fn run(&mut self, action: &str, sql: String) -> Result<()> {
        match wire::run(self.wire(), sql).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(action, &error)),
        }
    }

    /// The rows of a query of ours, under our settings, whoever else has the connection afterwards.
    pub(crate) async fn rows(&mut self, action: &str, sql: String) -> Result<Vec<Vec<Option<String>>>> {
        let sql = if self.settled || self.is_in_transaction() { sql } else { self.settings.for_now() + &sql };
        match wire::rows(self.wire(), sql).await {
            Ok(rows) => Ok(rows),
            Err(error) => Err(self.failed(action, &error)),
        }
    }

    /// The first row of a query of ours.
    pub(crate) async fn row(&mut self, action: &str, sql: String) -> Result<Option<Vec<Option<String>>>> {
        Ok(self.rows(action, sql).await?.into_iter().next())
    }

    /// The last record that is known to be there.
    pub(crate) fn saw(&mut self, seq: u64) {
        self.seen = Some(seq);
    }

    /// Ends whatever is open; what the server says to it does not matter.
    pub(crate) async fn give_up(&mut self) {
        self.next = None;
        while depth::depth(&self.connection) > 0 {
            depth::leave(&mut self.connection);
            let _ = self.connection.ping().await;
        }
        let _ = wire::run(&mut self.connection, "rollback".to_owned()).await;
        self.own = false;
    }

    /// Whether a transaction is open that nobody told us of.
    pub(crate) async fn is_open(&mut self) -> Result<bool> {
        if depth::depth(self.wire()) > 0 {
            return Ok(true);
        }
        // In a transaction that this statement began, it is as old as the statement.
        match wire::row(&mut self.connection, "select now() <> statement_timestamp()".to_owned()).await {
            Ok(row) => Ok(row.is_some_and(|row| row[0].as_deref() == Some("t"))),
            Err(error) if code(&error) == "25P02" => Ok(true),
            Err(error) => Err(self.failed("cleaning up after a migration", &error)),
        }
    }
}
