#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001")]
async fn create_users(cx: &mut Context) -> Option<()> {
    Ok(())
}

#[migration(id = "0002")]
async fn create_plans(cx: &mut Context) -> () {
    Ok(())
}

#[migration(id = "0003")]
fn create_roles(cx: &mut Context) -> impl Future<Output = Result<(), BoxError>> {
    Ok(())
}

fn main() {}
