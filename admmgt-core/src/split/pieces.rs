//! The statements of a text that is not held in memory.

use std::io::{self, Read};

use super::place::Place;
use super::{Split, Splitter, Statements};
use crate::script::ScriptProblem;

/// How much is read at a time, as long as statements are shorter.
const READ: usize = 64 << 10;

/// The statements of a text that is read piece by piece: as [`Statements`], in no more memory than the longest
/// statement and the comments before it take.
///
/// ```
/// use admmgt_core::split::{Found, Pieces, Splitter};
///
/// #[derive(Clone, Default)]
/// struct Lines;
///
/// impl Splitter for Lines {
///     fn next(&mut self, text: &str, at: usize) -> (Found, usize) {
///         let newline = text[at..].find('\n').map(|length| at + length);
///         let end = newline.unwrap_or(text.len());
///         let found = match at == text.len() {
///             true => Found::Nothing,
///             false => Found::Statement { start: at, end, before: end, terminated: newline.is_some() },
///         };
///         (found, newline.map_or(end, |newline| newline + 1))
///     }
/// }
///
/// let mut pieces = Pieces::<_, Lines>::new("create users\ncreate plans".as_bytes(), 1);
/// let mut found = Vec::new();
/// while let Some(split) = pieces.next()? {
///     found.push(split.unwrap().text.to_owned());
/// }
/// assert_eq!(found, ["create users", "create plans"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Pieces<R, S> {
    reader: R,
    /// What was read and not yet left behind.
    text: String,
    /// What was read of a character that is not whole yet.
    rest: Vec<u8>,
    /// Where the next statement is looked for.
    at: usize,
    place: Place,
    begun: bool,
    ended: bool,
    broken: bool,
    /// How much is read at a time.
    bytes: usize,
    splitter: S,
}

/// A [`Split`] by its place in the text.
struct Looked {
    start: usize,
    end: usize,
    before: usize,
    line: u32,
    column: u32,
    terminated: bool,
}

impl<R: Read, S: Splitter> Pieces<R, S> {
    /// The statements of what is read, which begins in line `line` of its file.
    pub fn new(reader: R, line: u32) -> Self
    where
        S: Default,
    {
        Self {
            reader,
            text: String::new(),
            rest: Vec::new(),
            at: 0,
            place: Place { at: 0, line, column: 1 },
            begun: false,
            ended: false,
            broken: false,
            bytes: READ,
            splitter: S::default(),
        }
    }

    /// So much is read at a time, instead of 64 KiB.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes.max(1);
        self
    }

    /// Whether the text broke off: something in it never ends, and what follows was not looked at.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// The next statement, or what is wrong with the text; `None` at its end.
    ///
    /// # Errors
    /// What reading it says.
    // Not an iterator: what it finds is lent until the next call.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> io::Result<Option<Result<Split<'_>, ScriptProblem>>> {
        let found = loop {
            if let Some(found) = self.look() {
                break found;
            }
            self.read()?;
        };
        Ok(found.map(|found| {
            let Looked { start, end, before, line, column, terminated } = found?;
            let (text, whole) = (&self.text[start..end], &self.text[start..before]);
            Ok(Split { text, whole, line, column, terminated })
        }))
    }

    /// What comes next, if that can be told from what was read.
    fn look(&mut self) -> Option<Option<Result<Looked, ScriptProblem>>> {
        let splitter = self.splitter.clone();
        let mut statements = Statements { text: &self.text, at: self.at, place: self.place, broken: false, splitter };
        let found = statements.find();
        // Up to its end nothing that is still to be read can change it.
        let is_certain = self.ended
            || match &found {
                Ok(split) => split.is_some_and(|split| split.terminated),
                // Of a command of a shell, the whole line.
                Err(_) => !statements.broken && statements.at < self.text.len(),
            };
        if !is_certain {
            return None;
        }
        self.broken |= statements.broken;
        (self.at, self.place, self.splitter) = (statements.at, statements.place, statements.splitter);
        Some(match found {
            Ok(None) => None,
            Err(problem) => Some(Err(problem)),
            Ok(Some(Split { text, whole, line, column, terminated })) => {
                // The place is that of the statement's beginning.
                let start = self.place.at;
                Some(Ok(Looked {
                    start,
                    end: start + text.len(),
                    before: start + whole.len(),
                    line,
                    column,
                    terminated,
                }))
            }
        })
    }

    /// Leaves behind what was looked at, and reads on: as much again as is waiting, so that a long statement is
    /// not looked at too often.
    fn read(&mut self) -> io::Result<()> {
        self.place.advance(&self.text, self.at);
        self.text.drain(..self.at);
        (self.at, self.place.at) = (0, 0);
        let wanted = self.text.len().max(self.bytes) as u64;
        let read = self.reader.by_ref().take(wanted).read_to_end(&mut self.rest)?;
        self.ended = read == 0;
        let valid = match std::str::from_utf8(&self.rest) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() && !self.ended => error.valid_up_to(),
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        };
        let text = std::str::from_utf8(&self.rest[..valid]).unwrap_or_default();
        let begins = !self.begun;
        self.begun |= !text.is_empty();
        let text = if begins { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        self.text.push_str(text);
        self.rest.drain(..valid);
        Ok(())
    }
}
