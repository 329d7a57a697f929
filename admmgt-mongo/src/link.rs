//! The connection of a run: the client's session, and what is known of it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use admmgt_core::{Error, MigrationId, Result, Session, SessionOptions, Token};
use mongodb::bson::{Bson, Document};
use mongodb::options::{ReadConcern, TransactionOptions};
use mongodb::{Collection, Database};
use tokio::runtime::Handle;

use crate::command;
use crate::error::{self, Answer, Asked};
use crate::handle::MongoSession;
use crate::kept::Kept;
use crate::lease::{Leaving, Ours};
use crate::leftover;
use crate::read::MongoReader;
use crate::server::{Doing, Facts, Server, primary, safely};

/// A session of the client, and what it is used for.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) server: Arc<Server>,
    pub(crate) options: SessionOptions,
    pub(crate) facts: Facts,
    /// Where it is, for people.
    pub(crate) what: String,
    /// What bodies get.
    handle: MongoSession,
    /// Where it was opened, and what is left to be done when it is dropped is done.
    runtime: Handle,
    /// The lease that is to be handed back when this is dropped, or that may name our session.
    pub(crate) lease: Option<Ours>,
    /// The owner that this run's lease is written with.
    pub(crate) owner: Option<String>,
    /// The token of that lease.
    pub(crate) fence: Option<Token>,
    /// When the lease was looked at for the last time, and was ours.
    pub(crate) looked: Option<Instant>,
    /// The migration whose body runs.
    pub(crate) entered: Option<MigrationId>,
    /// What there was before a step that has no record yet.
    pub(crate) kept: Option<Kept>,
    /// The last migration of which a statement with a record of its own has run.
    pub(crate) stepped: Option<MigrationId>,
    /// What those who run it should know, at the end.
    pub(crate) notices: Vec<String>,
    /// The last record that was seen or written.
    pub(crate) seen: Option<u64>,
    /// The number of the next record, while the lease is ours.
    pub(crate) next: Option<u64>,
    /// Its place is held for us.
    pub(crate) is_held: bool,
    /// The last record that this run has written, for its heartbeat.
    pub(crate) written: Arc<AtomicU64>,
    /// The migrations for which the fence says what there was before a step.
    pub(crate) pending: Vec<String>,
    /// The last transaction is, or was, a batch of a backfill.
    pub(crate) in_batch: bool,
    /// A body has had the session, or did not wait for an answer: something may still run in it.
    pub(crate) lent: bool,
    /// The conversation was lost in the middle of something.
    pub(crate) lost: Option<String>,
}

impl Link {
    pub(crate) async fn open(server: Arc<Server>, database: Database, options: &SessionOptions) -> Result<Self> {
        let what = format!("the database `{}` of MongoDB", database.name());
        let facts = Facts::ask(&database, &what).await?;
        let asked = Asked { what: &what };
        let session = database.client().start_session().await;
        let session = session.map_err(|error| asked.failed("beginning a session", &error))?;
        let handle = MongoSession::new(MongoReader::new(database, session, options.statement_timeout));
        let options = options.clone();
        Ok(Self {
            server,
            options,
            facts,
            what,
            handle,
            runtime: Handle::current(),
            lease: None,
            owner: None,
            fence: None,
            looked: None,
            entered: None,
            kept: None,
            stepped: None,
            notices: Vec::new(),
            seen: None,
            next: None,
            written: Arc::default(),
            is_held: false,
            pending: Vec::new(),
            in_batch: false,
            lent: false,
            lost: None,
        })
    }

    /// The link of a session, for the parts that are called with one.
    pub(crate) fn of(session: &mut dyn Session) -> Result<&mut Self> {
        session.connection().downcast_mut().ok_or_else(|| Error::wrong_backend("MongoSession"))
    }

    /// What bodies get.
    pub(crate) fn lend(&mut self) -> &mut MongoSession {
        self.lent = true;
        &mut self.handle
    }

    /// The same, for our own commands.
    pub(crate) fn handle(&mut self) -> &mut MongoSession {
        &mut self.handle
    }

    pub(crate) fn in_transaction(&self) -> bool {
        self.handle.in_transaction
    }

    pub(crate) fn database(&self) -> &Database {
        self.handle.database()
    }

    /// One of our collections, used outside of the session: what is asked there is as it is now.
    pub(crate) fn ours(&self, name: &str) -> Collection<Document> {
        self.database().collection(&self.server.collection(name))
    }

    /// Runs a command in the session, and in its transaction where there is one.
    pub(crate) async fn command(&mut self, action: &str, command: Document) -> Result<Document> {
        let reply = match self.handle.send(command).await {
            Ok(reply) => reply,
            // All of the transaction is gone, and can be done again.
            Err(error) if self.in_transaction() => return Err(Answer::of(&error).while_doing(action)),
            Err(error) => return Err(self.failed(action, &error)),
        };
        match command::failed(&reply) {
            Some(answer) => Err(answer.while_doing(action)),
            None => Ok(reply),
        }
    }

    /// Makes one of our collections where it is not there, so that no transaction has to make it.
    pub(crate) async fn make(&mut self, name: &str, action: &str) -> Result<()> {
        match self.database().create_collection(self.server.collection(name)).await {
            Ok(()) => Ok(()),
            Err(error) if error::code(&error) == Some(48) => Ok(()),
            Err(error) => Err(self.failed(action, &error)),
        }
    }

    /// The error of an answer to a command of ours.
    pub(crate) fn failed(&mut self, action: &str, error: &mongodb::error::Error) -> Error {
        let failed = Asked { what: &self.what }.failed(action, error);
        match failed {
            Error::ConnectionLost { problem, what } => {
                self.lost = Some(problem.clone());
                Error::ConnectionLost { what, problem }
            }
            // In the middle of a run nobody is unreachable from the beginning.
            Error::Unreachable { problem, what } if self.owner.is_some() => {
                self.lost = Some(problem.clone());
                Error::ConnectionLost { what, problem }
            }
            other => other,
        }
    }

    /// The last record that is known to be there.
    pub(crate) fn saw(&mut self, seq: u64) {
        self.seen = Some(seq);
    }

    /// Begins a transaction; the server hears of it with the first operation.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        // Whatever the client reads from elsewhere.
        let options = TransactionOptions::builder()
            .read_concern(ReadConcern::local())
            .write_concern(safely())
            .selection_criteria(primary())
            .build();
        let begun = self.handle.session().start_transaction().with_options(options).await;
        begun.map_err(|error| self.failed("beginning a transaction", &error))?;
        self.handle.in_transaction = true;
        Ok(())
    }

    /// Commits it; whether it was committed is asked until somebody knows.
    pub(crate) async fn commit(&mut self) -> Result<()> {
        self.handle.in_transaction = false;
        let (mut tries, mut unknown) = (0, false);
        let error = loop {
            let Err(error) = self.handle.session().commit_transaction().await else {
                // The server has waited for all that ran in it. Of the body around a batch it has not.
                self.lent &= self.in_batch;
                return Ok(());
            };
            tries += 1;
            if !error::is_unknown_commit(&error) || tries == COMMITS {
                break error;
            }
            unknown = true;
        };
        if unknown || !error::is_not_committed(&error) {
            // It may be there; whoever comes next reads it in the history.
            let problem = error::words(&error);
            self.lost = Some(problem.clone());
            return Err(Error::ConnectionLost { what: self.what.clone(), problem });
        }
        // It may still be open on the server, with all it has locked.
        self.end_what_runs().await?;
        Err(self.failed("committing", &error))
    }

    /// What the server knows the session of bodies by.
    pub(crate) fn session_id(&mut self) -> Bson {
        leftover::id_of(self.handle.session())
    }

    /// Takes it back. What is open ends by itself where that cannot be sent.
    pub(crate) async fn abort(&mut self) {
        self.handle.in_transaction = false;
        let _ = self.handle.session().abort_transaction().await;
    }

    /// Ends what a body has not waited for: a statement that it has dropped goes on, and the client does not know of it.
    ///
    /// # Errors
    /// Where it does not end, or nobody can be asked.
    pub(crate) async fn end_what_runs(&mut self) -> Result<()> {
        if self.lost.is_some() {
            return Ok(());
        }
        let (id, until) = (self.session_id(), Instant::now() + leftover::PATIENCE);
        let ended = leftover::end(self.database().client(), &id, until).await;
        self.lent = false;
        self.unless_ended(ended)
    }

    /// The same of a body that has ended: most likely it has waited for all of it.
    ///
    /// # Errors
    /// As [`Link::end_what_runs`].
    pub(crate) async fn end_what_is_left(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.lent) || self.lost.is_some() {
            return Ok(());
        }
        let (id, until) = (self.session_id(), Instant::now() + leftover::PATIENCE);
        let ended = leftover::none_is_left(self.database().client(), &id, until).await;
        self.unless_ended(ended)
    }

    fn unless_ended(&mut self, ended: bool) -> Result<()> {
        if ended {
            return Ok(());
        }
        let problem = "what still ran on the server could not be ended".to_owned();
        self.lost = Some(problem.clone());
        Err(Error::ConnectionLost { what: self.what.clone(), problem })
    }
}

impl Drop for Link {
    /// Of a run that was dropped, or lost its connection: what it has left running on the server is ended, and then the lease is
    /// handed back. Until then nobody else gets the session from the client.
    fn drop(&mut self) {
        if let Some(ours) = self.lease.take()
            && let Some(session) = self.handle.reader().leave()
        {
            let (leaving, doing) = (Leaving::new(ours, session), Doing::of(&self.server));
            self.runtime.spawn(leaving.leave(doing));
        }
    }
}

/// How often a commit is sent whose answer does not say whether it was done.
const COMMITS: usize = 5;
