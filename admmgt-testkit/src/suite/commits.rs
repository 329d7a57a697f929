//! What a store and a session promise together: a change and its records are there as one, or not at all.

use std::time::Duration;

use admmgt_core::{Atomicity, Error, RecordKind};

use super::ground::Ground;
use super::writer::{Writer, assert_same, batch};
use super::{Checked, tests};
use crate::Step;

tests! { "store":
    a_commit_writes_the_change_and_its_records,
    a_commit_that_fails_leaves_neither_the_change_nor_its_records,
    a_commit_with_a_stale_token_leaves_nothing,
    a_rollback_takes_the_change_back,
    a_session_that_is_dropped_is_rolled_back,
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
