#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

mod rusqlite {
    pub(crate) struct Connection;
}

#[migration(id = "0001")]
async fn create_users(db: &mut rusqlite::Connection) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
