//! A server that steps down, hangs up, and cannot say whether it committed: at each of its commands, whenever the run comes
//! to it. What fails is tried again, or the next run converges; nothing runs twice, and nothing is there by half.

#![allow(clippy::await_holding_lock)] // one test at a time has the server

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use admmgt::mongo::{Documents, Steps};
use admmgt::mongodb::IndexModel;
use admmgt::mongodb::bson::{Document, doc};
use admmgt::mongodb::options::IndexOptions;
use admmgt::prelude::*;
use admmgt::{Direction, ErrorKind, Event, OnInterrupt};
use admmgt_tests::{
    MongoDatabase, Mongod, Orders, Sets, admin, asynchronous, batches_of, filling, is_full, outside, say, sql,
};

/// A replica set of these tests alone: what fails there fails for everybody. `None` where MongoDB is not installed.
pub(crate) fn server() -> Option<MutexGuard<'static, Option<Mongod>>> {
    static SET: Mutex<Option<Mongod>> = Mutex::new(None);
    started(&SET, Mongod::replica_set)
}

/// A standalone of these tests alone.
pub(crate) fn alone() -> Option<MutexGuard<'static, Option<Mongod>>> {
    static ALONE: Mutex<Option<Mongod>> = Mutex::new(None);
    started(&ALONE, Mongod::standalone)
}

fn started(
    kept: &'static Mutex<Option<Mongod>>,
    start: fn() -> Option<Mongod>,
) -> Option<MutexGuard<'static, Option<Mongod>>> {
    // The process that has started it must live on, and so must the thread.
    let mut server = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if std::env::var_os("ADMMGT_TEST_MONGO").is_none() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        say(format_args!("SKIPPED {test}: it needs a server of its own; `./tests/run test` starts one"));
        return None;
    }
    if server.is_none() {
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _ = send.send(start());
            loop {
                std::thread::park();
            }
        });
        *server = receive.recv().expect("it starts");
    }
    Some(server)
}

/// What the server does instead of what it was asked.
fn faults() -> Vec<(&'static str, Document, &'static [&'static str])> {
    const WRITES: &[&str] = &["insert", "update", "findAndModify", "create"];
    const ALL: &[&str] = &["insert", "update", "findAndModify", "create", "find", "aggregate", "commitTransaction"];
    vec![
        ("hangs up", doc! { "closeConnection": true }, ALL),
        ("steps down", doc! { "errorCode": 189 }, ALL),
        ("is no primary", doc! { "errorCode": 10107 }, ALL),
        ("shuts down", doc! { "errorCode": 91, "closeConnection": true }, ALL),
        (
            "has no majority in time",
            doc! { "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" } },
            &["insert", "update", "findAndModify", "create", "commitTransaction"],
        ),
        ("has a write conflict", doc! { "errorCode": 112 }, WRITES),
        (
            "cannot tell whether it committed",
            doc! { "errorCode": 50, "errorLabels": ["UnknownTransactionCommitResult"] },
            &["commitTransaction"],
        ),
        (
            "has no such transaction",
            doc! { "errorCode": 251, "errorLabels": ["TransientTransactionError"] },
            &["commitTransaction"],
        ),
    ]
}

/// When it begins to: at the start of the run, or when this is heard of the second migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Start,
    Leased,
    Started,
    BodyDone,
    Done,
}

const MOMENTS: [When; 5] = [When::Start, When::Leased, When::Started, When::BodyDone, When::Done];

fn is_now(event: &Event, when: When) -> bool {
    let is_second = |migration: &admmgt::MigrationId| migration.id() == "0002";
    match (event, when) {
        (Event::LeaseAcquired, When::Leased) => true,
        (Event::MigrationStarted { migration, .. }, When::Started)
        | (Event::BodyDone { migration, .. }, When::BodyDone)
        | (Event::MigrationDone { migration, .. }, When::Done) => is_second(migration),
        _ => false,
    }
}

fn set_fault(url: &str, fault: &Document, command: &str, times: i32) {
    let mut data = doc! { "failCommands": [command] };
    data.extend(fault.clone());
    // Only for us: the application has another name.
    data.insert("appName", "admmgt-test");
    let on = doc! { "configureFailPoint": "failCommand", "mode": { "times": times }, "data": data };
    admin(url, on).expect("the fault is set");
}

/// How often commands have failed until now; from now on none does.
fn clear(url: &str) -> i32 {
    let off = admin(url, doc! { "configureFailPoint": "failCommand", "mode": "off" }).expect("the fault is off");
    off.get_i32("count").expect("a count")
}

fn orders(db: &MongoDatabase, set: Sets) -> Orders {
    Orders::at(named(db, "admmgt-test"), &std::env::temp_dir()).set(set, 3)
}

/// The address of a database, with the name of the application that faults are for.
pub(crate) fn named(db: &MongoDatabase, application: &str) -> String {
    let next = if db.url().contains('?') { '&' } else { '?' };
    format!("{}{next}appName={application}", db.url())
}

/// How long a run that fails keeps its lease.
const SHORT: Duration = Duration::from_secs(1);
/// Long enough for a machine that is busy with others.
const LONG: Duration = Duration::from_secs(30);

fn migrator(orders: &Orders, lease: Duration) -> Migrator {
    let mut policy = orders.policy();
    policy.on_interrupt = Some(OnInterrupt::Retry);
    let driver = orders.mongo().unwrap().lease_ttl(lease);
    Migrator::new(driver).migrations(Sets::migrations(orders)).policy(policy)
}

/// What is there says what is on record, whatever was lost on the way.
async fn check(db: &MongoDatabase, orders: &Orders, what: &str) {
    migrator(orders, LONG).up().await.unwrap_or_else(|error| panic!("{what}: the run after: {error}"));
    let log = db.all("log").await;
    let mut log: Vec<&str> = log.iter().map(|row| row.get_str("migration").unwrap()).collect();
    log.sort_unstable();
    assert_eq!(log, ["app/0001", "app/0002", "app/0003"], "{what}");
    assert_eq!(db.count("_admmgt_history", doc! { "kind": "applied" }).await, 3, "{what}");
    let status = migrator(orders, LONG).status().await.unwrap();
    assert!(status.is_current(), "{what}: {status}");
}

/// In the fast tier, every so many of them. How many runs met a fault, and how many of them got over it.
async fn everywhere(set: Sets, times: i32, every: usize) -> (usize, usize) {
    let Some(server) = server() else { return (0, 0) };
    let server = server.as_ref().expect("MongoDB is installed: the shared server runs");
    let url = server.url("admin");
    let (mut tried, mut got_over, mut number) = (0, 0, 0);
    for (name, fault, commands) in faults() {
        let before_it = tried;
        for command in commands {
            for when in MOMENTS {
                number += 1;
                if !is_full() && number % every != 0 {
                    continue;
                }
                let db = MongoDatabase::at(&url);
                let orders = orders(&db, set);
                if set == Sets::Backfill {
                    db.filled(ROWS).await;
                }
                let hits = clear(&url);
                // Nobody makes the collections of the state and of the history in the middle of a fault that is to be elsewhere.
                if when == When::Start {
                    set_fault(&url, &fault, command, times);
                }
                let (at, fault) = (url.clone(), fault.clone());
                let once = Arc::new(Mutex::new(false));
                let run = migrator(&orders, SHORT).observe(move |event: &Event| {
                    let mut once = once.lock().unwrap();
                    if is_now(event, when) && !std::mem::replace(&mut *once, true) {
                        set_fault(&at, &fault, command, times);
                    }
                });
                let ended = run.up().await;
                let was_hit = clear(&url) > hits;
                tried += usize::from(was_hit);
                got_over += usize::from(was_hit && ended.is_ok());
                let what =
                    format!("it {name} at `{command}`, {times} times, from {when:?} on; the run ended with {ended:?}");
                if let Err(error) = &ended {
                    assert!(error.kind() != ErrorKind::Refused && error.kind() != ErrorKind::State, "{what}");
                }
                assert!(was_hit || ended.is_ok(), "{what}");
                check(&db, &orders, &what).await;
                if set == Sets::Backfill {
                    assert_eq!(
                        db.count("big", doc! { "value": 1 }).await,
                        ROWS,
                        "{what}: each document is changed once"
                    );
                }
            }
        }
        assert!(tried > before_it || !is_full(), "no command met a server that {name}");
    }
    assert!(tried > 9, "{tried} runs met a fault");
    (tried, got_over)
}

/// Of a collection that is changed batch by batch.
const ROWS: usize = 3000;

#[tokio::test]
async fn whatever_the_server_does_once_in_a_transaction_the_run_or_the_next_one_converges() {
    let (tried, got_over) = everywhere(Sets::Small, 1, 7).await;
    say(format_args!(
        "a fault at one command of a run: {tried} runs, {got_over} got over it, and each next one converged"
    ));
    assert!(got_over * 2 >= tried, "{got_over} of {tried}");
}

#[tokio::test]
async fn whatever_the_server_does_thrice_in_a_transaction_the_run_or_the_next_one_converges() {
    let (tried, got_over) = everywhere(Sets::Small, 3, 13).await;
    say(format_args!(
        "a fault at three commands of a run: {tried} runs, {got_over} got over it, and each next one converged"
    ));
}

/// What runs without a transaction: a backfill, each batch with its checkpoint, and the records of its migration.
#[tokio::test]
async fn whatever_the_server_does_once_in_a_backfill_the_run_or_the_next_one_converges() {
    let (tried, got_over) = everywhere(Sets::Backfill, 1, 9).await;
    say(format_args!(
        "a fault at one command of a run with a backfill: {tried} runs, {got_over} got over it, and each next one converged"
    ));
}

/// On a standalone the client tries nothing again by itself, and nothing is taken back: what went well goes on, and what did not
/// is done by the next run.
#[tokio::test]
async fn whatever_a_standalone_does_once_in_a_backfill_the_run_or_the_next_one_converges() {
    let Some(server) = alone() else { return };
    let server = server.as_ref().expect("MongoDB is installed: the shared server runs");
    let url = server.url("admin");
    let faults = [
        ("hangs up", doc! { "closeConnection": true }),
        ("shuts down", doc! { "errorCode": 91, "closeConnection": true }),
        ("is interrupted", doc! { "errorCode": 11601 }),
    ];
    let (mut tried, mut got_over, mut number) = (0, 0, 0);
    for (name, fault) in faults {
        for command in ["insert", "update", "findAndModify", "create", "find", "aggregate", "listCollections"] {
            for when in MOMENTS {
                number += 1;
                if !is_full() && number % 6 != 0 {
                    continue;
                }
                let db = MongoDatabase::at(&url);
                db.filled(ROWS).await;
                let orders = orders(&db, Sets::Backfill);
                let hits = clear(&url);
                if when == When::Start {
                    set_fault(&url, &fault, command, 1);
                }
                let (at, fault) = (url.clone(), fault.clone());
                let once = Arc::new(Mutex::new(false));
                let run = migrator(&orders, SHORT).observe(move |event: &Event| {
                    let mut once = once.lock().unwrap();
                    if is_now(event, when) && !std::mem::replace(&mut *once, true) {
                        set_fault(&at, &fault, command, 1);
                    }
                });
                let ended = run.up().await;
                let was_hit = clear(&url) > hits;
                tried += usize::from(was_hit);
                got_over += usize::from(was_hit && ended.is_ok());
                let what = format!("it {name} at `{command}`, from {when:?} on; the run ended with {ended:?}");
                assert!(was_hit || ended.is_ok(), "{what}");
                migrator(&orders, LONG).up().await.unwrap_or_else(|error| panic!("{what}: the run after: {error}"));
                assert!(migrator(&orders, LONG).status().await.unwrap().is_current(), "{what}");
                assert_eq!(db.count("_admmgt_history", doc! { "kind": "applied" }).await, 3, "{what}");
                assert_eq!(db.count("big", doc! { "value": 1 }).await, ROWS, "{what}: each document is changed once");
            }
        }
    }
    say(format_args!(
        "a fault at one command of a run on a standalone: {tried} runs, {got_over} got over it, and each next one converged"
    ));
    assert!(tried > 9, "{tried} runs met a fault");
}

/// F113: what is too large for one transaction is done in smaller batches.
#[tokio::test]
async fn f113_a_batch_that_is_too_large_for_a_transaction_is_made_smaller() {
    let Some(server) = server() else { return };
    let server = server.as_ref().expect("MongoDB is installed: the shared server runs");
    let db = MongoDatabase::at(&server.url("admin"));
    db.filled(ROWS).await;
    let url = named(&db, "admmgt-test");
    let (fill, filled) = filling(Documents::of("big").update(doc! { "$inc": { "value": 1 } }));
    let (heard, at, big) = (Arc::new(Mutex::new(Vec::new())), server.url("admin"), format!("{}.big", db.name()));
    let hears = Arc::clone(&heard);
    let migrator = Migrator::new(Mongo::connect(&url).unwrap()).migrations(Migrations::default().and(fill));
    let migrator = migrator.policy(batches_of(1000)).observe(move |event: &Event| match event {
        // Its first two tries: a batch of 1,000, and one of 250.
        Event::MigrationStarted { .. } => {
            let data = doc! { "failCommands": ["update"], "errorCode": 257, "namespace": &big };
            admin(&at, doc! { "configureFailPoint": "failCommand", "mode": { "times": 2 }, "data": data }).unwrap();
        }
        Event::MigrationRetried { error, .. } => hears.lock().unwrap().push(error.clone()),
        _ => {}
    });
    migrator.up().await.unwrap();
    clear(&server.url("admin"));
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard[0].contains("change the documents in batches"), "{heard:?}");
    assert!(filled.lock().unwrap()[0].batches > 3, "{filled:?}");
    assert_eq!(db.count("big", doc! { "value": 1 }).await, ROWS);
}

/// F28: the server answers, and nobody can write the lease any more. The body ends before another could have it.
#[tokio::test]
async fn f28_a_lease_that_cannot_be_renewed_ends_the_body_in_time() {
    let Some(server) = server() else { return };
    let server = server.as_ref().expect("MongoDB is installed: the shared server runs");
    let db = MongoDatabase::at(&server.url("admin"));
    let url = named(&db, "admmgt-test");
    let (at, state) = (server.url("admin"), format!("{}._admmgt_state", db.name()));
    let ended = Arc::new(Mutex::new(false));
    let ends = Arc::clone(&ended);
    let body = asynchronous("1", move |_| {
        let (at, state, ends) = (at.clone(), state.clone(), Arc::clone(&ends));
        Box::pin(async move {
            let data = doc! { "failCommands": ["update"], "errorCode": 8000, "namespace": state };
            admin(&at, doc! { "configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data })?;
            tokio::time::sleep(Duration::from_secs(60)).await;
            *ends.lock().unwrap() = true;
            Ok(())
        })
    });
    let driver = Mongo::connect(&url).unwrap().lease_ttl(Duration::from_secs(9));
    let error = Migrator::new(driver).migrations(Migrations::default().and(body)).up().await.unwrap_err();
    // By the clock of the server nobody else could have had it until now.
    let in_time = doc! { "_id": "lease", "$expr": { "$gt": ["$expires_at", "$$NOW"] } };
    assert_eq!(db.count("_admmgt_state", in_time).await, 1);
    assert!(clear(&server.url("admin")) > 0);
    assert!(error.to_string().contains("it could not be renewed for"), "{error}");
    assert!(!*ended.lock().unwrap());
    assert_eq!(db.count("_admmgt_history", doc! { "kind": "applied" }).await, 0);
}

#[tokio::test]
async fn a_secondary_is_told_to_be_one() {
    let Some(server) = server() else { return };
    let set = server.as_ref().unwrap();
    let db = MongoDatabase::at(&set.url("admin"));
    let migrations = SqlMigration::new("app", "1", r#"{"create": "a"}"#).unwrap();
    let direct = db.url().replace("replicaSet=rs0", "directConnection=true");
    assert_ne!(direct, db.url());
    set.admin(doc! { "replSetStepDown": 60, "force": true }).unwrap();
    let error =
        Migrator::new(Mongo::connect(&direct).unwrap()).migrations(Migrations::default().and(migrations)).up().await;
    // It is the only one, and is elected again.
    set.admin(doc! { "replSetFreeze": 0 }).unwrap();
    set.wait_for_primary();
    let error = error.unwrap_err();
    assert!(matches!(error, admmgt::Error::ReadOnly { .. }), "{error}");
    assert!(error.to_string().contains("connect to the whole replica set"), "{error}");
}

/// A real one: nobody is primary for a while.
#[tokio::test]
async fn a_step_down_in_the_middle_is_got_over() {
    let Some(server) = server() else { return };
    let server = server.as_ref().expect("MongoDB is installed: the shared server runs");
    for when in [When::Leased, When::Started, When::BodyDone, When::Done] {
        let db = MongoDatabase::at(&server.url("admin"));
        let orders = orders(&db, Sets::Small);
        let (url, once) = (server.url("admin"), Arc::new(Mutex::new(false)));
        let run = migrator(&orders, SHORT).observe(move |event: &Event| {
            let mut once = once.lock().unwrap();
            if is_now(event, when) && !std::mem::replace(&mut *once, true) {
                let _ = admin(&url, doc! { "replSetStepDown": 1, "secondaryCatchUpPeriodSecs": 0, "force": true });
            }
        });
        let election = || server.admin(doc! { "hello": 1 }).unwrap().get("electionId").cloned();
        let before_it = election();
        let ended = run.up().await;
        server.wait_for_primary();
        assert_ne!(election(), before_it, "it stepped down at {when:?}, and was elected again");
        check(&db, &orders, &format!("a step-down at {when:?}; the run ended with {ended:?}")).await;
    }
}

/// The server is killed and starts again: what was committed is there, and the next run goes on.
#[tokio::test]
async fn a_server_that_is_killed_in_the_middle_comes_back_with_all_that_was_committed() {
    if server().is_none() {
        return;
    }
    let mut server = Mongod::replica_set().expect("MongoDB is installed: the shared server runs");
    let db = MongoDatabase::at(&server.url("admin"));
    let orders = orders(&db, Sets::Small);
    let killed = Arc::new(Mutex::new(false));
    let pid = server.pid();
    let kills = Arc::clone(&killed);
    let run = migrator(&orders, SHORT).observe(move |event: &Event| {
        if is_now(event, When::BodyDone) && !std::mem::replace(&mut *kills.lock().unwrap(), true) {
            // SAFETY: a plain system call.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    });
    let mut policy = orders.policy();
    policy.reconnect_wait = Duration::from_millis(500);
    let ended = tokio::time::timeout(Duration::from_secs(60), run.policy(policy).up()).await.expect("it ends");
    assert!(*killed.lock().unwrap());
    server.kill();
    let clock = std::time::Instant::now();
    server.run();
    server.wait_for_primary();
    check(&db, &orders, &format!("it was killed; the run ended with {ended:?} ({:?})", clock.elapsed())).await;
}

/// What steps change: the names of the collections, and the indexes and the validator of the one that is not ours.
async fn schema(db: &MongoDatabase) -> Vec<Document> {
    let mut all = Vec::new();
    for name in db.names().await {
        let first = |reply: &Document| reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap().clone();
        let about = first(&db.run(doc! { "listCollections": 1, "filter": { "name": &name } }).await);
        let mut indexes = first(&db.run(doc! { "listIndexes": &name }).await);
        indexes.sort_by_key(|index| index.as_document().unwrap().get_str("name").unwrap().to_owned());
        all.push(doc! { "name": name, "options": about[0].as_document().unwrap().get("options"), "indexes": indexes });
    }
    all
}

/// A database with something to change by steps, and the steps.
struct Stepped {
    db: MongoDatabase,
    before: Vec<Document>,
    policy: Policy,
    steps: Steps,
}

impl Stepped {
    async fn new(url: &str) -> Self {
        let db = MongoDatabase::at(url);
        let rule = |field: &str| doc! { "$jsonSchema": { "required": [field] } };
        let said =
            doc! { "create": "t", "validator": rule("a"), "validationLevel": "strict", "validationAction": "warn" };
        db.run(said).await;
        let indexes = [doc! { "key": { "a": 1 }, "name": "mine" }, doc! { "key": { "g": 1 }, "name": "gone" }];
        db.run(doc! { "createIndexes": "t", "indexes": indexes.to_vec() }).await;
        let key = |keys: Document, name: &str| {
            let options = IndexOptions::builder().name(name.to_owned()).build();
            IndexModel::builder().keys(keys).options(options).build()
        };
        let steps = Steps::new()
            .set_validator("t", rule("b"))
            .replace_index("t", key(doc! { "b": 1 }, "mine"))
            .drop_index("t", "gone")
            .create_index("t", key(doc! { "c": 1 }, "new"))
            .rename("t", "u")
            .create_collection("made", doc! {});
        let before = schema(&db).await;
        let mut policy = orders(&db, Sets::Small).policy();
        policy.reconnect_wait = Duration::from_millis(200);
        Self { db, before, policy, steps }
    }

    fn migrator(&self, lease: Duration) -> Migrator {
        let driver = Mongo::connect(&named(&self.db, "admmgt-test")).unwrap().lease_ttl(lease);
        let all = Migrations::new([self.steps.migration("app", "1").unwrap()]);
        Migrator::new(driver).migrations(all).policy(self.policy.clone())
    }

    /// Forwards or back, with whatever the server does meanwhile. What it ended with, and whether any command failed.
    async fn run(&self, direction: Direction, url: &str, mode: Document, data: Document) -> (Option<String>, bool) {
        if direction == Direction::Down {
            self.migrator(LONG).up().await.unwrap();
        }
        let hits = clear(url);
        admin(url, doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data }).unwrap();
        let ended = match direction {
            Direction::Up => self.migrator(SHORT).up().await,
            Direction::Down => self.migrator(SHORT).down(Target::Nothing).await,
        };
        (ended.err().map(|error| error.to_string()), clear(url) > hits)
    }

    /// The next run goes on to the end, and the way back leads to what was there before the first attempt.
    async fn check(&self, direction: Direction, what: &str) {
        if direction == Direction::Up {
            self.migrator(LONG).up().await.unwrap_or_else(|error| panic!("{what}: the run after: {error}"));
        }
        let down = self.migrator(LONG).down(Target::Nothing).await;
        down.unwrap_or_else(|error| panic!("{what}: the way back: {error}"));
        assert_eq!(schema(&self.db).await, self.before, "{what}");
    }
}

/// The connection is lost at one command of the steps, and at all that follow; then the server is well again.
async fn interrupted_anywhere(server: &Mongod, every: usize) {
    let url = server.url("admin");
    let every = if is_full() { 1 } else { every };
    for direction in [Direction::Up, Direction::Down] {
        let (mut skipped, mut interrupted) = (0, 0);
        loop {
            let stepped = Stepped::new(&url).await;
            let data = doc! { "failCommands": COMMANDS.to_vec(), "closeConnection": true, "appName": "admmgt-test" };
            let mode = doc! { "skip": i32::try_from(skipped).unwrap() };
            let (error, was_hit) = stepped.run(direction, &url, mode, data).await;
            let what = format!("{direction:?}, from command {skipped} on; the run ended with {error:?}");
            assert_eq!(error.is_some(), was_hit, "{what}");
            stepped.check(direction, &what).await;
            if !was_hit {
                break;
            }
            (skipped, interrupted) = (skipped + every, interrupted + 1);
        }
        say(format_args!(
            "steps, {direction:?}, interrupted at {interrupted} commands: each was taken back to what was there"
        ));
        assert!(interrupted > 2, "{interrupted}");
    }
}

/// One command of the steps is answered badly, whether it was done or not.
#[tokio::test]
async fn steps_of_which_one_is_answered_badly_go_on_and_are_taken_back() {
    let Some(server) = server() else { return };
    let server = server.as_ref().expect("MongoDB is installed: the shared server runs");
    let url = server.url("admin");
    let (mut number, mut tried) = (0, 0);
    for (name, fault, _) in faults() {
        for command in COMMANDS {
            for direction in [Direction::Up, Direction::Down] {
                number += 1;
                if !is_full() && number % 8 != 0 {
                    continue;
                }
                let stepped = Stepped::new(&url).await;
                let mut data = doc! { "failCommands": [command], "appName": "admmgt-test" };
                data.extend(fault.clone());
                let (error, was_hit) = stepped.run(direction, &url, doc! { "times": 1 }, data).await;
                tried += usize::from(was_hit);
                let what = format!("it {name} at `{command}`, {direction:?}; the run ended with {error:?}");
                stepped.check(direction, &what).await;
            }
        }
    }
    say(format_args!(
        "steps of which one was answered badly: {tried} runs, each went on and was taken back to what was there"
    ));
    assert!(tried > 9, "{tried}");
}

#[tokio::test]
async fn steps_that_are_interrupted_anywhere_go_on_and_are_taken_back_to_what_was_there() {
    let Some(server) = server() else { return };
    interrupted_anywhere(server.as_ref().expect("MongoDB is installed: the shared server runs"), 7).await;
}

#[tokio::test]
async fn steps_on_a_standalone_that_are_interrupted_anywhere_go_on_and_are_taken_back() {
    let Some(server) = alone() else { return };
    interrupted_anywhere(server.as_ref().expect("MongoDB is installed: the shared server runs"), 12).await;
}

const COMMANDS: [&str; 13] = [
    "aggregate",
    "collMod",
    "create",
    "createIndexes",
    "drop",
    "dropIndexes",
    "find",
    "findAndModify",
    "insert",
    "listCollections",
    "listIndexes",
    "renameCollection",
    "update",
];

/// F105: however often it is asked. The next connection reads in the history whether it was committed.
#[tokio::test]
async fn f105_a_commit_of_which_the_server_never_knows_is_looked_for_in_the_history() {
    let Some(server) = server() else { return };
    let server = server.as_ref().expect("MongoDB is installed: the shared server runs");
    let (name, fault, _) = faults().remove(6);
    assert_eq!(name, "cannot tell whether it committed");
    let db = MongoDatabase::at(&server.url("admin"));
    let orders = orders(&db, Sets::Small);
    let (at, url) = (server.url("admin"), server.url("admin"));
    let once = Arc::new(Mutex::new(false));
    let run = migrator(&orders, SHORT).observe(move |event: &Event| {
        let mut once = once.lock().unwrap();
        if is_now(event, When::BodyDone) && !std::mem::replace(&mut *once, true) {
            set_fault(&at, &fault, "commitTransaction", 12);
        }
    });
    let hits = clear(&url);
    let ended = run.up().await;
    assert!(clear(&url) > hits + 4, "it was asked as often as it is");
    check(&db, &orders, &format!("{ended:?}")).await;
}

/// What a step failed to do was done by a person: the next attempt finds that it is as it is to be.
#[tokio::test]
async fn what_a_person_did_in_the_place_of_a_failed_step_is_done() {
    let Some(server) = server() else { return };
    let server = server.as_ref().expect("MongoDB is installed: the shared server runs");
    let url = server.url("admin");
    for (steps, command, by_hand) in [
        (Steps::new().drop_index("t", "mine"), "dropIndexes", doc! { "dropIndexes": "t", "index": "mine" }),
        (Steps::new().drop_collection("t"), "drop", doc! { "drop": "t" }),
    ] {
        let db = MongoDatabase::at(&url);
        db.run(doc! { "createIndexes": "t", "indexes": [{ "key": { "a": 1 }, "name": "mine" }] }).await;
        let mut policy = Policy::default();
        (policy.foreign, policy.on_interrupt) = (admmgt::Verdict::Allow, Some(OnInterrupt::Retry));
        let driver = Mongo::connect(&named(&db, "admmgt-test")).unwrap();
        let one = steps.migration("app", "0001").unwrap().with(outside);
        let migrator = Migrator::new(driver).migrations(Migrations::new([one])).policy(policy);
        set_fault(&url, &doc! { "errorCode": 8000 }, command, 1);
        migrator.up().await.unwrap_err();
        clear(&url);
        db.run(by_hand).await;
        migrator.up().await.unwrap();
    }
}

/// A server that ends nothing when it is told to: nobody begins beside what may still run, and who waits is told so.
#[tokio::test]
async fn what_cannot_be_ended_keeps_others_waiting() {
    let Some(server) = server() else { return };
    let server = server.as_ref().expect("MongoDB is installed: the shared server runs");
    let (db, url) = (MongoDatabase::at(&server.url("admin")), server.url("admin"));
    db.migrator(sql(&[("1", r#"{"create": "a"}"#)])).up().await.unwrap();
    // Somebody was killed who had a session.
    let session = admmgt::mongodb::bson::Uuid::new();
    db.run(crate::holder::change("lease", doc! { "$set": { "session": session } })).await;
    let mut policy = Policy::default();
    policy.lease_wait = Duration::from_secs(3);
    let driver = Mongo::connect(&named(&db, "admmgt-test")).unwrap().lease_ttl(Duration::from_secs(1));
    let two = sql(&[("1", r#"{"create": "a"}"#), ("2", r#"{"create": "b"}"#)]);
    let migrator = Migrator::new(driver.clone()).migrations(two).policy(policy);
    set_fault(&url, &doc! { "errorCode": 8 }, "killSessions", 100_000);
    let error = migrator.up().await.unwrap_err();
    clear(&url);
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("what the run before has left running on the server"), "{error}");
    assert_eq!(db.names().await, ["a"]);
    migrator.up().await.unwrap();

    // The same of one's own: the transaction of a body that fails.
    let at = url.clone();
    let fails = asynchronous("3", move |cx| {
        let at = at.clone();
        Box::pin(async move {
            cx.execute(r#"{"insert": "a", "documents": [{}]}"#).await?;
            set_fault(&at, &doc! { "errorCode": 8 }, "killSessions", 100_000);
            Err("it fails".into())
        })
    });
    let mut policy = Policy::default();
    policy.retries = 0;
    let migrator = Migrator::new(driver).migrations(Migrations::default().and(fails)).policy(policy);
    let error = migrator.up().await.unwrap_err();
    clear(&url);
    migrator.settled().await;
    assert!(error.to_string().contains("what still ran on the server could not be ended"), "{error}");
    assert_eq!(db.count("a", doc! {}).await, 0);
}

/// What may not be done is told with the right that is missing, and what may not be read of other tools with it.
#[tokio::test]
async fn a_right_that_is_missing_is_told() {
    let Some(server) = server() else { return };
    let server = server.as_ref().expect("MongoDB is installed: the shared server runs");
    let (db, url) = (MongoDatabase::at(&server.url("admin")), server.url("admin"));
    let orders = orders(&db, Sets::Small);
    set_fault(&url, &doc! { "errorCode": 13 }, "findAndModify", 1);
    let refused = migrator(&orders, SHORT);
    let error = refused.up().await.unwrap_err();
    refused.settled().await;
    clear(&url);
    assert!(matches!(error, admmgt::Error::NotAllowed { .. }), "{error}");
    assert!(error.to_string().contains("migrate as a user who may"), "{error}");
    for (code, times, is_told) in [(13, 1, true), (8000, 1, true), (13, 100, true)] {
        set_fault(&url, &doc! { "errorCode": code }, "find", times);
        let foreign = migrator(&orders, SHORT).foreign().await;
        clear(&url);
        assert_eq!(foreign.is_err(), is_told, "{code}: {foreign:?}");
    }
    assert!(migrator(&orders, SHORT).foreign().await.unwrap().is_empty());
}
