//! What is applied, pending, ahead or interrupted.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::history::{Standing, State};
use crate::plan::Compared;
use crate::record::Timestamp;
use crate::registry::MigrationSet;
use crate::{Meta, MigrationId, Namespace};

/// The version of the serialised form of [`Status`].
pub const STATUS_FORMAT: u32 = 1;

/// How a database stands against the registered migrations. Prints as a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// [`STATUS_FORMAT`].
    pub format: u32,
    /// Whether the database has a history at all.
    pub initialised: bool,
    /// Every registered migration, in the order they run.
    pub migrations: Vec<StatusRow>,
    /// Migrations of our namespaces that only the history knows.
    pub ahead: Vec<StatusRow>,
    /// How many migrations each namespace has applied that is not ours.
    pub other_namespaces: BTreeMap<Namespace, u64>,
}

/// One migration of a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StatusRow {
    /// Which.
    pub migration: MigrationId,
    /// How it stands.
    pub standing: Standing,
    /// When it came to stand so; `None` if it never ran.
    pub at: Option<Timestamp>,
    /// Who ran it.
    pub by: Option<String>,
    /// What it says of itself; empty for what only the history knows.
    pub description: String,
    /// It was applied with another checksum than is registered.
    pub edited: bool,
    /// It is repeatable, has changed since it was applied, and will run again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// It is repeatable, is not what was applied, and does not run: this program is behind its database.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held_back: bool,
    /// What the last attempt failed with.
    pub last_error: Option<String>,
}

impl Status {
    pub(crate) fn new(set: &MigrationSet, state: Option<&State>) -> Self {
        let compared = state.map(|state| Compared::new(set, state));
        let row = |id: &MigrationId, meta: Option<&Meta>| {
            let known = state.and_then(|state| state.get(id));
            let both = meta.zip(known).zip(compared.as_ref());
            StatusRow {
                migration: id.clone(),
                standing: known.map_or(Standing::Pending, |known| known.standing.clone()),
                at: known.map(|known| known.at),
                by: known.map(|known| known.by.to_string()),
                description: meta.map_or_else(String::new, |meta| meta.description.to_string()),
                edited: known.zip(meta).is_some_and(|(known, meta)| {
                    known.standing == Standing::Applied && known.checksum != meta.checksum
                }),
                again: both.is_some_and(|((meta, known), compared)| compared.runs_again(meta, known)),
                held_back: both.is_some_and(|((meta, known), compared)| compared.is_held_back(meta, known)),
                last_error: known.and_then(|known| known.last_error.clone()),
            }
        };
        let unknown = state.into_iter().flat_map(State::known).filter(|(id, known)| {
            set.has_namespace(id.namespace())
                && set.get(id).is_none()
                && !matches!(known.standing, Standing::Pending | Standing::Replaced)
        });
        let heads = state.into_iter().flat_map(|state| state.heads());
        Self {
            format: STATUS_FORMAT,
            initialised: state.is_some(),
            migrations: set.metas().map(|meta| row(&meta.id, Some(meta))).collect(),
            ahead: unknown.map(|(id, _)| row(id, None)).collect(),
            other_namespaces: heads
                .filter(|(namespace, _)| !set.has_namespace(namespace))
                .map(|(namespace, head)| (namespace.clone(), head.count))
                .collect(),
        }
    }

    /// The registered migrations that are not applied, in the order they run.
    pub fn pending(&self) -> Vec<MigrationId> {
        let open = self.migrations.iter().filter(|row| row.is_open());
        open.map(|row| row.migration.clone()).collect()
    }

    /// Whether every registered migration is applied.
    pub fn is_current(&self) -> bool {
        !self.migrations.iter().any(StatusRow::is_open)
    }
}

impl StatusRow {
    /// Whether it has yet to run, for the first time or again.
    pub fn is_open(&self) -> bool {
        self.again || !matches!(self.standing, Standing::Applied | Standing::Replaced)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let applied = self.migrations.len() - self.pending().len();
        write!(f, "{applied} of {} applied", crate::report::counted(self.migrations.len()).0)?;
        if !self.initialised {
            f.write_str(" (no history yet)")?;
        }
        let rows = self.migrations.iter().chain(&self.ahead);
        let width = rows.map(|row| row.migration.to_string().chars().count()).max().unwrap_or(0);
        for row in &self.migrations {
            write!(f, "\n  {:<11} {:<width$}", word(row), row.migration)?;
            details(f, row)?;
        }
        for row in &self.ahead {
            write!(f, "\n  {:<11} {:<width$}", "ahead", row.migration)?;
            details(f, row)?;
        }
        for (namespace, count) in &self.other_namespaces {
            write!(f, "\n  {count} of namespace {namespace}, which this program does not have")?;
        }
        Ok(())
    }
}

fn word(row: &StatusRow) -> &'static str {
    match row.standing {
        Standing::Pending => "pending",
        Standing::Applied if row.again => "again",
        Standing::Replaced => "replaced",
        Standing::Applied => "applied",
        Standing::Interrupted { .. } => "interrupted",
    }
}

fn details(f: &mut fmt::Formatter<'_>, row: &StatusRow) -> fmt::Result {
    if let (Some(at), true) = (row.at, row.standing != Standing::Pending) {
        write!(f, "  {at}")?;
    }
    if !row.description.is_empty() {
        write!(f, "  {}", row.description)?;
    }
    match row {
        StatusRow { again: true, .. } => f.write_str("  [has changed, runs again]")?,
        StatusRow { held_back: true, .. } => f.write_str("  [another form is applied; this program is behind]")?,
        StatusRow { edited: true, .. } => f.write_str("  [edited since]")?,
        _ => {}
    }
    match &row.last_error {
        Some(error) => write!(f, "\n              failed last time: {error}"),
        None => Ok(()),
    }
}
