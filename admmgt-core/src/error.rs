//! The one error type.

use std::fmt;
use std::time::Duration;

use crate::lease::Holder;
use crate::refusal::Refusal;
use crate::report::Report;
use crate::script::ScriptProblem;
use crate::{BoxError, Direction, MigrationId};

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

/// A migration that failed, and what had been done before.
#[non_exhaustive]
pub struct Failure {
    /// Which.
    pub migration: MigrationId,
    /// Which way it went.
    pub direction: Direction,
    /// The statement that failed, where the body is SQL.
    pub statement: Option<FailedStatement>,
    /// What the whole run did.
    pub report: Report,
    /// What the body or the database said, in words that may be shown.
    pub message: String,
    /// The error itself, to downcast. Its own words may hold whole statements.
    pub error: BoxError,
    /// Its own words, and those of what is behind it, may be shown.
    pub(crate) shown: bool,
}

impl fmt::Debug for Failure {
    /// Without the error itself, whose words may hold whole statements and rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Failure");
        shown
            .field("migration", &self.migration)
            .field("direction", &self.direction)
            .field("statement", &self.statement);
        shown.field("report", &self.report).field("message", &self.message);
        shown.finish_non_exhaustive()
    }
}

/// Where in a SQL body a failure happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedStatement {
    /// Its number, counted from 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
    /// The file.
    pub file: String,
    /// The line it starts in, counted from 1.
    pub line: u32,
    /// Its first words, without what stands in quotes.
    pub excerpt: String,
    /// It can simply run again, and the next run goes on with it by itself.
    pub resumes: bool,
}

impl FailedStatement {
    /// `shown` is the statement without what may be a value.
    pub(crate) fn new(number: u32, of: u32, file: &str, statement: &crate::Statement, shown: &str) -> Self {
        // Behind a `;` stands what belongs to it and may be data.
        let shown = shown.split(';').next().unwrap_or_default();
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut excerpt: String = words.chars().take(80).collect();
        if excerpt.len() < words.len() {
            excerpt.push('…');
        }
        Self { number, of, file: file.to_owned(), line: statement.line, excerpt, resumes: false }
    }

    pub(crate) fn resumes(mut self, yes: bool) -> Self {
        self.resumes = yes;
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({}) failed", self.migration, self.direction)?;
        if let Some(FailedStatement { number, of, file, line, excerpt, .. }) = &self.statement {
            write!(f, " at {file}:{line}, statement {number} of {of} (`{excerpt}`)")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source().filter(|_| self.shown)
    }
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

fn refused(refusals: &[Refusal]) -> String {
    match refusals {
        [one] => format!("nothing ran: {one}"),
        many => {
            let list: String = many.iter().map(|refusal| format!("\n  - {refusal}")).collect();
            format!("nothing ran, for {} reasons:{list}", many.len())
        }
    }
}

fn interrupted(failure: &Failure) -> String {
    let id = &failure.migration;
    if failure.statement.as_ref().is_some_and(|statement| statement.resumes) {
        return format!(
            "{failure}; what stands before it is done. Mend what is in the way and start again: it goes on with this statement"
        );
    }
    let look = format!(
        "{failure}; part of it may be done. Look at the database; then call `Migrator::resolve(\"{id}\", Resolution::Applied, reason)` if the"
    );
    match failure.direction {
        Direction::Up => format!(
            "{look} whole change is there, or `Resolution::Pending` after taking away what is there of it; or mend it and let it \
             go on behind what has ended, with `OnInterrupt::Retry`"
        ),
        Direction::Down => {
            format!(
                "{look} change is still there as a whole, or `Resolution::Pending` after taking away what is left of it"
            )
        }
    }
}

fn not_applied(pending: &[MigrationId]) -> String {
    let (count, verb) = crate::report::counted(pending.len());
    format!("{count} {verb} not applied")
}

fn some(ids: &[MigrationId]) -> String {
    let mut text: Vec<String> = ids.iter().take(5).map(|id| format!("`{id}`")).collect();
    if ids.len() > text.len() {
        text.push(format!("and {} more", ids.len() - text.len()));
    }
    text.join(", ")
}

fn lines(problems: &[ScriptProblem]) -> String {
    problems.iter().map(|problem| format!("line {problem}")).collect::<Vec<_>>().join("\n")
}

fn after_waiting(waited: &Option<Duration>) -> String {
    waited.map_or_else(
        || ". Run `Migrator::up` first".to_owned(),
        |time| format!(". Waited {} for another process to apply them", seconds(&time)),
    )
}

fn busy(waited: &Duration) -> String {
    // Some databases refuse such a write at once.
    if waited.is_zero() {
        return "another connection was writing the same at the same time, and this one gave way again and again. Find the \
                program that writes it, or let it be tried more often with `Policy::retries`"
            .to_owned();
    }
    format!(
        "the database stayed locked by another connection for {}. Find the program with the long transaction, or wait longer \
         with `Policy::lock_timeout`",
        seconds(waited)
    )
}

fn seconds(time: &Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}
