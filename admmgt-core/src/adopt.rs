//! Histories of other tools: read, never written, and counted in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::State;
use crate::plan::Compared;
use crate::record::{Author, Record, RecordKind};
use crate::registry::MigrationSet;
use crate::{Direction, Error, Meta, Migration, Result, SqlSource};

/// What another tool wrote down in the same database, or what a person knows of one that is not listed
/// here: versions that were applied.
///
/// ```
/// use admmgt_core::{ForeignEntry, ForeignHistory, MemoryDriver, Migrations, Migrator, SqlMigration};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let users = SqlMigration::new("app", "0001_users", "create users")?;
/// let plans = SqlMigration::new("app", "0002_plans", "create plans")?;
/// let migrator = Migrator::new(MemoryDriver::new()).migrations(Migrations::new([users, plans]));
///
/// let history = ForeignHistory::new("our own tool", [ForeignEntry::new("1")]);
/// assert_eq!(migrator.adopt(history).await?, 1);
/// assert_eq!(migrator.up().await?.ran.len(), 1);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ForeignHistory {
    /// The tool: `sqlx`, `refinery`, `diesel`.
    pub tool: String,
    /// What it applied.
    pub entries: Vec<ForeignEntry>,
}

/// One version that another tool applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ForeignEntry {
    /// The version as it stands there: `20240101000000`, `2.1`.
    pub version: String,
    /// It stands for every version up to it: the tool keeps the last one only.
    pub through: bool,
    /// The tool says that it ended well.
    pub ended: bool,
    /// The SHA-384 of the SQL, where the tool keeps one.
    pub sha384: Option<Vec<u8>>,
}

impl ForeignEntry {
    /// A version that ended well, without a checksum.
    pub fn new(version: impl Into<String>) -> Self {
        Self { version: version.into(), through: false, ended: true, sha384: None }
    }

    /// This version and every one before it, of a tool that keeps the last one only.
    pub fn through(version: impl Into<String>) -> Self {
        Self { through: true, ..Self::new(version) }
    }

    /// It did not end well.
    pub fn failed(mut self) -> Self {
        self.ended = false;
        self
    }

    /// The SHA-384 of the SQL.
    pub fn sha384(mut self, hash: Vec<u8>) -> Self {
        self.sha384 = Some(hash);
        self
    }
}

impl ForeignHistory {
    /// What a tool applied.
    pub fn new(tool: impl Into<String>, entries: impl IntoIterator<Item = ForeignEntry>) -> Self {
        Self { tool: tool.into(), entries: entries.into_iter().collect() }
    }
}

/// The records that count them in. Everything of it is found among the registered migrations, or nothing
/// is counted.
pub(crate) fn records(
    history: &ForeignHistory,
    set: &MigrationSet,
    state: &State,
    author: &Author,
) -> Result<Vec<Record>> {
    let usage = |problem: String| Error::Usage { problem };
    let mut by_version: BTreeMap<String, Vec<&dyn Migration>> = BTreeMap::new();
    for migration in set.iter() {
        by_version.entry(version_of(migration.meta().id.id())).or_default().push(migration);
    }
    let (mut chosen, mut problems) = (Vec::new(), Vec::new());
    for entry in &history.entries {
        let ForeignEntry { version, through, ended, sha384 } = entry;
        if !ended {
            problems.push(format!("version {version} did not end well; put that right with {} first", history.tool));
            continue;
        }
        match by_version.get(&version_of(version)).map(Vec::as_slice) {
            None => problems.push(format!("version {version} is not among the migrations; add its file")),
            Some([migration]) if is_edited(*migration, sha384.as_deref()) => {
                let Meta { id, location, .. } = migration.meta();
                problems.push(format!("{location}: `{id}` was edited since {} applied it; restore it", history.tool));
            }
            Some([migration]) if *through => {
                let last = migration.meta();
                let all = set.metas().filter(|meta| meta.id.namespace() == last.id.namespace() && !meta.repeatable);
                chosen.extend(all.filter(|meta| set.place(&meta.id) <= set.place(&last.id)));
            }
            Some([migration]) => chosen.push(migration.meta()),
            Some([one, other, ..]) => problems.push(format!(
                "version {version} could be `{}` or `{}`; rename one of them",
                one.meta().id,
                other.meta().id
            )),
            Some([]) => {}
        }
    }
    if !problems.is_empty() {
        let list: String = problems.iter().map(|problem| format!("\n  - {problem}")).collect();
        return Err(usage(format!("the history of {} cannot be counted in:{list}", history.tool)));
    }
    let compared = Compared::new(set, state);
    chosen.retain(|meta| compared.is_open(meta));
    chosen.sort_by_key(|meta| set.place(&meta.id));
    chosen.dedup_by(|b, a| a.id == b.id);
    let record = |meta: &Meta| {
        let (id, checksum) = (meta.id.clone(), meta.checksum.clone());
        let mut record = Record::new(0, id, RecordKind::Baseline, Direction::Up, checksum, meta.origin, author);
        record.detail = Some(format!("applied by {}", history.tool));
        record
    };
    Ok(chosen.into_iter().map(record).collect())
}

fn is_edited(migration: &dyn Migration, sha384: Option<&[u8]>) -> bool {
    let sql = migration.sql(Direction::Up);
    let now = |sql: &SqlSource| admmgt_files::checksum::sha384(sql.open()?);
    sql.zip(sha384).is_some_and(|(sql, hash)| now(sql).map_or(true, |now| now != hash))
}

/// What a version is compared by: the number that a name starts with, without zeros before it. diesel
/// drops the dashes of a date, `V2.1__x` keeps its dots.
fn version_of(name: &str) -> String {
    let name = name.trim_start_matches(['V', 'v']);
    let head = name.split('_').next().unwrap_or(name).replace('-', "");
    let parts = head.split('.').map(|part| {
        let digits = part.trim_start_matches('0');
        if digits.is_empty() && !part.is_empty() { "0" } else { digits }
    });
    parts.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_other_tools_find_their_files() {
        for (theirs, ours) in [
            ("1", "0001_users"),
            ("20240101000000", "20240101000000_users"),
            ("20240101000000", "2024-01-01-000000_users"),
            ("2.1", "V2.1__users"),
            ("3", "V3__users"),
        ] {
            assert_eq!(version_of(theirs), version_of(ours), "{theirs} {ours}");
        }
        assert_ne!(version_of("21"), version_of("V2.1__x"));
    }
}
