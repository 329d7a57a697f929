#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration("0001_users")]
async fn create_users(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

#[migration(
    /// Plans.
    id = "0002_plans"
)]
async fn create_plans(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
