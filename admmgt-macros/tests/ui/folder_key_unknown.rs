#![allow(unused)]

use admmgt_macros::migrations_dir;

migrations_dir!("tests/folder", tags = ["seed"]);

fn main() {}
