#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001_users", on_interrupt = "resume")]
async fn create_users(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
