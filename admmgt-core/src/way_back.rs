//! Ways back that a dialect can tell from what a text does, for migrations that have none of their own.

use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;

use crate::migration::{BoxError, Migration, Probed};
use crate::refusal::Refusal;
use crate::script::{Dialect, SqlSource};
use crate::{Context, Direction, Meta, Origin, TransactionMode};

/// The migration with the way back that the dialect can tell; `None` where it has one, or the dialect cannot.
pub(crate) fn told<M, T>(migration: M, dialect: &dyn Dialect) -> Option<Arc<dyn Migration>>
where
    M: Deref<Target = T> + Send + Sync + 'static,
    T: Migration + ?Sized,
{
    let meta = migration.meta();
    // The earlier form of a repeatable one is put in its place.
    if meta.reversible || meta.repeatable || meta.origin != Origin::Sql {
        return None;
    }
    let up = migration.sql(Direction::Up)?;
    let down = dialect.way_back(up.text()?)?;
    // Whatever the way forwards asks for: what takes it back may be what cannot be in a transaction.
    let down = SqlSource::new(format!("{} (its way back)", up.file()), down).transaction(TransactionMode::Auto);
    let meta = meta.clone().reversible();
    Some(Arc::new(WithWayBack { migration, meta, down }))
}

struct WithWayBack<M> {
    migration: M,
    meta: Meta,
    down: SqlSource,
}

#[async_trait]
impl<M, T> Migration for WithWayBack<M>
where
    M: Deref<Target = T> + Send + Sync + 'static,
    T: Migration + ?Sized,
{
    fn meta(&self) -> &Meta {
        &self.meta
    }

    async fn up(&self, cx: &mut Context) -> Result<(), BoxError> {
        self.migration.up(cx).await
    }

    async fn down(&self, cx: &mut Context) -> Result<(), BoxError> {
        Ok(cx.execute_script(&self.down.read()?).await?)
    }

    async fn probe(&self, cx: &mut Context) -> Result<Probed, BoxError> {
        self.migration.probe(cx).await
    }

    fn sql(&self, direction: Direction) -> Option<&SqlSource> {
        match direction {
            Direction::Up => self.migration.sql(direction),
            Direction::Down => Some(&self.down),
        }
    }

    fn problems(&self) -> Vec<Refusal> {
        self.migration.problems()
    }
}
