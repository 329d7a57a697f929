#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001_users", id = "0002_users")]
async fn create_users(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
