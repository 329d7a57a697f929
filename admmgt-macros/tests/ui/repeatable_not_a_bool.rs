#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001_users", repeatable = "yes")]
async fn users_1(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
