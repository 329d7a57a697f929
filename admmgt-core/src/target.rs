//! How far to migrate, and which way.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Direction, MigrationId, Text};

/// How far to migrate. Some targets lead forwards, some back; none does both, except [`Target::Again`].
///
/// ```
/// use admmgt_core::{Direction, MigrationId, Target};
///
/// let id: MigrationId = "app/0002_email".parse().unwrap();
/// assert_eq!(Target::To(id.clone()).direction(), Direction::Up);
/// assert_eq!(Target::BackTo(id.clone()).to_string(), "back to `app/0002_email`");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Target {
    /// Everything that is pending.
    #[default]
    Latest,
    /// This migration, everything pending that runs before it in its namespace, and what these depend on.
    To(MigrationId),
    /// So many of the pending ones.
    Next(usize),
    /// The pending ones with this tag, and what they depend on.
    Tagged(Text),
    /// Takes back so many, the one that was applied last first.
    Back(usize),
    /// Takes back everything that runs after this migration in its namespace, and what depends on that; the
    /// migration itself stays.
    BackTo(MigrationId),
    /// Takes back everything.
    Nothing,
    /// Takes back so many, the one that was applied last first, and applies them again.
    Again(usize),
}

impl Target {
    pub(crate) fn is_latest(&self) -> bool {
        *self == Self::Latest
    }

    /// Which way it leads first.
    pub fn direction(&self) -> Direction {
        match self {
            Self::Latest | Self::To(_) | Self::Next(_) | Self::Tagged(_) => Direction::Up,
            Self::Back(_) | Self::BackTo(_) | Self::Nothing | Self::Again(_) => Direction::Down,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("everything pending"),
            Self::To(id) => write!(f, "up to `{id}`"),
            Self::Next(count) => write!(f, "the next {count}"),
            Self::Tagged(tag) => write!(f, "those with the tag `{tag}`"),
            Self::Back(count) => write!(f, "the last {count} back"),
            Self::BackTo(id) => write!(f, "back to `{id}`"),
            Self::Nothing => f.write_str("everything back"),
            Self::Again(count) => write!(f, "the last {count} again"),
        }
    }
}
