#![allow(unused)]

use admmgt_macros::migrations_dir;

migrations_dir!(namespace = "app");

fn main() {}
