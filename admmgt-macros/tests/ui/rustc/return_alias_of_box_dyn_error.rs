#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

type UserResult = Result<(), Box<dyn std::error::Error>>;

#[migration(id = "0001")]
async fn create_users(cx: &mut Context) -> UserResult {
    Ok(())
}

fn main() {}
