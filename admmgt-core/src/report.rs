//! What a run did.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::record::RunId;
use crate::{Direction, MigrationId};

/// The version of the serialised form of [`Report`].
pub const REPORT_FORMAT: u32 = 1;

/// What a run did, in order. Prints as a person would say it:
///
/// ```
/// # use admmgt_core::{MemoryDriver, Migrations, Migrator, SqlMigration};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let users = SqlMigration::new("app", "0001_users", "create table users")?;
/// let migrator = Migrator::new(MemoryDriver::new()).migrations(Migrations::new([users]));
/// let report = migrator.up().await?;
/// assert_eq!(report.ran.len(), 1);
/// assert_eq!(migrator.up().await?.to_string(), "nothing to do: 1 migration is applied");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// The run; its records carry the same name.
    pub run: RunId,
    /// What was run, in the order it was run.
    pub ran: Vec<Ran>,
    /// What should be taken back to and was not applied; that is on record now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<MigrationId>,
    /// Repeatable migrations without a way back, which stay as they are where everything was taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub staying: Vec<MigrationId>,
    /// How many registered migrations were applied already.
    pub already: usize,
    /// What the history knows of our namespaces and this program does not.
    pub ahead: Vec<MigrationId>,
    /// Applied migrations whose code has changed since.
    pub edited_code: Vec<MigrationId>,
    /// How long the whole run took, in microseconds, waiting included.
    pub duration_us: u64,
}

/// One migration that was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Ran {
    /// Which.
    pub migration: MigrationId,
    /// Which way.
    pub direction: Direction,
    /// Whether inside a transaction.
    pub transaction: bool,
    /// How long it took, in microseconds, from its start to its commit.
    pub duration_us: u64,
    /// What was decided about its statements: some were left out, or it ran without a transaction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(run: RunId) -> Self {
        Self {
            format: REPORT_FORMAT,
            run,
            ran: Vec::new(),
            skipped: Vec::new(),
            staying: Vec::new(),
            already: 0,
            ahead: Vec::new(),
            edited_code: Vec::new(),
            duration_us: 0,
        }
    }

    /// Whether the run changed nothing.
    pub fn is_empty(&self) -> bool {
        self.ran.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ran.is_empty() {
            let (count, verb) = counted(self.already);
            write!(f, "nothing to do: {count} {verb} applied")?;
        } else {
            let (count, _) = counted(self.ran.len());
            write!(f, "ran {count} in {}", time(self.duration_us))?;
            if self.already > 0 {
                let verb = if self.already == 1 { "was" } else { "were" };
                write!(f, ", {} {verb} applied before", self.already)?;
            }
            for Ran { migration, direction, transaction, duration_us, notes } in &self.ran {
                let outside = if *transaction { "" } else { ", without a transaction" };
                write!(f, "\n  {direction:<4} {migration}  {}{outside}", time(*duration_us))?;
                notes.iter().try_for_each(|note| write!(f, "\n       note: {note}"))?;
            }
        }
        self.staying.iter().try_for_each(|id| write!(f, "\n{id} stays: it has no way back"))?;
        self.skipped.iter().try_for_each(|id| write!(f, "\nskipped {id}, which is not applied"))?;
        if !self.ahead.is_empty() {
            write!(
                f,
                "\nthe database is ahead: it has {} that this program does not know",
                counted(self.ahead.len()).0
            )?;
        }
        self.edited_code.iter().try_for_each(|id| write!(f, "\nthe code of {id} was edited after it was applied"))
    }
}

pub(crate) fn counted(count: usize) -> (String, &'static str) {
    match count {
        1 => ("1 migration".to_owned(), "is"),
        many => (format!("{many} migrations"), "are"),
    }
}

/// A duration in microseconds, in three digits or so.
pub(crate) fn time(micros: u64) -> String {
    match Duration::from_micros(micros) {
        time if time.as_secs() >= 10 => format!("{} s", time.as_secs()),
        time if time.as_millis() >= 1000 => format!("{:.1} s", time.as_secs_f64()),
        time if time.as_micros() >= 10_000 => format!("{} ms", time.as_millis()),
        time => format!("{:.1} ms", time.as_secs_f64() * 1e3),
    }
}
