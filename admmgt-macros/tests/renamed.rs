//! The library under another name, given to each migration or once for the crate.

extern crate admmgt as database;

use admmgt_macros::{migration, sql_migration};

mod internal {
    pub(crate) use admmgt as library;
}

#[migration(id = "0001_direct", crate = database)]
async fn direct(_: &mut database::Context) -> Result<(), database::BoxError> {
    Ok(())
}

#[migration(id = "0002_reexported", crate = crate::internal::library, depends_on = [direct])]
fn reexported(_: &mut database::MemoryConnection) -> Result<(), database::BoxError> {
    Ok(())
}

sql_migration!(crate = database, id = "0003_sql", up = "tests/sql/views.up.sql", backend = "memory");

sql_migration!(crate = ::admmgt, id = "0004_absolute", up = "tests/sql/views.up.sql", tags = ["x"]);

#[test]
fn all_are_registered() {
    assert_eq!(database::Migrations::registered().len(), 4);
}
