#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001")]
async fn create_users() -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
