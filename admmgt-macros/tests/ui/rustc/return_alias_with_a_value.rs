#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

type CountResult = Result<u64, BoxError>;

#[migration(id = "0001")]
async fn create_users(cx: &mut Context) -> CountResult {
    Ok(1)
}

#[migration(id = "0002")]
fn create_plans(db: &mut admmgt::MemoryConnection) -> CountResult {
    Ok(1)
}

fn main() {}
