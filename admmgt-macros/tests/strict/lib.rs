//! The expansion is silent under the strictest lints a user's crate can have. The workspace's
//! clippy run covers this file too.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, missing_debug_implementations, missing_copy_implementations)]
#![deny(unreachable_pub, unused, unused_qualifications, elided_lifetimes_in_paths, single_use_lifetimes)]
#![deny(trivial_casts, unnameable_types, non_local_definitions, let_underscore_drop)]
#![deny(clippy::all, clippy::pedantic)]

/// Where a user keeps them.
pub mod migrations {
    use admmgt::{BoxError, Context, MemoryConnection};
    use admmgt_macros::{migration, sql_migration};

    /// Users.
    ///
    /// # Errors
    /// What the database answers.
    #[migration(id = "0001_users", down = drop_users, tags = ["a", "b"], transaction = "required")]
    pub async fn users(cx: &mut Context) -> Result<(), BoxError> {
        cx.execute("create users").await?;
        Ok(())
    }

    async fn drop_users(cx: &mut Context) -> Result<(), BoxError> {
        cx.execute("drop users").await?;
        Ok(())
    }

    #[migration(id = "0002_plans", depends_on = [users, "0001_users", "other/0001"])]
    async fn plans(cx: &mut Context) -> admmgt::Result<()> {
        cx.execute("create plans").await.map(drop)
    }

    #[migration(id = "0003_blocking", depends_on = [plans], down = unblock)]
    fn blocking(db: &mut MemoryConnection) -> Result<(), String> {
        db.run("block").map_err(|error| error.to_string())
    }

    fn unblock(db: &mut MemoryConnection) -> Result<(), String> {
        db.run("unblock").map_err(|error| error.to_string())
    }

    sql_migration!(id = "0004_views", up = "tests/sql/views.up.sql", down = "tests/sql/views.down.sql", name = pub views);
    sql_migration!(id = "0005_private", up = "tests/sql/views.up.sql", depends_on = [views]);
}

mod private {
    #[admmgt_macros::migration(id = "0006_inner")]
    /// Exported.
    ///
    /// # Errors
    /// None.
    pub async fn inner(cx: &mut admmgt::Context) -> Result<(), admmgt::Error> {
        cx.execute("x").await.map(drop)
    }
}
pub use private::inner;
