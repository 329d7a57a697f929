//! Writes a history by hand, as the engine would.

use std::sync::Arc;

use admmgt_core::{
    Acquired, Author, Batch, Checksum, Digest, Direction, History, Lease, LeaseRequest, MigrationId, NamespaceHead,
    Origin, Record, RecordKind, Result, Session, StateStore, Token,
};

use super::Checked;
use super::ground::{Ground, author};
use crate::Step;

/// A session with the lease, and a history that is written by hand.
pub(super) struct Writer {
    pub(super) session: Box<dyn Session>,
    pub(super) lease: Box<dyn Lease>,
    pub(super) store: Arc<dyn StateStore>,
    author: Author,
    pub(super) seq: u64,
}

impl Writer {
    pub(super) async fn new(on: &Ground) -> Self {
        let mut writer = Self::unprepared(on).await;
        writer.store.prepare(&mut *writer.session).await.expect("the store is prepared");
        writer
    }

    async fn unprepared(on: &Ground) -> Self {
        let (mut session, store, author) = (on.session().await, on.driver().store(), author("kit"));
        let acquired = store.acquire(&mut *session, &LeaseRequest::new(author.clone())).await.expect("an answer");
        let Acquired::Yes(lease) = acquired else { panic!("nobody else has the lease") };
        Self { session, lease, store, author, seq: 0 }
    }

    pub(super) fn record(&mut self, id: &str, kind: RecordKind) -> Record {
        self.seq += 1;
        let (checksum, direction) = (Checksum::of_sql(id), Direction::Up);
        Record::new(self.seq, named(id), kind, direction, checksum, Origin::Sql, &self.author)
    }

    pub(super) fn batch(&self, records: Vec<Record>) -> Batch {
        batch(records, self.lease.token())
    }

    pub(super) async fn append(&mut self, records: Vec<Record>) -> Result<()> {
        let batch = self.batch(records);
        self.store.append(&mut *self.session, &batch).await
    }

    pub(super) async fn begin(&mut self, on: &Ground, steps: &[Step<'_>]) -> Checked {
        let script = on.script(steps)?;
        self.session.begin(Origin::Sql).await.expect("a transaction begins");
        for statement in on.statements(&script) {
            self.session.execute(&statement).await.expect("the statement runs");
        }
        self.session.body_done().await.expect("the body leaves nothing behind");
        Ok(())
    }

    pub(super) async fn history(&mut self) -> History {
        self.store.history(&mut *self.session).await.expect("the history can be read")
    }

    pub(super) async fn end(mut self) {
        self.lease.release(&mut *self.session).await.expect("the lease is given back");
        self.session.close().await;
    }
}

pub(super) fn named(id: &str) -> MigrationId {
    MigrationId::new("kit", id).expect("a name")
}

/// With the heads that could move with these records.
pub(super) fn batch(records: Vec<Record>, fence: Option<Token>) -> Batch {
    let mut batch = Batch::default();
    let last = records.last().map_or(0, |record| record.seq);
    let digest = Digest::parse(&format!("{last:064x}")).expect("a digest");
    for namespace in ["another", "kit"] {
        let name = MigrationId::new(namespace, "1").expect("a name").namespace().clone();
        batch.heads.push((name, NamespaceHead { digest, count: last, seq: last }));
    }
    (batch.records, batch.fence) = (records, fence);
    batch
}

pub(super) fn assert_same(written: &[Record], read: &[Record]) {
    assert_eq!(written.len(), read.len(), "so many records were written, and read");
    for (written, read) in written.iter().zip(read) {
        assert_eq!(written, read);
    }
}
