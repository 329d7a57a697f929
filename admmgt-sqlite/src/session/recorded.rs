//! Records, and what they are committed with.

use admmgt_core::{Batch, MakeBatch, Outcome, Recorded, Result, Session, Statement};

use super::SqliteSession;
use crate::dialect::Runs;
use crate::store;

impl SqliteSession {
    /// Runs a statement outside of the engine's transactions, and writes its records with it where that can be.
    pub(super) async fn run_recorded(
        &mut self,
        statement: &Statement,
        batch: &mut MakeBatch<'_>,
    ) -> Result<(Outcome, Recorded)> {
        self.between_checkpoints = true;
        match (Runs::of(&statement.text), self.in_transaction()) {
            (Runs::Anywhere, false) => self.together(statement, batch).await,
            (Runs::End, true) => {
                // The transaction is the file's own, and this is its last statement.
                let batch = batch()?;
                store::append(self, &batch)?;
                let outcome = self.execute(statement).await?;
                self.seen(&batch);
                Ok((outcome, Recorded::Together))
            }
            _ => {
                let outcome = self.execute(statement).await?;
                Ok((outcome, if self.in_transaction() { Recorded::Open } else { Recorded::NotYet }))
            }
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        let db = self.db()?;
        store::write(db, self.insert, batch)
            .map_err(|error| store::moved(error, |error| self.failed("writing the history", error)))
    }

    /// A statement and its records in one transaction.
    async fn together(&mut self, statement: &Statement, batch: &mut MakeBatch<'_>) -> Result<(Outcome, Recorded)> {
        self.stop.checkpoint().await;
        self.enforce_as_found()?;
        self.batch("beginning a transaction", "BEGIN IMMEDIATE")?;
        let outcome = match self.execute(statement).await {
            Ok(outcome) if self.in_transaction() => outcome,
            // It ended the transaction, whatever that was.
            Ok(outcome) => return Ok((outcome, Recorded::NotYet)),
            Err(error) => {
                self.undo()?;
                return Err(error);
            }
        };
        let batch = batch()?;
        let written = store::append(self, &batch).and_then(|()| self.batch("committing", "COMMIT"));
        if let Err(error) = written {
            self.undo()?;
            return Err(error);
        }
        self.lent = true;
        self.seen(&batch);
        Ok((outcome, Recorded::Together))
    }

    fn seen(&mut self, batch: &Batch) {
        self.seq = batch.records.last().map(|record| record.seq).or(self.seq);
    }

    /// Writes what a migration has come to, and commits it.
    pub(super) fn finish(&mut self, batch: &Batch) -> Result<()> {
        self.write(batch)?;
        self.batch("committing", "COMMIT")?;
        self.seen(batch);
        Ok(())
    }
}
