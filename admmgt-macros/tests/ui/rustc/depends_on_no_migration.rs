#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

async fn helper() {}

struct Helper;

#[migration(id = "0001_users", depends_on = [Helper])]
async fn create_users(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

#[migration(id = "0002_plans", depends_on = [helper])]
async fn create_plans(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
