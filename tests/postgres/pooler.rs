//! Behind PgBouncer in transaction mode, and with the lease in a row.

use std::time::Duration;

use admmgt::prelude::*;
use admmgt::sqlx::Executor;
use admmgt::{Error, ErrorKind, LeaseMode, Report};
use admmgt_tests::{Bouncer, Database, Orders, Process, Sets, eventually, outside, pg, race, sql};

async fn behind(settings: &str) -> Option<(Database, Bouncer)> {
    let db = Database::ours().await?;
    let bouncer = Bouncer::start(db.port(), settings).expect("`./tests/run` installs PgBouncer");
    Some((db, bouncer))
}

fn through(bouncer: &Bouncer, db: &Database) -> Postgres {
    Postgres::connect(&bouncer.url(db.name())).unwrap()
}

const TTL: Duration = Duration::from_millis(1500);

#[tokio::test]
async fn a_pooler_is_found_out_and_refused() {
    for settings in
        ["", "server_round_robin = 1", "default_pool_size = 1", "default_pool_size = 2\nserver_round_robin = 1"]
    {
        let Some((db, bouncer)) = behind(settings).await else { return };
        let list = || sql(&[("1", "create table a(id int)")]);
        let migrator = Migrator::new(through(&bouncer, &db)).migrations(list());
        let error = migrator.up().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{settings}: {error}");
        assert!(error.to_string().contains("LeaseMode::row()"), "{settings}: {error}");
        assert!(db.tables().await.is_empty());
        // Looking needs no lease.
        assert_eq!(migrator.pending().await.unwrap().len(), 1);
        db.migrator(list()).up().await.unwrap();
        migrator.ensure_current().await.unwrap();
        assert_eq!(migrator.up().await.unwrap().ran.len(), 0);
        db.quiet().await;
    }
}

#[tokio::test]
async fn without_a_pooler_none_is_found() {
    let Some(db) = Database::ours().await else { return };
    let proxy = admmgt_tests::Proxy::to(db.port());
    let driver = Postgres::connect(&proxy.url(&db.url())).unwrap();
    let report = Migrator::new(driver).migrations(sql(&[("1", "create table a(id int)")])).up().await.unwrap();
    assert_eq!(report.ran.len(), 1);
}

#[tokio::test]
async fn with_the_lease_in_a_row_all_works_behind_a_pooler() {
    let Some((db, bouncer)) = behind("").await else { return };
    let migrator =
        |list: Migrations| Migrator::new(through(&bouncer, &db).lease(LeaseMode::Row { ttl: TTL })).migrations(list);
    let asked = |name: &str| {
        pg(name, |db| {
            Box::pin(async move {
                let mut inner = sqlx::Connection::begin(db).await?;
                for _ in 0..3 {
                    sqlx::query("insert into a(id) values ($1)").bind(7).execute(&mut *inner).await?;
                }
                inner.commit().await?;
                Ok(())
            })
        })
    };
    let list = sql(&[
        ("1", "create table a(id int)"),
        ("5", "set search_path = pg_temp;\nset lock_timeout = '1ms';\ncreate table public.c(id int);"),
        ("6", "create table d(id int);"),
    ]);
    let beside = "create table b(id int);\ncreate index concurrently b_id on b(id);\nvacuum b;";
    let beside = SqlMigration::new("app", "4", beside).unwrap().with(outside);
    let list = list.and(asked("2")).and(asked("3")).and(beside);
    let report = migrator(list.clone()).up().await.unwrap();
    assert_eq!(report.ran.len(), 6);
    assert_eq!(db.tables().await, ["a", "b", "c", "d"]);
    assert_eq!(db.number("select count(*) from a").await, 6);
    assert_eq!(db.text("select coalesce(owner, 'free') from _admmgt_lease").await, "free");
    assert_eq!(migrator(list).up().await.unwrap().ran.len(), 0);
}

#[tokio::test]
async fn thirty_two_processes_behind_a_pooler_run_each_migration_once() {
    let Some((db, bouncer)) = behind("").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let orders =
        Orders::at(bouncer.url(db.name()), folder.path()).set(Sets::Mixed, 10).row_lease(Duration::from_secs(10));
    let reports: Vec<Report> = race(vec![orders; 32]).iter_mut().map(Process::succeeded).collect();
    assert_eq!(reports.iter().map(|report| report.ran.len()).sum::<usize>(), 10);
    assert_eq!(db.number("select count(*) from log").await, 10);
}

/// Both kinds of lease keep each other out.
#[tokio::test]
async fn a_lease_in_a_row_and_a_lock_exclude_each_other() {
    let Some(db) = Database::ours().await else { return };
    let folder = tempfile::tempdir().unwrap();
    db.migrator(sql(&[("0", "create table before(id int)")])).up().await.unwrap();
    for row_first in [true, false] {
        let row = Orders::at(db.url(), folder.path()).set(Sets::Held, 3).row_lease(Duration::from_secs(10));
        let lock = Orders::at(db.url(), folder.path()).set(Sets::Held, 3);
        let name = format!("ns{row_first}");
        let (row, lock) = (row.namespace(&name), lock.namespace(&name));
        let (first, second) = if row_first { (row, lock) } else { (lock, row) };
        let mut holder = first.hold(&format!("running{row_first}"), &format!("release{row_first}")).start();
        eventually("the migration runs", || folder.path().join(format!("running{row_first}")).exists());
        let answer = second.hold("never", "never").lease_wait(Duration::from_millis(300)).run().answer();
        assert_eq!(answer.kind.as_deref(), Some("Busy"), "{answer:?}");
        std::fs::write(folder.path().join(format!("release{row_first}")), "").unwrap();
        assert_eq!(holder.succeeded().ran.len(), 3);
    }
}

/// Stopped for twice the time of its lease, a holder wakes up to find another one's token.
#[tokio::test]
async fn a_holder_that_slept_too_long_aborts_on_its_stale_token() {
    for pooled in [false, true] {
        let Some((db, bouncer)) = behind("").await else { return };
        let folder = tempfile::tempdir().unwrap();
        let url = if pooled { bouncer.url(db.name()) } else { db.url() };
        let orders = Orders::at(url, folder.path()).set(Sets::Held, 3).row_lease(TTL);
        let mut sleeper = orders.clone().hold("running", "release").start();
        eventually("the migration runs", || folder.path().join("running").exists());
        let token = || admmgt_tests::now_elsewhere(db.url(), "select token from _admmgt_lease");
        let first: i64 = token().unwrap().parse().unwrap();
        let next = (first + 1).to_string();
        sleeper.signal(libc::SIGSTOP);
        tokio::time::sleep(TTL * 2).await;
        // Its transaction still holds what it touched; only the lease is free.
        let mut other = orders.clone().hold("running2", "release2").start();
        eventually("the other has the lease", || token().as_ref() == Some(&next));
        std::fs::write(folder.path().join("release"), "").unwrap();
        std::fs::write(folder.path().join("release2"), "").unwrap();
        sleeper.signal(libc::SIGCONT);
        let answer = sleeper.answer();
        assert_eq!(answer.kind.as_deref(), Some("Busy"), "{answer:?}");
        let error = answer.error.unwrap();
        assert!(error.contains("lease"), "{error}");
        assert_eq!(other.succeeded().ran.len(), 2);
        assert_eq!(db.number("select count(*) from log").await, 3);
        let left = db.text("select token || ' ' || coalesce(owner, 'free') from _admmgt_lease").await;
        assert_eq!(left, format!("{next} free"));
    }
}

/// Somebody deletes the row while a migration runs: whoever takes the lease then has a token that was never given.
#[tokio::test]
async fn tokens_that_begin_anew_do_not_meet_those_of_who_still_runs() {
    let Some(db) = Database::ours().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let orders = Orders::at(db.url(), folder.path()).set(Sets::Held, 3).row_lease(Duration::from_secs(60));
    let mut first = orders.clone().hold("running", "release").start();
    eventually("the migration runs", || folder.path().join("running").exists());
    admmgt_tests::now_elsewhere(db.url(), "delete from _admmgt_lease returning 1");
    let mut next = orders.namespace("other").hold("running2", "release2").start();
    eventually("the other runs", || folder.path().join("running2").exists());
    std::fs::write(folder.path().join("release"), "").unwrap();
    let answer = first.answer();
    assert_eq!(answer.kind.as_deref(), Some("Busy"), "{answer:?}");
    std::fs::write(folder.path().join("release2"), "").unwrap();
    next.succeeded();
}

/// Its body is stopped, though nobody asked for anything of the lease.
#[tokio::test]
async fn a_lease_that_cannot_be_renewed_stops_the_body() {
    let Some(db) = Database::ours().await else { return };
    let slow = pg("1", |db| {
        Box::pin(async move {
            sqlx::query("create table a(id int)").execute(&mut *db).await?;
            sqlx::query("select pg_sleep(20)").execute(&mut *db).await?;
            Ok(())
        })
    });
    let driver = db.driver().lease(LeaseMode::Row { ttl: TTL });
    let clock = std::time::Instant::now();
    let migrator = Migrator::new(driver).migrations(Migrations::new([slow]));
    let thief = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let stolen = "update _admmgt_lease set token = token + 1, owner = 'thief'";
            if db.texts("select 1 from pg_class where relname = '_admmgt_lease'").await.len() == 1
                && db
                    .texts(
                        "select 1 from pg_stat_activity where query like '%pg_sleep(20)%' and pid <> pg_backend_pid()",
                    )
                    .await
                    .len()
                    == 1
            {
                db.run(stolen).await;
                return;
            }
        }
    };
    let (result, ()) = tokio::join!(migrator.up(), thief);
    let error = result.unwrap_err();
    assert!(matches!(error, Error::LeaseLost { .. }), "{error:?}");
    assert!(clock.elapsed() < Duration::from_secs(15));
    db.quiet().await;
    assert!(db.tables().await.is_empty());
}

/// F27: a client's clock decides nothing.
#[tokio::test]
async fn f27_a_clock_that_is_wrong_by_an_hour_changes_nothing() {
    for offset in ["+1h", "-1h"] {
        let Some(db) = Database::ours().await else { return };
        let folder = tempfile::tempdir().unwrap();
        let orders = Orders::at(db.url(), folder.path()).set(Sets::Held, 3).row_lease(TTL);
        let mut holder = orders.clone().hold("running", "release").start_at(offset);
        eventually("the migration runs", || folder.path().join("running").exists());
        // Renewed in time, whatever its clock says; and nobody else takes it.
        let answer = orders.clone().hold("never", "never").lease_wait(TTL * 3).run().answer();
        assert_eq!(answer.kind.as_deref(), Some("Busy"), "{offset}: {answer:?}");
        std::fs::write(folder.path().join("release"), "").unwrap();
        assert_eq!(holder.succeeded().ran.len(), 3);
        let wrong = Orders::at(db.url(), folder.path()).set(Sets::Held, 4).row_lease(TTL);
        assert_eq!(wrong.start_at(offset).succeeded().ran.len(), 1);
    }
}

/// F28: nobody has taken it yet, but it could not be renewed: the holder stops before its time is over.
#[tokio::test]
async fn f28_a_holder_that_cannot_renew_stops_before_the_end_of_its_lease() {
    let Some(db) = Database::ours().await else { return };
    db.migrator(sql(&[("0", "create table before(id int)")])).up().await.unwrap();
    let slow = pg("1", |db| {
        Box::pin(async move {
            sqlx::query("select pg_sleep(20)").execute(&mut *db).await?;
            Ok(())
        })
    });
    let driver = db.driver().lease(LeaseMode::Row { ttl: TTL });
    let migrator = Migrator::new(driver).migrations(sql(&[("0", "create table before(id int)")]).and(slow));
    let run = tokio::spawn(async move { (migrator.up().await, std::time::Instant::now()) });
    let asleep = "select 1 from pg_stat_activity where query = 'select pg_sleep(20)' and datname = current_database()";
    while db.texts(asleep).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut blocker = db.connection().await;
    sqlx::raw_sql("begin; select * from _admmgt_lease for update").execute(&mut blocker).await.unwrap();
    let (result, ended) = run.await.unwrap();
    let error = result.unwrap_err();
    assert!(
        matches!(error, Error::LeaseLost { .. }) && error.to_string().contains("could not be renewed"),
        "{error:?}"
    );
    // Nobody else could have had it by then.
    let left = "select extract(epoch from expires_at - clock_timestamp()) from _admmgt_lease";
    let left: f64 = db.text(left).await.parse().unwrap();
    assert!(left + ended.elapsed().as_secs_f64() > 0.0, "{left}");
    sqlx::raw_sql("rollback").execute(&mut blocker).await.unwrap();
}

/// Who only looks leaves nothing behind in the server's connections, which are others' a moment later.
#[tokio::test]
async fn looking_through_a_pooler_changes_nothing_for_others() {
    let Some((db, bouncer)) = behind("default_pool_size = 1").await else { return };
    let driver = || through(&bouncer, &db).schema("tenant_1").unwrap();
    let migrator = |driver: Postgres| Migrator::new(driver).migrations(sql(&[("1", "create table a(id int)")]));
    migrator(driver()).status().await.unwrap();
    assert!(migrator(driver()).ensure_current().await.is_err());
    migrator(driver()).plan().await.unwrap();
    assert_eq!(migrator(driver()).up().await.unwrap_err().kind(), ErrorKind::Usage);
    let shown = "select current_setting('search_path') || current_setting('lock_timeout') || current_setting('default_transaction_read_only')";
    let found = admmgt_tests::now_elsewhere(bouncer.url(db.name()), shown);
    assert_eq!(found, Some(db.text(shown).await));
}

/// The history of a schema is in the same place whichever way the lease is kept, and so is what the bodies make.
#[tokio::test]
async fn a_schema_is_the_same_schema_with_the_lease_in_a_row() {
    let Some((db, bouncer)) = behind("").await else { return };
    db.run("create schema tenant_1; create schema tenant_2; create table users(id int)").await;
    let row = LeaseMode::Row { ttl: TTL };
    let list = || sql(&[("1", "create table users(id int)")]);
    for schema in ["tenant_1", "tenant_2"] {
        let with = |driver: Postgres| Migrator::new(driver.search_path([schema]).unwrap()).migrations(list());
        assert_eq!(with(through(&bouncer, &db).lease(row)).up().await.unwrap().ran.len(), 1, "{schema}");
        assert_eq!(with(through(&bouncer, &db).lease(row)).up().await.unwrap().ran.len(), 0, "{schema}");
        assert_eq!(with(db.driver()).up().await.unwrap().ran.len(), 0, "{schema}");
        assert_eq!(db.number(&format!("select count(*) from {schema}._admmgt_history")).await, 1);
    }
    // Outside of a transaction nothing would tell the statement which schema is meant.
    let index = sql(&[("1", "create table users(id int)"), ("2", "create index concurrently i on users(id)")]);
    let driver = through(&bouncer, &db).search_path(["tenant_1"]).unwrap().lease(row);
    let error = Migrator::new(driver).migrations(index.clone()).up().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Refused && error.to_string().contains("behind a pooler"), "{error}");
    let driver = db.driver().search_path(["tenant_1"]).unwrap();
    assert_eq!(Migrator::new(driver).migrations(index).up().await.unwrap().ran.len(), 1);
    assert_eq!(db.texts("select schemaname from pg_indexes where indexname = 'i'").await, ["tenant_1"]);
}

/// What a file would set for whoever has the server's connection next is refused, and what it makes for itself is gone.
#[tokio::test]
async fn what_a_migration_leaves_does_not_reach_other_clients() {
    let Some((db, bouncer)) = behind("default_pool_size = 1").await else { return };
    let row = LeaseMode::Row { ttl: TTL };
    let migrator = |list: Migrations| Migrator::new(through(&bouncer, &db).lease(row)).migrations(list);
    for text in ["set lock_timeout = '1ms';\nselect 1;", "create temp table t(id int);\nselect 1;"] {
        let one = SqlMigration::new("app", "1", text).unwrap().with(outside);
        let error = migrator(Migrations::new([one])).up().await.unwrap_err();
        assert!(error.to_string().contains("for somebody else"), "{error}");
        db.run("drop table _admmgt_history, _admmgt_format").await;
    }
    let text = "create temp table litter(id int); prepare litter as select 1; set lock_timeout = '1ms'; listen litter";
    migrator(sql(&[("1", text)])).up().await.unwrap();
    let left = "select (to_regclass('litter') is null and current_setting('lock_timeout') = '0'
                        and not exists (select from pg_prepared_statements where name = 'litter'))::text";
    assert_eq!(admmgt_tests::now_elsewhere(bouncer.url(db.name()), left).as_deref(), Some("true"));
}

/// Somebody else has the row of the lease for a moment: an operator who looks, or a backup.
#[tokio::test]
async fn a_lease_whose_table_is_locked_is_asked_for_again() {
    let Some(db) = Database::ours().await else { return };
    let driver = || db.driver().lease(LeaseMode::row());
    let set = |count: usize| sql(&[("1", "create table a(id int)"), ("2", "create table b(id int)")][..count]);
    Migrator::new(driver()).migrations(set(1)).up().await.unwrap();
    let mut policy = Policy::default();
    policy.lock_timeout = Duration::from_millis(30);
    policy.lease_wait = Duration::from_millis(200);
    let migrator = Migrator::new(driver()).migrations(set(2)).policy(policy);
    let mut other = db.connection().await;
    other.execute("begin; lock table _admmgt_lease in access exclusive mode").await.unwrap();
    let error = migrator.up().await.unwrap_err();
    assert!(matches!(error, Error::LeaseTimeout { .. }), "{error:?}");
    other.execute("commit").await.unwrap();
    assert_eq!(migrator.up().await.unwrap().ran.len(), 1);
}

/// The server ends the connection of the heartbeat alone: there is time for another before the lease is over.
#[tokio::test]
async fn a_heartbeat_that_loses_its_connection_has_another() {
    let Some(db) = Database::ours().await else { return };
    let body = pg("1", |db| {
        Box::pin(async move {
            db.execute("create table a(id int)").await?;
            // It beats on a connection of its own, from its first beat on.
            for _ in 0..8 {
                db.execute(
                    "select pg_sleep(0.5), (select count(pg_terminate_backend(pid)) from pg_stat_activity \
                     where datname = current_database() and pid <> pg_backend_pid())",
                )
                .await?;
            }
            Ok(())
        })
    });
    let driver = db.driver().lease(LeaseMode::Row { ttl: Duration::from_secs(2) });
    let report = Migrator::new(driver).migrations(Migrations::new([body])).up().await.unwrap();
    assert_eq!((report.ran.len(), report.ran[0].notes.len()), (1, 0), "{report}");
}
