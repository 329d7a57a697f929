#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001")]
async fn create_users(cx: &mut Context) -> Result<(), Box<dyn std::error::Error>> {
    Ok(())
}

#[migration(id = "0002")]
async fn create_plans(cx: &mut Context) -> std::result::Result<(), Box<dyn std::error::Error + Send>> {
    Ok(())
}

fn main() {}
