//! Records folded into how each migration stands.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, NamespaceHead};
use crate::record::{ArchivedBody, Batch, Record, RecordKind, RunId, Timestamp, Token};
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
    /// What was applied under this name before, of a repeatable one that has changed; the last one last.
    pub earlier: Vec<Earlier>,
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
    pub seq: u64,
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
        applied.sort_by_key(|(_, known)| std::cmp::Reverse(if known.ran { known.seq } else { 0 }));
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

    /// The head of each namespace.
    pub fn heads(&self) -> &BTreeMap<Namespace, NamespaceHead> {
        &self.heads
    }

    /// The sequence number of the last record; 0 without any.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// What records would change that are about to be written; [`State::accept`] follows once they are.
    pub(crate) fn change(&self, records: &[Record]) -> Result<Change> {
        let mut change = Change { seq: self.seq, known: HashMap::new(), heads: self.heads.clone() };
        for record in records {
            follows(change.seq, record)?;
            change.seq = record.seq;
            let before = change.known.get(&record.migration).or_else(|| self.known.get(&record.migration));
            let after = moved(before, &mut change.heads, record);
            change.known.insert(record.migration.clone(), after);
        }
        Ok(change)
    }

    /// Takes over what was written.
    pub(crate) fn accept(&mut self, change: Change) {
        self.seq = change.seq;
        self.heads = change.heads;
        self.known.extend(change.known);
    }

    fn add(&mut self, record: &Record) -> Result<()> {
        follows(self.seq, record)?;
        self.seq = record.seq;
        let after = moved(self.known.get(&record.migration), &mut self.heads, record);
        self.known.insert(record.migration.clone(), after);
        Ok(())
    }
}

/// A [`State`] after some more records, as far as it differs.
#[derive(Debug)]
pub(crate) struct Change {
    seq: u64,
    known: HashMap<MigrationId, Known>,
    /// All of them.
    heads: BTreeMap<Namespace, NamespaceHead>,
}

impl Change {
    /// The records, with the heads that move with them.
    pub(crate) fn batch(&self, records: Vec<Record>, fence: Option<Token>) -> Batch {
        let heads = self.heads.iter().map(|(namespace, head)| (namespace.clone(), *head)).collect();
        Batch { records, heads, fence }
    }
}

fn follows(seq: u64, record: &Record) -> Result<()> {
    if record.seq == seq + 1 {
        return Ok(());
    }
    Err(Error::corrupt(
        format!("record {} of the history", record.seq),
        format!("record {} should follow; rows were deleted or added by hand", seq + 1),
    ))
}

/// How the migration of a record stands after it; moves the head of its namespace.
fn moved(before: Option<&Known>, heads: &mut BTreeMap<Namespace, NamespaceHead>, record: &Record) -> Known {
    let after = stands(before, record);
    let namespace = record.migration.namespace();
    let mut head = heads.get(namespace).copied().unwrap_or_default();
    if let Some(share) = before.and_then(|known| share(&record.migration, known)) {
        head.digest = head.digest.minus(share);
        head.count -= 1;
    }
    if let Some(share) = share(&record.migration, &after) {
        head.digest = head.digest.plus(share);
        head.count += 1;
    }
    head.seq = record.seq;
    heads.insert(namespace.clone(), head);
    after
}

fn share(id: &MigrationId, known: &Known) -> Option<Digest> {
    known.standing.word().map(|word| Digest::of(id, word, &known.checksum))
}

/// How a migration stands after one more record.
fn stands(before: Option<&Known>, record: &Record) -> Known {
    let after = stands_alone(before, record);
    match before {
        Some(before) => Known { earlier: earlier(before, record), ..after },
        None => after,
    }
}

/// What was applied under the name of a record's migration before it.
fn earlier(before: &Known, record: &Record) -> Vec<Earlier> {
    let mut earlier = before.earlier.clone();
    let puts_in_place = matches!(record.kind, RecordKind::Applied | RecordKind::Baseline);
    let begins = puts_in_place || (record.kind == RecordKind::Started && record.direction == Direction::Up);
    if begins && before.standing == Standing::Applied && before.checksum != record.checksum {
        let Known { checksum, origin, seq, at, body, .. } = before.clone();
        earlier.push(Earlier { checksum, origin, seq, at, body });
    } else if puts_in_place && earlier.last().is_some_and(|last| last.checksum == record.checksum) {
        earlier.pop();
    }
    earlier
}

fn stands_alone(before: Option<&Known>, record: &Record) -> Known {
    let ended = |standing| Known {
        standing,
        checksum: record.checksum.clone(),
        origin: record.origin,
        at: record.at,
        seq: record.seq,
        ran: record.kind != RecordKind::Baseline,
        run: record.run.clone(),
        by: record.by.clone(),
        host: record.host.clone(),
        last_error: None,
        body: record.body.clone(),
        step_hashes: Vec::new(),
        earlier: Vec::new(),
    };
    let unchanged = || before.cloned().unwrap_or_else(|| ended(Standing::Pending));
    match record.kind {
        RecordKind::Applied | RecordKind::Baseline => ended(Standing::Applied),
        RecordKind::Reverted => ended(Standing::Pending),
        RecordKind::Replaced => ended(Standing::Replaced),
        RecordKind::Resolved => match record.direction {
            Direction::Up => ended(Standing::Applied),
            Direction::Down => ended(Standing::Pending),
        },
        RecordKind::Started => {
            ended(Standing::Interrupted { direction: record.direction, done: 0, steps: record.steps })
        }
        RecordKind::StepDone => {
            let mut known = unchanged();
            if let Standing::Interrupted { done, .. } = &mut known.standing {
                *done = record.step.unwrap_or_else(|| done.saturating_add(1));
            }
            known.step_hashes.extend(record.detail.clone());
            known
        }
        RecordKind::Failed => Known { last_error: record.detail.clone(), ..unchanged() },
        RecordKind::Repaired => Known { checksum: record.checksum.clone(), origin: record.origin, ..unchanged() },
        RecordKind::Skipped => unchanged(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Author;
    use RecordKind::*;

    fn id(name: &str) -> MigrationId {
        MigrationId::new("app", name).unwrap()
    }

    fn record(seq: u64, name: &str, kind: RecordKind, direction: Direction) -> Record {
        let checksum = Checksum::of_sql(name);
        Record::new(seq, id(name), kind, direction, checksum, Origin::Sql, &Author::of_this_process())
    }

    fn fold(events: &[(&str, RecordKind, Direction)]) -> State {
        let mut state = State::default();
        for (at, (name, kind, direction)) in events.iter().enumerate() {
            let change = state.change(&[record(at as u64 + 1, name, *kind, *direction)]).unwrap();
            state.accept(change);
        }
        state
    }

    #[test]
    fn each_kind_of_record_moves_the_standing() {
        use Direction::{Down, Up};
        let interrupted = |direction, done| Standing::Interrupted { direction, done, steps: None };
        let check = |kinds: &[(RecordKind, Direction)], expected: Standing| {
            let events: Vec<_> = kinds.iter().map(|(kind, direction)| ("a", *kind, *direction)).collect();
            assert_eq!(fold(&events).get(&id("a")).unwrap().standing, expected, "{kinds:?}");
        };
        check(&[(Applied, Up)], Standing::Applied);
        check(&[(Failed, Up)], Standing::Pending);
        check(&[(Applied, Up), (Reverted, Down)], Standing::Pending);
        check(&[(Applied, Up), (Failed, Down)], Standing::Applied);
        check(&[(Started, Up)], interrupted(Up, 0));
        check(&[(Started, Up), (StepDone, Up), (StepDone, Up)], interrupted(Up, 2));
        check(&[(Started, Up), (StepDone, Up), (Failed, Up)], interrupted(Up, 1));
        check(&[(Started, Up), (StepDone, Up), (Applied, Up)], Standing::Applied);
        check(&[(Applied, Up), (Started, Down)], interrupted(Down, 0));
        check(&[(Started, Up), (Resolved, Up)], Standing::Applied);
        check(&[(Started, Up), (Resolved, Down)], Standing::Pending);
        check(&[(Baseline, Up)], Standing::Applied);
        check(&[(Baseline, Up), (Repaired, Up)], Standing::Applied);
        check(&[(Skipped, Down)], Standing::Pending);
        check(&[(Applied, Up), (Replaced, Up)], Standing::Replaced);
    }

    #[test]
    fn what_a_repeatable_one_was_before_is_kept_until_it_is_put_back() {
        use Direction::{Down, Up};
        let of = |seq, kind, direction, body: &str| Record {
            checksum: Checksum::of_sql(body),
            ..record(seq, "views", kind, direction)
        };
        let mut state = State::default();
        let mut check = |kind, direction, body: &str, before: &[&str]| {
            let change = state.change(&[of(state.seq() + 1, kind, direction, body)]).unwrap();
            state.accept(change);
            let earlier: Vec<&Checksum> =
                state.get(&id("views")).unwrap().earlier.iter().map(|e| &e.checksum).collect();
            let expected: Vec<Checksum> = before.iter().map(|body| Checksum::of_sql(body)).collect();
            assert_eq!(earlier, expected.iter().collect::<Vec<_>>(), "{kind} {body}");
        };
        check(Applied, Up, "one", &[]);
        check(Applied, Up, "two", &["one"]);
        check(Started, Up, "three", &["one", "two"]);
        check(Applied, Up, "three", &["one", "two"]);
        check(Reverted, Down, "three", &["one", "two"]);
        check(Applied, Up, "two", &["one"]);
        check(Failed, Up, "three", &["one"]);
        check(Repaired, Up, "four", &["one"]);
        check(Applied, Up, "four", &["one"]);
    }

    #[test]
    fn the_head_does_not_depend_on_the_order_and_forgets_what_was_reverted() {
        use Direction::{Down, Up};
        let one = fold(&[("a", Applied, Up), ("b", Applied, Up)]);
        let two = fold(&[("b", Applied, Up), ("a", Applied, Up)]);
        let three = fold(&[("b", Applied, Up), ("c", Applied, Up), ("c", Reverted, Down), ("a", Applied, Up)]);
        let digest = |state: &State| state.heads()[id("a").namespace()].digest;
        assert_eq!(digest(&one), digest(&two));
        assert_eq!(digest(&one), digest(&three));
        let interrupted = fold(&[("a", Applied, Up), ("b", Applied, Up), ("c", Started, Up)]);
        assert_ne!(digest(&one), digest(&interrupted));
    }

    #[test]
    fn a_history_changed_by_hand_is_found() {
        let records: Vec<Record> = (1..=3).map(|seq| record(seq, &format!("m{seq}"), Applied, Direction::Up)).collect();
        let mut state = State::default();
        let change = state.change(&records).unwrap();
        state.accept(change);
        let head = Head { namespaces: state.heads().clone() };
        let whole = History { records: records.clone(), head: head.clone() };
        assert_eq!(State::fold(&whole).unwrap(), state);
        let hole = History { records: vec![records[0].clone(), records[2].clone()], head: head.clone() };
        let cut = History { records: records[..2].to_vec(), head: head.clone() };
        let emptied = History { records: Vec::new(), head };
        for damaged in [hole, cut, emptied] {
            assert!(matches!(State::fold(&damaged), Err(Error::CorruptState { .. })));
        }
    }
}
