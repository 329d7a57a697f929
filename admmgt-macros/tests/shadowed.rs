//! No name of the user's code gets into the expansion.

#![no_implicit_prelude]
#![allow(dead_code, non_camel_case_types, unused_macros)]

use ::admmgt::{MemoryConnection, Migrations};
use ::admmgt_macros::{migration, sql_migration};

struct Result;
struct Ok;
struct Err;
struct Box;
struct String;
struct Option;
struct Some;
struct None;
struct str;
struct u32;
struct Context;
struct Item;
struct BoxError;
struct Cow;
trait Into {}
trait From {}
trait Future {}
trait FromContext {}
trait Declared {}
mod core {}
mod std {}
mod admmgt {}
mod inventory {}
macro_rules! file {
    () => {
        0
    };
}
macro_rules! line {
    () => {
        ""
    };
}
macro_rules! env {
    ($($any:tt)*) => {
        0
    };
}
macro_rules! concat {
    ($($any:tt)*) => {
        0
    };
}
macro_rules! include_str {
    ($($any:tt)*) => {
        0
    };
}

mod named_as_the_locals_are {
    use super::*;

    #[migration(id = "0001_async", tags = ["a"], down = __db)]
    pub(super) async fn __cx(_: &mut MemoryConnection) -> ::core::result::Result<(), &'static ::core::primitive::str> {
        ::core::result::Result::Ok(())
    }

    async fn __db(_: &mut MemoryConnection) -> ::core::result::Result<(), &'static ::core::primitive::str> {
        ::core::result::Result::Ok(())
    }
}

#[migration(id = "0002_plain", down = cx, depends_on = [named_as_the_locals_are::__cx])]
fn db(_: &mut MemoryConnection) -> ::core::result::Result<(), ::std::string::String> {
    ::core::result::Result::Ok(())
}

fn cx(_: &mut MemoryConnection) -> ::core::result::Result<(), ::std::string::String> {
    ::core::result::Result::Ok(())
}

sql_migration!(
    id = "0003_sql",
    up = "tests/sql/views.up.sql",
    down = "tests/sql/views.down.sql",
    backend = "memory",
    tags = ["b"],
    name = pub(crate) sql
);

#[test]
fn all_are_registered() {
    ::core::assert_eq!(Migrations::registered().len(), 3);
}
