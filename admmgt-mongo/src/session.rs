//! One session for one run, as the engine uses it.

use std::any::Any;

use admmgt_core::{
    Access, Atomicity, Batch, BoxError, Capabilities, Error, Origin, Outcome, Result, Session, Statement, async_trait,
};

use crate::command;
use crate::dialect;
use crate::error::{self, Answer};
use crate::head;
use crate::link::Link;

/// The link of a run.
#[derive(Debug)]
pub(crate) struct LinkSession(pub(crate) Link);

impl LinkSession {
    async fn run(&mut self, statement: &Statement) -> Result<Outcome> {
        let link = &mut self.0;
        let command = dialect::read(statement).map_err(|problem| Error::Script { problems: vec![problem] })?;
        let millis = link.options.statement_timeout.and_then(|time| i64::try_from(time.as_millis()).ok());
        let command = command::limited(command, link.in_transaction, millis);
        let (database, session) = link.handle().parts();
        let database = if command::is_of_admin(&command) { &database.client().database("admin") } else { database };
        let reply = match database.run_command(command.clone()).session(session).await {
            Ok(reply) => reply,
            // All of the transaction is gone, and can be done again.
            Err(error) if link.in_transaction => {
                let code = error::code(&error).map(|code| code.to_string());
                return Err(Error::database("running a command", code, Answer::of(&error)));
            }
            Err(error) => return Err(link.failed("running a command", &error)),
        };
        match command::failed(&reply) {
            Some((code, message)) => {
                let answer = Answer::replied(code, &message);
                Err(Error::database("running a command", Some(code.to_string()), answer))
            }
            None => Ok(Outcome::rows(command::changed(&command, &reply))),
        }
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
            head::check(link, seen).await?;
        }
        link.begin().await
    }

    async fn commit(&mut self, batch: &Batch) -> Result<Atomicity> {
        let link = &mut self.0;
        if let Err(error) = head::write(link, batch).await {
            link.abort().await;
            return Err(error);
        }
        link.commit().await?;
        head::wrote(link, batch).await?;
        Ok(Atomicity::Kept)
    }

    async fn rollback(&mut self) -> Result<Atomicity> {
        self.0.abort().await;
        Ok(Atomicity::Kept)
    }

    async fn execute(&mut self, statement: &Statement) -> Result<Outcome> {
        self.run(statement).await
    }

    fn describe(&self, error: &BoxError) -> String {
        error::describe(error)
    }

    fn may_be_shown(&self, error: &BoxError) -> bool {
        !error::is_the_clients(error)
    }

    fn is_transient(&self, error: &BoxError) -> bool {
        error::is_transient(error)
    }

    async fn reset(&mut self) -> Result<()> {
        match self.0.lost.take() {
            Some(problem) => Err(Error::ConnectionLost { what: self.0.what.clone(), problem }),
            None => Ok(()),
        }
    }

    /// The link: our own parts and a body's argument are found in it.
    fn connection(&mut self) -> &mut (dyn Any + Send) {
        &mut self.0
    }

    async fn close(self: Box<Self>) {}
}
