//! Which names a namespace and a migration id may have.

use std::fmt;

/// The longest namespace or id, in bytes.
pub const MAX_BYTES: usize = 200;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameProblem {
    /// There is nothing in it.
    Empty,
    /// It has more than [`MAX_BYTES`] bytes.
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It starts with a dot or a dash, which hide files and look like options.
    Start {
        /// The character it starts with.
        found: char,
    },
    /// It holds a character that is neither a letter, a digit nor one of `_ - . + : @`.
    Character {
        /// The character.
        found: char,
        /// Where it stands, in bytes from the start.
        at: usize,
    },
}

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty; give it at least one letter or digit"),
            Self::TooLong { bytes } => write!(f, "it has {bytes} bytes; the limit is {MAX_BYTES}"),
            Self::Start { found } => write!(f, "it starts with {found:?}; start it with a letter, a digit or `_`"),
            Self::Character { found, at } => {
                write!(f, "it holds {found:?} at byte {at}; use letters, digits and `_ - . + : @`")
            }
        }
    }
}

impl std::error::Error for NameProblem {}

/// Accepts or refuses the name of a namespace or a migration.
///
/// Letters and digits of any script are fine, so are `_ - . + : @`. Everything else (spaces, quotes,
/// slashes, control characters) would have to be escaped in the lockfile, on a command line or
/// in a path, and is refused here, once.
///
/// ```
/// use admmgt_files::name::{check_name, NameProblem};
///
/// assert_eq!(check_name("0001_create_users"), Ok(()));
/// assert_eq!(check_name("../etc"), Err(NameProblem::Start { found: '.' }));
/// assert_eq!(check_name("a'b"), Err(NameProblem::Character { found: '\'', at: 1 }));
/// ```
pub fn check_name(name: &str) -> Result<(), NameProblem> {
    if name.len() > MAX_BYTES {
        return Err(NameProblem::TooLong { bytes: name.len() });
    }
    match name.chars().next() {
        None => return Err(NameProblem::Empty),
        Some(found @ ('.' | '-')) => return Err(NameProblem::Start { found }),
        Some(_) => {}
    }
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | ':' | '@');
    match name.char_indices().find(|(_, c)| !allowed(*c)) {
        Some((at, found)) => Err(NameProblem::Character { found, at }),
        None => Ok(()),
    }
}
