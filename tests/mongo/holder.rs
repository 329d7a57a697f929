//! Who has a lease, step by step, as a run has one.

use std::sync::Arc;
use std::time::Duration;

use admmgt::mongodb::bson::{DateTime, Document, doc};
use admmgt::prelude::*;
use admmgt::{
    Access, Acquired, Author, Batch, Checkpoint, CheckpointKey, Checksum, Direction, Driver, Lease, LeaseRequest,
    Origin, Record, RecordKind, Session, SessionOptions, StateStore, Statement,
};
use admmgt_tests::{MongoDatabase, id};

/// Longer than a look at the lease is believed.
pub(crate) const A_WHILE: Duration = Duration::from_millis(100);

/// A session of its own, as a run has one.
pub(crate) struct Holder {
    pub(crate) session: Box<dyn Session>,
    pub(crate) lease: Box<dyn Lease>,
    store: Arc<dyn StateStore>,
    pub(crate) driver: Mongo,
}

impl Holder {
    pub(crate) async fn new(db: &MongoDatabase) -> Self {
        Self::at(db.driver()).await
    }

    pub(crate) async fn at(driver: Mongo) -> Self {
        let mut session = driver.open(&SessionOptions::new(Access::Write)).await.unwrap();
        let store = driver.store();
        let request = LeaseRequest::new(Author::of_this_process());
        let lease = loop {
            if let Acquired::Yes(lease) = store.acquire(&mut *session, &request).await.unwrap() {
                break lease;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        store.prepare(&mut *session).await.unwrap();
        Self { session, lease, store, driver }
    }

    pub(crate) async fn save(&mut self, seen: u64) -> admmgt::Result<()> {
        let checkpoint = Checkpoint::stored(1, Some("5".to_owned()), seen, 0, false);
        self.store.save_checkpoint(&mut *self.session, &key(), &checkpoint, self.lease.token()).await
    }

    /// How many records there are.
    pub(crate) async fn records(&mut self) -> u64 {
        let history = self.store.history(&mut *self.session).await.unwrap();
        u64::try_from(history.records.len()).unwrap()
    }

    pub(crate) async fn seen(&mut self) -> Option<u64> {
        self.try_seen().await.unwrap()
    }

    pub(crate) async fn try_seen(&mut self) -> admmgt::Result<Option<u64>> {
        let found = self.store.checkpoint(&mut *self.session, &key()).await?;
        Ok(found.map(|found| found.seen))
    }

    /// Hands the lease back, and waits until nothing is sent any more.
    pub(crate) async fn end(mut self) {
        self.lease.release(&mut *self.session).await.unwrap();
        drop(self.session);
        self.driver.settled().await;
    }

    /// Begins a transaction, and changes something in it.
    pub(crate) async fn begin(&mut self) {
        self.session.begin_batch().await.unwrap();
        self.session.execute(&inserts()).await.unwrap();
    }

    /// A record of that number.
    pub(crate) fn batch(&self, seq: u64) -> Batch {
        let (checksum, author) = (Checksum::of_sql("1"), Author::of_this_process());
        let record = Record::new(seq, id("1"), RecordKind::Applied, Direction::Up, checksum, Origin::Sql, &author);
        let mut batch = Batch::default();
        (batch.records, batch.fence) = (vec![record], self.lease.token());
        batch
    }

    pub(crate) async fn append(&mut self, seq: u64) -> admmgt::Result<()> {
        let batch = self.batch(seq);
        self.store.append(&mut *self.session, &batch).await
    }

    pub(crate) async fn commit(&mut self) -> admmgt::Result<()> {
        let mut nothing = Batch::default();
        nothing.fence = self.lease.token();
        self.session.commit(&nothing).await.map(drop)
    }
}

pub(crate) fn inserts() -> Statement {
    Statement { text: r#"{"insert": "t", "documents": [{}]}"#.to_owned(), line: 1, column: 1 }
}

fn key() -> CheckpointKey {
    CheckpointKey::new(id("1"), "all")
}

/// The command that changes a document of the state.
pub(crate) fn change(which: &str, update: Document) -> Document {
    doc! { "update": "_admmgt_state", "updates": [{ "q": { "_id": which }, "u": update }] }
}

/// Over its time, in a session that whoever comes next does not know of, and so does not end.
pub(crate) async fn expire(db: &MongoDatabase) {
    let past = DateTime::from_millis(0);
    db.run(change("lease", doc! { "$set": { "expires_at": past, "session": null } })).await;
}
