//! The lease: one migrator at a time.

use std::fmt;
use std::fmt::Debug;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::driver::Session;
use crate::record::{Author, Timestamp, Token};
use crate::{BoxFuture, Error, Result};

/// What a store is asked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LeaseRequest {
    /// Who asks; the store shows it to those who wait.
    pub author: Author,
}

impl LeaseRequest {
    /// A request in the name of a run.
    pub fn new(author: Author) -> Self {
        Self { author }
    }
}

/// What a store answered, at once.
#[derive(Debug)]
pub enum Acquired {
    /// The lease is ours.
    Yes(Box<dyn Lease>),
    /// Somebody has it.
    No(Holder),
}

/// Who has the lease, as far as the store knows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Holder {
    /// The person, service or job.
    pub by: Option<String>,
    /// Its host.
    pub host: Option<String>,
    /// Its process.
    pub pid: Option<u32>,
    /// Since when, by its clock.
    pub since: Option<Timestamp>,
    /// Where to look: the path of the lease file, the id of the server's session.
    pub place: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.by, self.pid) {
            (Some(by), Some(pid)) => write!(f, "`{by}` (process {pid}")?,
            (Some(by), None) => write!(f, "`{by}` (unknown process")?,
            (None, Some(pid)) => write!(f, "process {pid} (by an unknown user")?,
            (None, None) => f.write_str("an unknown process (it left no name")?,
        }
        if let Some(host) = &self.host {
            write!(f, " on `{host}`")?;
        }
        if let Some(since) = self.since {
            write!(f, ", since {since}")?;
        }
        f.write_str(")")?;
        match &self.place {
            Some(place) => write!(f, " at {place}"),
            None => Ok(()),
        }
    }
}

/// The right to be the one migrator of a database. One with a heartbeat owns a connection for it:
/// a body borrows the session.
///
/// Dropping a lease without [`Lease::release`] must free it too, at the latest when its session is
/// closed or dropped.
#[async_trait]
pub trait Lease: Debug + Send {
    /// What goes with every write, where the store can check it.
    fn token(&self) -> Option<Token> {
        None
    }

    /// Whether it is still ours; called before every step.
    ///
    /// # Errors
    /// [`crate::Error::LeaseLost`].
    async fn verify(&mut self, session: &mut dyn Session) -> Result<()>;

    /// Ends when it is lost while a body runs, which is dropped then. Default: that is noticed by
    /// [`Lease::verify`] and by the writes alone.
    fn lost(&self) -> BoxFuture<'static, Error> {
        Box::pin(std::future::pending())
    }

    /// Hands it back.
    ///
    /// # Errors
    /// Where the store cannot tell whether it is free now.
    async fn release(self: Box<Self>, session: &mut dyn Session) -> Result<()>;
}
