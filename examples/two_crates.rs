//! How do several crates share one database?
//!
//! `cargo run --example two_crates`: this program and the library `billing` (in `examples/billing`)
//! each have their own namespace, and one migration here depends on one there.

use admmgt::prelude::*;
// Names the library, and so links it: a crate that only Cargo.toml names is not linked, and nothing of
// it would be registered. `admmgt::link!(admmgt_example_billing);` does the same.
use admmgt_example_billing::invoices;

/// Teams, each with the invoices it pays.
#[migration(id = "0001_teams", depends_on = [invoices])]
fn teams(db: &mut rusqlite::Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "create table teams (id integer primary key, name text not null);
         alter table billing_invoices add column team_id integer references teams (id);",
    )
}

/// A dependency by its name, for crates that one does not import.
#[migration(id = "0002_paid", depends_on = [teams, "billing/0001_plans"])]
fn paid(db: &mut rusqlite::Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "create view paid_teams as
         select team_id, sum(cents) as cents from billing_invoices join billing_plans p on p.id = plan_id group by 1",
    )
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Everything that is registered, here and in the library.
    let database = Sqlite::memory()?;
    let registered = Migrator::new(database.clone());
    println!("{}\n", registered.up().await?);
    println!("{}\n", registered.status().await?);

    // The same as an explicit list.
    let listed = Migrations::from(migrations![teams, paid]).include(admmgt_example_billing::MIGRATIONS);
    println!("{}", Migrator::new(database).migrations(listed).up().await?);
    Ok(())
}
