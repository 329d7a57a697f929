#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001_users", checksum = "2")]
async fn create_users(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

#[migration(id = "0002_plans", checksum = "v1:sha256:00")]
async fn create_plans(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
