#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001")]
fn create_users(cx: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
