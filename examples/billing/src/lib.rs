//! A library that brings its own tables.

use admmgt::prelude::*;

/// What can be bought.
#[migration(id = "0001_plans", namespace = "billing")]
pub fn plans(db: &mut rusqlite::Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "create table billing_plans (id integer primary key, name text not null unique, cents integer not null);
         insert into billing_plans (name, cents) values ('free', 0), ('team', 1900);",
    )
}

/// Who bought what, and when.
#[migration(id = "0002_invoices", namespace = "billing", depends_on = [plans])]
pub fn invoices(db: &mut rusqlite::Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "create table billing_invoices (
             id      integer primary key,
             plan_id integer not null references billing_plans (id),
             at      text not null
         )",
    )
}

/// All of them, for applications that list what they run.
pub const MIGRATIONS: &[&admmgt::Item] = migrations![plans, invoices];
