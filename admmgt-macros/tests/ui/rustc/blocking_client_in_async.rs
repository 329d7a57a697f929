#![allow(unused)]

use std::any::Any;

use admmgt::{Backend, BoxError, FromBlocking};
use admmgt_macros::migration;

struct Connection;

enum Blocking {}

impl FromBlocking<Blocking> for Connection {
    const BACKEND: Option<Backend> = None;

    fn from_connection(connection: &mut (dyn Any + Send)) -> Option<&mut Self> {
        connection.downcast_mut()
    }
}

#[migration(id = "0001")]
async fn create_users(_: &mut Connection) -> Result<(), BoxError> {
    Ok(())
}

fn main() {}
