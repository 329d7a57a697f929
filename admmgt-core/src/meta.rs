//! What is known about a migration without running it.

use std::borrow::Cow;
use std::fmt;

use admmgt_files::checksum;
use serde::{Deserialize, Serialize};

use crate::MigrationId;
use crate::Text;

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

/// What a run does about a migration that was interrupted: started outside a transaction and not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnInterrupt {
    /// Nothing: a person looks, and says so with [`crate::Migrator::resolve`].
    #[default]
    Manual,
    /// It goes on behind the last statement that ended well, if the statements before it are what they
    /// were. Code runs again from its beginning. For what may happen twice: the statement that was running
    /// may have ended without a trace of it.
    Retry,
    /// Its probe looks at the database and says how far it came: see [`crate::Probed`]. What the probe cannot
    /// tell waits for a person.
    Probe,
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
pub struct Checksum(Text);

impl Checksum {
    /// The checksum of a SQL text; line ends and a byte-order mark do not count.
    pub fn of_sql(text: &str) -> Self {
        Self(checksum::of_sql(text).into())
    }

    /// A checksum that was stored or written by hand.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        checksum::check(&text)?;
        Ok(Self(text.into()))
    }

    /// A checksum that was computed.
    pub(crate) fn computed(text: String) -> Self {
        Self(text.into())
    }

    pub(crate) const fn from_static(text: &'static str) -> Self {
        Self(Text::from_static(text))
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
    /// What it comes after without depending on it: the order of a folder whose names are compared as texts.
    pub after: Option<MigrationId>,
    /// The checksum of its body.
    pub checksum: Checksum,
    /// SQL or code.
    pub origin: Origin,
    /// Whether it wants a transaction.
    pub transaction: TransactionMode,
    /// What a run does if it was interrupted.
    pub on_interrupt: OnInterrupt,
    /// Whether it can be taken back.
    pub reversible: bool,
    /// Whether it runs again each time its checksum changes: a view, a trigger, a procedure.
    pub repeatable: bool,
    /// What it stands for: where all of these are applied, it is counted in and does not run.
    pub replaces: Cow<'static, [MigrationId]>,
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
            after: None,
            checksum,
            origin: Origin::Code,
            transaction: TransactionMode::Auto,
            on_interrupt: OnInterrupt::Manual,
            reversible: false,
            repeatable: false,
            replaces: Cow::Borrowed(&[]),
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

    /// What a run does if it was interrupted.
    pub fn on_interrupt(mut self, choice: OnInterrupt) -> Self {
        self.on_interrupt = choice;
        self
    }

    /// Free words to choose migrations by.
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<Cow<'static, str>>>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// That [`crate::Migration::down`] takes it back.
    pub fn reversible(mut self) -> Self {
        self.reversible = true;
        self
    }

    /// It runs again each time its checksum changes, after everything it depends on; without dependencies,
    /// after everything in its namespace that is not repeatable.
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// What it stands for: a set of migrations that was squashed into this one. Where all of them are applied,
    /// it is counted in and does not run; where none is, it runs.
    pub fn replaces(mut self, ids: impl IntoIterator<Item = MigrationId>) -> Self {
        self.replaces = ids.into_iter().collect();
        self
    }

    /// The only backend it runs on.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }
}
