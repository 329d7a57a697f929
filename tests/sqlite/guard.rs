//! What a body may not do to the transaction it runs in, and what happens when it does.

use admmgt::prelude::*;
use admmgt::rusqlite::hooks::{AuthContext, Authorization};
use admmgt::rusqlite::{Connection, Result};
use admmgt::{Error, ErrorKind, Refusal, Resolution};
use admmgt_tests::{Code, Scratch, asynchronous, code, outside, sql};

/// Three migrations, the second of which is under test.
fn around(second: impl Migration) -> Migrations {
    sql(&[("1", "create table a(id integer primary key)"), ("3", "create table c(id integer)")]).and(second)
}

fn body(body: impl Fn(&mut Connection) -> Result<()> + Send + Sync + 'static) -> Code {
    code("2", move |db| {
        db.execute_batch("create table b(id integer); insert into b values (1)")?;
        Ok(body(db)?)
    })
}

/// The body fails for this reason, nothing of it is left, and one that behaves runs after it.
async fn check_failed(second: impl Migration, reason: &str) {
    let scratch = Scratch::new();
    let error = scratch.migrator(around(second)).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
    assert!(error.to_string().contains(reason), "{error}");
    assert_eq!(error.report().unwrap().ran.len(), 1);
    assert_eq!(scratch.tables(), ["a"], "{error}");
    assert_eq!(scratch.records("app/2"), ["failed"]);
    let behaved = scratch.migrator(around(body(|_| Ok(())))).up().await.unwrap();
    assert_eq!((behaved.ran.len(), scratch.tables()), (2, vec!["a".into(), "b".into(), "c".into()]));
}

/// The body broke its transaction, so what is there of it is not known: nothing runs until a person
/// has looked.
async fn check_interrupted(second: impl Migration) {
    let scratch = Scratch::new();
    let migrator = scratch.migrator(around(second));
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    assert!(!scratch.tables().contains(&"c".to_owned()));
    assert_eq!(scratch.records("app/2"), ["started", "failed"]);
    let again = migrator.up().await.unwrap_err();
    assert!(matches!(again.refusals(), [Refusal::Interrupted { .. }]), "{again}");
    migrator.resolve("app/2", Resolution::Applied, "looked").await.unwrap();
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
}

const CONTROL: &str = "it tried BEGIN, COMMIT or ROLLBACK";

#[tokio::test]
async fn transaction_control_in_a_body_fails_the_migration() {
    for statement in ["commit", "rollback", "begin", "end", "begin immediate; select 1; commit"] {
        check_failed(body(move |db| db.execute_batch(statement)), CONTROL).await;
    }
    check_failed(body(|db| db.transaction()?.commit()), CONTROL).await;
    check_failed(body(|db| db.unchecked_transaction().map(drop)), "Use `Connection::savepoint`").await;
}

#[tokio::test]
async fn an_error_that_the_body_swallows_fails_it_all_the_same() {
    for statement in ["commit", "rollback", "begin"] {
        let swallow = move |db: &mut Connection| {
            let _ = db.execute_batch(statement);
            db.execute_batch("insert into b values (2)")
        };
        check_failed(body(swallow), CONTROL).await;
    }
    check_failed(
        asynchronous("2", |cx| {
            Box::pin(async move {
                cx.execute("create table b(id integer)").await?;
                let _ = cx.execute("commit").await;
                Ok(())
            })
        }),
        CONTROL,
    )
    .await;
}

/// `INSERT OR ROLLBACK` ends the transaction without asking anybody.
#[tokio::test]
async fn a_rollback_inside_a_statement_fails_the_migration() {
    let conflict = "insert or rollback into a values (1), (1)";
    check_failed(body(move |db| db.execute_batch(conflict)), "UNIQUE").await;
    let swallow = move |db: &mut Connection| {
        assert!(db.execute_batch(conflict).is_err());
        // This would be in a transaction of its own, and commit by itself.
        let _ = db.execute_batch("insert into a values (7)");
        Ok(())
    };
    check_failed(body(swallow), "SQLite rolled its transaction back while it ran").await;
    let raise = "create trigger t before insert on b begin select raise(rollback, 'no'); end";
    check_failed(
        body(move |db| {
            db.execute_batch(raise)?;
            let _ = db.execute_batch("insert into b values (2)");
            Ok(())
        }),
        "SQLite rolled its transaction back while it ran",
    )
    .await;
}

/// Without the authorizer, the commit hook still turns the commit into a rollback.
#[tokio::test]
async fn a_commit_without_the_authorizer_is_a_rollback() {
    let unguarded = |db: &mut Connection| {
        let _ = db.authorizer(None::<fn(AuthContext<'_>) -> Authorization>);
        let _ = db.execute_batch("commit");
        db.execute_batch("insert into a values (7)").or(Ok(()))
    };
    check_failed(body(unguarded), "rolled its transaction back").await;
}

/// What these calls return differs over the versions of rusqlite; that they worked is seen by what
/// the tests find.
fn unhook(db: &mut Connection) -> Result<()> {
    let _ = db.authorizer(None::<fn(AuthContext<'_>) -> Authorization>);
    let _ = db.commit_hook(None::<fn() -> bool>);
    let _ = db.rollback_hook(None::<fn()>);
    let _ = db.progress_handler(0, None::<fn() -> bool>);
    Ok(())
}

#[tokio::test]
async fn a_commit_without_any_hook_is_found_and_interrupts() {
    for escape in [
        "commit",
        "rollback",
        "commit; begin",
        "commit; begin immediate; savepoint admmgt_0000000000000000",
        "rollback; savepoint mine",
    ] {
        check_interrupted(body(move |db| unhook(db).and_then(|()| db.execute_batch(escape)))).await;
    }
}

/// "It failed" would be a lie: it had committed before.
#[tokio::test]
async fn a_body_that_commits_and_then_fails_is_interrupted() {
    let lie = |db: &mut Connection| {
        unhook(db)?;
        db.execute_batch("commit; insert into nowhere values (1)")
    };
    check_interrupted(body(lie)).await;
}

#[tokio::test]
async fn savepoints_of_its_own_are_a_bodys_right() {
    let scratch = Scratch::new();
    let nested = body(|db| {
        let mut kept = db.savepoint()?;
        kept.execute_batch("insert into b values (2)")?;
        let gone = kept.savepoint()?;
        gone.execute_batch("insert into b values (3)")?;
        gone.finish()?;
        kept.commit()?;
        db.execute_batch("savepoint mine; insert into b values (4); rollback to mine; release mine")
    });
    assert_eq!(scratch.migrator(around(nested)).up().await.unwrap().ran.len(), 3);
    assert_eq!(scratch.number("select cast(group_concat(id, '') as integer) from b"), 12);
}

/// What `RELEASE` forgot is not the guard's.
#[tokio::test]
async fn a_savepoint_that_is_never_released_is_committed_with_the_rest() {
    let scratch = Scratch::new();
    let open = body(|db| db.execute_batch("savepoint mine; insert into b values (2)"));
    assert_eq!(scratch.migrator(around(open)).up().await.unwrap().ran.len(), 3);
    assert_eq!(scratch.number("select count(*) from b"), 2);
}

#[tokio::test]
async fn the_history_is_written_by_the_executor_alone() {
    for statement in [
        "delete from _admmgt_history",
        "update _admmgt_history set id = 'x'",
        "insert into _admmgt_format values (2)",
        "update _ADMMGT_format set began = 9",
        "drop table _admmgt_history",
        "alter table _admmgt_history rename to mine",
        "alter table _admmgt_history add column mine",
    ] {
        check_failed(body(move |db| db.execute_batch(statement)), "admmgt's own tables").await;
        let file = SqlMigration::new("app", "2", format!("create table b(id integer);\n{statement}")).unwrap();
        check_failed(file, "admmgt's own tables").await;
    }
    for statement in [
        "create trigger t after insert on _admmgt_history begin delete from a; end",
        "create temp trigger t after insert on _admmgt_history begin delete from a; end",
        "create index i on _admmgt_history(id)",
        "create temp table _admmgt_history as select * from main._admmgt_history",
        "create temp view _admmgt_format as select * from main._admmgt_format",
    ] {
        check_failed(body(move |db| db.execute_batch(statement)), "admmgt's own tables").await;
    }
}

/// Nothing keeps such a statement from it, but that it is committed together with its record.
#[tokio::test]
async fn a_history_dropped_outside_a_transaction_comes_back() {
    let scratch = Scratch::new();
    let drop = SqlMigration::new("app", "2", "drop table _admmgt_history").unwrap().with(outside);
    let migrator = scratch.migrator(around(drop));
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    assert_eq!(scratch.tables(), ["a"]);
    let again = migrator.up().await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Interrupted, "{again}");
    assert!(again.to_string().contains("_admmgt_history"), "{again}");
    assert_eq!(scratch.records("app/2"), ["started", "failed"]);
}

/// A temporary table would come first where the schema is not named.
#[tokio::test]
async fn a_temporary_table_does_not_take_the_place_of_the_history() {
    let scratch = Scratch::new();
    let shadow = "create temp table _admmgt_history as select * from _admmgt_history;
        create temp table _admmgt_format as select * from _admmgt_format";
    let shadow = SqlMigration::new("app", "2", shadow).unwrap().with(outside);
    let migrator = scratch.migrator(around(shadow));
    assert_eq!(migrator.up().await.unwrap().ran.len(), 3);
    assert_eq!(migrator.up().await.unwrap().already, 3);
    assert_eq!(scratch.records("app/3"), ["applied"]);
}

/// Nothing of a migration is felt by the next: not its hooks, not its timeout, not its pragmas.
#[tokio::test]
async fn nothing_leaks_into_the_next_migration() {
    let scratch = Scratch::new();
    let leaking = body(|db| {
        unhook(db)?;
        db.busy_timeout(std::time::Duration::from_secs(77))
    });
    let looking = code("3", |db| {
        let timeout: i64 = db.query_row("pragma busy_timeout", [], |row| row.get(0))?;
        assert_eq!(timeout, 5000);
        let _ = db.execute_batch("commit");
        Ok(())
    });
    let migrations = sql(&[("1", "create table a(id integer)")]).and(leaking).and(looking);
    let error = scratch.migrator(migrations).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains(CONTROL), "the guard is back: {error}");
    assert_eq!(scratch.tables(), ["a", "b"]);
}

const SETTINGS: [(&str, &str); 6] = [
    ("recursive_triggers", "on"),
    ("legacy_alter_table", "on"),
    ("ignore_check_constraints", "on"),
    ("writable_schema", "on"),
    ("trusted_schema", "off"),
    ("query_only", "on"),
];

/// The same migrations give the same schema in one run and in several.
#[tokio::test]
async fn a_setting_of_one_migration_does_not_reach_the_next() {
    let set: String = SETTINGS.iter().map(|(name, value)| format!("pragma {name} = {value};\n")).collect();
    let in_sql = SqlMigration::new("app", "2", set.clone()).unwrap();
    check_settings(around_settings(in_sql)).await;
    let without = set.replace("pragma query_only = on;\n", "pragma synchronous = off;\n");
    let in_sql = SqlMigration::new("app", "2", without).unwrap().with(outside);
    check_settings(around_settings(in_sql)).await;
    let in_code = body(move |db| db.execute_batch(&set));
    check_settings(around_settings(in_code)).await;
}

fn around_settings(second: impl Migration) -> Migrations {
    let read = |db: &Connection| -> Vec<i64> {
        let get = |name: &str| db.query_row(&format!("pragma {name}"), [], |row| row.get(0)).unwrap();
        SETTINGS.iter().map(|(name, _)| get(name)).chain([get("synchronous")]).collect()
    };
    let before = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&before);
    let first = code("1", move |db| {
        *seen.lock().unwrap() = read(db);
        Ok(())
    });
    let third = code("3", move |db| {
        let (now, before) = (read(db), before.lock().unwrap().clone());
        if now == before { Ok(()) } else { Err(format!("{before:?} became {now:?}").into()) }
    });
    Migrations::new([first, third]).and(second)
}

async fn check_settings(migrations: Migrations) {
    let scratch = Scratch::new();
    let result = scratch.migrator(migrations).up().await;
    assert!(result.is_ok(), "{}", result.unwrap_err());
}

const FAMILY: &str =
    "create table parent(id integer primary key, name text); insert into parent values (1, 'a'), (2, 'b');
    create table child(id integer primary key, parent integer not null references parent(id) on delete cascade);
    insert into child values (10, 1), (20, 2);";

const REBUILD: &str = "create table parent_new(id integer primary key, name text not null);
    insert into parent_new select * from parent; drop table parent; alter table parent_new rename to parent;";

#[tokio::test]
async fn a_rebuilt_table_keeps_its_children() {
    let scratch = Scratch::new();
    let in_code = code("3", |db| Ok(db.execute_batch(REBUILD)?));
    let migrator = scratch.migrator(sql(&[("1", FAMILY), ("2", REBUILD)]).and(in_code));
    assert_eq!(migrator.up().await.unwrap().ran.len(), 3);
    assert_eq!(scratch.number("select cast(group_concat(id, '') as integer) from child"), 1020);
    assert_eq!(scratch.number("select count(*) from pragma_foreign_key_check"), 0);
}

#[tokio::test]
async fn rows_that_would_point_to_nothing_are_refused_at_the_commit() {
    for dangling in [
        "delete from parent where id = 2",
        "insert into child values (30, 3)",
        "drop table parent",
        "create table parent_new(id integer primary key); drop table parent; alter table parent_new rename to parent",
    ] {
        let scratch = Scratch::new();
        let error = scratch.migrator(sql(&[("1", FAMILY), ("2", dangling)])).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
        assert!(error.to_string().contains("of `child` pointing to rows of `parent` that are not there"), "{error}");
        assert_eq!(scratch.number("select count(*) from child"), 2);
        assert_eq!(scratch.number("select count(*) from parent"), 2);
    }
}

#[tokio::test]
async fn rows_that_pointed_to_nothing_before_are_nobodys_fault() {
    let scratch = Scratch::new();
    scratch.run(&format!("{FAMILY} pragma foreign_keys = off; insert into child values (30, 3)"));
    let migrations = [("1", "insert into parent values (4, 'd')"), ("2", "insert into child values (40, 4)")];
    assert_eq!(scratch.migrator(sql(&migrations)).up().await.unwrap().ran.len(), 2);
    let worse = sql(&migrations).include(sql(&[("3", "insert into child values (50, 5)")]));
    assert_eq!(scratch.migrator(worse).up().await.unwrap_err().kind(), ErrorKind::Failed);
    assert_eq!(scratch.number("select count(*) from child"), 4);
}

fn pragma(db: &Connection, name: &str) -> i64 {
    db.query_row(&format!("pragma {name}"), [], |row| row.get(0)).unwrap()
}

/// A caller's connection comes back as it was, whether the migration ends well or fails.
#[tokio::test]
async fn a_given_connection_comes_back_as_it_was() {
    for foreign_keys in [0, 1] {
        for second in ["create table b(id integer)", "insert into nowhere values (1)"] {
            let connection = Connection::open_in_memory().unwrap();
            connection
                .execute_batch(&format!("{FAMILY} pragma foreign_keys = {foreign_keys}; pragma busy_timeout = 1234"))
                .unwrap();
            let database = Sqlite::connection(connection);
            let second = format!("pragma recursive_triggers = on;\n{second}");
            let migrations = sql(&[("1", REBUILD), ("2", &second)]);
            let migrator = Migrator::new(database.clone()).migrations(migrations);
            let result = migrator.up().await;
            assert_eq!(result.is_ok(), second.contains("create"));
            migrator.status().await.unwrap();

            let mut connection = database.take_connection().expect("it comes back");
            assert_eq!(
                (pragma(&connection, "foreign_keys"), pragma(&connection, "busy_timeout")),
                (foreign_keys, 1234)
            );
            assert_eq!((pragma(&connection, "query_only"), pragma(&connection, "recursive_triggers")), (0, 0));
            assert!(connection.is_autocommit());
            connection.transaction().and_then(|transaction| transaction.commit()).unwrap();
            assert_eq!(database.take_connection().map(drop), None);
        }
    }
}

#[tokio::test]
async fn a_given_connection_comes_back_from_refusals_and_looks() {
    let database = Sqlite::connection(Connection::open_in_memory().unwrap());
    let migrator = Migrator::new(database.clone()).migrations(sql(&[("1", "commit")]));
    assert_eq!(migrator.up().await.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(migrator.plan().await.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(migrator.ensure_current().await.unwrap_err().kind(), ErrorKind::Pending);
    assert!(database.take_connection().is_some());
}

/// A lease or a lock that somebody else has is no reason to close the caller's connection.
#[tokio::test]
async fn a_given_connection_comes_back_from_a_wait_in_vain() {
    let scratch = Scratch::new();
    let database = Sqlite::connection(scratch.connection());
    let lease = std::fs::File::create(scratch.folder().join("app.db-admmgt.lock")).unwrap();
    lease.try_lock().unwrap();
    let mut policy = Policy::default();
    policy.lease_wait = std::time::Duration::from_millis(50);
    policy.lock_timeout = policy.lease_wait;
    let migrations = sql(&[("1", "create table a(id integer)")]);
    let migrator = Migrator::new(database.clone()).migrations(migrations).policy(policy);
    assert!(matches!(migrator.up().await.unwrap_err(), Error::LeaseTimeout { .. }));
    drop(lease);
    let other = scratch.connection();
    other.execute_batch("begin immediate").unwrap();
    assert!(matches!(migrator.up().await.unwrap_err(), Error::Busy { .. }));
    other.execute_batch("rollback").unwrap();
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
}

/// Its transaction is the caller's: it is not joined, and not rolled back.
#[tokio::test]
async fn a_given_connection_in_a_transaction_is_refused_and_comes_back() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("begin; create table mine(id integer)").unwrap();
    let database = Sqlite::connection(connection);
    let migrator = Migrator::new(database.clone()).migrations(sql(&[("1", "create table a(id integer)")]));
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    let connection = database.take_connection().expect("it comes back");
    connection.execute_batch("insert into mine values (1); commit").unwrap();
}

/// It began a transaction where it had none around it, and forgot it: what it wrote there is gone.
#[tokio::test]
async fn a_transaction_left_open_is_an_interruption() {
    let scratch = Scratch::new();
    let forgetful = body(|db| db.execute_batch("begin; insert into b values (2)")).with(outside);
    let migrator = scratch.migrator(around(forgetful));
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    assert_eq!(error.report().unwrap().ran.len(), 1, "it did not run to its end");
    assert_eq!(scratch.number("select count(*) from b"), 1);
    assert!(matches!(migrator.up().await.unwrap_err().refusals(), [Refusal::Interrupted { .. }]));
}

/// Outside a transaction, enforcement is as the connection has it, and a body may change it for itself.
#[tokio::test]
async fn foreign_keys_outside_a_transaction_are_as_the_connection_has_them() {
    let scratch = Scratch::new();
    let first = SqlMigration::new("app", "1", FAMILY).unwrap();
    let cascade = SqlMigration::new("app", "2", "delete from parent where id = 1").unwrap().with(outside);
    let off = "pragma foreign_keys = off;\ndelete from parent where id = 2;\npragma foreign_keys = on";
    let off = SqlMigration::new("app", "3", off).unwrap().with(outside);
    let migrator = scratch.migrator(Migrations::new([first, cascade, off]));
    assert_eq!(migrator.up().await.unwrap().ran.len(), 3);
    assert_eq!(scratch.number("select cast(group_concat(id, '') as integer) from child"), 20);
}

#[tokio::test]
async fn foreign_keys_are_not_switched_inside_the_transaction() {
    check_failed(body(|db| db.pragma_update(None, "foreign_keys", true)), "it tried `PRAGMA foreign_keys`").await;
    check_failed(body(|db| db.execute_batch("PRAGMA main.Foreign_Keys = off")), "take the pragma out").await;
}
