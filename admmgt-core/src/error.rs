//! The one error type.

mod failure;
mod words;

use std::time::Duration;

use crate::lease::Holder;
use crate::refusal::Refusal;
use crate::report::Report;
use crate::script::ScriptProblem;
use crate::{BoxError, MigrationId};

pub use self::failure::{FailedStatement, Failure};
use self::words::{after_waiting, busy, interrupted, lines, not_applied, refused, seconds, some};

/// The result of everything that talks to a database.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong. Messages say what happened and what to do; [`Error::kind`] is for programs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing ran, for these reasons.
    #[error("{}", refused(.refusals))]
    Refused {
        /// All of them.
        refusals: Vec<Refusal>,
    },
    /// A migration failed and was rolled back; the ones before it are applied.
    #[error(transparent)]
    Failed(Box<Failure>),
    /// A migration stopped in the middle: part of its change may be there.
    #[error("{}", interrupted(.0))]
    Interrupted(Box<Failure>),
    /// The run stopped for a reason that no migration is to blame for.
    #[error("the run stopped: {cause}")]
    Stopped {
        /// What had been done until then.
        report: Box<Report>,
        /// Why.
        cause: Box<Error>,
    },
    /// Another migrator kept the lease for too long.
    #[error("another migrator is at work: {holder}. Waited {}; wait longer with `Policy::lease_wait`, or end that process", seconds(.waited))]
    LeaseTimeout {
        /// For how long this one waited.
        waited: Duration,
        /// Who has it.
        holder: Box<Holder>,
    },
    /// The lease was taken away while it was held; nothing was written after that.
    #[error("the lease was lost: {problem}. Nothing was written since; start again")]
    LeaseLost {
        /// How that was noticed.
        problem: String,
    },
    /// Somebody wrote to the history without having the lease.
    #[error(
        "the history changed while this run held the lease: {problem}. Look for a program that writes it, then start again"
    )]
    HistoryMoved {
        /// What was found.
        problem: String,
    },
    /// Migrations are pending where none should be.
    #[error("{}: {}{}", not_applied(.pending), some(.pending), after_waiting(.waited))]
    NotCurrent {
        /// Which, in order.
        pending: Vec<MigrationId>,
        /// How long this was waited for.
        waited: Option<Duration>,
    },
    /// The plan was made for another state of the database.
    #[error("the plan does not fit any more: {problem}. Make a new plan")]
    PlanStale {
        /// What differs.
        problem: String,
    },
    /// There is no such database.
    #[error("{what} does not exist")]
    NotFound {
        /// Which, without passwords.
        what: String,
    },
    /// The database cannot be reached or opened.
    #[error("cannot open {what}: {problem}")]
    Unreachable {
        /// Which, without passwords.
        what: String,
        /// Why, and what to do.
        problem: String,
    },
    /// The server answers, and does not let this user in.
    #[error("{what} does not let this user in: {problem}")]
    Rejected {
        /// Which, without passwords.
        what: String,
        /// Why, and what to do.
        problem: String,
    },
    /// The server has as many connections as it takes.
    #[error("{what} has no connection left: {problem}")]
    Crowded {
        /// Which, without passwords.
        what: String,
        /// What it said.
        problem: String,
    },
    /// The connection broke while it was used. What was not committed is rolled back by the server.
    #[error("the connection to {what} was lost: {problem}")]
    ConnectionLost {
        /// Which, without passwords.
        what: String,
        /// How that was noticed.
        problem: String,
    },
    /// This user lacks a right.
    #[error("{action} is not allowed: {problem}")]
    NotAllowed {
        /// What was being done.
        action: String,
        /// What the database said, and which right to grant.
        problem: String,
    },
    /// Something that only reads was asked to write.
    #[error("{what} can only be read; migrations need to write. {advice}")]
    ReadOnly {
        /// Which database.
        what: String,
        /// What to look at.
        advice: String,
    },
    /// Another connection kept the database locked for too long.
    #[error("{}", busy(.waited))]
    Busy {
        /// For how long this one waited.
        waited: Duration,
    },
    /// The state was written by a newer version of admmgt.
    #[error(
        "the history is of format {found}; this version reads up to format {supported}. Use a newer admmgt; nothing was changed"
    )]
    NewerFormat {
        /// The format that was found.
        found: u32,
        /// The newest one that this version knows.
        supported: u32,
    },
    /// A row of the history cannot be right.
    #[error("the history is damaged at {place}: {problem}")]
    CorruptState {
        /// Which row and column.
        place: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// SQL text that cannot be split or run as it stands; nothing of it ran.
    #[error("{}", lines(.problems))]
    Script {
        /// Where and what.
        problems: Vec<ScriptProblem>,
    },
    /// A body asked for the connection of another kind of database.
    #[error("this session has no `{wanted}`; the migration was written for another backend")]
    WrongBackend {
        /// The type that was asked for.
        wanted: String,
    },
    /// The backend cannot do this.
    #[error("{what} are not supported here; {instead}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What to do instead.
        instead: String,
    },
    /// A call that cannot work as it was made.
    #[error("{problem}")]
    Usage {
        /// What is wrong, and what to do.
        problem: String,
    },
    /// What the database answered.
    #[error("{action}: {error}")]
    Database {
        /// What was being done.
        action: String,
        /// The database's own code for it, where it has one: `23505`, as it writes it.
        code: Option<String>,
        /// What it said; the client's own error, to downcast.
        error: BoxError,
    },
}

/// For programs: one value for everything that is handled the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing ran, by decision.
    Refused,
    /// A migration failed and was rolled back.
    Failed,
    /// A migration is half done and waits for a person.
    Interrupted,
    /// Another migrator or connection was in the way.
    Busy,
    /// Migrations are pending.
    Pending,
    /// The database cannot be reached, opened or written.
    Unavailable,
    /// The stored state cannot be used.
    State,
    /// The call cannot work as it was made.
    Usage,
    /// Anything else that the database answered.
    Database,
}

impl Error {
    /// What the history tables hold cannot be right.
    pub fn corrupt(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::CorruptState { place: place.into(), problem: problem.into() }
    }

    /// What the database answered while something was being done.
    pub fn database(action: impl Into<String>, code: Option<String>, error: impl Into<BoxError>) -> Self {
        Self::Database { action: action.into(), code, error: error.into() }
    }

    /// The backend cannot do something.
    pub fn unsupported(what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), instead: instead.into() }
    }

    /// A body asked for a type of connection that the session does not have.
    pub fn wrong_backend(wanted: impl Into<String>) -> Self {
        Self::WrongBackend { wanted: wanted.into() }
    }

    /// For programs: what sort of error it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { refusals } if refusals.iter().any(|one| matches!(one, Refusal::Interrupted { .. })) => {
                ErrorKind::Interrupted
            }
            Self::Refused { .. } => ErrorKind::Refused,
            Self::Failed(_) => ErrorKind::Failed,
            Self::Interrupted(_) => ErrorKind::Interrupted,
            Self::Stopped { cause, .. } => cause.kind(),
            Self::LeaseTimeout { .. } | Self::LeaseLost { .. } | Self::Busy { .. } => ErrorKind::Busy,
            Self::NotCurrent { .. } => ErrorKind::Pending,
            Self::NotFound { .. }
            | Self::Unreachable { .. }
            | Self::Rejected { .. }
            | Self::Crowded { .. }
            | Self::ConnectionLost { .. }
            | Self::NotAllowed { .. }
            | Self::ReadOnly { .. } => ErrorKind::Unavailable,
            Self::NewerFormat { .. }
            | Self::CorruptState { .. }
            | Self::HistoryMoved { .. }
            | Self::PlanStale { .. } => ErrorKind::State,
            Self::Script { .. } | Self::WrongBackend { .. } | Self::Unsupported { .. } | Self::Usage { .. } => {
                ErrorKind::Usage
            }
            Self::Database { .. } => ErrorKind::Database,
        }
    }

    /// What the run had done before it stopped, where it had started.
    pub fn report(&self) -> Option<&Report> {
        match self {
            Self::Failed(failure) | Self::Interrupted(failure) => Some(&failure.report),
            Self::Stopped { report, .. } => Some(report),
            _ => None,
        }
    }

    pub(crate) fn report_mut(&mut self) -> Option<&mut Report> {
        match self {
            Self::Failed(failure) | Self::Interrupted(failure) => Some(&mut failure.report),
            _ => None,
        }
    }

    /// Why nothing ran; empty for errors of another kind.
    pub fn refusals(&self) -> &[Refusal] {
        match self {
            Self::Refused { refusals } => refusals,
            _ => &[],
        }
    }
}

/// An error and all that is behind it, the outermost first: what [`std::error::Error::source`] leads to, and what stands
/// in a [`std::io::Error`] and in [`Error::Database`], which pass over it.
///
/// ```
/// # use admmgt_core::{BoxError, sources};
/// let number = "gone".parse::<u32>().unwrap_err();
/// let error: BoxError = std::io::Error::other(number).into();
/// assert!(sources(&*error).any(|error| error.is::<std::num::ParseIntError>()));
/// ```
pub fn sources<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let inner: Option<&(dyn std::error::Error + Send + Sync)> = match error.downcast_ref() {
            Some(Error::Database { error, .. }) => Some(&**error),
            _ => error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref),
        };
        inner.map(|inner| inner as _).or_else(|| error.source())
    })
}
