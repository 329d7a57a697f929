//! A change of a database: the [`Migration`] trait, and [`Item`], which the macros write.

use std::future::Future;
use std::pin::Pin;

use async_trait::async_trait;

use crate::refusal::Refusal;
use crate::script::SqlSource;
use crate::{Context, Direction, Meta};

/// What a probe found out about a migration that was interrupted on its way forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probed {
    /// The whole change is there: it counts as applied.
    Done,
    /// What was running when it was interrupted has left nothing: it goes on behind the last statement that
    /// ended well. Code runs again from its beginning.
    NotDone,
    /// So many of its statements have ended, the one that was running perhaps among them: it goes on behind
    /// them. For SQL.
    Statements(u32),
    /// A person has to look.
    Unknown,
}

/// What a migration's body may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A body written in Rust, as the macros hand it over.
pub type CodeBody = for<'a> fn(&'a mut Context) -> BoxFuture<'a, Result<(), BoxError>>;

/// A function that looks how far an interrupted migration came, as the macros hand it over.
pub type ProbeBody = for<'a> fn(&'a mut Context) -> BoxFuture<'a, Result<Probed, BoxError>>;

/// One change of a database, and the way back where there is one.
///
/// The macros write these for you; implement it by hand for changes that are made at run time. The
/// body gets the one connection of the run. It must not commit by itself: the executor commits the
/// change together with its record.
///
/// ```
/// use admmgt_core::{async_trait, BoxError, Checksum, Context, Meta, Migration, MigrationId};
///
/// struct Seed { meta: Meta, rows: Vec<String> }
///
/// #[async_trait]
/// impl Migration for Seed {
///     fn meta(&self) -> &Meta { &self.meta }
///     async fn up(&self, cx: &mut Context) -> Result<(), BoxError> {
///         for row in &self.rows {
///             cx.execute(row.as_str()).await?;
///         }
///         Ok(())
///     }
/// }
/// # let id = MigrationId::new("app", "0009_seed").unwrap();
/// # let _ = Seed { meta: Meta::new(id, Checksum::parse("manual:1").unwrap()), rows: vec![] };
/// ```
#[async_trait]
pub trait Migration: Send + Sync + 'static {
    /// Its name, checksum, dependencies and the rest; must not change between calls.
    fn meta(&self) -> &Meta;

    /// Applies the change.
    async fn up(&self, cx: &mut Context) -> Result<(), BoxError>;

    /// Takes the change back. Called only where [`Meta::reversible`] is set.
    async fn down(&self, cx: &mut Context) -> Result<(), BoxError> {
        let _ = cx;
        Err(format!("`{}` has no way back", self.meta().id).into())
    }

    /// Looks how far it came when it was interrupted on its way forwards. Called only where
    /// [`Meta::on_interrupt`] or [`crate::Policy::on_interrupt`] asks for it, with the lease held. What it writes is
    /// rolled back, where the database can.
    async fn probe(&self, cx: &mut Context) -> Result<Probed, BoxError> {
        let _ = cx;
        Ok(Probed::Unknown)
    }

    /// The SQL of a direction, where the whole body is SQL: the executor then runs it statement by
    /// statement, and can check it before anything runs. `None` for code.
    fn sql(&self, direction: Direction) -> Option<&SqlSource> {
        let _ = direction;
        None
    }

    /// What is wrong with it already, before any database is asked: an unreadable file.
    fn problems(&self) -> Vec<Refusal> {
        Vec::new()
    }
}

/// What one direction of an [`Item`] does.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// Calls a function.
    Code(CodeBody),
    /// Runs SQL that was read while the crate was compiled.
    Sql(&'static SqlSource),
}

/// A migration known at compile time: what `#[migration]` and `sql_migration!` write, as one `static`.
#[derive(Debug)]
pub struct Item {
    meta: Meta,
    up: Body,
    down: Option<Body>,
    probe: Option<ProbeBody>,
}

impl Item {
    pub(crate) const fn new(meta: Meta, up: Body, down: Option<Body>, probe: Option<ProbeBody>) -> Self {
        Self { meta, up, down, probe }
    }

    fn body(&self, direction: Direction) -> Option<Body> {
        match direction {
            Direction::Up => Some(self.up),
            Direction::Down => self.down,
        }
    }
}

#[async_trait]
impl Migration for Item {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    async fn up(&self, cx: &mut Context) -> Result<(), BoxError> {
        run_body(self.up, cx).await
    }

    async fn down(&self, cx: &mut Context) -> Result<(), BoxError> {
        match self.down {
            Some(body) => run_body(body, cx).await,
            None => Err(format!("`{}` has no way back", self.meta.id).into()),
        }
    }

    async fn probe(&self, cx: &mut Context) -> Result<Probed, BoxError> {
        match self.probe {
            Some(probe) => probe(cx).await,
            None => Ok(Probed::Unknown),
        }
    }

    fn sql(&self, direction: Direction) -> Option<&SqlSource> {
        match self.body(direction) {
            Some(Body::Sql(source)) => Some(source),
            _ => None,
        }
    }
}

async fn run_body(body: Body, cx: &mut Context) -> Result<(), BoxError> {
    match body {
        Body::Code(function) => function(cx).await,
        Body::Sql(source) => Ok(cx.execute_script(&source.read()?).await?),
    }
}
