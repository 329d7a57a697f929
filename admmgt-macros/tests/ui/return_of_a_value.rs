#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001")]
async fn create_users(cx: &mut Context) -> Result<usize, BoxError> {
    Ok(1)
}

#[migration(id = "0002")]
async fn create_plans(cx: &mut Context) -> admmgt::Result<u64> {
    Ok(1)
}

fn main() {}
