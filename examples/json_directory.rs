//! How do I migrate documents in files, where there are no transactions?
//!
//! As anything else: each file is written as a whole or not at all, and a migration that was killed half-way is on record as
//! interrupted. Here the documents are the JSON files of one folder, with a driver in
//! [`json_directory`](drivers/src/json_directory.rs); how one is written is told in
//! [the chapter on drivers](../admmgt-testkit/DRIVERS.md).
//!
//! `cargo run --example json_directory`, twice.

use std::path::PathBuf;

use admmgt::prelude::*;
use admmgt_example_drivers::{Folder, JsonDirectory};
use serde::{Deserialize, Serialize};

const STAFF: &str = r#"
{"create": "staff", "document": {"names": ["Ada Lovelace", "Grace Hopper"]}}
{"create": "shifts", "document": {"night": "Grace Hopper"}}
"#;

const PEOPLE: &str = r#"
{"merge": "staff", "document": {"version": 2}}
{"rename": "staff", "to": "people"}
"#;

#[derive(Deserialize)]
struct Names {
    names: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct People {
    people: Vec<Person>,
}

#[derive(Serialize, Deserialize)]
struct Person {
    first: String,
    last: String,
}

/// First and last names. Run again after a kill, it finds what it has done.
#[migration(id = "0002_first_and_last", transaction = "none", on_interrupt = "retry")]
async fn first_and_last(folder: &mut Folder) -> Result<(), BoxError> {
    if matches!(folder.read::<People>("staff"), Ok(Some(_))) {
        return Ok(());
    }
    let staff: Names = folder.read("staff")?.ok_or("there is no document `staff`")?;
    let person = |name: &String| {
        let (first, last) = name.split_once(' ').unwrap_or(("", name));
        Person { first: first.to_owned(), last: last.to_owned() }
    };
    folder.replace("staff", &People { people: staff.names.iter().map(person).collect() })?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let path = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "documents".to_owned()));
    let staff = SqlMigration::new(env!("CARGO_PKG_NAME"), "0001_staff", STAFF)?
        .down(r#"{"delete": "staff"} {"delete": "shifts"}"#);
    let people = SqlMigration::new(env!("CARGO_PKG_NAME"), "0003_people", PEOPLE)?;
    let all = Migrations::from(migrations![first_and_last]).and(staff).and(people);
    println!("{}", Migrator::new(JsonDirectory(path.clone())).migrations(all).up().await?);
    print!("{}", std::fs::read_to_string(path.join("people.json"))?);
    Ok(())
}
