//! One session for one run, as the engine uses it.

use std::any::Any;

use admmgt_core::{
    Access, Atomicity, Batch, BoxError, Capabilities, Error, MakeBatch, MigrationId, Origin, Outcome, Recorded, Result,
    Session, Statement, async_trait,
};

use crate::append;
use crate::dialect::{self, Said};
use crate::error;
use crate::history;
use crate::link::Link;
use crate::perform;

/// The link of a run.
#[derive(Debug)]
pub(crate) struct LinkSession(pub(crate) Link);

impl LinkSession {
    /// Runs a statement; `recorded` where it will have a record of its own.
    async fn run(&mut self, statement: &Statement, recorded: bool) -> Result<Outcome> {
        let refused = |problem| Error::Script { problems: vec![problem] };
        if recorded {
            self.0.stepped = self.0.entered.clone();
        }
        let said = dialect::read(statement).map_err(refused)?;
        let was_lent = std::mem::replace(&mut self.0.lent, true);
        let ran = match said {
            Said::Step(step) => perform::perform(&mut self.0, recorded, &step).await,
            Said::Command(command) => perform::run(&mut self.0, &command).await,
        };
        // A body that gives it up does not come here.
        self.0.lent = was_lent;
        ran
    }
}

#[async_trait]
impl Session for LinkSession {
    fn capabilities(&self) -> &Capabilities {
        &self.0.facts.capabilities
    }

    fn serves(&self, _: Access) -> bool {
        self.0.options.access != Access::Read
    }

    async fn begin(&mut self, origin: Origin) -> Result<()> {
        let link = &mut self.0;
        if let (Origin::Code, Some(seen)) = (origin, link.seen) {
            history::check(link, seen).await?;
        }
        link.in_batch = false;
        link.begin().await
    }

    async fn begin_batch(&mut self) -> Result<()> {
        self.0.in_batch = true;
        self.0.begin().await
    }

    async fn commit(&mut self, batch: &Batch) -> Result<Atomicity> {
        let link = &mut self.0;
        if let Err(error) = append::write(link, batch).await {
            link.abort().await;
            return Err(error);
        }
        link.commit().await?;
        append::wrote(link, batch);
        Ok(Atomicity::Kept)
    }

    async fn rollback(&mut self) -> Result<Atomicity> {
        let ended = self.0.end_what_runs().await;
        self.0.abort().await;
        ended?;
        Ok(Atomicity::Kept)
    }

    fn entering(&mut self, migration: &MigrationId) {
        self.0.entered = Some(migration.clone());
    }

    async fn execute(&mut self, statement: &Statement) -> Result<Outcome> {
        self.run(statement, false).await
    }

    async fn execute_recorded(&mut self, statement: &Statement, _: &mut MakeBatch<'_>) -> Result<(Outcome, Recorded)> {
        Ok((self.run(statement, true).await?, Recorded::NotYet))
    }

    async fn notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.0.notices)
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
        // A batch is made smaller, and fits the next time.
        error::is_transient(error) || self.0.in_batch && error::is_too_large(error)
    }

    async fn reset(&mut self) -> Result<()> {
        let link = &mut self.0;
        // Of a batch whose backfill the body has dropped: a record would be written in it, and be gone with it.
        if link.in_transaction() {
            link.abort().await;
        }
        // What comes next is not to run beside it.
        let _ = link.end_what_is_left().await;
        match link.lost.take() {
            Some(problem) => Err(Error::ConnectionLost { what: link.what.clone(), problem }),
            None => Ok(()),
        }
    }

    /// The link: our own parts and a body's argument are found in it.
    fn connection(&mut self) -> &mut (dyn Any + Send) {
        &mut self.0
    }

    async fn close(self: Box<Self>) {}
}
