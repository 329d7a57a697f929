//! What is applied, pending, ahead or interrupted.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::history::{Standing, State};
use crate::record::Timestamp;
use crate::registry::MigrationSet;
use crate::{MigrationId, Namespace};

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
    /// What the last attempt failed with.
    pub last_error: Option<String>,
}

impl Status {
    pub(crate) fn new(set: &MigrationSet, state: Option<&State>) -> Self {
        let row = |id: &MigrationId, description: &str, checksum: Option<&crate::Checksum>| {
            let known = state.and_then(|state| state.get(id));
            StatusRow {
                migration: id.clone(),
                standing: known.map_or(Standing::Pending, |known| known.standing.clone()),
                at: known.map(|known| known.at),
                by: known.map(|known| known.by.to_string()),
                description: description.to_owned(),
                edited: known.zip(checksum).is_some_and(|(known, checksum)| {
                    known.standing == Standing::Applied && known.checksum != *checksum
                }),
                last_error: known.and_then(|known| known.last_error.clone()),
            }
        };
        let unknown = state.into_iter().flat_map(State::known).filter(|(id, known)| {
            set.has_namespace(id.namespace()) && set.get(id).is_none() && known.standing != Standing::Pending
        });
        let heads = state.into_iter().flat_map(|state| state.heads());
        Self {
            format: STATUS_FORMAT,
            initialised: state.is_some(),
            migrations: set.metas().map(|meta| row(&meta.id, &meta.description, Some(&meta.checksum))).collect(),
            ahead: unknown.map(|(id, _)| row(id, "", None)).collect(),
            other_namespaces: heads
                .filter(|(namespace, _)| !set.has_namespace(namespace))
                .map(|(namespace, head)| (namespace.clone(), head.count))
                .collect(),
        }
    }

    /// The registered migrations that are not applied, in the order they run.
    pub fn pending(&self) -> Vec<MigrationId> {
        let open = self.migrations.iter().filter(|row| row.standing != Standing::Applied);
        open.map(|row| row.migration.clone()).collect()
    }

    /// Whether every registered migration is applied.
    pub fn is_current(&self) -> bool {
        self.migrations.iter().all(|row| row.standing == Standing::Applied)
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
    if row.edited {
        f.write_str("  [edited since]")?;
    }
    match &row.last_error {
        Some(error) => write!(f, "\n              failed last time: {error}"),
        None => Ok(()),
    }
}
