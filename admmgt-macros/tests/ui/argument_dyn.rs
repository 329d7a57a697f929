#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001")]
async fn create_users(db: &mut dyn Send) -> Result<(), BoxError> {
    Ok(())
}

#[migration(id = "0002")]
async fn create_plans(db: &mut (dyn Send + Sync)) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
