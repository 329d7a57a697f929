#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001_users", depends_on = ["0001_users"])]
async fn create_users(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

#[migration(id = "0002_plans", depends_on = [create_plans])]
async fn create_plans(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

#[migration(id = "0003_roles", namespace = "billing", depends_on = ["billing/0003_roles"])]
async fn create_roles(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
