#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001_users", replaces = [users_2])]
async fn users_1(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

#[migration(id = "0002_users", replaces = ["0002_users"])]
async fn users_2(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

#[migration(id = "0003_users", replaces = ["a b", "x", "x"])]
async fn users_3(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
