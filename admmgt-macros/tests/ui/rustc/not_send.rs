#![allow(unused)]

use admmgt::{BoxError, Context};
use admmgt_macros::migration;

#[migration(id = "0001")]
async fn create_users(cx: &mut Context) -> Result<(), BoxError> {
    let names = std::rc::Rc::new("users");
    cx.execute(*names).await?;
    drop(names);
    Ok(())
}

fn main() {}
