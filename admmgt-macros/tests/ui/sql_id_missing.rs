#![allow(unused)]

use admmgt_macros::sql_migration;

sql_migration!(up = "sql/users.up.sql");

fn main() {}
