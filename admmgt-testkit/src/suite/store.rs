//! What a store promises: records are added, in order, once each, and with the change they tell of.

use std::sync::Arc;
use std::time::Duration;

use admmgt_core::{
    Access, Acquired, ArchivedBody, Atomicity, Author, Batch, Checkpoint, CheckpointKey, Checksum, Digest, Direction,
    Error, Head, History, Lease, LeaseRequest, MigrationId, Namespace, NamespaceHead, Origin, Record, RecordKind,
    Result, Session, StateStore, Timestamp, Token,
};

use super::ground::{Ground, author};
use super::{Checked, Skip, tests};
use crate::Step;

tests! { "store":
    names_tell_what_is_there,
    a_new_database_has_no_head_and_no_records,
    looking_changes_nothing,
    preparing_again_changes_nothing,
    records_come_back_as_they_were_written,
    many_records_keep_their_order,
    heads_are_those_of_the_last_batch,
    a_number_is_given_once,
    a_batch_is_written_as_a_whole_or_not_at_all,
    a_stale_token_writes_nothing,
    a_checkpoint_comes_back_as_it_was_saved,
    a_checkpoint_of_a_stale_token_is_not_saved,
    a_commit_writes_the_change_and_its_records,
    a_commit_that_fails_leaves_neither_the_change_nor_its_records,
    a_commit_with_a_stale_token_leaves_nothing,
    a_rollback_takes_the_change_back,
    a_session_that_is_dropped_is_rolled_back,
}

/// A session with the lease, and a history that is written by hand.
struct Writer {
    session: Box<dyn Session>,
    lease: Box<dyn Lease>,
    store: Arc<dyn StateStore>,
    author: Author,
    seq: u64,
}

impl Writer {
    async fn new(on: &Ground) -> Self {
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

    fn record(&mut self, id: &str, kind: RecordKind) -> Record {
        self.seq += 1;
        let (checksum, direction) = (Checksum::of_sql(id), Direction::Up);
        Record::new(self.seq, named(id), kind, direction, checksum, Origin::Sql, &self.author)
    }

    fn batch(&self, records: Vec<Record>) -> Batch {
        batch(records, self.lease.token())
    }

    async fn append(&mut self, records: Vec<Record>) -> Result<()> {
        let batch = self.batch(records);
        self.store.append(&mut *self.session, &batch).await
    }

    async fn begin(&mut self, on: &Ground, steps: &[Step<'_>]) -> Checked {
        let script = on.script(steps)?;
        self.session.begin(Origin::Sql).await.expect("a transaction begins");
        for statement in on.statements(&script) {
            self.session.execute(&statement).await.expect("the statement runs");
        }
        self.session.body_done().await.expect("the body leaves nothing behind");
        Ok(())
    }

    async fn history(&mut self) -> History {
        self.store.history(&mut *self.session).await.expect("the history can be read")
    }

    async fn end(mut self) {
        self.lease.release(&mut *self.session).await.expect("the lease is given back");
        self.session.close().await;
    }
}

fn named(id: &str) -> MigrationId {
    MigrationId::new("kit", id).expect("a name")
}

/// With the heads that could move with these records.
fn batch(records: Vec<Record>, fence: Option<Token>) -> Batch {
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

fn assert_same(written: &[Record], read: &[Record]) {
    assert_eq!(written.len(), read.len(), "so many records were written, and read");
    for (written, read) in written.iter().zip(read) {
        assert_eq!(written, read);
    }
}

async fn names_tell_what_is_there(on: Ground) -> Checked {
    assert_eq!(on.names().await, [""; 0]);
    on.by_hand(&[Step::Make("kit_a"), Step::Make("kit_b")]).await?;
    assert_eq!(on.names().await, ["kit_a", "kit_b"], "`StateStore::names` tells what is there");
    on.by_hand(&[Step::Drop("kit_a")]).await?;
    assert_eq!(on.names().await, ["kit_b"]);
    // What the store itself needs is not told of.
    let mut session = on.session().await;
    let before = on.driver().store().names(&mut *session).await.expect("the names");
    session.close().await;
    Writer::new(&on).await.end().await;
    let mut session = on.session().await;
    assert_eq!(on.driver().store().names(&mut *session).await.expect("the names"), before);
    session.close().await;
    Ok(())
}

async fn a_new_database_has_no_head_and_no_records(on: Ground) -> Checked {
    let mut session = on.session().await;
    let store = on.driver().store();
    assert_eq!(store.head(&mut *session, &[]).await.expect("a question"), None);
    assert_eq!(store.history(&mut *session).await.expect("a question"), History::default());
    assert!(store.foreign(&mut *session).await.expect("a question").is_empty());
    session.close().await;
    Ok(())
}

async fn looking_changes_nothing(on: Ground) -> Checked {
    let store = on.driver().store();
    match on.open(Access::Read).await {
        Ok(mut session) => {
            assert_eq!(store.head(&mut *session, &[]).await.expect("a question"), None);
            assert_eq!(store.history(&mut *session).await.expect("a question"), History::default());
            session.close().await;
        }
        Err(Error::NotFound { .. }) => {}
        Err(error) => panic!("a new database can be looked at, or is not there: {error}"),
    }
    let migrator = on.migrator(admmgt_core::Migrations::new([on.text("1", &[Step::Make("kit_a")])?]));
    assert!(!migrator.status().await.expect("a status").initialised);
    assert_eq!(migrator.plan().await.expect("a plan").steps.len(), 1);
    assert_eq!(migrator.pending().await.expect("the pending ones").len(), 1);
    assert!(migrator.ensure_current().await.is_err());
    let mut session = on.session().await;
    assert_eq!(store.head(&mut *session, &[]).await.expect("a question"), None, "looking prepared the store");
    session.close().await;
    assert_eq!(on.names().await, [""; 0]);
    Ok(())
}

async fn preparing_again_changes_nothing(on: Ground) -> Checked {
    let mut writer = Writer::new(&on).await;
    let record = writer.record("1", RecordKind::Applied);
    writer.append(vec![record.clone()]).await.expect("it is written");
    writer.store.prepare(&mut *writer.session).await.expect("it is prepared");
    assert_same(&[record], &writer.history().await.records);
    writer.end().await;
    Ok(())
}

async fn records_come_back_as_they_were_written(on: Ground) -> Checked {
    use RecordKind::{Applied, Baseline, Failed, Repaired, Replaced, Resolved, Reverted, Skipped, Started, StepDone};
    let mut writer = Writer::new(&on).await;
    let mut records = Vec::new();
    for kind in [Started, StepDone, Applied, Failed, Reverted, Skipped, Resolved, Baseline, Repaired, Replaced] {
        records.push(writer.record(&format!("{kind}"), kind));
    }
    let mut full = writer.record("Größe-Ω.v1+2:a@b", StepDone);
    (full.direction, full.origin) = (Direction::Down, Origin::Code);
    (full.step, full.steps) = (Some(0), Some(u32::MAX));
    full.duration_us = Some(1 << 53);
    full.at = Timestamp(253_402_300_799_999);
    full.by = "O'Brien \"the\" `deployer` ; -- \\ %s $1 ?".into();
    full.host = "日本語 🦀".into();
    full.detail = Some("line one\nline two\ttabbed\r\n'; drop table users; --".to_owned());
    full.body = ArchivedBody::pack("create table t (text varchar default 'it''s');");
    records.push(full);
    let mut long = writer.record(&"x".repeat(200), Applied);
    long.at = Timestamp(0);
    long.detail = Some("é".repeat(50_000));
    long.body = ArchivedBody::pack(&"insert into t values ('0123456789');\n".repeat(10_000));
    assert!(matches!(long.body, Some(ArchivedBody::Deflate(_))));
    records.push(long);
    let mut empty = writer.record("empty", Applied);
    (empty.detail, empty.body) = (Some(String::new()), ArchivedBody::pack(""));
    records.push(empty);
    writer.append(records.clone()).await.expect("they are written");
    assert_same(&records, &writer.history().await.records);
    writer.end().await;
    Ok(())
}

async fn many_records_keep_their_order(on: Ground) -> Checked {
    let mut writer = Writer::new(&on).await;
    let mut written = Vec::new();
    for size in [1, 2, 500, 1, 300] {
        let records: Vec<Record> =
            (0..size).map(|at| writer.record(&format!("{size}_{at}"), RecordKind::Applied)).collect();
        writer.append(records.clone()).await.expect("they are written");
        written.extend(records);
    }
    assert_same(&written, &writer.history().await.records);
    writer.end().await;
    Ok(())
}

async fn heads_are_those_of_the_last_batch(on: Ground) -> Checked {
    let mut writer = Writer::new(&on).await;
    let mut last = Vec::new();
    for round in 0..3 {
        let records =
            vec![writer.record(&format!("{round}_a"), RecordKind::Applied), writer.record("b", RecordKind::Failed)];
        let batch = writer.batch(records);
        writer.store.append(&mut *writer.session, &batch).await.expect("it is written");
        let names = named_in(&batch.heads);
        let head = writer.store.head(&mut *writer.session, &names).await.expect("a question").expect("it is prepared");
        assert_heads(&head, &batch.heads, "by `head`");
        assert_heads(&writer.history().await.head, &batch.heads, "by `history`");
        last = batch.heads;
    }
    writer.end().await;
    let options = admmgt_core::SessionOptions::new(Access::Read);
    let peeked = on.driver().peek(&options, &named_in(&last)).await.expect("a question").expect("it is prepared");
    assert_heads(&peeked, &last, "by `peek`");
    Ok(())
}

fn named_in(heads: &[(Namespace, NamespaceHead)]) -> Vec<Namespace> {
    heads.iter().map(|(name, _)| name.clone()).collect()
}

fn assert_heads(read: &Head, written: &[(Namespace, NamespaceHead)], how: &str) {
    for (name, written) in written {
        assert_eq!(read.namespaces.get(name), Some(written), "{how}");
    }
}

async fn a_number_is_given_once(on: Ground) -> Checked {
    let mut writer = Writer::new(&on).await;
    let first = writer.record("1", RecordKind::Applied);
    writer.append(vec![first.clone()]).await.expect("it is written");
    let mut second = writer.record("2", RecordKind::Applied);
    second.seq = first.seq;
    let refused = writer.append(vec![second]).await.expect_err("that number is taken");
    assert!(matches!(refused, Error::HistoryMoved { .. }), "{refused}");
    assert_same(&[first], &writer.history().await.records);
    writer.end().await;
    Ok(())
}

async fn a_batch_is_written_as_a_whole_or_not_at_all(on: Ground) -> Checked {
    let mut writer = Writer::new(&on).await;
    let first = writer.record("1", RecordKind::Applied);
    writer.append(vec![first.clone()]).await.expect("it is written");
    let mut second = writer.record("2", RecordKind::Applied);
    let mut third = writer.record("3", RecordKind::Applied);
    (second.seq, third.seq) = (2, 1);
    let refused = writer.append(vec![second.clone(), third]).await.expect_err("that number is taken");
    assert!(matches!(refused, Error::HistoryMoved { .. }), "{refused}");
    assert_same(&[first], &writer.history().await.records);
    writer.append(vec![second]).await.expect("nothing of it is in the way");
    writer.end().await;
    Ok(())
}

async fn a_stale_token_writes_nothing(on: Ground) -> Checked {
    on.needs_fencing().await?;
    let mut writer = Writer::new(&on).await;
    let first = writer.record("1", RecordKind::Applied);
    writer.append(vec![first.clone()]).await.expect("it is written");
    let stale = writer.lease.token();
    assert!(stale.is_some(), "a lease with fencing has a token");
    writer.end().await;

    let mut writer = Writer::new(&on).await;
    writer.seq = 1;
    assert!(writer.lease.token() > stale, "tokens grow");
    let second = writer.record("2", RecordKind::Applied);
    let late = batch(vec![second.clone()], stale);
    let refused = writer.store.append(&mut *writer.session, &late).await.expect_err("its lease is over");
    assert!(matches!(refused, Error::LeaseLost { .. }), "{refused}");
    assert_same(std::slice::from_ref(&first), &writer.history().await.records);
    writer.append(vec![second.clone()]).await.expect("the new one is good");
    assert_same(&[first, second], &writer.history().await.records);
    writer.end().await;
    Ok(())
}

/// A checkpoint that says so much of itself.
fn checkpoint(begun: u64) -> Checkpoint {
    Checkpoint::stored(begun, Some("a 'key', with / all \u{1f600} of it\n".to_owned()), begun * 2, begun + 1, false)
}

impl Writer {
    async fn save(&mut self, name: &str, checkpoint: &Checkpoint, fence: Option<Token>) -> Result<()> {
        let key = CheckpointKey::new(named("1"), name);
        self.store.save_checkpoint(&mut *self.session, &key, checkpoint, fence).await
    }

    async fn saved(&mut self, name: &str) -> Result<Option<Checkpoint>> {
        self.store.checkpoint(&mut *self.session, &CheckpointKey::new(named("1"), name)).await
    }

    /// Left out where the store keeps no checkpoints.
    async fn keeps_checkpoints(&mut self) -> Checked {
        match self.saved("none").await {
            Err(Error::Unsupported { .. }) => Err(Skip("its store keeps no checkpoints".to_owned())),
            found => {
                assert_eq!(found.expect("an answer"), None, "none was saved");
                Ok(())
            }
        }
    }
}

async fn a_checkpoint_comes_back_as_it_was_saved(on: Ground) -> Checked {
    let mut writer = Writer::new(&on).await;
    writer.keeps_checkpoints().await?;
    let token = writer.lease.token();
    // Names are free texts.
    for (name, begun) in [("one", 1), ("one/two", 2), ("../one", 3), ("Ünë 'quoted' \"$\".", 4)] {
        writer.save(name, &checkpoint(begun), token).await.expect("it is saved");
    }
    for (name, begun) in [("one", 1), ("one/two", 2), ("../one", 3), ("Ünë 'quoted' \"$\".", 4)] {
        assert_eq!(writer.saved(name).await.expect("an answer"), Some(checkpoint(begun)), "{name}");
    }
    let last = Checkpoint::stored(9, None, 0, 0, true);
    writer.save("one", &last, token).await.expect("it is saved over the one before");
    assert_eq!(writer.saved("one").await.expect("an answer"), Some(last.clone()));
    writer.end().await;
    let mut writer = Writer::new(&on).await;
    assert_eq!(writer.saved("one").await.expect("an answer"), Some(last), "in another session");
    writer.end().await;
    Ok(())
}

async fn a_checkpoint_of_a_stale_token_is_not_saved(on: Ground) -> Checked {
    on.needs_fencing().await?;
    let mut writer = Writer::new(&on).await;
    writer.keeps_checkpoints().await?;
    let stale = writer.lease.token();
    writer.save("one", &checkpoint(1), stale).await.expect("it is saved");
    writer.end().await;
    let mut writer = Writer::new(&on).await;
    let refused = writer.save("one", &checkpoint(2), stale).await.expect_err("its lease is over");
    assert!(matches!(refused, Error::LeaseLost { .. }), "{refused}");
    assert_eq!(writer.saved("one").await.expect("an answer"), Some(checkpoint(1)));
    writer.end().await;
    Ok(())
}

async fn a_commit_writes_the_change_and_its_records(on: Ground) -> Checked {
    on.needs_transactions().await?;
    let mut writer = Writer::new(&on).await;
    let records = vec![writer.record("1", RecordKind::Applied), writer.record("2", RecordKind::Applied)];
    writer.begin(&on, &[Step::Make("kit_a")]).await?;
    let batch = writer.batch(records.clone());
    assert_eq!(writer.session.commit(&batch).await.expect("a commit"), Atomicity::Kept);
    assert_same(&records, &writer.history().await.records);
    writer.end().await;
    assert_eq!(on.names().await, ["kit_a"]);
    Ok(())
}

async fn a_commit_that_fails_leaves_neither_the_change_nor_its_records(on: Ground) -> Checked {
    on.needs_transactions().await?;
    on.needs_to_outlive_its_connections().await?;
    let mut writer = Writer::new(&on).await;
    let first = writer.record("1", RecordKind::Applied);
    writer.append(vec![first.clone()]).await.expect("it is written");
    writer.begin(&on, &[Step::Make("kit_a")]).await?;
    let mut second = writer.record("2", RecordKind::Applied);
    second.seq = 1;
    let batch = writer.batch(vec![second]);
    let refused = writer.session.commit(&batch).await.expect_err("that number is taken");
    assert!(matches!(refused, Error::HistoryMoved { .. }), "{refused}");
    drop(writer.session);
    drop(writer.lease);
    assert_eq!(on.names().await, [""; 0], "the change is there without its record");
    let mut session = on.session().await;
    let history = on.driver().store().history(&mut *session).await.expect("the history");
    assert_same(&[first], &history.records);
    session.close().await;
    Ok(())
}

async fn a_commit_with_a_stale_token_leaves_nothing(on: Ground) -> Checked {
    on.needs_transactions().await?;
    on.needs_fencing().await?;
    let writer = Writer::new(&on).await;
    let stale = writer.lease.token();
    writer.end().await;
    let mut writer = Writer::new(&on).await;
    writer.begin(&on, &[Step::Make("kit_a")]).await?;
    let late = batch(vec![writer.record("1", RecordKind::Applied)], stale);
    let refused = writer.session.commit(&late).await.expect_err("its lease is over");
    assert!(matches!(refused, Error::LeaseLost { .. }), "{refused}");
    drop(writer.session);
    drop(writer.lease);
    assert_eq!(on.names().await, [""; 0]);
    Ok(())
}

async fn a_rollback_takes_the_change_back(on: Ground) -> Checked {
    on.needs_transactions().await?;
    let mut writer = Writer::new(&on).await;
    writer.begin(&on, &[Step::Make("kit_a")]).await?;
    assert_eq!(writer.session.rollback().await.expect("a rollback"), Atomicity::Kept);
    let record = writer.record("1", RecordKind::Failed);
    writer.append(vec![record]).await.expect("the session can go on");
    writer.begin(&on, &[Step::Make("kit_a")]).await?;
    let record = writer.record("1", RecordKind::Applied);
    let batch = writer.batch(vec![record]);
    assert_eq!(writer.session.commit(&batch).await.expect("a commit"), Atomicity::Kept);
    writer.end().await;
    assert_eq!(on.names().await, ["kit_a"]);
    Ok(())
}

async fn a_session_that_is_dropped_is_rolled_back(on: Ground) -> Checked {
    on.needs_transactions().await?;
    on.needs_to_outlive_its_connections().await?;
    let mut writer = Writer::new(&on).await;
    writer.begin(&on, &[Step::Make("kit_a")]).await?;
    drop(writer.session);
    drop(writer.lease);
    // A server may need a moment to notice.
    on.lease_is_free().await;
    assert_eq!(on.names().await, [""; 0], "a transaction outlived its session");
    let migrator = on.migrator(admmgt_core::Migrations::new([on.text("1", &[Step::Make("kit_a")])?]));
    let report = tokio::time::timeout(Duration::from_secs(60), migrator.up()).await;
    let report = report.expect("no lock outlives the session").expect("nothing is in the way");
    assert_eq!(report.ran.len(), 1);
    Ok(())
}
