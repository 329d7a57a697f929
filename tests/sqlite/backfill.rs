//! Backfills of tables, batch by batch.

use std::sync::{Arc, Mutex};

use admmgt::prelude::*;
use admmgt::{BatchEnd, Batches, ErrorKind, Event, OnInterrupt, Rows, async_trait};
use admmgt_tests::{
    AsyncCode, Orders, Scratch, asynchronous, backfill_killed_anywhere, backfill_killed_at_random, batches_of, filling,
    outside, sql,
};

const TABLE: &str = "create table t (id integer primary key, word text not null, a integer not null, b text not null, done integer);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000)
    insert into t select 7 * i, char(64 + i % 26) || i || '''', i / 100, 'x' || (i % 100), case i % 10 when 0 then 0 end from n;
    create unique index by_word on t (word);
    create unique index by_both on t (a, b);";

#[tokio::test]
async fn every_row_is_changed_once_whatever_the_key_is() {
    let keys: [&[&str]; 5] = [&["id"], &["word"], &["a", "b"], &["rowid"], &["word collate nocase"]];
    for key in keys {
        let scratch = Scratch::new();
        let rows = Rows::of("t", key.iter().copied()).set("done = coalesce(done, 0) + 1").only("done is null");
        let (fill, filled) = filling(rows);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let migrator = scratch.migrator(sql(&[("1", TABLE)]).and(fill)).policy(batches_of(64));
        let migrator = migrator.observe(move |event: &Event| {
            if let Event::Backfill { seen, changed, of, .. } = event {
                hears.lock().unwrap().push((*seen, *changed, *of));
            }
        });
        migrator.up().await.unwrap();
        assert_eq!(scratch.number("select count(*) from t where done = 1"), 900, "{key:?}");
        assert_eq!(scratch.number("select count(*) from t where done = 0"), 100, "{key:?}");
        let filled = filled.lock().unwrap()[0];
        assert_eq!((filled.seen, filled.changed, filled.batches), (1000, 900, 16), "{key:?}");
        let heard = heard.lock().unwrap();
        assert_eq!((heard.len(), heard[15]), (16, (1000, 900, Some(1000))), "{key:?}");
        assert_eq!(heard[0].0, 64, "{key:?}");
    }
}

#[tokio::test]
async fn a_table_without_a_rowid_has_a_key_too() {
    let scratch = Scratch::new();
    let table = "create table t (a text, b blob, done integer, primary key (a, b)) without rowid;
                 with recursive n(i) as (select 1 union all select i + 1 from n where i < 300)
                 insert into t select 'it''s ' || i / 10, randomblob(8), null from n";
    let (fill, filled) = filling(Rows::of("t", ["a", "b"]).set("done = 1"));
    scratch.migrator(sql(&[("1", table)]).and(fill)).policy(batches_of(7)).up().await.unwrap();
    assert_eq!(scratch.number("select count(*) from t where done = 1"), 300);
    assert_eq!(filled.lock().unwrap()[0].changed, 300);
}

#[tokio::test]
async fn a_key_that_is_null_is_refused_before_anything_is_changed() {
    let scratch = Scratch::new();
    let table = "create table t (k text unique, done integer); insert into t values ('a', null), (null, null)";
    let (fill, _) = filling(Rows::of("t", ["k"]).set("done = 1"));
    let error = scratch.migrator(sql(&[("1", table)]).and(fill)).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    assert!(error.to_string().contains("where the key `k` is NULL"), "{error}");
    assert_eq!(scratch.number("select count(*) from t where done = 1"), 0);
}

#[tokio::test]
async fn an_empty_table_is_filled_at_once() {
    let scratch = Scratch::new();
    let (fill, filled) = filling(Rows::of("t", ["k"]).set("done = 1"));
    scratch.migrator(sql(&[("1", "create table t (k text primary key, done integer)")]).and(fill)).up().await.unwrap();
    assert_eq!(filled.lock().unwrap()[0].batches, 0);
}

/// What is wrong is said before anything runs, or as soon as it can be known.
#[tokio::test]
async fn what_cannot_be_a_backfill_is_refused_in_words() {
    for (rows, words) in [
        (Rows::of("t", ["id"]), "needs the columns of a key, and `set`"),
        (Rows::of("t", [""; 0]).set("done = 1"), "needs the columns of a key, and `set`"),
        (Rows::of("nowhere", ["id"]).set("done = 1"), "no such table: nowhere"),
        (Rows::of("t", ["id"]).set("wrong = 1"), "no such column: wrong"),
    ] {
        let scratch = Scratch::new();
        let (fill, _) = filling(rows);
        let error = scratch.migrator(sql(&[("1", TABLE)]).and(fill)).up().await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    let scratch = Scratch::new();
    let (fill, _) = filling(Rows::of("t", ["id"]).set("done = 1"));
    let within = fill.with(|meta| meta.transaction(admmgt::TransactionMode::Auto));
    let error = scratch.migrator(sql(&[("1", TABLE)]).and(within)).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("write `transaction = \"none\"`"), "{error}");
}

/// No batch commits what points to nothing: foreign keys are checked in it, as they are for the application.
#[tokio::test]
async fn foreign_keys_hold_in_every_batch() {
    let scratch = Scratch::new();
    let tables = "create table parent (id integer primary key);
                  create table child (id integer primary key, parent integer references parent(id));
                  insert into parent values (1); insert into child values (1, 1), (2, 1), (3, 1)";
    let (fill, _) = filling(Rows::of("child", ["id"]).set("parent = id"));
    let error = scratch.migrator(sql(&[("1", tables)]).and(fill)).policy(batches_of(1)).up().await.unwrap_err();
    assert!(error.to_string().contains("FOREIGN KEY constraint failed"), "{error}");
    assert_eq!(scratch.texts("select parent || '' from child order by id"), ["1", "1", "1"]);
    // Once the parents are there it goes on behind what is done.
    scratch.run("insert into parent values (2), (3)");
    let (fill, filled) = filling(Rows::of("child", ["id"]).set("parent = id"));
    scratch.migrator(sql(&[("1", tables)]).and(fill)).up().await.unwrap();
    assert_eq!(scratch.texts("select parent || '' from child order by id"), ["1", "2", "3"]);
    assert_eq!(filled.lock().unwrap()[0].seen, 3);
}

/// Batches of one row each, of a body's own.
struct Ones {
    change: fn(u64) -> String,
    panics_at: u64,
}

#[async_trait]
impl Batches for Ones {
    async fn next(&mut self, _: &mut Context, after: Option<&str>, _: u64) -> Result<Option<BatchEnd>, BoxError> {
        let next = after.map_or(Ok(0), str::parse::<u64>)? + 1;
        Ok((next <= 3).then(|| BatchEnd::new(next.to_string(), 1)))
    }

    async fn change(&mut self, cx: &mut Context, _: Option<&str>, end: &str) -> Result<u64, BoxError> {
        let number = end.parse()?;
        let done = cx.execute((self.change)(number)).await?;
        assert_ne!(number, self.panics_at, "as it was told");
        Ok(done.rows_affected)
    }
}

fn ones(change: fn(u64) -> String, panics_at: u64) -> AsyncCode {
    let body = asynchronous("2", move |cx| {
        Box::pin(async move {
            cx.backfill("ones").run(&mut Ones { change, panics_at }).await?;
            Ok(())
        })
    });
    body.with(|meta| outside(meta).on_interrupt(OnInterrupt::Retry))
}

#[tokio::test]
async fn a_panic_in_a_batch_takes_that_batch_back() {
    let scratch = Scratch::new();
    let list = |panics_at| {
        sql(&[("1", "create table t (id integer)")])
            .and(ones(|number| format!("insert into t values ({number})"), panics_at))
    };
    let error = scratch.migrator(list(2)).up().await.unwrap_err();
    assert!(error.to_string().contains("it panicked"), "{error}");
    assert_eq!(scratch.texts("select id || '' from t"), ["1"]);
    scratch.migrator(list(0)).up().await.unwrap();
    assert_eq!(scratch.texts("select id || '' from t order by id"), ["1", "2", "3"]);
}

/// SQLite itself rolls back, and the body goes on: then the checkpoint is not saved either.
#[tokio::test]
async fn a_batch_that_sqlite_rolls_back_is_not_taken_for_done() {
    let scratch = Scratch::new();
    let table = "create table t (id integer);
                 create trigger no before insert on t when new.id = 2 begin select raise(rollback, 'not two'); end";
    let list = sql(&[("1", table)]).and(ones(|number| format!("insert into t values ({number})"), 0));
    let error = scratch.migrator(list).up().await.unwrap_err();
    assert!(error.to_string().contains("not two"), "{error}");
    assert_eq!(scratch.texts("select id || '' from t"), ["1"]);
    assert_eq!(scratch.texts("select last_key from _admmgt_checkpoint"), ["1"]);
}

#[test]
fn killed_anywhere_a_backfill_goes_on() {
    backfill_killed_anywhere(1, |scratch: &Scratch| Orders::new(scratch.path()));
}

#[test]
fn killed_at_random_moments_a_backfill_goes_on() {
    backfill_killed_at_random(2030, |scratch: &Scratch| Orders::new(scratch.path()));
}

/// The application writes between two batches (F112): every row that is there in the end was changed, or was written by
/// somebody who knows the new column.
#[tokio::test]
async fn f112_rows_that_come_and_go_meanwhile_are_no_obstacle() {
    let scratch = Scratch::new();
    scratch.run(
        "create table t (id integer primary key autoincrement, net integer not null, gross integer);
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000) insert into t (net) select i from n",
    );
    let (fill, _) = filling(Rows::of("t", ["id"]).set("gross = 2 * net").only("gross is null"));
    let mut policy = batches_of(50);
    policy.foreign = admmgt::Verdict::Allow;
    let (application, rounds) = (Mutex::new(scratch.connection()), Arc::new(Mutex::new(0)));
    let counts = Arc::clone(&rounds);
    let migrator = scratch.migrator(Migrations::default().and(fill)).policy(policy);
    let migrator = migrator.observe(move |event: &Event| {
        if let Event::Backfill { .. } = event {
            let round = "insert into t (net, gross) values (5, 10), (6, 12);
                         delete from t where id in (select id from t order by random() limit 5);
                         update t set net = net + 1, gross = 2 * (net + 1) where id in (select id from t order by random() limit 5)";
            application.lock().unwrap().execute_batch(round).unwrap();
            *counts.lock().unwrap() += 1;
        }
    });
    migrator.up().await.unwrap();
    assert!(*rounds.lock().unwrap() > 10);
    assert_eq!(scratch.number("select count(*) from t where gross is not 2 * net"), 0);
}

/// Takes the transaction of its batch back, and says that all is well.
struct RollsBack;

#[async_trait]
impl Batches for RollsBack {
    async fn next(&mut self, _: &mut Context, after: Option<&str>, _: u64) -> Result<Option<BatchEnd>, BoxError> {
        Ok(after.is_none().then(|| BatchEnd::new("1", 1)))
    }

    async fn change(&mut self, cx: &mut Context, _: Option<&str>, _: &str) -> Result<u64, BoxError> {
        cx.execute("insert into t (id, word, a, b) values (9999, 'new', 9999, 'new')").await?;
        cx.execute("insert or rollback into t (id, word, a, b) values (7, 'other', 9998, 'other')").await.unwrap_err();
        Ok(1)
    }
}

#[tokio::test]
async fn a_batch_that_was_rolled_back_under_way_saves_no_checkpoint() {
    let scratch = Scratch::new();
    let body = asynchronous("2", |cx| {
        Box::pin(async move {
            cx.backfill("odd").run(&mut RollsBack).await?;
            Ok(())
        })
    });
    let error = scratch.migrator(sql(&[("1", TABLE)]).and(body.with(outside))).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(error.to_string().contains("rolled its transaction back"), "{error}");
    assert_eq!(scratch.number("select count(*) from t where id = 9999"), 0);
}
