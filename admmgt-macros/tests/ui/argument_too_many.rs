#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001")]
async fn create_users(cx: &mut Context, name: &str, count: usize) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
