//! Finds the statements of a SQL text as psql does.
//!
//! The tokens are those of PostgreSQL's `scan.l`, as far as they matter here; where a statement ends is decided
//! as in psql's `psqlscan.l`: at a `;` outside of parentheses and outside of the `begin atomic … end` of a
//! function. Behind `copy … from stdin;` stand lines of data up to `\.`, which belong to the statement.

mod meta;
mod token;

use std::borrow::Cow;

use admmgt_core::split::{self, Found, Splitter};

pub use admmgt_core::split::Split;

pub(crate) use self::token::{Kind, Token};

/// The statements of a text. A meta-command of psql is a problem, but the text goes on behind its line.
///
/// ```
/// use admmgt_postgres::script::Statements;
///
/// let sql = "create function f() returns int language sql as $$ select 1; $$; select ';'";
/// let found: Vec<&str> = Statements::new(sql).map(|split| split.unwrap().text).collect();
/// assert_eq!(found, ["create function f() returns int language sql as $$ select 1; $$", "select ';'"]);
/// ```
pub type Statements<'a> = split::Statements<'a, PgSplitter>;

/// As [`Statements`], of a text that is read piece by piece.
///
/// ```
/// use admmgt_postgres::script::Pieces;
///
/// let mut pieces = Pieces::new("select $$;$$; vacuum".as_bytes(), 1);
/// let mut found = Vec::new();
/// while let Some(split) = pieces.next()? {
///     found.push(split.unwrap().text.to_owned());
/// }
/// assert_eq!(found, ["select $$;$$", "vacuum"]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub type Pieces<R> = split::Pieces<R, PgSplitter>;

/// Where a statement ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PgSplitter {
    /// `standard_conforming_strings`, as the text itself has set it: a backslash in `'…'` is nothing special.
    standard_strings: bool,
}

impl Default for PgSplitter {
    fn default() -> Self {
        Self { standard_strings: true }
    }
}

/// What psql keeps of the words of a statement, to know the body of a function that is not in quotes.
#[derive(Debug, Default)]
struct Nesting {
    words: usize,
    /// The initials of the first words, where they are among those that begin a `create function`.
    initials: [u8; 4],
    /// Open parentheses.
    depth: usize,
    /// Where the first of them stands.
    opened: usize,
    /// Open `begin`s and `case`s of a body.
    begun: usize,
}

impl Nesting {
    fn word(&mut self, word: &str, at: usize) {
        const FIRST: [&str; 5] = ["create", "function", "procedure", "or", "replace"];
        if self.words < self.initials.len() && FIRST.iter().any(|first| first.eq_ignore_ascii_case(word)) {
            self.initials[self.words] = word.as_bytes()[0].to_ascii_lowercase();
        }
        self.words += 1;
        if self.depth > 0 || !self.is_function() {
            return;
        }
        if word.eq_ignore_ascii_case("begin") || (self.begun > 0 && word.eq_ignore_ascii_case("case")) {
            if self.begun == 0 {
                self.opened = at;
            }
            self.begun += 1;
        } else if word.eq_ignore_ascii_case("end") {
            self.begun = self.begun.saturating_sub(1);
        }
    }

    fn is_function(&self) -> bool {
        matches!(self.initials, [b'c', b'f' | b'p', ..] | [b'c', b'o', b'r', b'f' | b'p'])
    }

    fn sign(&mut self, sign: u8, at: usize) {
        match sign {
            b'(' => {
                if self.depth == 0 && self.begun == 0 {
                    self.opened = at;
                }
                self.depth += 1;
            }
            b')' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

const PARENTHESIS: &str = "this `(` is never closed; write the `)`";
const BODY: &str = "the body that this `begin` opens never ends; close it with `end;`";
const DATA: &str = "the data of this `copy … from stdin` never end; close them with a line `\\.`";

impl Splitter for PgSplitter {
    fn next(&mut self, text: &str, from: usize) -> (Found, usize) {
        let mut nesting = Nesting::default();
        let (mut at, mut start, mut end, mut begun) = (from, from, from, false);
        loop {
            let token = Token::at(text, at, self.standard_strings);
            at = token.end;
            match token.kind {
                Kind::Space => continue,
                Kind::Broken(words) => return (broken(token.start, words), at),
                Kind::Backslash => return meta::command(text, token.start, begun),
                Kind::End if !begun => return (Found::Nothing, at),
                Kind::End if nesting.depth > 0 => return (broken(nesting.opened, PARENTHESIS), at),
                Kind::End if nesting.begun > 0 => return (broken(nesting.opened, BODY), at),
                Kind::Semicolon if !begun => continue,
                Kind::End => return (self.ended(text, start, end, token.start, None), at),
                Kind::Semicolon if nesting.depth == 0 && nesting.begun == 0 => {
                    if copies_from_stdin(&text[start..end]) {
                        return with_data(text, start, at);
                    }
                    return (self.ended(text, start, end, token.start, Some(at)), at);
                }
                Kind::Word => nesting.word(token.text(text), token.start),
                Kind::Sign => nesting.sign(text.as_bytes()[token.start], token.start),
                _ => {}
            }
            if !begun {
                (begun, start) = (true, token.start);
            }
            end = token.end;
        }
    }
}

impl PgSplitter {
    fn ended(&mut self, text: &str, start: usize, end: usize, before: usize, terminator: Option<usize>) -> Found {
        if terminator.is_some()
            && let Some(standard) = sets_standard_strings(&text[start..end])
        {
            self.standard_strings = standard;
        }
        Found::Statement { start, end, before, terminated: terminator.is_some() }
    }
}

fn broken(start: usize, words: &'static str) -> Found {
    Found::Problem { start, words: Cow::Borrowed(words), broken: true }
}

/// The words of a statement, without what stands in quotes.
fn words(statement: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let token = Token::at(statement, at, true);
            at = token.end;
            match token.kind {
                Kind::End | Kind::Broken(_) => return None,
                Kind::Word | Kind::Sign => return Some(token.text(statement)),
                _ => {}
            }
        }
    })
}

/// Whether the lines behind a statement are its data.
pub(crate) fn copies_from_stdin(statement: &str) -> bool {
    copies(statement, "from", "stdin")
}

/// Whether it is a `copy` with these two words behind each other, outside of parentheses.
pub(crate) fn copies(statement: &str, way: &str, place: &str) -> bool {
    let is = |word: Option<&str>, other: &str| word.is_some_and(|word| word.eq_ignore_ascii_case(other));
    let mut words = words(statement);
    if !is(words.next(), "copy") {
        return false;
    }
    let (mut depth, mut from) = (0_usize, false);
    for word in words {
        match word {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            _ if from => return word.eq_ignore_ascii_case(place),
            _ => from = word.eq_ignore_ascii_case(way),
        }
    }
    false
}

/// `set [session | local] standard_conforming_strings = …`, and what to.
fn sets_standard_strings(statement: &str) -> Option<bool> {
    let lower = |word: &str| word.to_ascii_lowercase();
    let mut at = 0;
    let mut next = || loop {
        let token = Token::at(statement, at, true);
        at = token.end;
        match token.kind {
            Kind::Space => {}
            Kind::End | Kind::Broken(_) => return None,
            _ => return Some(lower(token.text(statement))),
        }
    };
    if next()? != "set" {
        return None;
    }
    let mut name = next()?;
    if name == "session" || name == "local" {
        name = next()?;
    }
    if name != "standard_conforming_strings" {
        return None;
    }
    let sign = next()?;
    if sign != "=" && sign != "to" {
        return None;
    }
    match next()?.trim_matches('\'') {
        "off" | "false" | "0" | "no" => Some(false),
        _ => Some(true),
    }
}

/// A `copy … from stdin;` and its data, from the next line up to one that is `\.`; `at` is behind the `;`.
fn with_data(text: &str, start: usize, at: usize) -> (Found, usize) {
    let Some(mut line) = text[at..].find('\n').map(|newline| at + newline + 1) else {
        return (broken(start, DATA), text.len());
    };
    if !text[at..line].trim().is_empty() {
        let words = "something stands behind `copy … from stdin;` in its line; the data begin in the next one".into();
        return (Found::Problem { start: at, words, broken: true }, text.len());
    }
    loop {
        let newline = text[line..].find('\n').map(|newline| line + newline);
        let end = newline.unwrap_or(text.len());
        if text[line..end].trim_end_matches('\r') == "\\." {
            // Of a text that is read in pieces, the rest of the line may not be there yet.
            let terminated = newline.is_some();
            return (Found::Statement { start, end: line, before: line, terminated }, newline.map_or(end, |it| it + 1));
        }
        match newline {
            Some(newline) => line = newline + 1,
            None => return (broken(start, DATA), text.len()),
        }
    }
}

/// A `copy … from stdin` and its data apart.
pub(crate) fn copy_and_data(text: &str) -> Option<(&str, &str)> {
    let mut at = 0;
    loop {
        let token = Token::at(text, at, true);
        at = token.end;
        match token.kind {
            Kind::End | Kind::Broken(_) => return None,
            Kind::Semicolon => {
                let statement = &text[..token.start];
                let newline = text[at..].find('\n')?;
                return copies_from_stdin(statement).then(|| (statement, &text[at + newline + 1..]));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
