//! Migrations in one line, all of the namespace `app`.

use std::sync::Arc;

use admmgt::prelude::*;
use admmgt::rusqlite::Connection;
use admmgt::{BoxFuture, Checksum, FromContext, Meta, MigrationId, TransactionMode, async_trait};

/// The full name of a migration of the namespace `app`.
pub fn id(id: &str) -> MigrationId {
    MigrationId::new("app", id).expect("a name")
}

/// SQL migrations: id and text. Errors name the place this was called from.
#[track_caller]
pub fn sql(migrations: &[(&str, &str)]) -> Migrations {
    let mut all = Migrations::default();
    for (id, text) in migrations {
        all = all.and(SqlMigration::new("app", *id, (*text).to_owned()).expect("a name"));
    }
    all
}

/// For `.with(outside)`: no transaction.
pub fn outside(meta: Meta) -> Meta {
    meta.transaction(TransactionMode::None)
}

type Plain = dyn Fn(&mut Connection) -> Result<(), BoxError> + Send + Sync;

/// A migration that is a plain function of the connection.
pub struct Code {
    meta: Meta,
    body: Box<Plain>,
}

/// A migration from a closure, in a transaction.
#[track_caller]
pub fn code(name: &str, body: impl Fn(&mut Connection) -> Result<(), BoxError> + Send + Sync + 'static) -> Code {
    Code { meta: meta(id(name)), body: Box::new(body) }
}

/// What a migration of code says of itself.
#[track_caller]
pub(crate) fn meta(id: MigrationId) -> Meta {
    Meta::new(id, Checksum::parse("manual:1").expect("a checksum"))
}

impl Code {
    /// Changes what it says of itself.
    pub fn with(mut self, change: impl FnOnce(Meta) -> Meta) -> Self {
        self.meta = change(self.meta);
        self
    }
}

#[async_trait]
impl Migration for Code {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    async fn up(&self, cx: &mut Context) -> Result<(), BoxError> {
        cx.blocking(|db: &mut Connection| (self.body)(db)).await
    }
}

type Async = dyn for<'a> Fn(&'a mut Context) -> BoxFuture<'a, Result<(), BoxError>> + Send + Sync;

/// A migration that is an async function of the context.
pub struct AsyncCode {
    meta: Meta,
    body: Box<Async>,
}

/// A migration from a closure that makes a boxed future.
#[track_caller]
pub fn asynchronous(
    name: &str,
    body: impl for<'a> Fn(&'a mut Context) -> BoxFuture<'a, Result<(), BoxError>> + Send + Sync + 'static,
) -> AsyncCode {
    AsyncCode { meta: meta(id(name)), body: Box::new(body) }
}

/// A migration from a closure over a connection to PostgreSQL.
#[track_caller]
pub fn pg(
    name: &str,
    body: impl for<'a> Fn(&'a mut PgConnection) -> BoxFuture<'a, Result<(), BoxError>> + Send + Sync + 'static,
) -> AsyncCode {
    let body = Arc::new(body);
    asynchronous(name, move |cx| {
        let body = Arc::clone(&body);
        Box::pin(async move { body(<PgConnection as FromContext<Postgres>>::from_context(cx)?).await })
    })
}

impl AsyncCode {
    /// Changes what it says of itself.
    pub fn with(mut self, change: impl FnOnce(Meta) -> Meta) -> Self {
        self.meta = change(self.meta);
        self
    }
}

#[async_trait]
impl Migration for AsyncCode {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    async fn up(&self, cx: &mut Context) -> Result<(), BoxError> {
        (self.body)(cx).await
    }
}
