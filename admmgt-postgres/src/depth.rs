//! How deep sqlx believes to be in transactions: the only file that names its `TransactionManager`.
//!
//! Our transaction is begun through it, so that a body's own `connection.begin()` makes a savepoint. Its end goes
//! around it, in one message with the records; then only the count has to be put back.

use sqlx::{AssertSqlSafe, Database, Error, SqlSafeStr};
use sqlx_core::transaction::TransactionManager;

type Result<T> = std::result::Result<T, Error>;

/// Begins a transaction with the given SQL, in one round trip.
pub(crate) async fn begin(connection: &mut sqlx::PgConnection, sql: String) -> Result<()> {
    begin_with::<sqlx::Postgres>(connection, sql).await
}

/// How many transactions and savepoints of sqlx's are open.
pub(crate) fn depth(connection: &sqlx::PgConnection) -> usize {
    depth_of::<sqlx::Postgres>(connection)
}

/// Takes one level off, by a rollback that goes out with the next message.
pub(crate) fn leave(connection: &mut sqlx::PgConnection) {
    leave_with::<sqlx::Postgres>(connection);
}

// Generic, because only there the bound of `TransactionManager` on the associated type is in scope.

async fn begin_with<B: Database>(connection: &mut B::Connection, sql: String) -> Result<()> {
    B::TransactionManager::begin(connection, Some(AssertSqlSafe(sql).into_sql_str())).await
}

fn depth_of<B: Database>(connection: &B::Connection) -> usize {
    B::TransactionManager::get_transaction_depth(connection)
}

fn leave_with<B: Database>(connection: &mut B::Connection) {
    B::TransactionManager::start_rollback(connection);
}
