#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001")]
struct Users;

#[migration(id = "0002")]
const USERS: u8 = 1;

#[migration(id = "0003")]
mod users {}

fn main() {}
