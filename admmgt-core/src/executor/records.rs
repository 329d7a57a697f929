//! What is put on record of a step.

use std::io;

use super::{Executor, Job, count};
use crate::amend::{as_before, no_more_replaced, replaced};
use crate::record::{ArchivedBody, Note, Record, RecordKind};
use crate::{Direction, Error, Result, Statement};

impl Executor<'_> {
    /// The records of a body that ended well, with its SQL where that is wanted.
    pub(super) fn ended(&self, job: Job<'_>, duration_us: u64) -> Vec<Record> {
        if !job.step.counts_in.is_empty() {
            return self.counted_in(job);
        }
        let kind = match job.step.direction {
            Direction::Up => RecordKind::Applied,
            Direction::Down => RecordKind::Reverted,
        };
        let mut record = self.event(job, kind);
        if job.migration.meta().repeatable && job.step.direction == Direction::Up {
            record.detail = Some(Note::Repeatable.to_string());
        }
        if let Some(since) = job.step.puts_back {
            let known = self.state.get(&job.step.migration);
            let mut earlier = known.into_iter().flat_map(|known| &known.earlier);
            if let Some(earlier) = earlier.find(|earlier| earlier.since == since) {
                record = self.next(as_before(&job.step.migration, earlier, RecordKind::Applied, self.author));
            }
        } else if self.policy.archive_bodies {
            let source = job.migration.sql(job.step.direction);
            record.body = source.and_then(|source| source.text()).and_then(ArchivedBody::pack);
        }
        record.steps = job.step.statements.map(count);
        record.duration_us = Some(duration_us);
        let mut records = vec![record];
        if job.step.direction == Direction::Down {
            let back = no_more_replaced(&job.step.migration, &self.state, self.author);
            records.extend(back.into_iter().map(|record| self.next(record)));
        }
        records
    }

    /// It stands for what is applied, from here on.
    pub(super) fn counted_in(&self, job: Job<'_>) -> Vec<Record> {
        let replaced = replaced(job.migration.meta(), &self.state, self.author);
        let mut there = self.event(job, RecordKind::Baseline);
        there.detail = Some(format!("it replaces {}", crate::report::counted(job.step.counts_in.len()).0));
        replaced.into_iter().map(|record| self.next(record)).chain([there]).collect()
    }

    /// A record with the next number.
    fn next(&self, mut record: Record) -> Record {
        record.seq = self.state.seq() + 1;
        record
    }

    /// The next record.
    pub(super) fn event(&self, job: Job<'_>, kind: RecordKind) -> Record {
        let meta = job.migration.meta();
        // What is taken back is what was applied, whatever is registered now.
        let known = self.state.get(&meta.id).filter(|_| job.step.direction == Direction::Down);
        let (checksum, origin) = known.map_or((&meta.checksum, meta.origin), |known| (&known.checksum, known.origin));
        Record::new(self.state.seq() + 1, job.id(), kind, job.step.direction, checksum.clone(), origin, self.author)
    }

    /// A statement has ended well.
    pub(super) fn checkpoint(&self, job: Job<'_>, number: u32, statement: &Statement) -> Record {
        let mut record = self.event(job, RecordKind::StepDone);
        record.step = Some(number);
        record.steps = job.step.statements.map(count);
        record.detail = Some(admmgt_files::checksum::of_sql(&statement.text));
        record
    }

    /// Puts on record what a probe has found to have ended, beyond what is known.
    pub(super) async fn catch_up(&mut self, job: Job<'_>) -> Result<()> {
        let known = self.state.get(&job.step.migration).map_or(0, |known| known.step_hashes.len());
        let (Some(script), Some(resume)) = (job.script, job.step.resume) else { return Ok(()) };
        let ended = usize::try_from(resume).unwrap_or(usize::MAX);
        if ended <= known {
            return Ok(());
        }
        let (source, dialect) = (job.migration.sql(job.step.direction), self.cx.dialect());
        let unreadable = |error: io::Error| Error::Usage { problem: error.to_string() };
        let mut records = Vec::new();
        for (statement, number) in script.iter(source, &*dialect).map_err(unreadable)?.zip(1..).take(ended).skip(known)
        {
            let statement = statement.map_err(unreadable)?;
            records.push(self.checkpoint(job, number, &statement));
        }
        self.append(numbered(records)).await
    }
}

/// Records that were all made to be the next one, one after the other.
pub(super) fn numbered(mut records: Vec<Record>) -> Vec<Record> {
    records.iter_mut().zip(0..).for_each(|(record, later)| record.seq += later);
    records
}
