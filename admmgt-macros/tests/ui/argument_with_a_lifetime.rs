#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

struct Transaction<'a>(&'a str);

#[migration(id = "0001")]
async fn create_users(db: &'static mut Context) -> Result<(), BoxError> {
    Ok(())
}

#[migration(id = "0002")]
async fn create_plans(db: &mut Transaction<'_>) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
