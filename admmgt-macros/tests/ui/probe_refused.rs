#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001_users", probe = look, on_interrupt = "retry")]
async fn users_1(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

#[migration(id = "0002_users", on_interrupt = "probe")]
async fn users_2(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

#[migration(id = "0003_users", probe = "look")]
async fn users_3(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
