//! A run that loses its connection in the middle: it has another one, and goes on behind what was committed.

use std::time::Instant;

use crate::event::Event;
use crate::pause::{self, Pause};
use crate::plan::Plan;
use crate::record::{Record, RecordKind};
use crate::report::{Ran, Report};
use crate::run::Run;
use crate::{Error, Result};

impl Run {
    /// Where the connection is lost in the middle, goes on behind what was committed.
    pub(crate) async fn change_and_return(&self, given: Option<&Plan>, report: &mut Report) -> Result<()> {
        let mut pause = Pause::new(self.policy.retry_pause, pause::LONGEST);
        // Since when, how often, and how far it had come: a body that takes the server down with it must not do so for ever.
        let (mut lost, mut times, mut ran): (Option<Instant>, u32, usize) = (None, 0, 0);
        loop {
            let error = match self.change(given, report).await {
                // A plan that was made before does not fit what is there now.
                Err(error) if given.is_none() => error,
                result => return result,
            };
            match (&error, lost) {
                (Error::ConnectionLost { .. }, _) => {
                    if report.ran.len() > ran {
                        (lost, times, ran) = (None, 0, report.ran.len());
                    }
                    lost = lost.or_else(|| Some(Instant::now()));
                    times += 1;
                }
                (Error::Unreachable { .. } | Error::Crowded { .. } | Error::ReadOnly { .. }, Some(_)) => {}
                _ => return Err(error),
            }
            let since = lost.map(|lost| lost.elapsed()).unwrap_or_default();
            let left = self.policy.reconnect_wait.checked_sub(since).filter(|left| !left.is_zero());
            let Some(left) = left.filter(|_| times <= self.policy.retries) else {
                return Err(error);
            };
            self.observers.tell(&Event::Notice { text: format!("{error}; trying again") });
            pause.wait(left).await;
            // What the lost connection has left is ended first: its lease would be in the way.
            let _ = tokio::time::timeout(left, self.driver.settled()).await;
        }
    }

    /// What this run has committed and was not told of: the answer was lost with its connection.
    pub(crate) fn confirm(&self, records: &[Record], report: &mut Report) {
        let ours = || records.iter().filter(|record| record.run == self.author.run);
        let done = |kind| matches!(kind, RecordKind::Applied | RecordKind::Reverted | RecordKind::Baseline);
        for record in ours().filter(|record| done(record.kind)) {
            let is_same = |ran: &Ran| (&ran.migration, ran.direction) == (&record.migration, record.direction);
            if report.ran.iter().any(is_same) {
                continue;
            }
            let (migration, direction) = (record.migration.clone(), record.direction);
            let duration_us = record.duration_us.unwrap_or_default();
            let begun = |other: &Record| other.kind == RecordKind::Started && other.migration == migration;
            let transaction = !ours().any(begun);
            let notes = vec!["its commit was confirmed after the connection was lost".to_owned()];
            self.observers.tell(&Event::MigrationDone { migration: migration.clone(), direction, duration_us });
            report.ran.push(Ran { migration, direction, transaction, duration_us, notes });
        }
    }
}
