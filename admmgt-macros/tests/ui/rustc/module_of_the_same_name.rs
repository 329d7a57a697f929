#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

mod users {}

#[migration(id = "0001")]
async fn users(_: &mut Context) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
