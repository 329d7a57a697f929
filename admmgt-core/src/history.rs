//! Records folded into how each migration stands.

mod fold;

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use self::fold::{Share, follows, move_head};
use crate::digest::NamespaceHead;
use crate::record::{ArchivedBody, Batch, Note, Record, RecordKind, RunId, Timestamp, Token};
use crate::{Checksum, Direction, Error, MigrationId, Namespace, Origin, Result, Text};

/// The heads of the namespaces that were asked for: all that the fast path reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Head {
    /// One for each namespace that has records.
    pub namespaces: BTreeMap<Namespace, NamespaceHead>,
}

/// Everything a store holds, as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct History {
    /// All records of all namespaces, by sequence number.
    pub records: Vec<Record>,
    /// All heads.
    pub head: Head,
}

/// How one migration stands after all its records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "standing")]
#[non_exhaustive]
pub enum Standing {
    /// Not applied, or taken back.
    Pending,
    /// Applied.
    Applied,
    /// Applied, and another migration stands for it now.
    Replaced,
    /// Started outside a transaction and not ended: it runs now, or it was interrupted.
    Interrupted {
        /// Which way it went.
        direction: Direction,
        /// How many statements have ended well.
        done: u32,
        /// How many it has, where that is known.
        steps: Option<u32>,
    },
}

impl Standing {
    /// The word that enters the digest; `None` for what leaves no trace in it.
    fn word(&self) -> Option<&'static str> {
        match self {
            Self::Pending | Self::Replaced => None,
            Self::Applied => Some(APPLIED),
            Self::Interrupted { direction: Direction::Up, .. } => Some("interrupted_up"),
            Self::Interrupted { direction: Direction::Down, .. } => Some("interrupted_down"),
        }
    }
}

pub(crate) const APPLIED: &str = "applied";

/// What the history knows of one migration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Known {
    /// How it stands.
    pub standing: Standing,
    /// The checksum it was applied or started with.
    pub checksum: Checksum,
    /// Whether that is of SQL or of code.
    pub origin: Origin,
    /// When it came to stand so.
    pub at: Timestamp,
    /// The record that brought it there.
    pub seq: u64,
    /// Its place among what ran: the record that first applied the form that stands.
    pub since: u64,
    /// It ran here, rather than being counted in.
    pub ran: bool,
    /// The run that brought it there.
    pub run: RunId,
    /// Who ran it.
    pub by: Text,
    /// On which host.
    pub host: Text,
    /// What the last attempt failed with, if nothing has ended well since.
    pub last_error: Option<String>,
    /// The SQL that was applied, where it was archived.
    pub body: Option<ArchivedBody>,
    /// The hashes of the statements that have ended, of an interrupted one.
    pub step_hashes: Vec<String>,
    /// What was applied under this name before the form that stands or was started, and not taken back; the last
    /// one last. Of a repeatable one that has changed.
    pub earlier: Vec<Earlier>,
    /// Of an interrupted one: the record that began it, also where later ones began it again.
    pub begun: u64,
    /// Of an interrupted one: the last of these stood when it was started to run again.
    pub stood: bool,
    /// It was repeatable when it was applied.
    pub repeatable: bool,
    /// What stands for it, of a replaced one.
    pub replaced_by: Option<MigrationId>,
}

/// A form of a repeatable migration that another one took the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Earlier {
    /// The checksum it was applied with.
    pub checksum: Checksum,
    /// Whether that is of SQL or of code.
    pub origin: Origin,
    /// The record that applied it.
    pub since: u64,
    /// When that was.
    pub at: Timestamp,
    /// The SQL, where it was archived.
    pub body: Option<ArchivedBody>,
}

/// A folded history: the input of the planner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// By hash: each record looks its migration up, and names are long.
    known: HashMap<MigrationId, Known>,
    heads: BTreeMap<Namespace, NamespaceHead>,
    seq: u64,
    /// How often something was replaced.
    replacements: usize,
}

impl Known {
    /// Whether its change is there, in its own name or in that of one that replaces it.
    pub fn is_applied(&self) -> bool {
        matches!(self.standing, Standing::Applied | Standing::Replaced)
    }
}

impl State {
    /// Folds a history and holds it against its heads.
    ///
    /// # Errors
    /// [`Error::CorruptState`] where records have holes, or the heads tell of records that are not
    /// there: somebody changed the history by hand.
    pub fn fold(history: &History) -> Result<Self> {
        let mut state = Self::default();
        for record in &history.records {
            state.add(record)?;
        }
        let differing =
            state.heads.iter().find(|(namespace, head)| history.head.namespaces.get(namespace) != Some(head));
        let unknown = history.head.namespaces.keys().find(|namespace| !state.heads.contains_key(namespace));
        match differing.map(|(namespace, _)| namespace).or(unknown) {
            Some(namespace) => Err(Error::corrupt(
                format!("the head of namespace `{namespace}`"),
                "it does not match the records; rows were changed or deleted by hand. Restore the history tables from a backup",
            )),
            None => Ok(state),
        }
    }

    /// How every migration of the history stands, by id.
    pub fn known(&self) -> Vec<(&MigrationId, &Known)> {
        self.that(|_| true)
    }

    /// What is known of one migration; `None` if the history never names it.
    pub fn get(&self, id: &MigrationId) -> Option<&Known> {
        self.known.get(id)
    }

    /// Whether a migration stands as applied, in its own name or in that of one that replaces it.
    pub fn is_applied(&self, id: &MigrationId) -> bool {
        self.get(id).is_some_and(Known::is_applied)
    }

    /// The ids that stand as applied, in order.
    pub fn applied(&self) -> Vec<&MigrationId> {
        self.that(Known::is_applied).into_iter().map(|(id, _)| id).collect()
    }

    /// What stands as applied, the one that was applied last first. What was only counted in (a baseline, a
    /// rename) was there before the history, as far as it can tell; among those, the last by id comes first.
    pub fn applied_last_first(&self) -> Vec<(&MigrationId, &Known)> {
        let mut applied = self.that(|known| known.standing == Standing::Applied);
        applied.reverse();
        applied.sort_by_key(|(_, known)| std::cmp::Reverse(if known.ran { known.since } else { 0 }));
        applied
    }

    /// What was started and never ended, by id.
    pub fn interrupted(&self) -> Vec<(&MigrationId, &Known)> {
        self.that(|known| matches!(known.standing, Standing::Interrupted { .. }))
    }

    fn that(&self, keep: impl Fn(&Known) -> bool) -> Vec<(&MigrationId, &Known)> {
        let mut found: Vec<_> = self.known.iter().filter(|(_, known)| keep(known)).collect();
        found.sort_unstable_by_key(|(id, _)| *id);
        found
    }

    /// What a migration stands for.
    pub(crate) fn replaced_by(&self, by: &MigrationId) -> Vec<(&MigrationId, &Known)> {
        if self.replacements == 0 {
            return Vec::new();
        }
        self.that(|known| known.replaced_by.as_ref() == Some(by))
    }

    /// The head of each namespace.
    pub fn heads(&self) -> &BTreeMap<Namespace, NamespaceHead> {
        &self.heads
    }

    /// The sequence number of the last record; 0 without any.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Records that are about to be written, with the heads that move with them; [`State::accept`] follows once they
    /// are.
    pub(crate) fn batch(&self, records: Vec<Record>, fence: Option<Token>) -> Result<Batch> {
        let (mut seq, mut heads) = (self.seq, self.heads.clone());
        let mut shares: HashMap<&MigrationId, Option<Share<'_>>> = HashMap::new();
        for record in &records {
            follows(seq, record)?;
            seq = record.seq;
            let known = || self.known.get(&record.migration).and_then(Share::of);
            let before = shares.get(&record.migration).copied().unwrap_or_else(known);
            let after = Share::after(before, record);
            move_head(&mut heads, record, before, after);
            shares.insert(&record.migration, after);
        }
        let heads = heads.into_iter().collect();
        Ok(Batch { records, heads, fence })
    }

    /// Takes over what was written.
    pub(crate) fn accept(&mut self, batch: Batch) {
        self.heads = batch.heads.into_iter().collect();
        for record in &batch.records {
            self.seq = record.seq;
            self.stand(record);
        }
    }

    fn add(&mut self, record: &Record) -> Result<()> {
        follows(self.seq, record)?;
        self.seq = record.seq;
        let before = self.known.get(&record.migration).and_then(Share::of);
        move_head(&mut self.heads, record, before, Share::after(before, record));
        self.stand(record);
        Ok(())
    }

    fn stand(&mut self, record: &Record) {
        let place = self.place_of_another(record);
        let stand = |known: &mut Known| {
            known.stand(record);
            if let Some(Place { since, ran, earlier }) = place {
                (known.since, known.ran) = (since, ran);
                known.earlier.extend(earlier);
            }
        };
        match self.known.get_mut(&record.migration) {
            Some(known) => stand(known),
            None => {
                let mut known = Known::unheard_of(record);
                stand(&mut known);
                self.known.insert(record.migration.clone(), known);
            }
        }
        self.replacements += usize::from(record.kind == RecordKind::Replaced);
    }

    /// Of what is counted in under a new name, or for others: their place among what ran.
    fn place_of_another(&self, record: &Record) -> Option<Place> {
        if (record.kind, record.direction) != (RecordKind::Baseline, Direction::Up) {
            return None;
        }
        if let Some(Note::RenamedFrom(from)) = Note::of(record) {
            let Known { since, ran, earlier, .. } = self.known.get(&from)?;
            return Some(Place { since: *since, ran: *ran, earlier: earlier.clone() });
        }
        if self.replacements == 0 {
            return None;
        }
        let replaced = self.known.values().filter(|known| known.replaced_by.as_ref() == Some(&record.migration));
        let since = replaced.map(|known| known.since).max()?;
        Some(Place { since, ran: true, earlier: Vec::new() })
    }
}

/// When something ran, and what it was before.
struct Place {
    since: u64,
    ran: bool,
    earlier: Vec<Earlier>,
}

#[cfg(test)]
mod tests;
