//! What a migration's body gets: [`Context`], and the traits that turn it into a connection.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::backfill::{Backfill, Keeping};
use crate::driver::{Outcome, Session};
use crate::event::{Event, Observers};
use crate::script::{Dialect, Statement};
use crate::{Backend, BoxError, Error, Meta, MigrationId, TransactionMode};

/// The one connection of a run, lent to each migration's body in turn.
///
/// It owns its [`Session`] for the whole run and has no lifetime parameter, so that a user's
/// `async fn up(cx: &mut Context)` needs none either.
#[derive(Debug)]
pub struct Context {
    session: Box<dyn Session>,
    dialect: Arc<dyn Dialect>,
    observers: Observers,
    migration: Option<MigrationId>,
    transaction: TransactionMode,
    keeping: Keeping,
    /// How a migration that runs outside of a transaction was begun.
    begun: Option<Start>,
    /// The names of the body's backfills so far.
    backfills: BTreeSet<String>,
    batch: OpenBatch,
    /// What the body has done may be gone with a batch whose backfill was dropped.
    is_lost: bool,
}

/// What has become of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum OpenBatch {
    #[default]
    None,
    /// Its backfill runs.
    Runs,
    /// Its backfill was dropped in the middle of it.
    Left,
}

/// How a migration was begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    /// The record of its start; of the first one, where it was interrupted since.
    pub(crate) record: u64,
    /// No attempt came before this one.
    pub(crate) is_first: bool,
}

impl Context {
    pub(crate) fn new(
        session: Box<dyn Session>,
        dialect: Arc<dyn Dialect>,
        observers: Observers,
        keeping: Keeping,
    ) -> Self {
        let (migration, transaction) = (None, TransactionMode::Auto);
        let (begun, backfills, batch, is_lost) = (None, BTreeSet::new(), OpenBatch::None, false);
        Self { session, dialect, observers, migration, transaction, keeping, begun, backfills, batch, is_lost }
    }

    /// Where the checkpoints of a body are kept.
    pub(crate) fn keeping(&self) -> Keeping {
        self.keeping.clone()
    }

    pub(crate) fn begun(&self) -> Option<Start> {
        self.begun
    }

    /// Whether no other backfill of this body has that name.
    pub(crate) fn begin_backfill(&mut self, name: &str) -> bool {
        self.backfills.insert(name.to_owned())
    }

    /// A batch runs from now on, in a transaction where there are any.
    pub(crate) async fn begin_batch(&mut self, in_transaction: bool) -> Result<(), Error> {
        self.batch = OpenBatch::Runs;
        if in_transaction {
            let begun = self.session.begin_batch().await;
            begun.inspect_err(|_| self.batch = OpenBatch::None)?;
        }
        Ok(())
    }

    /// It was committed, or taken back.
    pub(crate) fn batch_ended(&mut self) {
        self.batch = OpenBatch::None;
    }

    /// Whether a batch runs, in which no other can begin.
    pub(crate) fn is_in_batch(&self) -> bool {
        self.batch == OpenBatch::Runs
    }

    /// Nobody runs the backfill any more, whether a batch of it is open or not.
    pub(crate) fn backfill_is_over(&mut self) {
        if self.batch == OpenBatch::Runs {
            self.batch = OpenBatch::Left;
        }
    }

    /// Before the body does something: a batch whose backfill it has dropped is taken back, with what still runs of it.
    pub(crate) async fn take_back(&mut self) -> Result<(), Error> {
        if self.batch == OpenBatch::Left {
            // Where it is not known, nothing that comes behind it is safe either.
            let taken_back = self.session.rollback().await.inspect_err(|_| self.is_lost = true);
            self.batch = OpenBatch::None;
            taken_back?;
        }
        self.check_lost()
    }

    /// What a body left open is ended.
    pub(crate) async fn reset(&mut self) -> Result<(), Error> {
        // The session ends what cannot be taken back, or is given up.
        let _ = self.take_back().await;
        self.session.reset().await
    }

    /// The body has had the connection while such a batch was open: what it did may be gone with it, or undone by what still runs.
    pub(crate) fn check_lost(&self) -> Result<(), Error> {
        let problem = "its backfill was dropped in the middle of a batch, and what the body did behind it through the connection \
                       may not be there: let a backfill end before the body goes on";
        if self.is_lost { Err(Error::Usage { problem: problem.to_owned() }) } else { Ok(()) }
    }

    pub(crate) fn tell(&self, event: &Event) {
        self.observers.tell(event);
    }

    /// A migration's body begins.
    pub(crate) fn enter(&mut self, meta: &Meta, begun: Option<Start>) {
        self.migration = Some(meta.id.clone());
        self.begun = begun;
        self.backfills.clear();
        self.transaction = meta.transaction;
        (self.batch, self.is_lost) = (OpenBatch::None, false);
        self.session.entering(&meta.id);
    }

    /// It is over.
    pub(crate) fn leave(&mut self) {
        self.migration = None;
        self.transaction = TransactionMode::Auto;
        self.begun = None;
    }

    pub(crate) fn dialect(&self) -> Arc<dyn Dialect> {
        Arc::clone(&self.dialect)
    }

    pub(crate) fn into_session(self) -> Box<dyn Session> {
        self.session
    }

    /// The native connection of the session, for a backend's [`FromContext`] to downcast.
    pub fn connection(&mut self) -> &mut (dyn Any + Send) {
        self.is_lost |= self.batch == OpenBatch::Left;
        self.session.connection()
    }

    /// The session. Not for bodies: they could end the transaction behind the guard's back.
    pub(crate) fn session(&mut self) -> &mut dyn Session {
        &mut *self.session
    }

    /// The migration that runs.
    pub fn migration(&self) -> Option<&MigrationId> {
        self.migration.as_ref()
    }

    /// Says how far the body has come: so many of its parts are done, of so many where that is known. Whoever
    /// observes the run hears it as [`Event::Progress`]; what a part is, is the body's affair: rows, files.
    ///
    /// ```
    /// # use admmgt_core::{BoxError, Context};
    /// async fn import(cx: &mut Context) -> Result<(), BoxError> {
    ///     for done in 1..=10 {
    ///         cx.execute("insert into plans(name) values ('free')").await?;
    ///         cx.progress(done, Some(10));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn progress(&self, done: u64, of: Option<u64>) {
        if let Some(migration) = self.migration.clone() {
            self.observers.tell(&Event::Progress { migration, done, of });
        }
    }

    /// Changes many rows in batches that commit one by one. A checkpoint is committed with each, so that an attempt after a
    /// kill goes on where the last one stopped. Its migration has `transaction = "none"`. The name is of this migration
    /// alone; another backfill in it has another one.
    pub fn backfill(&mut self, name: impl Into<String>) -> Backfill<'_> {
        Backfill::new(self, name.into())
    }

    /// Runs one statement and says how many rows it changed.
    ///
    /// # Errors
    /// What the database answered.
    ///
    /// ```
    /// # use admmgt_core::{BoxError, Context};
    /// async fn seed(cx: &mut Context) -> Result<(), BoxError> {
    ///     cx.execute("insert into plans(name) values ('free')").await?;
    ///     Ok(())
    /// }
    /// ```
    pub async fn execute(&mut self, sql: impl Into<String>) -> Result<Outcome, Error> {
        self.take_back().await?;
        self.session.execute(&Statement::new(sql)).await
    }

    /// Splits a text into statements by the rules of the database and runs them in order.
    ///
    /// # Errors
    /// [`Error::Script`] before anything of it ran, or what the database answered.
    pub async fn execute_script(&mut self, sql: &str) -> Result<(), Error> {
        let script = self.dialect.parse(sql, self.transaction).map_err(|problems| Error::Script { problems })?;
        if !script.idle.is_empty() {
            return Err(Error::Script { problems: script.idle });
        }
        self.take_back().await?;
        for statement in &script.statements {
            self.session.execute(statement).await?;
        }
        Ok(())
    }

    /// Calls a plain function with the connection, on the connection's own thread.
    ///
    /// # Errors
    /// What the function failed with, or [`Error::WrongBackend`] where the session has no such
    /// connection.
    pub async fn blocking<T, B, A, F>(&mut self, body: F) -> Result<A, BoxError>
    where
        T: FromBlocking<B>,
        A: Send,
        F: FnOnce(&mut T) -> Result<A, BoxError> + Send,
    {
        self.take_back().await?;
        let mut body = Some(body);
        let mut answer = None;
        self.session
            .blocking(&mut |connection: &mut (dyn Any + Send)| {
                if let (Some(connection), Some(body)) = (T::from_connection(connection), body.take()) {
                    answer = Some(body(connection));
                }
            })
            .await?;
        answer.unwrap_or_else(|| Err(Box::new(Error::wrong_backend(std::any::type_name::<T>()))))
    }
}

/// What an `async` migration can take as its argument. One impl for each client type, owned by the
/// crate of the backend; `B` is a type of that crate, which is what lets it implement this for a
/// client it does not own.
#[diagnostic::on_unimplemented(
    message = "an async migration cannot take `&mut {Self}`",
    label = "no linked backend hands out `{Self}` to async code",
    note = "take `&mut Context`, which works everywhere",
    note = "for `&mut rusqlite::Connection` write a plain `fn`: it runs on the connection's own thread"
)]
pub trait FromContext<B>: Send {
    /// The only backend that can hand it out; `None` for all.
    const BACKEND: Option<Backend>;

    /// The argument, from the context of the run.
    ///
    /// # Errors
    /// [`Error::WrongBackend`] where the session is of another database.
    fn from_context(cx: &mut Context) -> Result<&mut Self, Error>;
}

/// What a plain `fn` migration can take as its argument: a connection whose calls block.
#[diagnostic::on_unimplemented(
    message = "a plain `fn` migration cannot take `&mut {Self}`",
    label = "no linked backend hands out `{Self}` to blocking code",
    note = "write an `async fn`, or take `&mut rusqlite::Connection` with the feature `sqlite`"
)]
pub trait FromBlocking<B>: Sized + Send + 'static {
    /// The only backend that can hand it out.
    const BACKEND: Option<Backend>;

    /// The argument, from what the session lends to blocking code.
    fn from_connection(connection: &mut (dyn Any + Send)) -> Option<&mut Self> {
        connection.downcast_mut()
    }
}

/// Stands for whichever backend runs.
#[derive(Debug)]
pub enum AnyBackend {}

impl FromContext<AnyBackend> for Context {
    const BACKEND: Option<Backend> = None;

    fn from_context(cx: &mut Context) -> Result<&mut Self, Error> {
        Ok(cx)
    }
}
