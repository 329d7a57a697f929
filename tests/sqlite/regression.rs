//! Faults that were found once. Each stays as a test.

use admmgt::prelude::*;
use admmgt::rusqlite::Connection;
use admmgt::{Access, Driver, Error, ErrorKind, Event, Meta, Refusal, Resolution, SessionOptions, State};
use admmgt_tests::{Around, Scratch, asynchronous, code, outside, sql};

/// The history, folded: it must never have a hole.
async fn folded(scratch: &Scratch) -> State {
    let driver = scratch.sqlite();
    let mut session = driver.open(&SessionOptions::new(Access::Read)).await.unwrap();
    let history = driver.store().history(&mut *session).await.unwrap();
    session.close().await;
    State::fold(&history).unwrap()
}

/// Checkpoints written inside a transaction of the file's own went away with it, and left a hole.
#[tokio::test]
async fn a_file_with_its_own_transaction_leaves_a_whole_history() {
    let failing = "create table a(x unique); begin; insert into a values (1); insert into a values (1); commit;";
    let kept = "begin; create table a(x); commit; begin; create table b(x); commit;";
    let undone = "savepoint s; create table a(x); rollback to s; release s; create table b(x);";
    let nested = "begin; create table a(x); savepoint s; insert into a values (1); release s; commit;";
    let alone = "savepoint s; create table a(x); release savepoint s;";
    for (text, done) in [(failing, Some(1)), (kept, None), (undone, None), (nested, None), (alone, None)] {
        let scratch = Scratch::new();
        let migration = SqlMigration::new("app", "1", text).unwrap().with(outside);
        let migrator = scratch.migrator(Migrations::new([migration]));
        let result = migrator.up().await;
        folded(&scratch).await;
        let Some(expected) = done else {
            assert_eq!(result.unwrap().ran.len(), 1, "{text}");
            continue;
        };
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Interrupted, "{text}");
        let again = migrator.up().await.unwrap_err();
        assert!(matches!(again.refusals(), [Refusal::Interrupted { done, .. }] if *done == expected), "{again}");
        migrator.resolve("app/1", Resolution::Applied, "looked").await.unwrap();
        migrator.ensure_current().await.unwrap();
    }
}

/// A plan was compared by names alone.
#[tokio::test]
async fn a_plan_does_not_run_other_sql_than_it_was_made_for() {
    let scratch = Scratch::new();
    let plan = scratch.migrator(sql(&[("1", "create table harmless(x)")])).plan().await.unwrap();
    let error = scratch.migrator(sql(&[("1", "create table other(x)")])).run(plan).await.unwrap_err();
    assert!(matches!(error, Error::PlanStale { .. }), "{error}");
    assert!(scratch.files().is_empty());
}

/// Whole statements with their literals stood in errors, events and the history.
#[tokio::test]
async fn literals_of_a_failing_statement_are_not_told() {
    let scratch = Scratch::new();
    let heard = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let events = std::sync::Arc::clone(&heard);
    let statement = "create user x with passwrd 'sk_live_SECRET'";
    let body = |put: fn(admmgt::rusqlite::Error) -> BoxError| {
        Migrations::new([code("2", move |db| db.execute_batch(statement).map_err(put))])
    };
    let bodies = [
        sql(&[("1", statement)]),
        body(Into::into),
        body(|error| Around::Words.put(error)),
        body(|error| Around::Inside.put(error)),
        body(|error| Around::Transparent.put(error)),
        body(|error| Around::Io.put(error)),
    ];
    for failing in bodies {
        let events = std::sync::Arc::clone(&events);
        let migrator = scratch.migrator(failing).observe(move |event: &Event| {
            events.lock().unwrap().push_str(&serde_json::to_string(event).unwrap());
        });
        let error = migrator.up().await.unwrap_err();
        let error = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
        let status = migrator.status().await.unwrap().to_string();
        assert!(error.contains("syntax error") && status.contains("syntax error"), "{error}\n{status}");
        assert!(!format!("{error}{status}").contains("SECRET"), "{error}\n{status}");
    }
    assert!(!heard.lock().unwrap().contains("SECRET"));
}

/// SQLite takes such a path for a URL, and the lease was of another file.
#[test]
fn a_url_is_not_taken_for_a_path() {
    let error = Sqlite::open("file:app.db").unwrap_err();
    assert!(error.to_string().contains("use `Sqlite::url`"), "{error}");
}

/// A mistyped path became a database.
#[tokio::test]
async fn resolving_creates_no_database() {
    let scratch = Scratch::new();
    let migrator = scratch.migrator(sql(&[("1", "create table a(x)")]));
    let error = migrator.resolve("app/1", Resolution::Applied, "typo").await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert!(scratch.files().is_empty());
}

/// An edit between the interruption and its resolution passed unseen.
#[tokio::test]
async fn what_is_resolved_is_what_was_started() {
    let scratch = Scratch::new();
    let set = |text: &str| Migrations::new([SqlMigration::new("app", "1", text.to_owned()).unwrap().with(outside)]);
    scratch.migrator(set("create table a(x); insert into nowhere values (1)")).up().await.unwrap_err();
    let edited = scratch.migrator(set("create table never_ran(x)"));
    edited.resolve("app/1", Resolution::Applied, "looked").await.unwrap();
    let error = edited.up().await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::Edited { .. }]), "{error}");
}

/// A number in a row of the history overflowed.
#[tokio::test]
async fn a_step_that_is_too_large_is_no_panic() {
    let scratch = Scratch::new();
    let text = "create table a(x); create table b(x); insert into nowhere values (1)";
    let migrator = scratch.migrator(Migrations::new([SqlMigration::new("app", "1", text).unwrap().with(outside)]));
    migrator.up().await.unwrap_err();
    scratch.run("update _admmgt_history set step = 4294967295 where kind = 'step_done'");
    assert!(matches!(migrator.up().await.unwrap_err().refusals(), [Refusal::Interrupted { .. }]));
}

/// Waiting for ever was too long for SQLite.
#[tokio::test]
async fn the_longest_limits_are_no_panic() {
    let scratch = Scratch::new();
    let mut policy = Policy::default();
    policy.lock_timeout = std::time::Duration::MAX;
    policy.statement_timeout = Some(std::time::Duration::MAX);
    policy.lease_wait = std::time::Duration::MAX;
    policy.lease_poll_min = std::time::Duration::MAX;
    let migrator = scratch.migrator(sql(&[("1", "create table a(x)")])).policy(policy);
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
}

/// A table that is renamed took its old violations for new ones.
#[tokio::test]
async fn renaming_a_table_with_old_violations_is_fine() {
    let scratch = Scratch::new();
    let setup = "create table p(id integer primary key); create table c(p references p(id));";
    scratch.run(&format!("pragma foreign_keys = off; {setup} insert into c values (7)"));
    let rename = sql(&[("1", "alter table c rename to kids")]);
    assert_eq!(scratch.migrator(rename).up().await.unwrap().ran.len(), 1);
}

/// A dependency on another namespace moved an applied migration behind a new one.
#[tokio::test]
async fn a_new_migration_without_dependencies_is_in_order() {
    let id = |name: &str| name.parse::<admmgt::MigrationId>().unwrap();
    let app = |name: &str| SqlMigration::new("app", name, format!("create table t{name}(x)")).unwrap();
    let library = SqlMigration::new("billing", "1", "create table plans(x)").unwrap();
    let second = app("2").with(|meta: Meta| meta.depends_on([id("billing/1")]));
    let scratch = Scratch::new();
    let first = Migrations::new([app("1"), second, library]);
    scratch.migrator(first.clone()).up().await.unwrap();
    assert_eq!(scratch.migrator(first.and(app("3"))).up().await.unwrap().ran.len(), 1);
}

/// The guard of a code migration stood in a transaction that was the next one's own.
#[tokio::test]
async fn a_transaction_of_a_bodys_own_is_not_guarded() {
    let scratch = Scratch::new();
    let own = asynchronous("2", |cx| {
        Box::pin(async move {
            cx.execute("begin").await?;
            cx.blocking(|db: &mut Connection| Ok(db.execute_batch("create table b(x)")?)).await?;
            cx.execute("commit").await?;
            Ok(())
        })
    });
    let list = Migrations::new([code("1", |db| Ok(db.execute_batch("create table a(x)")?))]);
    scratch.migrator(list.and(own.with(outside))).up().await.unwrap();
    assert_eq!(scratch.tables(), ["a", "b"]);
}

const ORPHANS: &str =
    "create table p(id integer primary key); create table a(p references p(id)); create table b(p references p(id));
    pragma foreign_keys = off; insert into a values (1), (2), (3), (4), (5);";

/// Only the sum of dangling rows was compared: taking some away made room for new ones.
#[tokio::test]
async fn new_dangling_rows_are_not_paid_for_with_old_ones() {
    let scratch = Scratch::new();
    scratch.run(ORPHANS);
    let list = sql(&[("1", "delete from a; insert into b values (7), (8), (9)")]);
    let error = scratch.migrator(list).up().await.unwrap_err();
    assert!(error.to_string().contains("3 rows of `b`"), "{error}");
    let renamed = sql(&[("1", "alter table a rename to c; alter table p rename to q")]);
    scratch.migrator(renamed).up().await.unwrap();
}

/// Rows that a migration without a transaction had left dangling were laid at the next one's door.
#[tokio::test]
async fn what_was_dangling_before_a_migration_is_not_its_fault() {
    let scratch = Scratch::new();
    scratch.run(ORPHANS);
    let outside = |id: &str, text: &str| SqlMigration::new("app", id, text.to_owned()).unwrap().with(outside);
    let off = outside("2", "pragma foreign_keys = off; insert into b values (9); pragma foreign_keys = on");
    let list = sql(&[("1", "create table c(x)"), ("3", "insert into c values (1)")]).and(off);
    assert_eq!(scratch.migrator(list).up().await.unwrap().ran.len(), 3);
}

/// How the caller had foreign keys was looked up after a body could have changed that.
#[tokio::test]
async fn foreign_keys_come_back_as_they_were_before_the_first_body() {
    let database = Sqlite::connection(Connection::open_in_memory().unwrap());
    let off = SqlMigration::new("app", "1", "pragma foreign_keys = off; create table a(x)").unwrap().with(outside);
    Migrator::new(database.clone()).migrations(Migrations::new([off])).up().await.unwrap();
    let connection = database.take_connection().unwrap();
    assert!(connection.query_row("pragma foreign_keys", [], |row| row.get::<_, bool>(0)).unwrap());
}

fn group() -> Policy {
    let mut policy = Policy::default();
    policy.group = true;
    policy
}

/// In a run that is one transaction, settings and missing hooks reached the next migration.
#[tokio::test]
async fn a_setting_does_not_reach_the_next_migration_of_a_group() {
    let scratch = Scratch::new();
    let unhooked = code("2", |db| {
        // It returns a value in newer versions of rusqlite only.
        let _ = db.authorizer(None::<fn(admmgt::rusqlite::hooks::AuthContext<'_>) -> _>);
        Ok(())
    });
    let looks = code("3", |db| {
        let on: bool = db.query_row("pragma recursive_triggers", [], |row| row.get(0))?;
        let denied = db.execute_batch("commit").is_err();
        if on || !denied { Err("it reached me".into()) } else { Ok(()) }
    });
    let list = sql(&[("1", "pragma recursive_triggers = on; create table a(x)")]).and(unhooked).and(looks);
    let error = scratch.migrator(list).policy(group()).up().await.unwrap_err();
    // It was refused its COMMIT, as it should be.
    assert!(error.to_string().contains("it tried BEGIN, COMMIT or ROLLBACK"), "{error}");
}

/// In a run that is one transaction, the last migration was blamed for what an earlier one had left.
#[tokio::test]
async fn each_migration_of_a_group_answers_for_its_own_rows() {
    let scratch = Scratch::new();
    scratch.run(ORPHANS);
    let list = sql(&[("1", "insert into b values (9)"), ("2", "create table c(x)")]);
    let error = scratch.migrator(list).policy(group()).up().await.unwrap_err();
    assert!(error.to_string().contains("`app/1` (up) failed: it would leave 1 row of `b`"), "{error}");
    assert_eq!(scratch.records("app/2"), Vec::<String>::new());
}

/// Of a list that is wrong, places were compared that mean nothing.
#[tokio::test]
async fn a_wrong_list_is_not_called_out_of_order() {
    let scratch = Scratch::new();
    let late = |name: &str| {
        let migration = SqlMigration::new("app", name.to_owned(), format!("create table m{name}(x)")).unwrap();
        if name == "1" { migration.with(|meta| meta.depends_on([admmgt_tests::id("3")])) } else { migration }
    };
    scratch.migrator(Migrations::new(["2", "3"].map(late))).up().await.unwrap();
    let error = scratch.migrator(Migrations::new(["1", "2", "3", "5", "5"].map(late))).up().await.unwrap_err();
    assert!(matches!(error.refusals(), [Refusal::Duplicate { .. }]), "{error}");
}

/// Async code ran on a history that had moved, and was taken back; what it did elsewhere was not.
#[tokio::test]
async fn async_code_does_not_begin_on_a_history_that_has_moved() {
    let scratch = Scratch::new();
    let path = scratch.path();
    let began = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&began);
    let second = asynchronous("2", move |cx| {
        seen.store(true, std::sync::atomic::Ordering::SeqCst);
        Box::pin(async move { Ok(cx.execute("create table b(x)").await.map(drop)?) })
    });
    let intrude = move |event: &Event| {
        if matches!(event, Event::MigrationDone { migration, .. } if migration.id() == "1") {
            let record =
                "insert into _admmgt_history select 2, 'ghost', id, kind, direction, at, run, checksum, origin,
                step, steps, duration_us, by, host, library, detail, body, codec, heads from _admmgt_history";
            Connection::open(&path).unwrap().execute_batch(record).unwrap();
        }
    };
    let list = sql(&[("1", "create table a(x)")]).and(second);
    let error = scratch.migrator(list).observe(intrude).up().await.unwrap_err();
    assert!(matches!(&error, Error::Stopped { cause, .. } if matches!(**cause, Error::HistoryMoved { .. })), "{error}");
    assert!(!began.load(std::sync::atomic::Ordering::SeqCst));
}

fn files(texts: &[&str]) -> Migrations {
    let migrations =
        texts.iter().zip(1..).map(|(text, at)| SqlMigration::new("app", at.to_string(), (*text).to_owned()).unwrap());
    Migrations::new(migrations)
}

#[tokio::test]
async fn a_foreign_key_that_fits_no_table_is_no_violation() {
    let scratch = Scratch::new();
    let mismatch = "create table p(a, b, unique(a, b)); create table c(a references p(a)); \
                    insert into p values (1, 2); insert into c values (1)";
    scratch.migrator(files(&[mismatch])).up().await.unwrap();
    // The keys of other tables are still checked.
    let dangling = "create table q(a primary key); create table d(a references q); insert into d values (1)";
    let error = scratch.migrator(files(&[mismatch, dangling])).up().await.unwrap_err();
    assert!(error.to_string().contains("1 row of `d` pointing to rows of `q`"), "{error}");
}

#[tokio::test]
async fn the_schema_keeps_the_text_that_a_plain_client_gives_it() {
    let sql = "create table t(a) /* of t */ strict ;\ncreate index i on t(a) /* of i */ ;\n\
               create view v as select a from t /* of v */ ;\ncreate unique index u on t(a)\n-- the last\n";
    let scratch = Scratch::new();
    scratch.migrator(files(&[&sql.replace("(a) /* of t */ strict", "(a any) /* of t */ strict")])).up().await.unwrap();
    let plain = Connection::open_in_memory().unwrap();
    plain.execute_batch(&sql.replace("(a) /* of t */ strict", "(a any) /* of t */ strict")).unwrap();
    let mut schema =
        plain.prepare("select sql from sqlite_schema where name in ('t', 'i', 'v', 'u') order by name").unwrap();
    let schema: Vec<String> = schema.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let ours = scratch.texts("select sql from sqlite_schema where name in ('t', 'i', 'v', 'u') order by name");
    assert_eq!(ours, schema);
}

#[tokio::test]
async fn a_schema_that_was_written_to_is_read_again() {
    let scratch = Scratch::new();
    let rewritten = "create table t(a integer); pragma writable_schema = on; \
                     update sqlite_schema set sql = 'create table t(a text, b)' where name = 't'; pragma writable_schema = off";
    scratch
        .migrator(files(&[rewritten, "alter table t add column c", "insert into t(a, b, c) values (1, 2, 3)"]))
        .up()
        .await
        .unwrap();
    assert_eq!(scratch.texts("select typeof(a) from t"), ["text"]);
}

#[tokio::test]
async fn what_is_temporary_does_not_reach_the_next_file() {
    let temporary = "create temp table t1(x); create temp view v1 as select x from t1; insert into t1 values (1)";
    let attached = "attach ':memory:' as other; create table other.u(x)";
    for group in [false, true] {
        let scratch = Scratch::new();
        let mut policy = Policy::default();
        policy.group = group;
        scratch.migrator(files(&[temporary, temporary, "create table t1(y)"])).policy(policy).up().await.unwrap();
        assert_eq!(scratch.tables(), ["t1"]);
    }
    let scratch = Scratch::new();
    let migrations = ["1", "2"].map(|id| SqlMigration::new("app", id, attached).unwrap().with(outside));
    scratch.migrator(Migrations::new(migrations)).up().await.unwrap();

    // In a transaction, too: it goes when that has ended.
    let scratch = Scratch::new();
    let next = scratch.migrator(files(&[attached, "create table other.v(x)"]));
    let error = next.up().await.unwrap_err();
    assert!(error.to_string().contains("unknown database"), "{error}");

    // What the caller's connection had before stays.
    let db = Connection::open(scratch.path()).unwrap();
    db.execute_batch("create temp table own(x); attach ':memory:' as mine").unwrap();
    let database = Sqlite::connection(db);
    let all = Migrations::new(["1", "2"].map(|id| SqlMigration::new("app", id, attached).unwrap().with(outside)));
    let more = all.and(SqlMigration::new("app", "3", temporary).unwrap());
    Migrator::new(database.clone()).migrations(more).up().await.unwrap();
    let db = database.take_connection().unwrap();
    db.execute_batch("insert into own values (1); create table mine.u(x)").unwrap();
    assert!(db.execute_batch("select * from t1").is_err());
}

#[tokio::test]
async fn how_like_compares_does_not_reach_the_next_file() {
    let scratch = Scratch::new();
    let first = "create table t(a); insert into t values ('abc'); pragma case_sensitive_like = 1";
    scratch.migrator(files(&[first, "update t set a = 'found' where a like 'ABC'"])).up().await.unwrap();
    assert_eq!(scratch.texts("select a from t"), ["found"]);
}

/// Each checkpoint was folded by copying all before it.
#[tokio::test]
async fn many_checkpoints_are_read_in_one_pass() {
    let scratch = Scratch::new();
    let text = "select 1;\n".repeat(3000);
    let migration = SqlMigration::new("app", "1", text).unwrap().with(outside);
    let migrator = scratch.migrator(Migrations::new([migration]));
    migrator.up().await.unwrap();
    assert_eq!(migrator.history().await.unwrap().len(), 3002);
    migrator.status().await.unwrap();
}

/// A checkpoint is a row too, and must not be the last one that a statement hears of.
#[tokio::test]
async fn the_last_rowid_is_that_of_the_file() {
    let rows = "create table p(id integer primary key, a); create table c(p); insert into p values (100, 'x');
        insert into c values (last_insert_rowid()); insert into p values (7, 'y'); begin; select 1; commit;
        insert into c values (last_insert_rowid()); vacuum; insert into c values (last_insert_rowid());";
    let scratch = Scratch::new();
    let migration = SqlMigration::new("app", "1", rows).unwrap().with(outside);
    scratch.migrator(Migrations::new([migration])).up().await.unwrap();
    assert_eq!(scratch.texts("select cast(p as text) from c order by rowid"), ["100", "7", "2"]);
}

#[tokio::test]
async fn a_table_that_only_looks_like_another_tools_is_no_obstacle() {
    let scratch = Scratch::new();
    scratch
        .run("create table schema_migrations(name text, dirty text); insert into schema_migrations values ('x', null)");
    let migrator = scratch.migrator(files(&["create table a(x)"]));
    migrator.status().await.unwrap();
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
}
