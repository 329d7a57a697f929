#![allow(unused)]

use admmgt_macros::migrations_dir;

migrations_dir!("no/such/folder");

fn main() {}
