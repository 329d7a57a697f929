//! What happens when ten replicas start at once?
//!
//! `DATABASE_URL=postgres://user@localhost/database cargo run --example ten_replicas` starts itself ten times; an argument
//! is another number. Each replica migrates before it serves, as the deployment of an application does, and says what it
//! did: each migration runs once, whoever gets there first, and the others wait for it.

use std::process::{Command, Stdio};
use std::time::Instant;

use admmgt::prelude::*;
use admmgt::sqlx;

/// Orders.
#[migration(id = "0001_orders")]
async fn orders(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let sql = "create table orders as select i as id, i % 1000 as customer from generate_series(1, 100000) as i";
    sqlx::query(sql).execute(db).await?;
    Ok(())
}

sql_migration!(
    name = orders_by_customer,
    id = "0002_orders_by_customer",
    depends_on = [orders],
    up = "sql/0002_orders_by_customer.up.sql"
);

/// How many orders a customer has.
#[migration(id = "0003_counts", depends_on = [orders_by_customer])]
async fn counts(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let sql = "create table counts as select customer, count(*) as orders from orders group by customer";
    sqlx::query(sql).execute(db).await?;
    Ok(())
}

const REPLICA: &str = "--replica";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match std::env::args().nth(1).as_deref() {
        Some(REPLICA) => replica(),
        Some(count) => start(count.parse()?),
        None => start(10),
    }
}

/// Starts the replicas, all at once, and waits for them.
fn start(count: usize) -> Result<(), Box<dyn std::error::Error>> {
    let clock = Instant::now();
    let one = || Command::new(std::env::current_exe()?).arg(REPLICA).stdout(Stdio::piped()).spawn();
    let replicas = (0..count).map(|_| one()).collect::<Result<Vec<_>, _>>()?;
    let mut failed = 0;
    for (number, replica) in (1..).zip(replicas) {
        let output = replica.wait_with_output()?;
        print!("replica {number:>2}: {}", String::from_utf8_lossy(&output.stdout));
        failed += usize::from(!output.status.success());
    }
    println!("{} of {count} replicas serve, after {:.1} s", count - failed, clock.elapsed().as_secs_f64());
    if failed == 0 { Ok(()) } else { Err("a replica failed".into()) }
}

#[tokio::main(flavor = "current_thread")]
async fn replica() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "set DATABASE_URL=postgres://user@localhost/database")?;
    let clock = Instant::now();
    let migrator = Migrator::new(Postgres::connect(&url)?).migrations(migrations![orders, orders_by_customer, counts]);
    let report = migrator.up().await?;
    let ran: Vec<&str> = report.ran.iter().map(|ran| ran.migration.id()).collect();
    let what = if ran.is_empty() { "found everything done".to_owned() } else { format!("ran {}", ran.join(", ")) };
    println!("{what}, after {} ms", clock.elapsed().as_millis());
    Ok(())
}
