//! Errors of a body's own around the client's, as people have them.

use std::error::Error;
use std::fmt;

use admmgt::BoxError;

/// How an error stands around another.
#[derive(Debug, Clone, Copy)]
pub enum Around {
    /// With words of its own, and the other as its source.
    Words,
    /// With words before and behind the other's.
    Inside,
    /// In the other's place: its words, its source, and not itself (`transparent`, as thiserror names it).
    Transparent,
    /// [`std::io::Error::other`], which passes over the other where its source is asked for.
    Io,
}

impl Around {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Words, Self::Inside, Self::Transparent, Self::Io];

    /// Puts it around an error.
    pub fn put<E: Error + Send + Sync + 'static>(self, error: E) -> BoxError {
        match self {
            Self::Words => Box::new(Importing(error, "importing: ", "")),
            Self::Inside => Box::new(Importing(error, "the import failed (", ")")),
            Self::Transparent => Box::new(Transparent(error)),
            Self::Io => std::io::Error::other(error).into(),
        }
    }
}

#[derive(Debug)]
struct Importing<E>(E, &'static str, &'static str);

impl<E: fmt::Display> fmt::Display for Importing<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.1, self.0, self.2)
    }
}

impl<E: Error + 'static> Error for Importing<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[derive(Debug)]
struct Transparent<E>(E);

impl<E: fmt::Display> fmt::Display for Transparent<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: Error> Error for Transparent<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
