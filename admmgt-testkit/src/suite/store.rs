//! What a store promises of its records: they are added, in order and once each.

use admmgt_core::{
    Access, ArchivedBody, Direction, Error, Head, History, Namespace, NamespaceHead, Origin, Record, RecordKind,
    Timestamp,
};

use super::ground::Ground;
use super::writer::{Writer, assert_same, batch};
use super::{Checked, tests};
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
}

async fn names_tell_what_is_there(on: Ground) -> Checked {
    assert_eq!(on.names().await, [""; 0]);
    on.by_hand(&[Step::Make("kit_a"), Step::Make("kit_b")]).await?;
    assert_eq!(on.names().await, ["kit_a", "kit_b"], "`StateStore::names` tells what is there");
    on.by_hand(&[Step::Drop("kit_a")]).await?;
    assert_eq!(on.names().await, ["kit_b"]);
    // What the store itself needs is not told of.
    let before = unqualified(&on).await;
    Writer::new(&on).await.end().await;
    assert_eq!(unqualified(&on).await, before);
    Ok(())
}

/// All names but those of other schemas, in which other tests may be at work.
async fn unqualified(on: &Ground) -> Vec<String> {
    let mut session = on.session().await;
    let mut names = on.driver().store().names(&mut *session).await.expect("the names");
    session.close().await;
    names.retain(|name| !name.contains('.'));
    names
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
