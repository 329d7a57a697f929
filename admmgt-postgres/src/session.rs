//! One connection for one run, as the engine uses it.

use std::any::Any;

use admmgt_core::transactions::Verb;
use admmgt_core::{
    Access, Atomicity, Batch, Batches, BoxError, Capabilities, Error, MakeBatch, Origin, Outcome, Recorded, Result,
    Rows, Session, Statement, async_trait,
};
use sqlx::Connection;

use crate::error;
use crate::hygiene::{ALL_LITTER, AS_OURSELVES};
use crate::link::Link;
use crate::records;
use crate::rows::PgRows;
use crate::server::major;
use crate::transaction::{self, beginning};
use crate::{depth, dialect, index, wire};

/// A link, and what the server can do.
#[derive(Debug)]
pub(crate) struct PgSession {
    link: Link,
    capabilities: Capabilities,
}

const NO_PATH: &str = "behind a pooler nothing tells such a statement where names are looked for, and the `search_path` was \
                       chosen (`Postgres::schema`); connect to the server itself for it, with `LeaseMode::Session`";

impl PgSession {
    pub(crate) fn new(link: Link) -> Self {
        let mut capabilities = Capabilities::new(format!("PostgreSQL {}", major(link.facts.version))).transactions();
        if link.settings.shared {
            capabilities = capabilities.fencing();
            if !link.server.schemas.path.is_empty() {
                capabilities = capabilities.only_in_transactions(NO_PATH);
            }
        }
        Self { link, capabilities }
    }

    /// Runs one statement of a body.
    async fn run(&mut self, statement: &Statement) -> Result<Outcome> {
        dialect::only_one(&statement.text)?;
        let link = &mut self.link;
        link.littering |= dialect::leaves_something(&statement.text);
        match dialect::index_statement(&statement.text) {
            Some(about) => index::execute(link, statement, about).await,
            None => match wire::statement(link.wire(), &statement.text).await {
                Ok(rows) => Ok(Outcome::rows(rows)),
                Err(error) => Err(link.refused(&statement.text, &error)),
            },
        }
    }

    /// Refuses what would reach other clients of a pooler.
    fn check_alone(&self, statement: &Statement) -> Result<()> {
        let link = &self.link;
        if link.settings.shared && link.guard.is_none() && !link.own && dialect::is_of_session(&statement.text) {
            let words = "behind a pooler what is set outside of a transaction is set for somebody else; leave it out, or \
                         connect to the server itself";
            return Err(Error::database("running a statement", None, words));
        }
        Ok(())
    }

    /// A statement and its records in one transaction; `None` where it turns out that it cannot be in one.
    async fn together(
        &mut self,
        statement: &Statement,
        batch: &mut MakeBatch<'_>,
    ) -> Result<Option<(Outcome, Recorded)>> {
        let beginning = beginning(&self.link);
        if let Err(error) = depth::begin(self.link.wire(), beginning).await {
            let failed = self.link.failed("beginning a transaction", &error);
            self.link.give_up().await;
            return Err(failed);
        }
        let done = self.within(statement, batch).await;
        // It belongs to the transaction that the last message has begun, or to the one that failed.
        depth::leave(&mut self.link.connection);
        match done {
            Ok(outcome) => Ok(Some((outcome, Recorded::Together))),
            Err(error) => {
                // Its answer does not matter: what is open ends with it, or with the connection.
                let _ = self.link.connection.ping().await;
                match error {
                    // Some can only be known by trying: `reindex table` of a partitioned one.
                    Error::Database { code: Some(code), .. } if code == "25001" => Ok(None),
                    error => Err(error),
                }
            }
        }
    }

    async fn within(&mut self, statement: &Statement, batch: &mut MakeBatch<'_>) -> Result<Outcome> {
        let outcome = self.run(statement).await?;
        let batch = batch()?;
        let litter = if self.link.settings.shared && self.link.littering { ALL_LITTER } else { "" };
        let sql = format!("{AS_OURSELVES}; {}; {litter}; commit; begin", records::writing(&self.link, &batch)?);
        self.link.run("committing", sql).await?;
        records::wrote(&mut self.link, &batch);
        Ok(outcome)
    }

    /// The statement that ends a transaction of the file's own, with the records of everything in it.
    async fn end_own(&mut self, statement: &Statement, batch: &mut MakeBatch<'_>) -> Result<(Outcome, Recorded)> {
        let batch = batch()?;
        let sql = format!("{AS_OURSELVES}; {}", records::writing(&self.link, &batch)?);
        self.link.run("writing the history", sql).await?;
        let outcome = self.run(statement).await?;
        self.link.own = dialect::chains(&statement.text);
        records::wrote(&mut self.link, &batch);
        Ok((outcome, Recorded::Together))
    }
}

#[async_trait]
impl Session for PgSession {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn serves(&self, _: Access) -> bool {
        self.link.options.access != Access::Read
    }

    async fn begin(&mut self, origin: Origin) -> Result<()> {
        transaction::begin(&mut self.link, origin).await
    }

    fn batches(&self, rows: &Rows) -> Result<Box<dyn Batches>> {
        Ok(Box::new(PgRows(rows.clone())))
    }

    async fn between_bodies(&mut self) -> Result<()> {
        transaction::between_bodies(&mut self.link).await
    }

    async fn commit(&mut self, batch: &Batch) -> Result<Atomicity> {
        transaction::commit(&mut self.link, batch).await
    }

    async fn rollback(&mut self) -> Result<Atomicity> {
        transaction::rollback(&mut self.link).await
    }

    async fn execute(&mut self, statement: &Statement) -> Result<Outcome> {
        self.check_alone(statement)?;
        self.link.outside |= self.link.guard.is_none();
        self.run(statement).await
    }

    async fn execute_recorded(
        &mut self,
        statement: &Statement,
        batch: &mut MakeBatch<'_>,
    ) -> Result<(Outcome, Recorded)> {
        self.check_alone(statement)?;
        self.link.outside = true;
        let verb = dialect::verb(&statement.text);
        if !self.link.own
            && dialect::runs_anywhere(&statement.text)
            && let Some(done) = self.together(statement, batch).await?
        {
            return Ok(done);
        }
        if self.link.own && matches!(verb, Verb::Commit) {
            return self.end_own(statement, batch).await;
        }
        let outcome = self.run(statement).await?;
        match verb {
            Verb::Begin => self.link.own = true,
            Verb::Rollback | Verb::Commit => self.link.own = dialect::chains(&statement.text),
            _ => {}
        }
        Ok((outcome, if self.link.own { Recorded::Open } else { Recorded::NotYet }))
    }

    async fn resuming(&mut self, statement: &Statement, may_have_ended: bool) -> Result<bool> {
        match dialect::index_statement(&statement.text) {
            Some(about) => index::resuming(&mut self.link, about, may_have_ended).await,
            None => Ok(false),
        }
    }

    fn in_transaction(&self) -> bool {
        self.link.own
    }

    fn describe(&self, error: &BoxError) -> String {
        error::describe(error)
    }

    fn explain(&self, error: &BoxError) -> String {
        error::explain(error)
    }

    fn may_be_shown(&self, error: &BoxError) -> bool {
        !error::is_the_clients(error)
    }

    fn is_transient(&self, error: &BoxError) -> bool {
        error::is_transient(error)
    }

    async fn reset(&mut self) -> Result<()> {
        let link = &mut self.link;
        if !std::mem::take(&mut link.outside) {
            // Settings and role were put back with the commit.
            return Ok(());
        }
        link.littered |= std::mem::take(&mut link.littering);
        if link.own || link.is_open().await? {
            link.give_up().await;
            let words = "a migration left a transaction open; commit it in the body that began it";
            return Err(Error::database("cleaning up after a migration", None, words));
        }
        let sql = link.settings.restoring(&link.facts);
        link.run("cleaning up after a migration", sql).await
    }

    /// The link: our own parts and a body's argument are found in it.
    fn connection(&mut self) -> &mut (dyn Any + Send) {
        &mut self.link
    }

    async fn close(self: Box<Self>) {
        wire::say_goodbye(self.link.connection).await;
    }
}
