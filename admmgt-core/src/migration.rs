//! What a migration is: its [`Meta`], the [`Migration`] trait, and the two ready-made kinds,
//! [`Item`] (what the macros write) and [`SqlMigration`] (SQL known at run time).

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use admmgt_files::{checksum, text};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::script::SqlSource;
use crate::{Context, InvalidName, MigrationId};

/// What a migration's body may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A body written in Rust, as the macros hand it over.
pub type CodeBody = for<'a> fn(&'a mut Context) -> BoxFuture<'a, Result<(), BoxError>>;

/// The name of a kind of database: `sqlite`, `memory`. A name and not an enum, so that drivers can
/// live in any crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Backend(&'static str);

impl Backend {
    /// A backend's name, in lower case.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Whether a migration runs inside a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TransactionMode {
    /// In a transaction wherever the database has them and the statements allow it.
    #[default]
    Auto,
    /// In a transaction, or not at all: refused in the plan where the database has none.
    Required,
    /// Outside of any transaction: for `VACUUM`, for indexes built concurrently.
    None,
}

/// Whether the body is SQL or code. An edit of applied SQL is always refused; an edit of code is
/// reported, because a renamed local already changes its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A SQL text.
    Sql,
    /// A Rust function.
    Code,
}

/// Forwards or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Applies the change.
    Up,
    /// Takes it back.
    Down,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// The checksum of a migration with its scheme: `v1:sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checksum(Cow<'static, str>);

impl Checksum {
    /// The checksum of a SQL text; line ends and a byte-order mark do not count.
    pub fn of_sql(text: &str) -> Self {
        Self(Cow::Owned(checksum::of_sql(text)))
    }

    /// A checksum that was stored or written by hand.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        checksum::check(&text)?;
        Ok(Self(Cow::Owned(text)))
    }

    pub(crate) const fn from_static(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// The text, scheme first.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a migration is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The source or SQL file.
    pub file: Cow<'static, str>,
    /// The line, counted from 1.
    pub line: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Everything that is known about a migration without running it.
///
/// ```
/// use admmgt_core::{Checksum, Meta, MigrationId};
///
/// let id = MigrationId::new("app", "0001_users").unwrap();
/// let meta = Meta::new(id, Checksum::of_sql("create table users(id integer)")).description("Users");
/// assert_eq!(meta.id.to_string(), "app/0001_users");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Meta {
    /// Its full name.
    pub id: MigrationId,
    /// One sentence for people; from the doc comment.
    pub description: Cow<'static, str>,
    /// What has to be applied before it.
    pub depends_on: Cow<'static, [MigrationId]>,
    /// The checksum of its body.
    pub checksum: Checksum,
    /// SQL or code.
    pub origin: Origin,
    /// Whether it wants a transaction.
    pub transaction: TransactionMode,
    /// Whether it can be taken back.
    pub reversible: bool,
    /// Free words to choose migrations by.
    pub tags: Cow<'static, [Cow<'static, str>]>,
    /// Where it is written.
    pub location: Location,
    /// The only backend it runs on; `None` runs on any.
    pub backend: Option<Backend>,
}

impl Meta {
    /// The least a migration must say. The rest has defaults: no dependencies, no tags, code, a
    /// transaction where possible, not reversible, any backend, written where this was called.
    #[track_caller]
    pub fn new(id: MigrationId, checksum: Checksum) -> Self {
        let caller = std::panic::Location::caller();
        Self {
            id,
            description: Cow::Borrowed(""),
            depends_on: Cow::Borrowed(&[]),
            checksum,
            origin: Origin::Code,
            transaction: TransactionMode::Auto,
            reversible: false,
            tags: Cow::Borrowed(&[]),
            location: Location { file: Cow::Borrowed(caller.file()), line: caller.line() },
            backend: None,
        }
    }

    /// One sentence for people.
    pub fn description(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.description = text.into();
        self
    }

    /// What has to be applied before it.
    pub fn depends_on(mut self, ids: impl IntoIterator<Item = MigrationId>) -> Self {
        self.depends_on = ids.into_iter().collect();
        self
    }

    /// Whether it wants a transaction.
    pub fn transaction(mut self, mode: TransactionMode) -> Self {
        self.transaction = mode;
        self
    }

    /// Free words to choose migrations by.
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<Cow<'static, str>>>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// That [`Migration::down`] takes it back.
    pub fn reversible(mut self) -> Self {
        self.reversible = true;
        self
    }

    /// The only backend it runs on.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }
}

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
}

impl Item {
    pub(crate) const fn new(meta: Meta, up: Body, down: Option<Body>) -> Self {
        Self { meta, up, down }
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
        Body::Sql(source) => Ok(cx.execute_script(source.text()).await?),
    }
}

/// A SQL migration whose text is known at run time.
///
/// ```
/// use admmgt_core::{Migrations, SqlMigration};
///
/// let users = SqlMigration::new("app", "0001_users", "create table users(id integer primary key)")?
///     .down("drop table users");
/// let set = Migrations::new([users]);
/// # let _ = set;
/// # Ok::<(), admmgt_core::InvalidName>(())
/// ```
#[derive(Debug, Clone)]
pub struct SqlMigration {
    meta: Meta,
    up: SqlSource,
    down: Option<SqlSource>,
    problems: Vec<Refusal>,
}

impl SqlMigration {
    /// A migration from a string; errors name the place this was called from.
    ///
    /// # Errors
    /// [`InvalidName`] where the namespace or the id cannot be one.
    #[track_caller]
    pub fn new(
        namespace: impl Into<String>,
        id: impl Into<String>,
        sql: impl Into<Cow<'static, str>>,
    ) -> Result<Self, InvalidName> {
        let id = MigrationId::new(namespace, id)?;
        let sql = sql.into();
        let mut meta = Meta::new(id, Checksum::of_sql(&sql));
        meta.origin = Origin::Sql;
        let up = SqlSource::new(format!("{} (inline SQL)", meta.location), sql);
        let mut migration = Self { meta, up, down: None, problems: Vec::new() };
        if let Err(problem) = text::decode(migration.up.text.as_bytes()) {
            migration.refuse(problem.line(), problem.to_string());
        }
        Ok(migration)
    }

    /// A migration from a file, read now. A file that cannot be read or decoded is a
    /// [`Refusal`] of the whole set, so that all of them are reported together.
    ///
    /// # Errors
    /// [`InvalidName`] where the namespace or the id cannot be one.
    pub fn from_file(
        namespace: impl Into<String>,
        id: impl Into<String>,
        path: impl AsRef<Path>,
    ) -> Result<Self, InvalidName> {
        let file = path.as_ref().display().to_string();
        let mut migration = Self::new(namespace, id, "")?;
        migration.meta.location = Location { file: Cow::Owned(file.clone()), line: 1 };
        match read(path.as_ref()) {
            Ok(sql) => {
                migration.meta.checksum = Checksum::of_sql(&sql);
                migration.up = SqlSource::new(file, sql);
            }
            Err((line, problem)) => migration.refuse(line, problem),
        }
        Ok(migration)
    }

    /// SQL that takes it back.
    pub fn down(mut self, sql: impl Into<Cow<'static, str>>) -> Self {
        self.down = Some(SqlSource::new(self.up.file.clone(), sql));
        self.meta.reversible = true;
        self
    }

    /// A file with the SQL that takes it back, read now.
    pub fn down_file(mut self, path: impl AsRef<Path>) -> Self {
        match read(path.as_ref()) {
            Ok(sql) => {
                self.down = Some(SqlSource::new(path.as_ref().display().to_string(), sql));
                self.meta.reversible = true;
            }
            Err((line, problem)) => self.problems.push(Refusal::Unreadable {
                id: self.meta.id.clone(),
                file: path.as_ref().display().to_string(),
                line,
                problem,
            }),
        }
        self
    }

    /// Changes what the migration says of itself: description, dependencies, tags, transaction.
    pub fn with(mut self, change: impl FnOnce(Meta) -> Meta) -> Self {
        self.meta = change(self.meta);
        self
    }

    fn refuse(&mut self, line: usize, problem: String) {
        self.problems.push(Refusal::Unreadable {
            id: self.meta.id.clone(),
            file: self.meta.location.file.to_string(),
            line,
            problem,
        });
    }
}

#[async_trait]
impl Migration for SqlMigration {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    async fn up(&self, cx: &mut Context) -> Result<(), BoxError> {
        Ok(cx.execute_script(self.up.text()).await?)
    }

    async fn down(&self, cx: &mut Context) -> Result<(), BoxError> {
        match &self.down {
            Some(source) => Ok(cx.execute_script(source.text()).await?),
            None => Err(format!("`{}` has no way back", self.meta.id).into()),
        }
    }

    fn sql(&self, direction: Direction) -> Option<&SqlSource> {
        match direction {
            Direction::Up => Some(&self.up),
            Direction::Down => self.down.as_ref(),
        }
    }

    fn problems(&self) -> Vec<Refusal> {
        self.problems.clone()
    }
}

/// The text of a file, or the line and the words of what is wrong with it.
fn read(path: &Path) -> Result<String, (usize, String)> {
    let bytes = std::fs::read(path).map_err(|error| (1, format!("cannot be read: {error}")))?;
    match text::decode(&bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(problem) => Err((problem.line(), problem.to_string())),
    }
}
