#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = 1)]
async fn create_users(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

#[migration(id = "0002_plans", description = plans)]
async fn create_plans(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
