#![allow(unused)]

use admmgt_macros::sql_migration;

sql_migration!(id = "0001_users", up = "sql/users.up.sql", backend = "my sql");

fn main() {}
