#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "", tag = ["a"], transaction = "maybe", depends_on = [1, "x", "x"])]
async unsafe fn create_users<T>(cx: Context, x: u8) {}

fn main() {}
