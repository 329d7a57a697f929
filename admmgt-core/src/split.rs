//! Finds the statements of a text, whole or piece by piece, by the lexical rules of whichever dialect.
//!
//! A backend brings a [`Splitter`], which says where the next statement of a text ends;
//! [`Statements`] walks a text that is held, [`Pieces`] one that is not.

mod pieces;
mod place;

use std::borrow::Cow;

use self::place::Place;
use crate::script::ScriptProblem;

pub use self::pieces::Pieces;

/// One statement, as a slice of the text it was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split<'a> {
    /// From its first token to its last: no terminator, no comments around it.
    pub text: &'a str,
    /// From its first token up to its terminator, or to the end of the text: what some databases keep of a
    /// statement, space and comments before the terminator included.
    pub whole: &'a str,
    /// The line of its first token, counted from 1; lines end at `\n`.
    pub line: u32,
    /// The column of its first token in characters, counted from 1.
    pub column: u32,
    /// Whether its terminator was there. Only the last statement of a text may lack it; whoever reads a
    /// text in pieces keeps that one, and what follows it, for the next piece.
    pub terminated: bool,
}

/// What a [`Splitter`] found from some byte of a text on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// No statement begins any more.
    Nothing,
    /// A statement, in bytes of the text.
    Statement {
        /// Its first token begins here.
        start: usize,
        /// Its last token ends here.
        end: usize,
        /// Its terminator begins here.
        before: usize,
        /// Its terminator was there.
        terminated: bool,
    },
    /// Something that cannot be run.
    Problem {
        /// Where it begins.
        start: usize,
        /// What is wrong, and what to write instead.
        words: Cow<'static, str>,
        /// It never ends, so nothing behind it can be judged.
        broken: bool,
    },
}

/// The lexical rules of a dialect.
pub trait Splitter: Clone {
    /// Looks for the next statement from byte `at` of `text` on; also returned is the byte to go on from.
    ///
    /// What it keeps in itself may only come from statements that it has found: a text that is read in pieces is
    /// looked at again, by a clone, when there is more of it.
    fn next(&mut self, text: &str, at: usize) -> (Found, usize);
}

/// The statements of a text in order, found one by one in a single pass that allocates nothing.
///
/// After something that never ends comes nothing more: what follows it could be anything.
#[derive(Debug, Clone)]
pub struct Statements<'a, S> {
    text: &'a str,
    at: usize,
    place: Place,
    broken: bool,
    splitter: S,
}

impl<'a, S: Splitter> Statements<'a, S> {
    /// The statements of a text; a byte-order mark before it is skipped and takes no column.
    pub fn new(text: &'a str) -> Self
    where
        S: Default,
    {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { text, at: 0, place: Place::default(), broken: false, splitter: S::default() }
    }

    /// Whether the text broke off: something in it never ends, and what follows was not looked at.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    fn find(&mut self) -> Result<Option<Split<'a>>, ScriptProblem> {
        let (found, next) = self.splitter.next(self.text, self.at);
        self.at = next;
        match found {
            Found::Nothing => Ok(None),
            Found::Statement { start, end, before, terminated } => {
                self.place.advance(self.text, start);
                let Place { line, column, .. } = self.place;
                let (text, whole) = (&self.text[start..end], &self.text[start..before]);
                Ok(Some(Split { text, whole, line, column, terminated }))
            }
            Found::Problem { start, words, broken } => {
                if broken {
                    self.at = self.text.len();
                    self.broken = true;
                }
                self.place.advance(self.text, start);
                Err(ScriptProblem::new(self.place.line, self.place.column, words))
            }
        }
    }
}

impl<'a, S: Splitter> Iterator for Statements<'a, S> {
    type Item = Result<Split<'a>, ScriptProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.find().transpose()
    }
}
