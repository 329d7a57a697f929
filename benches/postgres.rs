//! PostgreSQL, on a server of the bench's own, reached by TCP on this machine.
//!
//! - Nothing to do: what a start-up costs when everything is applied, against connecting and reading one row.
//! - Cold: a thousand pending migrations, against the loop that one would write by hand on sqlx: begin, the statement,
//!   one row of history, commit. The statements create no files; a `create table` costs two fsyncs of its own, which hide
//!   everything else.
//! - Overhead: what a run costs beside its bodies, from connecting to the end, for each migration in it.

use std::time::Duration;

use admmgt::prelude::*;
use admmgt::sqlx::{self, AssertSqlSafe, Connection, Executor, Row, raw_sql};
use admmgt::{Access, Driver, Namespace, SessionOptions};
use admmgt_benches::{Result, alone, is_wanted, made, paired, table, timed, times};
use admmgt_tests::{Cluster, Database};
use tokio::runtime::{Builder, Runtime};

const COUNTS: [usize; 4] = [10, 100, 1000, 5000];
const COLD: usize = 1000;
const BOUND_NOTHING: f64 = 1.2;
const BOUND_COLD: f64 = 1.15;
const BOUND_OVERHEAD: f64 = 2e-3;

fn main() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let Some(cluster) = Cluster::start_with("fsync = on\n") else {
        println!("SKIPPED: PostgreSQL is not installed");
        return Ok(());
    };
    let server = cluster.url("postgres");
    println!("# PostgreSQL: nothing to do");
    table::pairs("peek", "connect, one row, close");
    for count in COUNTS {
        if is_wanted(&format!("nothing to do, {count}")) {
            nothing_to_do(&runtime, &server, count, Call::Peek)?;
        }
    }
    println!("\n# the whole of `Migrator::up`, which builds the set each time");
    table::pairs("up", "connect, one row, close");
    for count in COUNTS {
        if is_wanted(&format!("nothing to do, {count}")) {
            nothing_to_do(&runtime, &server, count, Call::Up)?;
        }
    }
    println!("\n# {COLD} pending migrations of one `insert` each, against a loop written by hand");
    table::pairs("up", "loop");
    for (name, fsync) in [("commits that reach the disk", "on"), ("commits that do not", "off")] {
        if is_wanted(&format!("cold, {name}")) {
            runtime.block_on(async {
                let db = Database::at(&server);
                db.run(&format!("alter system set fsync = {fsync}")).await;
                db.run("select pg_reload_conf()").await;
            });
            cold(&runtime, &server, name)?;
        }
    }
    println!("\n# a run from connecting to the end, for each migration in it (commits do not reach the disk)");
    table::singles("time / migrations");
    for count in [1, 10, 100, 1000] {
        if is_wanted(&format!("overhead, {count}")) {
            overhead(&runtime, &server, count)?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Peek,
    Up,
}

/// A database with the application's table; `f` gets its address.
fn fresh(runtime: &Runtime, server: &str) -> Result<Database> {
    runtime.block_on(async {
        let db = Database::on(server, true).await;
        db.run("create table app (id serial primary key, name text)").await;
        db.run("insert into app (name) values ('one')").await;
        Ok(db)
    })
}

fn nothing_to_do(runtime: &Runtime, server: &str, count: usize, call: Call) -> Result<()> {
    let db = fresh(runtime, server)?;
    let migrations = Migrations::new(made::sql(count, made::insert)?);
    let migrator = Migrator::new(db.driver()).migrations(migrations);
    let mut policy = Policy::default();
    policy.group = true;
    runtime.block_on(migrator.clone().policy(policy).up())?;
    let (driver, url) = (db.driver(), db.url());
    let (options, namespaces) = (SessionOptions::new(Access::Read), [Namespace::new(made::NAMESPACE)?]);
    let ours = || match call {
        Call::Peek => timed(|| Ok(runtime.block_on(driver.peek(&options, &namespaces))?.ok_or("no history")?)),
        Call::Up => timed(|| Ok(runtime.block_on(migrator.up())?)),
    };
    let probe = || {
        timed(|| {
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&url).await?;
                let row = raw_sql("select name from app where id = 1").fetch_one(&mut connection).await?;
                let _: String = row.try_get_unchecked(0)?;
                Ok(connection.close().await?)
            })
        })
    };
    let measured = paired(times(400), ours, probe)?;
    table::pair(&format!("{count} × `insert`"), &measured, (call == Call::Peek).then_some(BOUND_NOTHING));
    Ok(())
}

fn cold(runtime: &Runtime, server: &str, name: &str) -> Result<()> {
    let migrations = Migrations::new(made::sql(COLD, made::insert)?);
    let names: Vec<(String, String)> =
        migrations.metas().map(|meta| (meta.id.to_string(), meta.checksum.to_string())).collect();
    let statements: Vec<String> = (0..COLD).map(made::insert).collect();
    let up = || {
        let db = fresh(runtime, server)?;
        let mut policy = Policy::default();
        policy.foreign = admmgt::Verdict::Allow;
        let migrator = Migrator::new(db.driver()).migrations(migrations.clone()).policy(policy);
        timed(|| Ok(runtime.block_on(migrator.up())?))
    };
    let by_hand = || {
        let db = fresh(runtime, server)?;
        timed(|| Ok(runtime.block_on(by_hand(&db.url(), &names, &statements))?))
    };
    table::pair(name, &paired(times(21), up, by_hand)?, Some(BOUND_COLD));
    Ok(())
}

/// As a person writes it.
async fn by_hand(url: &str, names: &[(String, String)], statements: &[String]) -> std::result::Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let create = "create table history (id serial primary key, name text, checksum text, at timestamptz default now())";
    connection.execute(create).await?;
    for ((name, checksum), statement) in names.iter().zip(statements) {
        let mut transaction = connection.begin().await?;
        transaction.execute(raw_sql(AssertSqlSafe(statement.as_str()))).await?;
        let insert = sqlx::query("insert into history (name, checksum) values ($1, $2)");
        insert.bind(name).bind(checksum).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    connection.close().await
}

fn overhead(runtime: &Runtime, server: &str, count: usize) -> Result<()> {
    let migrations = Migrations::new(made::sql(count, made::insert)?);
    let run = || -> Result<Duration> {
        let db = fresh(runtime, server)?;
        let mut policy = Policy::default();
        policy.foreign = admmgt::Verdict::Allow;
        let migrator = Migrator::new(db.driver()).migrations(migrations.clone()).policy(policy);
        timed(|| Ok(runtime.block_on(migrator.up())?))
    };
    let samples = alone(times(41), run)?;
    // The promise is for runs as they are: the first start of an application with its first migrations.
    table::single(&format!("{count} migrations"), &samples, count, (count >= 10).then_some(BOUND_OVERHEAD));
    Ok(())
}
