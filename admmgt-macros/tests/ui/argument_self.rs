#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

struct Users;

impl Users {
    #[migration(id = "0001")]
    async fn create(&self, cx: &mut Context) -> Result<(), BoxError> {
        Ok(())
    }
}

fn main() {}
