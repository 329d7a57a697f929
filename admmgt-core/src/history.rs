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
    /// Of an interrupted one: the last of these stood when it was started to run again.
    pub stood: bool,
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
        match self.known.get_mut(&record.migration) {
            Some(known) => known.stand(record),
            None => {
                let mut known = Known::unheard_of(record);
                known.stand(record);
                self.known.insert(record.migration.clone(), known);
            }
        }
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

/// What one migration has in the digest of its namespace: a word for how it stands, and its checksum.
#[derive(Debug, Clone, Copy)]
struct Share<'a> {
    word: &'static str,
    checksum: &'a Checksum,
}

impl<'a> Share<'a> {
    fn of(known: &'a Known) -> Option<Self> {
        known.standing.word().map(|word| Self { word, checksum: &known.checksum })
    }

    /// After one more record.
    fn after(before: Option<Self>, record: &'a Record) -> Option<Self> {
        let checksum = &record.checksum;
        let stands = |standing: Standing| standing.word().map(|word| Self { word, checksum });
        match (record.kind, record.direction) {
            (RecordKind::Applied | RecordKind::Baseline, _) | (RecordKind::Resolved, Direction::Up) => {
                stands(Standing::Applied)
            }
            (RecordKind::Reverted | RecordKind::Replaced, _) | (RecordKind::Resolved, Direction::Down) => None,
            (RecordKind::Started, direction) => stands(Standing::Interrupted { direction, done: 0, steps: None }),
            (RecordKind::Repaired, _) => before.map(|before| Self { checksum, ..before }),
            (RecordKind::StepDone | RecordKind::Failed | RecordKind::Skipped, _) => before,
        }
    }
}

/// The head of a record's namespace after it.
fn move_head(
    heads: &mut BTreeMap<Namespace, NamespaceHead>,
    record: &Record,
    before: Option<Share<'_>>,
    after: Option<Share<'_>>,
) {
    let namespace = record.migration.namespace();
    let mut head = heads.get(namespace).copied().unwrap_or_default();
    let digest = |share: Share<'_>| Digest::of(&record.migration, share.word, share.checksum);
    if let Some(share) = before {
        head.digest = head.digest.minus(digest(share));
        head.count -= 1;
    }
    if let Some(share) = after {
        head.digest = head.digest.plus(digest(share));
        head.count += 1;
    }
    head.seq = record.seq;
    heads.insert(namespace.clone(), head);
}

impl Known {
    fn unheard_of(record: &Record) -> Self {
        Self {
            standing: Standing::Pending,
            checksum: record.checksum.clone(),
            origin: record.origin,
            at: record.at,
            seq: record.seq,
            since: record.seq,
            ran: false,
            run: record.run.clone(),
            by: record.by.clone(),
            host: record.host.clone(),
            last_error: None,
            body: None,
            step_hashes: Vec::new(),
            earlier: Vec::new(),
            stood: false,
        }
    }

    /// How it stands after one more record.
    fn stand(&mut self, record: &Record) {
        match (record.kind, record.direction) {
            // An earlier form is put back: it stands as it did then.
            (RecordKind::Applied | RecordKind::Baseline, Direction::Down) => {
                let at = self.earlier.iter().rposition(|earlier| earlier.checksum == record.checksum);
                let since = at.map_or(record.seq, |at| self.earlier[at].since);
                self.earlier.truncate(at.unwrap_or_default());
                self.end(record, Standing::Applied);
                (self.ran, self.since) = (true, since);
            }
            (RecordKind::Applied | RecordKind::Baseline, Direction::Up) => {
                self.make_way(record);
                self.end(record, Standing::Applied);
                self.ran = record.kind == RecordKind::Applied;
            }
            (RecordKind::Resolved, Direction::Up) => {
                self.end(record, Standing::Applied);
                self.ran = true;
            }
            (RecordKind::Reverted, _) => {
                self.end(record, Standing::Pending);
                self.earlier.clear();
            }
            (RecordKind::Resolved, Direction::Down) => {
                // What stood before it was started again still does, and is said to by the next record.
                if !self.stood {
                    self.earlier.clear();
                }
                self.end(record, Standing::Pending);
            }
            (RecordKind::Replaced, _) => self.end(record, Standing::Replaced),
            (RecordKind::Started, direction) => {
                let goes_on = self.stood && matches!(self.standing, Standing::Interrupted { .. });
                let stood = direction == Direction::Up && (self.standing == Standing::Applied || goes_on);
                if direction == Direction::Up {
                    self.make_way(record);
                }
                self.end(record, Standing::Interrupted { direction, done: 0, steps: record.steps });
                self.stood = stood;
            }
            (RecordKind::StepDone, _) => {
                if let Standing::Interrupted { done, .. } = &mut self.standing {
                    *done = record.step.unwrap_or_else(|| done.saturating_add(1));
                }
                self.step_hashes.extend(record.detail.clone());
            }
            (RecordKind::Failed, _) => self.last_error.clone_from(&record.detail),
            (RecordKind::Repaired, _) => {
                // The body that ran is not the one that was accepted.
                (self.checksum, self.origin, self.body) = (record.checksum.clone(), record.origin, None);
            }
            (RecordKind::Skipped, _) => {}
        }
    }

    /// Another form takes the place of the one that stands.
    fn make_way(&mut self, record: &Record) {
        if self.standing == Standing::Applied && self.checksum != record.checksum {
            let (checksum, body) = (self.checksum.clone(), self.body.take());
            self.earlier.push(Earlier { checksum, origin: self.origin, since: self.since, at: self.at, body });
        }
    }

    fn end(&mut self, record: &Record, standing: Standing) {
        let earlier = std::mem::take(&mut self.earlier);
        *self = Self { standing, earlier, body: record.body.clone(), ..Self::unheard_of(record) };
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
            let batch = state.batch(vec![record(at as u64 + 1, name, *kind, *direction)], None).unwrap();
            state.accept(batch);
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
            let batch = state.batch(vec![of(state.seq() + 1, kind, direction, body)], None).unwrap();
            state.accept(batch);
            let earlier: Vec<&Checksum> =
                state.get(&id("views")).unwrap().earlier.iter().map(|e| &e.checksum).collect();
            let expected: Vec<Checksum> = before.iter().map(|body| Checksum::of_sql(body)).collect();
            assert_eq!(earlier, expected.iter().collect::<Vec<_>>(), "{kind} {body}");
        };
        check(Applied, Up, "one", &[]);
        check(Applied, Up, "two", &["one"]);
        check(Started, Up, "three", &["one", "two"]);
        check(Failed, Up, "three", &["one", "two"]);
        check(Started, Up, "three", &["one", "two"]);
        check(Resolved, Down, "three", &["one", "two"]);
        check(Baseline, Down, "two", &["one"]);
        check(Started, Up, "three", &["one", "two"]);
        check(Applied, Up, "three", &["one", "two"]);
        check(Applied, Down, "one", &[]);
        check(Applied, Up, "two", &["one"]);
        check(Applied, Up, "one", &["one", "two"]);
        check(Repaired, Up, "four", &["one", "two"]);
        check(Started, Down, "four", &["one", "two"]);
        check(Resolved, Down, "four", &[]);
        check(Applied, Up, "one", &[]);
        check(Applied, Up, "two", &["one"]);
        check(Reverted, Down, "two", &[]);
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

    proptest::proptest! {
        #[test]
        fn heads_are_moved_alike_by_what_is_written_and_by_what_is_read(
            events in proptest::collection::vec((0..3_usize, 0..10_usize, proptest::bool::ANY, 0..3_usize), 0..30),
            cuts in proptest::collection::vec(proptest::bool::ANY, 30),
        ) {
            const KINDS: [RecordKind; 10] =
                [Started, StepDone, Applied, Failed, Reverted, Skipped, Resolved, Baseline, Repaired, Replaced];
            let records: Vec<Record> = events.iter().zip(1..).map(|((name, kind, up, body), seq)| {
                let direction = if *up { Direction::Up } else { Direction::Down };
                let record = record(seq, ["a", "b", "c"][*name], KINDS[*kind], direction);
                Record { checksum: Checksum::of_sql(["x", "y", "z"][*body]), ..record }
            }).collect();
            let mut state = State::default();
            let mut open: Vec<Record> = Vec::new();
            for (record, cut) in records.iter().zip(cuts) {
                open.push(record.clone());
                if cut {
                    let batch = state.batch(std::mem::take(&mut open), None).unwrap();
                    state.accept(batch);
                }
            }
            let batch = state.batch(open, None).unwrap();
            state.accept(batch);
            let history = History { records, head: Head { namespaces: state.heads().clone() } };
            proptest::prop_assert_eq!(State::fold(&history).unwrap(), state);
        }
    }

    #[test]
    fn a_history_changed_by_hand_is_found() {
        let records: Vec<Record> = (1..=3).map(|seq| record(seq, &format!("m{seq}"), Applied, Direction::Up)).collect();
        let mut state = State::default();
        let batch = state.batch(records.clone(), None).unwrap();
        state.accept(batch);
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
