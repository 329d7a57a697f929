//! One record after the other: how a migration stands, and the head of its namespace.

use std::collections::BTreeMap;

use super::{Earlier, Known, Standing};
use crate::digest::{Digest, NamespaceHead};
use crate::record::{Note, Record, RecordKind};
use crate::{Checksum, Direction, Error, Namespace, Result};

pub(super) fn follows(seq: u64, record: &Record) -> Result<()> {
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
pub(super) struct Share<'a> {
    word: &'static str,
    checksum: &'a Checksum,
}

impl<'a> Share<'a> {
    pub(super) fn of(known: &'a Known) -> Option<Self> {
        known.standing.word().map(|word| Self { word, checksum: &known.checksum })
    }

    /// After one more record.
    pub(super) fn after(before: Option<Self>, record: &'a Record) -> Option<Self> {
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
pub(super) fn move_head(
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
    pub(super) fn unheard_of(record: &Record) -> Self {
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
            begun: 0,
            stood: false,
            repeatable: false,
            replaced_by: None,
        }
    }

    /// How it stands after one more record.
    pub(super) fn stand(&mut self, record: &Record) {
        match (record.kind, record.direction) {
            // An earlier form is put back: it stands as it did then.
            (RecordKind::Applied | RecordKind::Baseline, Direction::Down) => {
                let note = Note::of(record);
                let is_it = |earlier: &Earlier| match note {
                    Some(Note::AsItWas(since)) => earlier.since == since,
                    _ => earlier.checksum == record.checksum,
                };
                let at = self.earlier.iter().rposition(is_it);
                let since = at.map_or(record.seq, |at| self.earlier[at].since);
                self.earlier.truncate(at.unwrap_or_default());
                self.end(record, Standing::Applied);
                (self.ran, self.since) = (true, since);
            }
            (RecordKind::Applied | RecordKind::Baseline, Direction::Up) => {
                self.make_way(record);
                // Taken back and applied again by one run, it has its old place.
                let again = self.standing == Standing::Pending && self.ran && self.run == record.run;
                let since = if again { self.since } else { record.seq };
                self.end(record, Standing::Applied);
                (self.ran, self.since) = (record.kind == RecordKind::Applied, since);
            }
            (RecordKind::Resolved, Direction::Up) => {
                self.end(record, Standing::Applied);
                self.ran = true;
            }
            (RecordKind::Reverted, _) => {
                let (since, ran) = (self.since, self.ran);
                self.end(record, Standing::Pending);
                (self.since, self.ran) = (since, ran);
                self.earlier.clear();
            }
            (RecordKind::Resolved, Direction::Down) => {
                // What stood before it was started again still does, and is said to by the next record.
                if !self.stood {
                    self.earlier.clear();
                }
                self.end(record, Standing::Pending);
            }
            (RecordKind::Replaced, _) => {
                let since = self.since;
                self.end(record, Standing::Replaced);
                self.since = since;
                if let Some(Note::ReplacedBy(by)) = Note::of(record) {
                    self.replaced_by = Some(by);
                }
            }
            (RecordKind::Started, direction) => {
                let goes_on = self.stood && matches!(self.standing, Standing::Interrupted { .. });
                let stood = direction == Direction::Up && (self.standing == Standing::Applied || goes_on);
                if direction == Direction::Up {
                    self.make_way(record);
                }
                let begun = match self.standing {
                    Standing::Interrupted { direction: before, .. } if before == direction => self.begun,
                    _ => record.seq,
                };
                self.end(record, Standing::Interrupted { direction, done: 0, steps: record.steps });
                (self.stood, self.begun) = (stood, begun);
            }
            (RecordKind::StepDone, _) => {
                if let Standing::Interrupted { done, .. } = &mut self.standing {
                    *done = record.step.unwrap_or_else(|| done.saturating_add(1));
                }
                self.step_hashes.extend(record.detail.clone());
                self.last_error = None;
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
        let repeatable = self.repeatable || Note::of(record) == Some(Note::Repeatable);
        *self = Self { standing, earlier, repeatable, body: record.body.clone(), ..Self::unheard_of(record) };
    }
}
