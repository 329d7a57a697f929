#![allow(unused)]

use admmgt_macros::sql_migration;

sql_migration!(id = "0001_users", up = "sql/nul.sql");

fn main() {}
