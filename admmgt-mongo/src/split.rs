//! Cuts a text into the objects of its outermost level, or of its one array.

use admmgt_core::{ScriptProblem, Statement};

/// The commands of a text, each as it stands there.
///
/// # Errors
/// The place of what is no object, and of what has no end.
pub(crate) fn split(text: &str) -> Result<Vec<Statement>, ScriptProblem> {
    let mut cutter = Cutter::default();
    let mut place = Place { line: 1, column: 1 };
    for (at, letter) in text.char_indices() {
        let here = place;
        // A mark at the beginning is no letter, and no place.
        if !(at == 0 && letter == '\u{feff}') {
            place.pass(letter);
        }
        if let Some(from) = cutter.pass(at, letter, here)? {
            let Place { line, column } = cutter.begun;
            cutter.statements.push(Statement { text: text[from..at + 1].to_owned(), line, column });
        }
    }
    cutter.end()
}

/// Where the reading is.
#[derive(Debug, Default)]
struct Cutter {
    statements: Vec<Statement>,
    /// In how many braces and brackets it is, of a command.
    depth: u32,
    /// Where the command began.
    begun: Place,
    from: usize,
    array: Array,
    in_string: bool,
    escaped: bool,
}

/// The one array that may be around all commands.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Array {
    #[default]
    None,
    Begun(Place),
    Ended,
}

impl Cutter {
    /// Takes a letter. Where it ends a command, that is from where that was.
    fn pass(&mut self, at: usize, letter: char, here: Place) -> Result<Option<usize>, ScriptProblem> {
        if self.in_string {
            match letter {
                _ if self.escaped => self.escaped = false,
                '\\' => self.escaped = true,
                '"' => self.in_string = false,
                _ => {}
            }
        } else if self.depth > 0 {
            match letter {
                '"' => self.in_string = true,
                '{' | '[' => self.depth += 1,
                '}' | ']' => self.depth -= 1,
                _ => {}
            }
            return Ok(Some(self.from).filter(|_| self.depth == 0));
        } else {
            self.between(at, letter, here)?;
        }
        Ok(None)
    }

    /// Takes a letter that is in no command.
    fn between(&mut self, at: usize, letter: char, here: Place) -> Result<(), ScriptProblem> {
        match (letter, self.array) {
            ('{', Array::None | Array::Begun(_)) => (self.begun, self.from, self.depth) = (here, at, 1),
            ('[', Array::None) if self.statements.is_empty() => self.array = Array::Begun(here),
            (']', Array::Begun(_)) => self.array = Array::Ended,
            (',', Array::Begun(_)) => {}
            _ if letter.is_whitespace() || letter == '\u{feff}' => {}
            _ => {
                let words =
                    format!("`{letter}` stands between commands, which are objects: `{{ \"create\": \"users\" }}`");
                return Err(ScriptProblem::new(here.line, here.column, words));
            }
        }
        Ok(())
    }

    fn end(self) -> Result<Vec<Statement>, ScriptProblem> {
        let problem = |place: Place, words: String| Err(ScriptProblem::new(place.line, place.column, words));
        if self.depth > 0 {
            let what = if self.in_string { "a string in it is never closed" } else { "it is never closed" };
            return problem(self.begun, format!("the command that begins here has no end: {what}"));
        }
        match self.array {
            Array::Begun(place) => {
                problem(place, "the array of commands that begins here has no end; is the file whole?".to_owned())
            }
            Array::None | Array::Ended => Ok(self.statements),
        }
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Place {
    line: u32,
    column: u32,
}

impl Place {
    fn pass(&mut self, letter: char) {
        if letter == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
    }
}
