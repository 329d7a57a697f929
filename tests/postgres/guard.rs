//! What a body may do to its transaction and its connection, and what it may not.

use admmgt::postgres::Answer;
use admmgt::prelude::*;
use admmgt::sqlx::{self, Connection, Executor};
use admmgt::{BoxFuture, ErrorKind, Standing, sources};
use admmgt_tests::{Around, Database, asynchronous, outside, pg, sql};

type Body<'a> = BoxFuture<'a, Result<(), BoxError>>;

async fn up(
    db: &Database,
    body: impl for<'a> Fn(&'a mut PgConnection) -> Body<'a> + Send + Sync + 'static,
) -> admmgt::Result<Report> {
    db.run("create table if not exists seen (what text)").await;
    db.migrator(Migrations::new([pg("1", body)])).policy(anyway()).up().await
}

/// Tables that are there already are wanted here.
fn anyway() -> Policy {
    let mut policy = Policy::default();
    policy.foreign = admmgt::Verdict::Allow;
    policy
}

async fn seen(db: &Database) -> Vec<String> {
    db.texts("select what from seen order by 1").await
}

#[tokio::test]
async fn a_transaction_of_the_bodys_own_is_a_savepoint() {
    let Some(db) = Database::new().await else { return };
    let report = up(&db, |db| {
        Box::pin(async move {
            let mut inner = db.begin().await?;
            inner.execute("insert into seen values ('kept')").await?;
            inner.commit().await?;
            let mut inner = db.begin().await?;
            inner.execute("insert into seen values ('rolled back')").await?;
            inner.rollback().await?;
            let mut inner = db.begin().await?;
            inner.execute("insert into seen values ('dropped')").await?;
            drop(inner);
            let mut inner = db.begin().await?;
            let mut innermost = inner.begin().await?;
            innermost.execute("insert into seen values ('kept, too')").await?;
            innermost.commit().await?;
            inner.commit().await?;
            Ok(())
        })
    });
    assert_eq!(report.await.unwrap().ran.len(), 1);
    assert_eq!(seen(&db).await, ["kept", "kept, too"]);
}

/// What it did in there would be committed without a word, or rolled back without one.
#[tokio::test]
async fn a_forgotten_transaction_is_an_error() {
    let Some(db) = Database::new().await else { return };
    let error = up(&db, |db| {
        Box::pin(async move {
            let mut inner = db.begin().await?;
            inner.execute("insert into seen values ('forgotten')").await?;
            std::mem::forget(inner);
            Ok(())
        })
    });
    let error = error.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("`connection.begin()`"), "{error}");
    assert!(seen(&db).await.is_empty());
    assert_eq!(db.leases().await, 0);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_at_the_end_is_rolled_back() {
    let Some(db) = Database::new().await else { return };
    let report = up(&db, |db| {
        Box::pin(async move {
            db.execute("insert into seen values ('outer')").await?;
            let mut inner = db.begin().await?;
            inner.execute("insert into seen values ('dropped')").await?;
            Ok(())
        })
    });
    assert_eq!(report.await.unwrap().ran.len(), 1);
    assert_eq!(seen(&db).await, ["outer"]);
}

/// Atomicity was broken: part of it is there, and only a person can say what to do.
#[tokio::test]
async fn a_body_that_ends_its_transaction_is_interrupted_and_never_applied() {
    let Some(db) = Database::new().await else { return };
    for ending in
        ["commit", "rollback", "commit; begin", "rollback; begin", "commit; begin; savepoint mine", "commit and chain"]
    {
        let name = format!("seen_{}", ending.len());
        let sql = format!("create table {name}(a int); {ending}");
        let migrator = db.migrator(Migrations::new([pg("1", move |db| {
            let sql = sql.clone();
            Box::pin(async move {
                db.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await?;
                Ok(())
            })
        })]));
        let error = migrator.clone().policy(anyway()).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{ending}: {error}");
        assert!(error.to_string().contains("ended the transaction by itself"), "{ending}: {error}");
        assert_eq!(db.records("app/1").await, ["started", "failed"], "{ending}");
        let again = migrator.up().await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Interrupted, "{ending}: {again}");
        assert_eq!(db.leases().await, 0, "{ending}");
        db.run("drop table _admmgt_history, _admmgt_format").await;
    }
}

/// It commits, begins one of its own, and swallows an error in that: what it committed is there all the same.
#[tokio::test]
async fn a_body_that_commits_and_then_swallows_an_error_is_interrupted() {
    let Some(db) = Database::new().await else { return };
    for forget in [false, true] {
        db.run("drop table if exists seen, _admmgt_history, _admmgt_format").await;
        let error = up(&db, move |db| {
            Box::pin(async move {
                db.execute("insert into seen values ('there')").await?;
                db.execute("commit").await?;
                db.execute("begin").await?;
                if forget {
                    std::mem::forget(db.begin().await?);
                }
                let _ = db.execute("insert into nowhere values (1)").await;
                Ok(())
            })
        });
        let error = error.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{forget}: {error}");
        assert_eq!(seen(&db).await, ["there"]);
    }
}

#[tokio::test]
async fn a_body_that_commits_and_then_fails_is_interrupted() {
    let Some(db) = Database::new().await else { return };
    let error = up(&db, |db| {
        Box::pin(async move {
            db.execute("insert into seen values ('there')").await?;
            db.execute("commit").await?;
            db.execute("insert into nowhere values (1)").await?;
            Ok(())
        })
    });
    let error = error.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(error.to_string().contains("nowhere"), "{error}");
    assert_eq!(seen(&db).await, ["there"]);
}

#[tokio::test]
async fn an_error_of_the_database_cannot_be_swallowed() {
    let Some(db) = Database::new().await else { return };
    let error = up(&db, |db| {
        Box::pin(async move {
            db.execute("insert into seen values ('first')").await?;
            let _ = db.execute("insert into nowhere values (1)").await;
            Ok(())
        })
    });
    let error = error.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("went on after an error"), "{error}");
    assert!(seen(&db).await.is_empty());
    // In a savepoint it can be.
    let report = up(&db, |db| {
        Box::pin(async move {
            db.execute("insert into seen values ('first')").await?;
            let mut inner = db.begin().await?;
            let _ = inner.execute("insert into nowhere values (1)").await;
            drop(inner);
            Ok(())
        })
    });
    assert_eq!(report.await.unwrap().ran.len(), 1);
    assert_eq!(seen(&db).await, ["first"]);
}

#[tokio::test]
async fn what_is_only_checked_at_the_commit_fails_the_migration() {
    let Some(db) = Database::new().await else { return };
    let migrator = db.migrator(sql(&[(
        "1",
        "create table a(id int primary key);\n\
         create table b(a int references a deferrable initially deferred);\n\
         insert into b values (7);",
    )]));
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("Key (a)=(7) is not present in table \"a\""), "{error}");
    assert!(db.tables().await.is_empty());
    assert_eq!(db.records("app/1").await, ["failed"]);
}

/// What one body sets is not there for the next, nor in the way of the record.
#[tokio::test]
async fn settings_and_roles_are_put_back_behind_each_body() {
    let Some(db) = Database::ours().await else { return };
    let role = format!("r_{}", db.name());
    db.run(&format!("create role {role}; create schema other; grant usage, create on schema other to {role}")).await;
    let settings = format!(
        "set search_path = other;\nset lock_timeout = '1ms';\nset statement_timeout = '1h';\nset app.tenant = 'seven';\n\
         set datestyle = 'German';\nset default_transaction_isolation = 'serializable';\nset role {role};\n\
         create table mine(id int);"
    );
    let look = "create table found as select current_setting('search_path') as path, current_setting('lock_timeout') as lock,
                current_setting('statement_timeout') as statement, coalesce(current_setting('app.tenant', true), '') as tenant,
                current_setting('datestyle') as style, current_setting('default_transaction_isolation') as isolation,
                current_user as who, session_user as session;";
    let session = format!("set session authorization {role};\ncreate table other.two(id int);");
    let report = db.migrator(sql(&[
        ("1", look),
        ("2", &settings),
        ("3", &look.replace("found", "again")),
        ("4", &session),
        ("5", &look.replace("found", "third")),
    ]));
    assert_eq!(report.up().await.unwrap().ran.len(), 5);
    assert_eq!(db.text("select * from found").await, db.text("select * from again").await);
    assert_eq!(db.text("select * from found").await, db.text("select * from third").await);
    assert_eq!(
        db.text("select tableowner from pg_tables where tablename = 'mine' and schemaname = 'other'").await,
        role
    );
    assert_eq!(db.text("select lock from found").await, "5s");
    db.run(&format!("drop owned by {role} cascade; drop role {role}")).await;
}

#[tokio::test]
async fn nothing_temporary_reaches_the_next_migration() {
    let Some(db) = Database::new().await else { return };
    let first = pg("1", |db| {
        Box::pin(async move {
            db.execute("create temp table scratch(id int)").await?;
            db.execute("create table prepared as select 1 as one").await?;
            sqlx::query("select * from prepared").fetch_all(&mut *db).await?;
            db.execute("declare kept cursor with hold for select 1").await?;
            Ok(())
        })
    });
    let second = pg("2", |db| {
        Box::pin(async move {
            let left: i64 = sqlx::query_scalar("select count(*) from pg_class where relname = 'scratch'")
                .fetch_one(&mut *db)
                .await?;
            assert_eq!(left, 0, "temporary tables");
            let left: i64 =
                sqlx::query_scalar("select count(*) from pg_cursors where name = 'kept'").fetch_one(&mut *db).await?;
            assert_eq!(left, 0, "cursors");
            db.execute("alter table prepared add column two int").await?;
            Ok(())
        })
    });
    // The same statement has other columns now; its plan must not be the old one.
    let third = pg("3", |db| {
        Box::pin(async move {
            sqlx::query("select * from prepared").fetch_all(&mut *db).await?;
            Ok(())
        })
    });
    let report = db.migrator(Migrations::new([first]).and(second).and(third)).up().await.unwrap();
    assert_eq!(report.ran.len(), 3);
}

/// The record is not written, and the lease is not claimed to be ours.
#[tokio::test]
async fn a_body_that_lets_go_of_the_lease_is_found_out() {
    let Some(db) = Database::new().await else { return };
    let error = up(&db, |db| {
        Box::pin(async move {
            db.execute("insert into seen values ('lost')").await?;
            db.execute("select pg_advisory_unlock_all()").await?;
            Ok(())
        })
    });
    let error = error.await.unwrap_err();
    assert!(matches!(error, admmgt::Error::LeaseLost { .. }), "{error:?}");
    assert!(seen(&db).await.is_empty());
    assert!(db.records("app/1").await.is_empty());
    assert_eq!(db.leases().await, 0);
}

#[tokio::test]
async fn a_statement_outside_that_lets_go_of_the_lease_is_found_out_before_the_next() {
    let Some(db) = Database::new().await else { return };
    let text = "create table a(id int);\nselect pg_advisory_unlock_all_of_us();\ncreate table b(id int);";
    db.run(
        "create function pg_advisory_unlock_all_of_us() returns void language sql as 'select pg_advisory_unlock_all()'",
    )
    .await;
    let first = SqlMigration::new("app", "1", text).unwrap().with(outside);
    let error = db.migrator(Migrations::new([first])).policy(anyway()).up().await.unwrap_err();
    assert!(matches!(error, admmgt::Error::LeaseLost { .. }), "{error:?}");
    assert_eq!(db.tables().await, ["a"]);
    assert_eq!(db.leases().await, 0);
}

#[tokio::test]
async fn a_file_that_would_let_go_of_everything_is_refused() {
    let Some(db) = Database::new().await else { return };
    for text in ["discard all", "select pg_advisory_unlock_all()", "prepare transaction 'x'"] {
        let error = db.migrator(sql(&[("1", text)])).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{text}: {error}");
    }
    assert_eq!(db.texts("select 1 from pg_class where relname like '\\_admmgt%'").await.len(), 0);
}

#[tokio::test]
async fn a_body_that_drops_the_history_is_rolled_back() {
    let Some(db) = Database::new().await else { return };
    for text in
        ["drop table _admmgt_history", "alter table _admmgt_history rename to mine", "drop schema public cascade"]
    {
        let error = db.migrator(sql(&[("1", "create table a(id int)"), ("2", text)])).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed, "{text}: {error}");
        assert_eq!(db.tables().await, ["a"], "{text}");
        assert_eq!(db.leases().await, 0);
    }
}

#[tokio::test]
async fn a_panic_is_a_failure_like_others() {
    let Some(db) = Database::new().await else { return };
    let error = up(&db, |db| {
        Box::pin(async move {
            db.execute("insert into seen values ('before')").await?;
            panic!("on purpose");
        })
    });
    let error = error.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("it panicked: on purpose"), "{error}");
    assert!(seen(&db).await.is_empty());
    assert_eq!(db.leases().await, 0);
}

#[tokio::test]
async fn a_function_outside_must_end_what_it_begins() {
    let Some(db) = Database::new().await else { return };
    let body = pg("1", |db| {
        Box::pin(async move {
            db.execute("create table a(id int)").await?;
            db.execute("begin").await?;
            db.execute("create table b(id int)").await?;
            Ok(())
        })
    });
    let migrator = db.migrator(Migrations::new([body.with(outside)]));
    let error = migrator.up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(error.to_string().contains("left a transaction open"), "{error}");
    assert_eq!(db.tables().await, ["a"]);
    assert!(matches!(migrator.status().await.unwrap().migrations[0].standing, Standing::Interrupted { .. }));
}

/// All in one transaction: still, what one sets is not for the next.
#[tokio::test]
async fn settings_do_not_reach_the_next_migration_of_a_group() {
    let Some(db) = Database::ours().await else { return };
    let role = format!("r_{}", db.name());
    db.run(&format!("create role {role}; create schema other; grant usage, create on schema other to {role}")).await;
    let first = format!("set search_path = other;\ncreate temp table scratch(id int);\nset role {role};");
    let second = "create table here as select current_user as who, to_regclass('scratch')::text as scratch;";
    let mut group = Policy::default();
    group.group = true;
    db.migrator(sql(&[("1", &first), ("2", second)])).policy(group.clone()).up().await.unwrap();
    assert_eq!(db.texts("select who, scratch from public.here").await, ["postgres|"]);
    // The one that forgot is blamed.
    let forgets = pg("3", |db| {
        Box::pin(async move {
            std::mem::forget(db.begin().await?);
            Ok(())
        })
    });
    let list = sql(&[("1", &first), ("2", second), ("4", "create table four(id int)")]).and(forgets);
    let error = db.migrator(list).policy(group).up().await.unwrap_err();
    assert!(
        error.to_string().contains("`app/3` (up) failed") && error.to_string().contains("connection.begin()"),
        "{error}"
    );
    db.run(&format!("drop owned by {role} cascade; drop role {role}")).await;
}

/// The retry finds what it found the first time: nothing temporary of an earlier migration.
#[tokio::test]
async fn nothing_temporary_comes_back_with_a_retry() {
    let Some(db) = Database::new().await else { return };
    db.run("create sequence tries").await;
    let second = "create temp table scratch(id int);\n\
                  do $$ begin if nextval('tries') < 3 then raise exception 'again' using errcode = '40001'; end if; end $$;";
    let list = sql(&[("1", "create temp table scratch(id int)"), ("2", second)]);
    assert_eq!(db.migrator(list).policy(anyway()).up().await.unwrap().ran.len(), 2);
}

/// A body that goes through the context, or wraps what it was told: the history holds no row.
#[tokio::test]
async fn no_row_is_put_on_record_however_an_error_is_wrapped() {
    let Some(db) = Database::new().await else { return };
    db.run("create table a(name text primary key); insert into a values ('SECRET')").await;
    let through = admmgt_tests::asynchronous("1", |cx| {
        Box::pin(async move {
            cx.execute("insert into a values ('SECRET')").await?;
            Ok(())
        })
    });
    let wrapped = pg("1", |db| {
        Box::pin(async move {
            let done = sqlx::query("insert into a values ('SECRET')").execute(db).await;
            done.map_err(|error| std::io::Error::other(std::io::Error::other(error)))?;
            Ok(())
        })
    });
    for list in [Migrations::new([through]), Migrations::new([wrapped])] {
        let error = db.migrator(list).policy(anyway()).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(error.to_string().contains("\"a_pkey\" (SQLSTATE 23505): Key (name)=(SECRET)"), "{error}");
        assert!(db.texts("select detail from _admmgt_history where detail like '%SECRET%'").await.is_empty());
        db.run("drop table _admmgt_history, _admmgt_format").await;
    }
}

#[tokio::test]
async fn no_value_is_put_on_record_from_within_an_error_of_the_bodys_own() {
    let Some(db) = Database::new().await else { return };
    for way in Around::ALL {
        let through = asynchronous("1", move |cx| {
            Box::pin(async move { cx.execute("select 'SECRET'::int").await.map(drop).map_err(|it| way.put(it)) })
        });
        let theirs = pg("1", move |db| {
            Box::pin(async move { db.execute("select 'SECRET'::int").await.map(drop).map_err(|it| way.put(it)) })
        });
        for list in [Migrations::new([through]), Migrations::new([theirs])] {
            let error = db.migrator(list).up().await.unwrap_err();
            let told = db.texts("select detail from _admmgt_history where detail is not null order by seq").await;
            let told = told.last().unwrap();
            assert!(told.contains("\"…\" (SQLSTATE 22P02)") && !told.contains("SECRET"), "{way:?}: {told}");
            assert_eq!(told.matches("SQLSTATE").count(), 1, "{way:?}: {told}");
            assert!(matches!(way, Around::Words) == told.contains("importing: "), "{way:?}: {told}");
            let shown = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
            assert!(!shown.contains("SECRET"), "{way:?}: {shown}");
        }
    }
}

/// What the client itself says, and the server did not, stands on record with the words around it.
#[tokio::test]
async fn words_around_an_error_of_the_client_are_put_on_record() {
    let Some(db) = Database::new().await else { return };
    let body =
        pg("1", |_| Box::pin(async move { Err(Around::Inside.put(sqlx::Error::Protocol("no answer".to_owned()))) }));
    assert_eq!(db.migrator(Migrations::new([body])).up().await.unwrap_err().kind(), ErrorKind::Failed);
    let told = db.texts("select detail from _admmgt_history where detail is not null").await;
    let said = sqlx::Error::Protocol("no answer".to_owned());
    assert!(told[0].contains(&format!("the import failed ({said})")), "{told:?}");
}

/// Who called is told which row is in the way; the history is not.
#[tokio::test]
async fn a_row_in_the_way_is_told_and_not_put_on_record() {
    let Some(db) = Database::new().await else { return };
    db.run("create table seen (what text unique); insert into seen values ('SECRET')").await;
    const TAKEN: &str = "insert into seen values ('SECRET')";
    for way in Around::ALL {
        let theirs =
            pg("1", move |db| Box::pin(async move { db.execute(TAKEN).await.map(drop).map_err(|it| way.put(it)) }));
        let ours = asynchronous("1", move |cx| {
            Box::pin(async move { cx.execute(TAKEN).await.map(drop).map_err(|it| way.put(it)) })
        });
        for (list, is_theirs) in [(Migrations::new([theirs]), true), (Migrations::new([ours]), false)] {
            let error = db.migrator(list).policy(anyway()).up().await.unwrap_err();
            // What stands in the place of an error of ours hides it.
            let is_told = error.to_string().contains("(what)=(SECRET)");
            assert_eq!(is_told, is_theirs || !matches!(way, Around::Transparent), "{way:?}: {error}");
            let told = db.texts("select coalesce(detail, '') from _admmgt_history").await;
            assert!(told.iter().all(|told| !told.contains("SECRET")), "{way:?}: {told:?}");
        }
    }
}

/// Whoever asks for it has the row from the error of a SQL file too.
#[tokio::test]
async fn the_row_in_the_way_of_a_statement_can_be_asked_for() {
    let Some(db) = Database::new().await else { return };
    db.run("create table seen (what text unique); insert into seen values ('ada')").await;
    let list = sql(&[("1", "insert into seen values ('ada')")]);
    let error = db.migrator(list).policy(anyway()).up().await.unwrap_err();
    assert!(error.to_string().ends_with("(SQLSTATE 23505): Key (what)=(ada) already exists."), "{error}");
    let admmgt::Error::Failed(failure) = error else { panic!("it failed") };
    let answer = admmgt::sources(&*failure.error).find_map(|error| error.downcast_ref::<Answer>()).unwrap();
    assert_eq!((answer.code(), answer.constraint()), (Some("23505"), Some("seen_what_key")));
    assert_eq!(answer.detail(), Some("Key (what)=(ada) already exists."));
    assert!(!format!("{answer} {answer:?}").contains("ada"), "{answer:?}");
}

/// A role that the connection itself begins with is who we are.
#[tokio::test]
async fn a_role_that_is_the_connections_own_writes_the_history() {
    let Some(db) = Database::ours().await else { return };
    let (owner, login) = (format!("owner_{}", db.name()), format!("login_{}", db.name()));
    db.run(&format!(
        "create role {owner}; create role {login} login noinherit; grant {owner} to {login}; alter role {login} set role = {owner};
         grant usage, create on schema public to {owner}"
    ))
    .await;
    let driver = admmgt::Postgres::connect(&db.url_as(&login)).unwrap();
    let outside_too = SqlMigration::new("app", "2", "create table b(id int);\nvacuum b;").unwrap().with(outside);
    let list = sql(&[("1", "create table a(id int)")]).and(outside_too);
    assert_eq!(Migrator::new(driver).migrations(list).up().await.unwrap().ran.len(), 2);
    assert_eq!(
        db.texts("select distinct tableowner from pg_tables where schemaname = 'public'").await,
        [owner.as_str()]
    );
    db.run(&format!("drop owned by {owner} cascade; drop owned by {login} cascade; drop role {login}")).await;
    db.run(&format!("drop role {owner}")).await;
}

/// Debug of an error, which a `main` that returns it prints, holds no row and no statement.
#[tokio::test]
async fn no_form_of_an_error_shows_a_row() {
    let Some(db) = Database::new().await else { return };
    let body = pg("1", |db| {
        Box::pin(async move {
            db.execute("create table a(id int, name text not null check (name <> 'SECRET'))").await?;
            sqlx::query("insert into a values ($1, $2)").bind(1).bind("SECRET").execute(db).await?;
            Ok(())
        })
    });
    let error = db.migrator(Migrations::new([body])).up().await.unwrap_err();
    let mut shown = format!("{error:#?}");
    sources(&error).for_each(|error| shown += &format!(" {error} {error:?}"));
    assert!(!shown.contains("SECRET"), "{shown}");
    let admmgt::Error::Failed(failure) = error else { panic!("it failed") };
    assert!(failure.error.downcast_ref::<sqlx::Error>().is_some());
}

/// A call takes one statement, so that each is known for what it is.
#[tokio::test]
async fn a_call_of_code_takes_one_statement() {
    let Some(db) = Database::new().await else { return };
    for (text, words) in [
        ("create table b(id int); create table c(id int)", "more than one statement in one call"),
        ("select 'a;", "never ends"),
    ] {
        let body = asynchronous("1", move |cx| Box::pin(async move { Ok(cx.execute(text).await.map(drop)?) }));
        let error = db.migrator(Migrations::new([body])).up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(db.tables().await.is_empty());
    }
}

/// A probe only looks: one that ends the transaction it looks in has said nothing.
#[tokio::test]
async fn a_probe_that_ends_its_transaction_is_not_believed() {
    let Some(db) = Database::new().await else { return };
    let one = SqlMigration::new("app", "1", "create table a(id int);\nselect 1 / 0;").unwrap();
    let one = one.with(outside).probe(|cx| {
        Box::pin(async move {
            cx.execute("commit").await?;
            Ok(admmgt::Probed::Done)
        })
    });
    let migrator = db.migrator(Migrations::new([one]));
    assert_eq!(migrator.up().await.unwrap_err().kind(), ErrorKind::Interrupted);
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let hears = std::sync::Arc::clone(&heard);
    let migrator = migrator.observe(move |event: &admmgt::Event| {
        if let admmgt::Event::Notice { text, .. } = event {
            hears.lock().unwrap().push(text.clone());
        }
    });
    assert_eq!(migrator.up().await.unwrap_err().kind(), ErrorKind::Interrupted);
    let heard = heard.lock().unwrap();
    assert!(heard.iter().any(|text| text.contains("it ended the transaction by itself")), "{heard:?}");
}

/// It was begun, and whoever began it has forgotten even to drop it.
#[tokio::test]
async fn a_function_outside_that_leaks_a_transaction_is_interrupted() {
    let Some(db) = Database::new().await else { return };
    let leaks = pg("1", |db| {
        Box::pin(async move {
            let mut open = db.begin().await?;
            open.execute("create table a(id int)").await?;
            std::mem::forget(open);
            Ok(())
        })
    });
    let error = db.migrator(Migrations::new([leaks.with(outside)])).up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    assert!(error.to_string().contains("left a transaction open"), "{error}");
    assert!(db.tables().await.is_empty());
}

/// A plain function gets a connection that blocks; there is none.
#[tokio::test]
async fn a_plain_function_is_refused_with_what_to_write() {
    let Some(db) = Database::new().await else { return };
    let plain = admmgt_tests::code("1", |_| Ok(()));
    let error = db.migrator(Migrations::new([plain])).up().await.unwrap_err();
    assert!(error.to_string().contains("write an `async fn` for this backend"), "{error}");
}
