#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001", down = drop_users)]
async fn create_users(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

fn drop_users(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
