//! One connection for one run.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use admmgt_core::transactions::Verb;
use admmgt_core::{
    Access, Atomicity, Backend, Batch, BoxError, Capabilities, Context, Error, FromContext, MakeBatch, Origin, Outcome,
    Recorded, Result, Session, SessionOptions, Statement, async_trait,
};
use sqlx::{Connection, PgConnection};

use crate::Postgres;
use crate::driver::{BACKEND, Base, major};
use crate::error::{self, Answer, code};
use crate::facts::Facts;
use crate::hygiene::{AS_OURSELVES, Settings};
use crate::index;
use crate::quote;
use crate::store;
use crate::transaction::Guard;
use crate::wire;
use crate::{depth, dialect};

/// How long the end of a connection is waited for.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection, its guard, and what has to be put back after each body.
#[derive(Debug)]
pub(crate) struct PgSession {
    pub(crate) connection: PgConnection,
    pub(crate) base: Arc<Base>,
    pub(crate) options: SessionOptions,
    pub(crate) facts: Facts,
    pub(crate) settings: Settings,
    capabilities: Capabilities,
    /// The guard of the transaction of ours that is open.
    pub(crate) guard: Option<Guard>,
    /// The guard of the next one, which the message that committed the last has begun already.
    pub(crate) next: Option<Guard>,
    /// The key of the advisory lock that is our lease.
    pub(crate) locked: Option<u32>,
    /// Our tables are there, with all their columns.
    pub(crate) is_prepared: bool,
    /// It was found out whether a pooler stands between us and the server.
    pub(crate) is_probed: bool,
    /// A transaction is open that the statements of a file began by themselves.
    own: bool,
    /// Statements ran, or code had the connection, outside of a transaction of ours.
    outside: bool,
    /// A body may have left something that lives as long as the connection.
    pub(crate) littered: bool,
    /// The last record that this session has seen or written.
    pub(crate) seen: Option<u64>,
}

impl FromContext<Postgres> for PgConnection {
    const BACKEND: Option<Backend> = Some(BACKEND);

    fn from_context(cx: &mut Context) -> Result<&mut Self, Error> {
        let session: Option<&mut PgSession> = cx.connection().downcast_mut();
        session.map(PgSession::lend).ok_or_else(|| Error::wrong_backend("sqlx::PgConnection"))
    }
}

impl PgSession {
    /// The session of a store's call.
    pub(crate) fn of(session: &mut dyn Session) -> Result<&mut Self> {
        session.connection().downcast_mut().ok_or_else(|| Error::wrong_backend("sqlx::PgConnection"))
    }

    /// Asks a new connection where it is, and sets it up, in one round trip.
    pub(crate) async fn greet(base: Arc<Base>, mut connection: PgConnection, options: &SessionOptions) -> Result<Self> {
        let settings = Settings::new(options, base.schemas.path_text(), base.is_shared());
        let version = connection.server_version_num().unwrap_or_default();
        // The search path decides where the history is.
        let mut sql = Facts::query(&base.schemas);
        if !settings.shared {
            sql = format!("{}; {sql}", settings.greeting(version));
        }
        if !settings.shared && options.access == Access::Read {
            sql.push_str("; set default_transaction_read_only = on");
        }
        let greeted = wire::rows(&mut connection, sql).await;
        let greeted =
            greeted.map_err(|error| base.asked(options.lock_timeout).failed("setting up the connection", &error))?;
        let row = greeted.into_iter().find(|row| row.len() == Facts::COLUMNS);
        let facts = Facts::of(version, row.unwrap_or_default());
        let mut capabilities = Capabilities::new(format!("PostgreSQL {}", major(version))).transactions();
        if base.is_shared() {
            capabilities = capabilities.fencing();
        }
        Ok(Self {
            connection,
            base,
            options: options.clone(),
            facts,
            settings,
            capabilities,
            guard: None,
            next: None,
            locked: None,
            is_prepared: false,
            is_probed: false,
            own: false,
            outside: false,
            littered: false,
            seen: None,
        })
    }

    /// The connection, for a body.
    fn lend(&mut self) -> &mut PgConnection {
        self.littered = true;
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

    /// The schema of the history, where it has to be made first.
    pub(crate) async fn unmade_schema(&mut self) -> Result<Option<String>> {
        let Some(schema) = self.base.schemas.history.clone() else { return Ok(None) };
        let query = format!("select 1 from pg_catalog.pg_namespace where nspname = {}", quote::text(&schema));
        let there = self.row("reading the schema", query).await?;
        Ok(there.is_none().then_some(schema))
    }

    /// The error of an answer to SQL of ours.
    pub(crate) fn failed(&self, action: &str, error: &sqlx::Error) -> Error {
        self.base.asked(self.options.lock_timeout).failed(action, error)
    }

    /// Runs SQL of ours.
    pub(crate) async fn run(&mut self, action: &str, sql: String) -> Result<()> {
        match wire::run(self.wire(), sql).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(action, &error)),
        }
    }

    /// The rows of a query of ours.
    pub(crate) async fn rows(&mut self, action: &str, sql: String) -> Result<Vec<Vec<Option<String>>>> {
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

    /// Records were written.
    pub(crate) fn wrote(&mut self, batch: &Batch) {
        self.seen = batch.records.last().map(|record| record.seq).or(self.seen);
    }

    /// The records of a batch as SQL, and the proof that the lease is ours before them.
    pub(crate) fn writing(&self, batch: &Batch) -> Result<String> {
        store::writing(self, batch)
    }

    /// Runs one statement of a body.
    async fn statement(&mut self, statement: &Statement) -> Result<Outcome> {
        self.littered |= dialect::leaves_something(&statement.text);
        match wire::statement(self.wire(), &statement.text).await {
            Ok(rows) => Ok(Outcome::rows(rows)),
            Err(error) => Err(self.refused(&statement.text, &error)),
        }
    }

    /// The error of an answer to a statement of a body.
    pub(crate) fn refused(&self, statement: &str, error: &sqlx::Error) -> Error {
        if error::is_lost(error) {
            return self.base.asked(self.options.lock_timeout).lost(error);
        }
        let answer = Answer::within(error, statement);
        Error::database("running a statement", answer.code().map(str::to_owned), answer)
    }

    /// A statement and its records in one transaction.
    async fn together(&mut self, statement: &Statement, batch: &mut MakeBatch<'_>) -> Result<(Outcome, Recorded)> {
        let beginning = self.beginning();
        if let Err(error) = depth::begin(self.wire(), beginning).await {
            self.give_up().await;
            return Err(self.failed("beginning a transaction", &error));
        }
        let done = self.within(statement, batch).await;
        // It belongs to the transaction that the last message has begun, or to the one that failed.
        depth::leave(&mut self.connection);
        if done.is_err() {
            // Its answer does not matter: what is open ends with it, or with the connection.
            let _ = self.connection.ping().await;
        }
        Ok((done?, Recorded::Together))
    }

    async fn within(&mut self, statement: &Statement, batch: &mut MakeBatch<'_>) -> Result<Outcome> {
        let outcome = self.statement(statement).await?;
        let batch = batch()?;
        let sql = format!("{AS_OURSELVES}; {}; commit; begin", self.writing(&batch)?);
        self.run("committing", sql).await?;
        self.wrote(&batch);
        Ok(outcome)
    }

    /// What a transaction of ours begins with.
    pub(crate) fn beginning(&self) -> String {
        if self.settings.shared {
            // The assertion of the lease reads what the heartbeat writes.
            return format!("begin isolation level read committed{}", self.settings.locally(&self.facts));
        }
        "begin".to_owned()
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
    async fn is_open(&mut self) -> Result<bool> {
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

#[async_trait]
impl Session for PgSession {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn serves(&self, _: Access) -> bool {
        self.options.access != Access::Read
    }

    async fn begin(&mut self, origin: Origin) -> Result<()> {
        self.begin_guarded(origin).await
    }

    async fn commit(&mut self, batch: &Batch) -> Result<Atomicity> {
        self.commit_guarded(batch).await
    }

    async fn rollback(&mut self) -> Result<Atomicity> {
        self.rollback_guarded().await
    }

    async fn execute(&mut self, statement: &Statement) -> Result<Outcome> {
        dialect::only_one(&statement.text)?;
        if self.guard.is_none() {
            self.outside = true;
        }
        match dialect::index_statement(&statement.text) {
            Some(about) => index::execute(self, statement, about).await,
            None => self.statement(statement).await,
        }
    }

    async fn execute_recorded(
        &mut self,
        statement: &Statement,
        batch: &mut MakeBatch<'_>,
    ) -> Result<(Outcome, Recorded)> {
        self.outside = true;
        let verb = dialect::verb(&statement.text);
        if !self.own && dialect::runs_anywhere(&statement.text) {
            return self.together(statement, batch).await;
        }
        if self.own && matches!(verb, Verb::Commit) {
            // The transaction is the file's own, and this statement ends it.
            let batch = batch()?;
            let sql = format!("{AS_OURSELVES}; {}", self.writing(&batch)?);
            self.run("writing the history", sql).await?;
            let outcome = self.execute(statement).await?;
            self.own = dialect::chains(&statement.text);
            self.wrote(&batch);
            return Ok((outcome, Recorded::Together));
        }
        let outcome = self.execute(statement).await?;
        match verb {
            Verb::Begin => self.own = true,
            Verb::Rollback | Verb::Commit => self.own = dialect::chains(&statement.text),
            _ => {}
        }
        Ok((outcome, if self.own { Recorded::Open } else { Recorded::NotYet }))
    }

    async fn resuming(&mut self, statement: &Statement) -> Result<bool> {
        match dialect::index_statement(&statement.text) {
            Some(about) => index::resuming(self, about).await,
            None => Ok(false),
        }
    }

    fn in_transaction(&self) -> bool {
        self.own
    }

    fn describe(&self, error: &BoxError) -> String {
        error::describe(error)
    }

    fn is_transient(&self, error: &BoxError) -> bool {
        error::is_transient(error)
    }

    async fn reset(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.outside) {
            // Settings and role were put back with the commit.
            return Ok(());
        }
        if self.own || self.is_open().await? {
            self.give_up().await;
            let words = "a migration left a transaction open; commit it in the body that began it";
            return Err(Error::database("cleaning up after a migration", None, words));
        }
        let sql = self.settings.restoring(&self.facts);
        self.run("cleaning up after a migration", sql).await
    }

    fn connection(&mut self) -> &mut (dyn Any + Send) {
        self
    }

    async fn close(self: Box<Self>) {
        // The server need not be waited for longer.
        let _ = tokio::time::timeout(FAREWELL, self.connection.close()).await;
    }
}
