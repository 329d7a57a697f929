#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

trait Migrations {
    #[migration(id = "0001")]
    fn create_users(db: &mut Context) -> Result<(), BoxError>;
}

fn main() {}
