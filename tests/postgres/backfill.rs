//! Backfills of tables, batch by batch.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use admmgt::prelude::*;
use admmgt::sqlx::Connection;
use admmgt::{Error, ErrorKind, Event, LeaseMode, OnInterrupt, Rows};
use admmgt_tests::{
    Database, Orders, asynchronous, backfill_killed_anywhere, backfill_killed_at_random, batches_of, filling, now,
    outside, sql,
};

const TABLE: &str = r"create table t (id bigint primary key, word text unique, a integer, b varchar(9), at timestamptz unique,
        uid uuid unique, num numeric unique, f double precision unique, done integer);
    insert into t select 7 * i, chr(64 + i % 26) || i || '''\', i / 100, 'x' || (i % 100),
        timestamptz '2026-01-01' + i * interval '1.000001 s', md5(i::text)::uuid, i / 3.0, random(),
        case i % 10 when 0 then 0 end from generate_series(1, 1000) i;
    create unique index by_both on t (a, b); analyze t;";

#[tokio::test]
async fn every_row_is_changed_once_whatever_the_key_is() {
    let keys: [&[&str]; 7] = [&["id"], &["word"], &["a", "b"], &["at"], &["uid"], &["num"], &["f"]];
    for key in keys {
        let Some(db) = Database::new().await else { return };
        let rows = Rows::of("t", key.iter().copied()).set("done = coalesce(done, 0) + 1").only("done is null");
        let (fill, filled) = filling(rows);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let migrator = db.migrator(sql(&[("1", TABLE)]).and(fill)).policy(batches_of(64));
        let migrator = migrator.observe(move |event: &Event| {
            if let Event::Backfill { seen, changed, of, .. } = event {
                hears.lock().unwrap().push((*seen, *changed, *of));
            }
        });
        migrator.up().await.unwrap();
        let done = "select done::text || ' ' || count(*) from t group by done order by 1";
        assert_eq!(db.texts(done).await, ["0 100", "1 900"], "{key:?}");
        let filled = filled.lock().unwrap()[0];
        assert_eq!((filled.seen, filled.changed, filled.batches), (1000, 900, 16), "{key:?}");
        let heard = heard.lock().unwrap();
        assert_eq!((heard.len(), heard[15]), (16, (1000, 900, Some(1000))), "{key:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_null_is_refused_before_anything_is_changed() {
    let Some(db) = Database::new().await else { return };
    let table = "create table t (k text unique, done integer); insert into t values ('a', null), (null, null)";
    let (fill, _) = filling(Rows::of("t", ["k"]).set("done = 1"));
    let error = db.migrator(sql(&[("1", table)]).and(fill)).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    assert!(error.to_string().contains("where the key `k` is NULL"), "{error}");
    assert!(db.texts("select k from t where done = 1").await.is_empty());
}

#[tokio::test]
async fn what_cannot_be_a_backfill_is_refused_in_words() {
    for (rows, words) in [
        (Rows::of("nowhere", ["id"]).set("done = 1"), "relation \"nowhere\" does not exist"),
        (Rows::of("t", ["id"]).set("wrong = 1"), "column \"wrong\" of relation \"t\" does not exist"),
    ] {
        let Some(db) = Database::new().await else { return };
        let (fill, _) = filling(rows);
        let error = db.migrator(sql(&[("1", TABLE)]).and(fill)).up().await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// A row that somebody else has locked is waited for; the batch is made smaller and tried again.
#[tokio::test]
async fn a_batch_that_meets_a_lock_is_tried_again() {
    let Some(db) = Database::new().await else { return };
    db.run(TABLE).await;
    let mut other = db.connection().await;
    sqlx::raw_sql("begin; select from t where id = 700 for update").execute(&mut other).await.unwrap();
    let other = Mutex::new(Some(other));
    let (fill, filled) = filling(Rows::of("t", ["id"]).set("done = 1"));
    let mut policy = batches_of(64);
    policy.lock_timeout = Duration::from_millis(100);
    policy.foreign = admmgt::Verdict::Allow;
    let retried = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&retried);
    let migrator = db.migrator(Migrations::default().and(fill)).policy(policy).observe(move |event: &Event| {
        if let Event::MigrationRetried { retry, error, .. } = event {
            hears.lock().unwrap().push((*retry, error.clone()));
            // Closed without a commit.
            drop(other.lock().unwrap().take());
        }
    });
    migrator.up().await.unwrap();
    assert_eq!(filled.lock().unwrap()[0].changed, 1000);
    let retried = retried.lock().unwrap();
    assert!(!retried.is_empty() && retried[0].1.contains("55P03"), "{retried:?}");
}

/// Rows come and go while it runs (F112): every row that is there in the end was changed, or was written by somebody who
/// knows the new column.
#[tokio::test]
async fn f112_rows_that_come_and_go_meanwhile_are_no_obstacle() {
    let Some(db) = Database::new().await else { return };
    db.run(
        "create table t (id bigserial primary key, net integer not null, gross integer);
         insert into t (net) select i from generate_series(1, 20000) i",
    )
    .await;
    let over = Arc::new(AtomicBool::new(false));
    let (stops, url) = (Arc::clone(&over), db.url());
    let (begun, begins) = tokio::sync::oneshot::channel();
    let writer = tokio::spawn(async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let (mut rounds, mut begun) = (0u32, Some(begun));
        while !stops.load(Ordering::SeqCst) {
            let round = "insert into t (net, gross) select 5, 10 from generate_series(1, 20);
                         delete from t where id in (select id from t order by random() limit 20);
                         update t set net = net + 1, gross = 2 * (net + 1) where id in (select id from t order by random() limit 20)";
            match sqlx::raw_sql(round).execute(&mut connection).await {
                Ok(_) => rounds += 1,
                // Rows are taken in no order here and in that of the key there: of a deadlock either can be the victim.
                Err(error) => assert_eq!(error.as_database_error().unwrap().code().unwrap(), "40P01", "{error}"),
            }
            begun.take().map(|begun| begun.send(()));
        }
        rounds
    });
    begins.await.unwrap();
    let (fill, _) = filling(Rows::of("t", ["id"]).set("gross = 2 * net").only("gross is null"));
    let mut policy = batches_of(200);
    (policy.foreign, policy.batch_pause) = (admmgt::Verdict::Allow, Duration::from_millis(5));
    let done = db.migrator(Migrations::default().and(fill)).policy(policy).up().await;
    over.store(true, Ordering::SeqCst);
    let rounds = writer.await.unwrap();
    done.unwrap();
    assert!(rounds > 3, "{rounds} rounds");
    assert!(db.texts("select id::text from t where gross is distinct from 2 * net").await.is_empty());
}

/// A checkpoint is not saved by whoever has lost the lease: the batch is taken back with it.
#[tokio::test]
async fn without_the_lease_no_batch_is_committed() {
    let row = LeaseMode::Row { ttl: Duration::from_secs(60) };
    for (mode, take) in [
        (LeaseMode::Session, "select pg_advisory_unlock_all()"),
        (row, "update _admmgt_lease set token = token + 1, owner = 'another'"),
    ] {
        let Some(db) = Database::new().await else { return };
        db.run(TABLE).await;
        let body = asynchronous("2", move |cx| {
            Box::pin(async move {
                cx.backfill("it").update(&Rows::of("t", ["id"]).set("done = 5").only("id < 700")).await?;
                cx.execute(take).await?;
                cx.backfill("more").update(&Rows::of("t", ["id"]).set("done = 6")).await?;
                Ok(())
            })
        });
        let driver = db.driver().lease(mode);
        let mut policy = Policy::default();
        policy.foreign = admmgt::Verdict::Allow;
        let body = body.with(|meta| outside(meta).on_interrupt(OnInterrupt::Retry));
        let error =
            Migrator::new(driver).migrations(Migrations::default().and(body)).policy(policy).up().await.unwrap_err();
        assert!(matches!(error, Error::LeaseLost { .. }), "{mode:?}: {error}");
        assert_eq!(db.texts("select count(*)::text from t where done = 5").await, ["99"], "{mode:?}");
        assert!(db.texts("select id::text from t where done = 6").await.is_empty(), "{mode:?}");
    }
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_read_is_named() {
    let Some(db) = Database::new().await else { return };
    db.run(TABLE).await;
    let list = || {
        let (fill, _) = filling(Rows::of("t", ["id"]).set("done = wrong"));
        Migrations::default().and(fill)
    };
    let mut policy = Policy::default();
    policy.foreign = admmgt::Verdict::Allow;
    assert!(db.migrator(list()).policy(policy.clone()).up().await.is_err());
    db.run("insert into _admmgt_checkpoint (name, begun) values ('app/2/it', 1)").await;
    let error = db.migrator(list()).policy(policy).up().await.unwrap_err();
    assert!(error.to_string().contains("the row of `app/2/it` in `_admmgt_checkpoint`"), "{error}");
}

#[test]
fn killed_anywhere_a_backfill_goes_on() {
    if now(Database::ours()).is_some() {
        backfill_killed_anywhere(1, |db: &Database| Orders::at(db.url(), &std::env::temp_dir()));
    }
}

#[test]
fn killed_at_random_moments_a_backfill_goes_on() {
    if now(Database::ours()).is_some() {
        backfill_killed_at_random(2031, |db: &Database| Orders::at(db.url(), &std::env::temp_dir()));
    }
}
