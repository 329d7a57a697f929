//! Order, policies, plans, status, events, limits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use admmgt::prelude::*;
use admmgt::rusqlite::Connection;
use admmgt::{Checksum, Error, ErrorKind, Event, MigrationId, Plan, Refusal, Report, Standing, Verdict};
use admmgt_tests::{Orders, Scratch, code, eventually, id, outside, snapshot, sql};
use expect_test::expect;

fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

fn names(report: &Report) -> Vec<String> {
    report.ran.iter().map(|ran| ran.migration.to_string()).collect()
}

fn of(namespace: &str, name: &str, depends_on: &[&str]) -> SqlMigration {
    let depends_on: Vec<MigrationId> = depends_on.iter().map(|name| name.parse().unwrap()).collect();
    let text = format!("create table {namespace}_{name}(id integer)");
    SqlMigration::new(namespace, name, text).unwrap().with(|meta| meta.depends_on(depends_on))
}

#[tokio::test]
async fn dependencies_come_first_and_then_the_ids() {
    let scratch = Scratch::new();
    let app = [of("app", "a10", &[]), of("app", "a2", &["billing/b1"]), of("app", "a1", &["app/a10"])];
    let billing = [of("billing", "b2", &[]), of("billing", "b1", &["accounts/c1"])];
    let all = Migrations::new(app).include(Migrations::new(billing)).and(of("accounts", "c1", &[]));
    let report = scratch.migrator(all).up().await.unwrap();
    assert_eq!(names(&report), ["accounts/c1", "app/a10", "app/a1", "billing/b1", "app/a2", "billing/b2"]);
}

/// What the macro writes runs as what is made by hand.
mod declared {
    use super::*;

    /// Notes, each a line.
    #[migration(id = "0001_notes", namespace = "notes")]
    fn notes(db: &mut rusqlite::Connection) -> rusqlite::Result<()> {
        db.execute_batch("create table notes(id integer primary key, line text)")
    }

    /// The first of them.
    #[migration(id = "0002_seed", namespace = "notes", depends_on = [notes])]
    async fn seed(cx: &mut Context) -> Result<(), BoxError> {
        assert_eq!(cx.execute("insert into notes(line) values ('hello'), ('world')").await?.rows_affected, 2);
        Ok(())
    }

    #[tokio::test]
    async fn functions_with_the_attribute_run_from_a_list() {
        let scratch = Scratch::new();
        let migrator = scratch.migrator(migrations![notes, seed]);
        assert_eq!(names(&migrator.up().await.unwrap()), ["notes/0001_notes", "notes/0002_seed"]);
        assert_eq!(scratch.number("select count(*) from notes"), 2);
        assert_eq!(migrator.status().await.unwrap().migrations[1].description, "The first of them.");
    }
}

#[tokio::test]
async fn a_migration_that_comes_late_is_refused_unless_allowed() {
    let scratch = Scratch::new();
    let migration = |name: &str| of("app", name, &[]);
    scratch.migrator(Migrations::new([migration("m1"), migration("m3")])).up().await.unwrap();
    let late = || Migrations::new(["m1", "m2", "m3", "m4"].map(migration));
    let error = scratch.migrator(late()).up().await.unwrap_err();
    let [Refusal::OutOfOrder { id: late_one, applied, .. }] = error.refusals() else { panic!("{error}") };
    assert_eq!((late_one, applied), (&id("m2"), &id("m3")));
    assert_eq!(scratch.tables(), ["app_m1", "app_m3"], "m4 did not run either");

    let allow = policy(|policy| policy.out_of_order = Verdict::Allow);
    let report = scratch.migrator(late()).policy(allow).up().await.unwrap();
    assert_eq!(names(&report), ["app/m2", "app/m4"]);
}

/// Another namespace's order is its own affair.
#[tokio::test]
async fn a_new_namespace_does_not_come_late() {
    let scratch = Scratch::new();
    scratch.migrator(Migrations::new([of("zebra", "z9", &[])])).up().await.unwrap();
    let both = Migrations::new([of("zebra", "z9", &[]), of("app", "m1", &[])]);
    assert_eq!(names(&scratch.migrator(both).up().await.unwrap()), ["app/m1"]);
}

#[tokio::test]
async fn edited_code_is_allowed_and_told() {
    let scratch = Scratch::new();
    let at = |checksum: &str| {
        let checksum = Checksum::parse(checksum).unwrap();
        let migration = code("1", |db| Ok(db.execute_batch("create table a(id integer)")?));
        Migrations::new([migration.with(|mut meta| {
            meta.checksum = checksum;
            meta
        })])
    };
    scratch.migrator(at("manual:1")).up().await.unwrap();
    let told = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&told);
    let migrator = scratch.migrator(at("manual:2")).observe(move |event: &Event| {
        heard.fetch_or(matches!(event, Event::CodeEdited { migration, .. } if *migration == id("1")), Ordering::SeqCst);
    });
    let report = migrator.up().await.unwrap();
    assert_eq!((report.ran.len(), report.edited_code.clone()), (0, vec![id("1")]));
    assert!(told.load(Ordering::SeqCst));
    expect![[r#"
        nothing to do: 1 migration is applied
        the code of app/1 was edited after it was applied"#]]
    .assert_eq(&report.to_string());
    assert!(migrator.status().await.unwrap().to_string().ends_with("[edited since]"));
    migrator.ensure_current().await.unwrap();
}

#[tokio::test]
async fn a_program_that_is_older_runs_nothing_and_says_so_unless_it_is_refused() {
    let scratch = Scratch::new();
    let migration = |name: &str| of("app", name, &[]);
    scratch.migrator(Migrations::new(["m1", "m2", "m3"].map(migration))).up().await.unwrap();
    let older = || Migrations::new([migration("m1")]);
    let report = scratch.migrator(older()).up().await.unwrap();
    assert_eq!((report.ran.len(), report.ahead), (0, vec![id("m2"), id("m3")]));
    scratch.migrator(older()).ensure_current().await.unwrap();
    let refuse = policy(|policy| policy.ahead = Verdict::Refuse);
    let error = scratch.migrator(older()).policy(refuse).up().await.unwrap_err();
    let [Refusal::Ahead { ids, .. }] = error.refusals() else { panic!("{error}") };
    assert_eq!(*ids, [id("m2"), id("m3")]);
}

#[tokio::test]
async fn a_group_is_all_or_nothing() {
    let scratch = Scratch::new();
    let group = || policy(|policy| policy.group = true);
    scratch.migrator(sql(&[("1", "create table a(id integer)")])).up().await.unwrap();
    let bad = [
        ("1", "create table a(id integer)"),
        ("2", "create table b(id integer)"),
        ("3", "insert into nowhere values (1)"),
    ];
    let error = scratch.migrator(sql(&bad)).policy(group()).up().await.unwrap_err();
    assert_eq!((error.kind(), error.report().unwrap().ran.len()), (ErrorKind::Failed, 0));
    assert!(error.to_string().contains("`app/3`"), "{error}");
    assert_eq!((scratch.tables(), scratch.records("app/2")), (vec!["a".to_owned()], Vec::new()));

    let mut good = bad;
    good[2].1 = "insert into b values (1)";
    let migrator = scratch.migrator(sql(&good)).policy(group());
    expect![[r#"
        2 migrations to run, all in one transaction
          up   app/2 (1 statement)
          up   app/3 (1 statement)"#]]
    .assert_eq(&migrator.plan().await.unwrap().to_string());
    assert_eq!(migrator.up().await.unwrap().ran.len(), 2);
    assert_eq!(scratch.number("select count(*) from b"), 1);

    let vacuum = sql(&good).include(sql(&[("4", "create table d(id integer)"), ("5", "vacuum")]));
    let error = scratch.migrator(vacuum).policy(group()).up().await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::Ungroupable { .. }]), "{error}");
    assert_eq!(scratch.tables(), ["a", "b"]);
}

#[tokio::test]
async fn a_plan_is_run_as_it_was_made_also_after_a_journey_as_json() {
    let scratch = Scratch::new();
    let migrator = scratch.migrator(sql(&[("1", "create table a(id integer)"), ("2", "create table b(id integer)")]));
    let plan = migrator.plan().await.unwrap();
    let json = serde_json::to_string(&plan).unwrap();
    let back: Plan = serde_json::from_str(&json).unwrap();
    assert_eq!(back, plan);
    assert_eq!(migrator.run(back).await.unwrap().ran.len(), 2);
    let empty = migrator.plan().await.unwrap();
    assert_eq!((empty.is_empty(), empty.to_string()), (true, "nothing to do: 2 migrations are applied".to_owned()));
    assert_eq!(migrator.run(empty).await.unwrap().ran.len(), 0);
}

#[tokio::test]
async fn a_plan_for_another_state_or_program_is_stale() {
    let scratch = Scratch::new();
    let one = sql(&[("1", "create table a(id integer)")]);
    let two = one.clone().include(sql(&[("2", "create table b(id integer)")]));
    let migrator = scratch.migrator(two.clone());
    let plan = migrator.plan().await.unwrap();

    let other = scratch.migrator(one.clone()).run(plan.clone()).await.unwrap_err();
    assert!(other.to_string().contains("this program would make another plan"), "{other}");
    let grouped = scratch.migrator(two).policy(policy(|policy| policy.group = true)).run(plan.clone()).await;
    assert!(matches!(grouped.unwrap_err(), Error::PlanStale { .. }));
    assert!(scratch.files().is_empty(), "nothing was made for a stale plan");

    scratch.migrator(one).up().await.unwrap();
    let stale = migrator.run(plan.clone()).await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::State);
    expect!["the plan does not fit any more: the history has moved since the plan was made. Make a new plan"]
        .assert_eq(&stale.to_string());
    assert_eq!(scratch.tables(), ["a"]);

    let mut newer = plan;
    newer.format += 1;
    assert!(matches!(migrator.run(newer).await.unwrap_err(), Error::NewerFormat { .. }));
}

#[tokio::test]
async fn the_status_prints_as_a_table() {
    let scratch = Scratch::new();
    let described = SqlMigration::new("app", "0001_users", "create table users(id integer)").unwrap();
    let described = described.with(|meta| meta.description("Users sign in by e-mail."));
    let half = SqlMigration::new("app", "0002_half", "vacuum;\ninsert into nowhere values (1)").unwrap().with(outside);
    let list = Migrations::new([described, half, of("app", "0003_late", &[])]);
    let migrator = scratch.migrator(list).by("deploy-bot");
    expect![[r#"
        0 of 3 migrations applied (no history yet)
          pending     app/0001_users  Users sign in by e-mail.
          pending     app/0002_half 
          pending     app/0003_late "#]]
    .assert_eq(&migrator.status().await.unwrap().to_string());
    Migrator::new(scratch.sqlite()).migrations(Migrations::new([of("billing", "b1", &[])])).up().await.unwrap();
    Migrator::new(scratch.sqlite()).migrations(Migrations::new([of("app", "0000_old", &[])])).up().await.unwrap();
    migrator.up().await.unwrap_err();
    let status = migrator.status().await.unwrap();
    expect![[r#"
        1 of 3 migrations applied
          applied     app/0001_users  <time>  Users sign in by e-mail.
          interrupted app/0002_half   <time>
                      failed last time: no such table: nowhere
          pending     app/0003_late 
          ahead       app/0000_old    <time>
          1 of namespace billing, which this program does not have"#]]
    .assert_eq(&snapshot(&status.to_string()));
    assert_eq!(status.pending(), [id("0002_half"), id("0003_late")]);
    assert_eq!(status.migrations[0].by.as_deref(), Some("deploy-bot"));
    let back = serde_json::from_str::<admmgt::Status>(&serde_json::to_string(&status).unwrap()).unwrap();
    assert_eq!(back, status);
}

#[tokio::test]
async fn a_failure_is_remembered_until_it_is_mended() {
    let scratch = Scratch::new();
    let broken = scratch.migrator(sql(&[("1", "create table a(id integer);\ninsert into nowhere values (1)")]));
    for _ in 0..2 {
        assert_eq!(broken.up().await.unwrap_err().kind(), ErrorKind::Failed);
    }
    let row = &broken.status().await.unwrap().migrations[0];
    assert_eq!((&row.standing, row.last_error.as_deref()), (&Standing::Pending, Some("no such table: nowhere")));
    let mended = scratch.migrator(sql(&[("1", "create table a(id integer)")]));
    mended.up().await.unwrap();
    assert_eq!(mended.status().await.unwrap().migrations[0].last_error, None);
    assert_eq!(scratch.records("app/1"), ["failed", "failed", "applied"]);
}

#[tokio::test]
async fn an_error_in_the_middle_carries_what_ran_before_it() {
    let scratch = Scratch::new();
    let migrations = [
        ("1", "create table a(id integer)"),
        ("2", "create table b(id integer)"),
        ("3", "select 1;\nselect * from nowhere"),
    ];
    let error = scratch.migrator(sql(&migrations)).up().await.unwrap_err();
    assert_eq!(names(error.report().unwrap()), ["app/1", "app/2"]);
    let Error::Failed(failure) = &error else { panic!("{error}") };
    let statement = failure.statement.as_ref().unwrap();
    assert_eq!(
        (statement.number, statement.of, statement.line, &*statement.excerpt),
        (2, 2, 2, "select * from nowhere")
    );
    assert_eq!(
        serde_json::from_str::<Report>(&serde_json::to_string(&failure.report).unwrap()).unwrap(),
        failure.report
    );
    // The database's own error can be reached, and is not said twice.
    assert!(failure.error.downcast_ref::<admmgt::rusqlite::Error>().is_some(), "{:?}", failure.error);
    assert_eq!(error.to_string().matches("no such table").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_may_not_migrate_waits_for_one_that_does() {
    let scratch = Scratch::new();
    let migrator = scratch.migrator(sql(&[("1", "create table a(id integer)"), ("2", "create table b(id integer)")]));
    let error = migrator.ensure_current().await.unwrap_err();
    assert!(matches!(&error, Error::NotCurrent { pending, waited: None } if pending.len() == 2), "{error}");
    let error = migrator.wait_until_current(Duration::from_millis(80)).await.unwrap_err();
    assert!(matches!(error, Error::NotCurrent { waited: Some(waited), .. } if waited >= Duration::from_millis(80)));
    assert!(scratch.files().is_empty());

    let waiting = migrator.clone();
    let waiting = tokio::spawn(async move { waiting.wait_until_current(Duration::from_secs(60)).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    migrator.up().await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(scratch.number("select count(*) from _admmgt_history"), 2, "whoever waits writes nothing");
}

#[tokio::test]
async fn waiting_does_not_hide_what_waiting_does_not_help() {
    let scratch = Scratch::new();
    scratch.migrator(sql(&[("1", "create table a(id integer)")])).up().await.unwrap();
    let clock = Instant::now();
    let edited = scratch.migrator(sql(&[("1", "create table a(id text)")]));
    let error = edited.wait_until_current(Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    scratch.run("update _admmgt_format set format = 2");
    let error = edited.wait_until_current(Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State);
    assert!(clock.elapsed() < Duration::from_secs(30));
}

/// The application's other connections go on reading, and see each migration as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn readers_go_on_while_a_migration_runs() {
    let scratch = Scratch::new();
    let first = sql(&[("1", "create table a(id integer);\ninsert into a values (1)")]);
    scratch.migrator(first.clone()).up().await.unwrap();
    let (running, release) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (says, waits) = (Arc::clone(&running), Arc::clone(&release));
    let held = code("2", move |db| {
        db.execute_batch("insert into a values (2); create table b(id integer)")?;
        says.store(true, Ordering::SeqCst);
        eventually("released", || waits.load(Ordering::SeqCst));
        Ok(())
    });
    let migrator = scratch.migrator(first.and(held));
    let run = tokio::spawn(async move { migrator.up().await });
    tokio::task::block_in_place(|| eventually("the migration runs", || running.load(Ordering::SeqCst)));

    let reader = scratch.connection();
    let count = |db: &Connection| db.query_row("select count(*) from a", [], |row| row.get::<_, i64>(0)).unwrap();
    for _ in 0..100 {
        assert_eq!(count(&reader), 1);
    }
    assert_eq!(scratch.tables(), ["a"]);
    // A reader in a transaction of its own keeps its view, and keeps nobody from committing.
    reader.execute_batch("begin").unwrap();
    assert_eq!(count(&reader), 1);
    release.store(true, Ordering::SeqCst);
    assert_eq!(run.await.unwrap().unwrap().ran.len(), 1);
    assert_eq!((count(&reader), count(&scratch.connection())), (1, 2));
    reader.execute_batch("commit").unwrap();
    assert_eq!(count(&reader), 2);
}

/// The log can go into the database only when the last reader of an older state has ended.
#[tokio::test]
async fn a_reader_that_keeps_the_log_from_the_database_is_told_of() {
    let scratch = Scratch::new();
    scratch.run("pragma journal_mode = wal; create table theirs(x)");
    let large = "create table a(x); insert into a values (zeroblob(20000000))";
    let told = async |list: Migrations| {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let mut policy = Policy::default();
        policy.foreign = Verdict::Allow;
        let migrator = scratch.migrator(list).policy(policy).observe(move |event: &Event| {
            if let Event::Notice { text, .. } = event {
                heard.lock().unwrap().push(text.clone());
            }
        });
        migrator.up().await.unwrap();
        told.lock().unwrap().join("\n")
    };
    let reader = scratch.connection();
    reader.execute_batch("begin; select count(*) from theirs").unwrap();
    let kept = told(sql(&[("1", large)])).await;
    assert!(kept.contains("MB of the write-ahead log of") && kept.contains("app.db"), "{kept}");
    reader.execute_batch("commit").unwrap();
    let free = told(sql(&[("1", large), ("2", "create table b(x); insert into b values (zeroblob(20000000))")])).await;
    assert_eq!(free, "");
}

/// Every event of a run as one line, without what differs.
fn listen(migrator: Migrator) -> (Migrator, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&lines);
    let listening = migrator.observe(move |event: &Event| {
        let back: Event = serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
        assert_eq!(back, *event);
        let json = serde_json::to_value(event).unwrap();
        // In an order of their own, whatever serde_json is told to keep.
        let mut fields: std::collections::BTreeMap<String, serde_json::Value> = serde_json::from_value(json).unwrap();
        fields.retain(|name, _| !["duration_us", "run", "format"].contains(&&**name));
        let name = fields.remove("event").unwrap();
        let fields = serde_json::to_string(&fields).unwrap();
        heard.lock().unwrap().push(format!("{} {fields}", name.as_str().unwrap()));
    });
    (listening, lines)
}

#[tokio::test]
async fn events_come_in_order() {
    let scratch = Scratch::new();
    let half = SqlMigration::new("app", "3", "vacuum;\ninsert into nowhere values (1)").unwrap().with(outside);
    let list = sql(&[("1", "create table a(id integer);\ninsert into a values (1), (2)")]);
    let list = list.and(code("2", |db| Ok(db.execute_batch("create table b(id integer)")?))).and(half);
    let (migrator, lines) = listen(scratch.migrator(list));
    migrator.up().await.unwrap_err();
    expect![[r#"
        run_started {}
        lease_acquired {}
        planned {"migrations":["app/1","app/2","app/3"]}
        migration_started {"direction":"up","migration":"app/1","transaction":true}
        statement_done {"migration":"app/1","number":1,"of":2,"rows":0}
        statement_done {"migration":"app/1","number":2,"of":2,"rows":2}
        body_done {"migration":"app/1"}
        migration_done {"direction":"up","migration":"app/1"}
        migration_started {"direction":"up","migration":"app/2","transaction":true}
        body_done {"migration":"app/2"}
        migration_done {"direction":"up","migration":"app/2"}
        migration_started {"direction":"up","migration":"app/3","transaction":false}
        statement_done {"migration":"app/3","number":1,"of":2,"rows":0}
        migration_interrupted {"error":"no such table: nowhere","migration":"app/3"}
        lease_released {}
        run_finished {"ran":2}"#]]
    .assert_eq(&lines.lock().unwrap().join("\n"));

    let scratch = Scratch::new();
    let (migrator, lines) = listen(scratch.migrator(sql(&[("1", "select * from nowhere")])));
    migrator.up().await.unwrap_err();
    expect![[r#"
        run_started {}
        lease_acquired {}
        planned {"migrations":["app/1"]}
        migration_started {"direction":"up","migration":"app/1","transaction":true}
        migration_failed {"error":"no such table: nowhere","migration":"app/1"}
        lease_released {}
        run_finished {"ran":0}"#]]
    .assert_eq(&lines.lock().unwrap().join("\n"));
}

#[tokio::test]
async fn a_run_that_does_nothing_begins_and_ends() {
    let scratch = Scratch::new();
    let list = sql(&[("1", "create table a(id integer)")]);
    scratch.migrator(list.clone()).up().await.unwrap();
    let (migrator, lines) = listen(scratch.migrator(list.clone()));
    migrator.up().await.unwrap();
    assert_eq!(*lines.lock().unwrap(), ["run_started {}", r#"run_finished {"ran":0}"#]);

    let (migrator, lines) = listen(Migrator::new(Sqlite::open(scratch.folder()).unwrap()).migrations(list));
    migrator.up().await.unwrap_err();
    assert_eq!(*lines.lock().unwrap(), ["run_started {}", r#"run_finished {"ran":0}"#], "nor can it look");
}

/// In a process of its own: the log of a test would be that of all tests.
#[test]
fn the_log_is_told_in_spans_also_on_the_connections_thread() {
    let scratch = Scratch::new();
    let mut process = Orders::new(scratch.path()).log().run();
    assert_eq!(process.succeeded().ran.len(), 4);
    let log = process.log();
    let find = |words: &str| log.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {log}"));
    let span = "INFO admmgt{backend=sqlite}:migration{id=app/0002 direction=up}: ";
    assert!(find("from the body").contains(span), "{log}");
    assert!(find(": done migration=app/0002").contains(span), "{log}");
    assert!(find("lease acquired").contains("DEBUG admmgt{backend=sqlite}: "), "{log}");
    assert!(!log.contains("insert into"), "no SQL in the log: {log}");
}

#[tokio::test]
async fn a_statement_that_runs_too_long_is_stopped() {
    let scratch = Scratch::new();
    let endless = "create table b(id integer);\nwith recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";
    let brief = policy(|policy| policy.statement_timeout = Some(Duration::from_millis(100)));
    let list = sql(&[("1", "create table a(id integer)"), ("2", endless)]);
    let clock = Instant::now();
    let error = scratch.migrator(list).policy(brief).up().await.unwrap_err();
    assert!(clock.elapsed() < Duration::from_secs(20));
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("ran longer than 100ms"), "{error}");
    assert_eq!(scratch.tables(), ["a"]);
}

#[tokio::test]
async fn a_database_that_stays_locked_is_busy() {
    let scratch = Scratch::new();
    scratch.run("create table theirs(id integer); pragma journal_mode = wal");
    let other = scratch.connection();
    other.execute_batch("begin immediate; insert into theirs values (1)").unwrap();
    let brief = policy(|policy| policy.lock_timeout = Duration::from_millis(150));
    let migrator = scratch.migrator(sql(&[("1", "create table a(id integer)")])).policy(brief);
    let clock = Instant::now();
    let error = migrator.up().await.unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    assert!(clock.elapsed() >= Duration::from_millis(140), "{:?}", clock.elapsed());
    expect!["the database stayed locked by another connection for 150ms. Find the program with the long transaction, or wait longer with `Policy::lock_timeout`"].assert_eq(&error.to_string());
    migrator.status().await.unwrap();
    other.execute_batch("commit").unwrap();
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
}

/// The other connection's transaction ends in time.
#[tokio::test]
async fn a_lock_that_is_let_go_in_time_is_waited_for() {
    let scratch = Scratch::new();
    scratch.run("create table theirs(id integer)");
    let other = scratch.connection();
    other.execute_batch("begin exclusive; insert into theirs values (1)").unwrap();
    let migrator = scratch.migrator(sql(&[("1", "create table a(id integer)")]));
    let commit = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        other.execute_batch("commit").unwrap();
    };
    let (report, ()) = tokio::join!(migrator.up(), commit);
    assert_eq!(report.unwrap().ran.len(), 1);
}

#[tokio::test]
async fn a_full_disk_fails_the_migration_and_nothing_else() {
    let scratch = Scratch::new();
    let full = "pragma max_page_count = 20;\ncreate table b(data blob);\n\
        insert into b select zeroblob(4096) from (with recursive n(i) as (select 1 union all select i + 1 from n where i < 100) select i from n)";
    let error = scratch.migrator(sql(&[("1", "create table a(id integer)"), ("2", full)])).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!((scratch.tables(), scratch.texts("pragma integrity_check")), (vec!["a".into()], vec!["ok".into()]));
    let mended = sql(&[("1", "create table a(id integer)"), ("2", "create table b(data blob)")]);
    assert_eq!(scratch.migrator(mended).up().await.unwrap().ran.len(), 1);
}

#[tokio::test]
async fn rows_that_a_statement_returns_are_drained() {
    let scratch = Scratch::new();
    let many = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000) select i from n";
    let returning = "insert into a values (1), (2), (3) returning id";
    let migrator = scratch.migrator(sql(&[("1", "create table a(id integer)"), ("2", many), ("3", returning)]));
    assert_eq!(migrator.up().await.unwrap().ran.len(), 3);
    assert_eq!(scratch.number("select count(*) from a"), 3);
}

/// SQLite would take NULL for it, silently.
#[tokio::test]
async fn a_parameter_in_a_file_is_a_failure() {
    let scratch = Scratch::new();
    let error = scratch.migrator(sql(&[("1", "create table a(id integer);\ninsert into a values (?)")])).up().await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Failed);
    assert!(scratch.tables().is_empty());
}

#[tokio::test]
async fn a_body_of_several_megabytes_runs_and_is_not_archived() {
    let scratch = Scratch::new();
    let rows = 40_000;
    let text: String =
        (0..rows).map(|row| format!("insert into a values ({row}, 'some words for row {row}');\n")).collect();
    let migrator = scratch.migrator(sql(&[("1", "create table a(id integer, words text)"), ("2", &text)]));
    migrator.up().await.unwrap();
    assert_eq!(scratch.number("select count(*) from a"), rows);
    assert_eq!(scratch.number("select count(*) from _admmgt_history where body is null"), 1);
}

#[tokio::test]
async fn bodies_are_archived_unless_they_are_not_wanted() {
    for wanted in [true, false] {
        let scratch = Scratch::new();
        let migrator = scratch.migrator(sql(&[("1", "select 'a secret'")]));
        migrator.policy(policy(|policy| policy.archive_bodies = wanted)).up().await.unwrap();
        let kept = scratch.contents()["app.db"].windows(8).any(|bytes| bytes == b"a secret");
        assert_eq!(kept, wanted);
    }
}

#[tokio::test]
async fn a_database_in_memory_is_migrated_and_handed_over() {
    let database = Sqlite::memory().unwrap();
    let migrator = Migrator::new(database.clone()).migrations(sql(&[("1", "create table a(id integer)")]));
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
    assert_eq!(migrator.up().await.unwrap().already, 1);
    let connection = database.take_connection().unwrap();
    connection.execute("insert into a values (1)", []).unwrap();
    assert_eq!(migrator.up().await.unwrap_err().kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn the_journal_is_a_write_ahead_log_unless_it_is_to_be_kept() {
    use admmgt::sqlite::Journal;
    for (journal, mode) in [(Journal::Wal, "wal"), (Journal::Keep, "delete")] {
        let scratch = Scratch::new();
        let driver = scratch.sqlite().journal(journal);
        Migrator::new(driver).migrations(sql(&[("1", "create table a(id integer)")])).up().await.unwrap();
        assert_eq!(scratch.texts("pragma journal_mode"), [mode]);
        assert_eq!(scratch.files(), ["app.db", "app.db-admmgt.lock"]);
        assert!(scratch.contents()["app.db-admmgt.lock"].is_empty(), "nobody has the lease");
    }
}

#[tokio::test]
async fn who_ran_what_is_recorded() {
    let scratch = Scratch::new();
    scratch.migrator(sql(&[("1", "select 1")])).by("deploy-bot").up().await.unwrap();
    assert_eq!(scratch.texts("select by from _admmgt_history"), ["deploy-bot"]);
    assert_eq!(
        scratch.number("select count(*) from _admmgt_history where host <> '' and library <> '' and length(run) = 16"),
        1
    );
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let at = u128::try_from(scratch.number("select at from _admmgt_history")).unwrap();
    assert!(now - at < 60_000, "{at}");
}

#[test]
fn outside_of_a_runtime_the_error_says_so() {
    let scratch = Scratch::new();
    let migrator = scratch.migrator(sql(&[("1", "select 1")]));
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    let mut up = Box::pin(migrator.up());
    let std::task::Poll::Ready(Err(error)) = up.as_mut().poll(&mut task) else { panic!("it went on") };
    assert!(error.to_string().contains("inside a tokio runtime"), "{error}");
}

/// F85: it fails and says of which columns; nothing of it is left, and after the fix it runs.
#[tokio::test]
async fn f85_a_unique_index_on_duplicates_leaves_nothing() {
    let scratch = Scratch::new();
    let people = || sql(&[("1", "create table people(email text);\ninsert into people values ('a@b'), ('a@b')")]);
    scratch.migrator(people()).up().await.unwrap();
    let migrator = scratch.migrator(people().include(sql(&[("2", "create unique index by_email on people(email)")])));
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("people.email"), "{error}");
    assert_eq!(scratch.number("select count(*) from sqlite_schema where type = 'index'"), 0);
    scratch.run("delete from people where rowid > 1");
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
}
