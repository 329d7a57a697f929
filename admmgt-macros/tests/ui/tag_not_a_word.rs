#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001_users", tags = [seed])]
async fn create_users(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

#[migration(id = "0002_plans", tags = [""])]
async fn create_plans(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
