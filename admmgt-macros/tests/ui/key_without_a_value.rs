#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id)]
async fn create_users(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

#[migration(id = )]
async fn create_plans(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

#[migration(id("0001_roles"))]
async fn create_roles(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
