//! Files that are too large to be held in memory: looked through once, and read again where they run.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::checksum::SqlHasher;
use crate::text::{TextProblem, begins_as_utf16};

/// From how many bytes on a file or a text is large.
pub const LARGE: u64 = 4 << 20;

/// How much of a line is looked at as one piece.
const PIECE: u64 = 64 << 10;

/// A part of a file, from one byte to another; all of it is UTF-8 without NUL bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slice {
    /// The file.
    pub file: PathBuf,
    /// The byte it begins with.
    pub start: u64,
    /// The byte behind its end.
    pub end: u64,
    /// The line of the file it begins in, counted from 1.
    pub line: u32,
    /// Its checksum: that of the text with an empty line for each line of the file before it.
    pub checksum: String,
}

impl Slice {
    /// Reads it, from its beginning.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(&self) -> io::Result<impl Read + Send + use<>> {
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.start))?;
        Ok(file.take(self.end - self.start))
    }

    /// All of it, with an empty line for each line before it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn text(&self) -> io::Result<String> {
        let mut text: String = (1..self.line).map(|_| '\n').collect();
        self.open()?.read_to_string(&mut text).map(|_| text)
    }

    /// What its first line begins with.
    pub(crate) fn first_line(&self) -> io::Result<String> {
        let mut line = Vec::new();
        BufReader::new(self.open()?).take(1000).read_until(b'\n', &mut line)?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// A hash that has seen the lines before it.
    pub fn hasher(&self) -> SqlHasher {
        let mut hash = SqlHasher::default();
        (1..self.line).for_each(|_| hash.update("\n"));
        hash
    }
}

/// Why a large file is no text.
#[derive(Debug)]
pub enum LargeProblem {
    /// It cannot be read.
    Io(io::Error),
    /// Its bytes are not usable.
    Text(TextProblem),
}

impl From<io::Error> for LargeProblem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A file from its beginning to its end.
///
/// # Errors
/// Why it is no text.
pub fn whole(path: &Path) -> Result<Slice, LargeProblem> {
    let mut pieces = Pieces::open(path)?;
    let mut hash = SqlHasher::default();
    while let Some(piece) = pieces.next()? {
        hash.update(piece.text);
    }
    Ok(Slice { file: path.to_owned(), start: 0, end: pieces.at, line: 1, checksum: hash.finish() })
}

/// A file, line by line; long lines come in several pieces.
pub(crate) struct Pieces {
    reader: BufReader<File>,
    piece: Vec<u8>,
    /// How many bytes were read.
    pub(crate) at: u64,
    /// The line of the piece, counted from 1.
    line: usize,
    /// What came before it in the same line.
    before: usize,
    ended: bool,
}

/// One piece.
pub(crate) struct Piece<'a> {
    /// With its line end, where it has one.
    pub(crate) text: &'a str,
    /// The line it is of, counted from 1.
    pub(crate) line: usize,
    /// It is a whole line.
    pub(crate) is_whole: bool,
}

impl Pieces {
    pub(crate) fn open(path: &Path) -> Result<Self, LargeProblem> {
        let mut reader = BufReader::with_capacity(64 << 10, File::open(path)?);
        if let Some(endian) = begins_as_utf16(reader.fill_buf()?) {
            return Err(LargeProblem::Text(TextProblem::Utf16 { endian }));
        }
        Ok(Self { reader, piece: Vec::new(), at: 0, line: 1, before: 0, ended: true })
    }

    pub(crate) fn next(&mut self) -> Result<Option<Piece<'_>>, LargeProblem> {
        if self.piece.ends_with(b"\n") {
            self.line += 1;
        }
        self.before = if self.ended { 0 } else { self.before + self.piece.len() };
        self.piece.clear();
        self.reader.by_ref().take(PIECE).read_until(b'\n', &mut self.piece)?;
        // Never through the middle of a character.
        let cut = |piece: &[u8]| std::str::from_utf8(piece).is_err_and(|error| error.error_len().is_none());
        while cut(&self.piece) && self.reader.by_ref().take(1).read_until(b'\n', &mut self.piece)? > 0 {}
        if self.piece.is_empty() {
            return Ok(None);
        }
        let began = self.ended;
        self.at += self.piece.len() as u64;
        self.ended = self.piece.ends_with(b"\n");
        let byte = |at: usize| self.before + at + 1;
        let text = std::str::from_utf8(&self.piece).map_err(|error| {
            LargeProblem::Text(TextProblem::NotUtf8 { line: self.line, byte: byte(error.valid_up_to()) })
        })?;
        if let Some(at) = self.piece.iter().position(|byte| *byte == 0) {
            return Err(LargeProblem::Text(TextProblem::Nul { line: self.line, byte: byte(at) }));
        }
        let is_whole = began && (self.ended || self.reader.fill_buf()?.is_empty());
        Ok(Some(Piece { text, line: self.line, is_whole }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::of_sql;

    fn check(bytes: &[u8]) -> Result<Slice, LargeProblem> {
        let path =
            std::env::temp_dir().join(format!("admmgt-large-{}-{:?}", std::process::id(), std::thread::current().id()));
        std::fs::write(&path, bytes).unwrap();
        let slice = whole(&path);
        let read = slice.as_ref().map(|slice| {
            let mut text = String::new();
            slice.open().unwrap().read_to_string(&mut text).map(|_| text)
        });
        if let Ok(read) = read {
            assert_eq!(read.unwrap().as_bytes(), bytes);
        }
        std::fs::remove_file(&path).unwrap();
        slice
    }

    #[test]
    fn a_large_file_has_the_checksum_of_its_text() {
        let long = "é漢🦀x".repeat(40_000);
        for text in ["", "a\r\nb\r", "\u{feff}a\r\n\r\n", &long, &format!("{long}\r\n{long}\n"), &format!("x{long}")] {
            assert_eq!(check(text.as_bytes()).unwrap().checksum, of_sql(text));
        }
    }

    #[test]
    fn what_is_no_text_is_named_by_its_place() {
        let mut bytes = vec![b'x'; 200_000];
        bytes.insert(70_000, 0xff);
        bytes.insert(3, b'\n');
        let problem = check(&bytes).unwrap_err();
        assert!(matches!(problem, LargeProblem::Text(TextProblem::NotUtf8 { line: 2, byte: 69_998 })), "{problem:?}");
        bytes[70_001] = 0;
        let problem = check(&bytes).unwrap_err();
        assert!(matches!(problem, LargeProblem::Text(TextProblem::Nul { line: 2, byte: 69_998 })), "{problem:?}");
        assert!(matches!(check(b"s\0e\0"), Err(LargeProblem::Text(TextProblem::Utf16 { .. }))));
        assert!(matches!(check(b"abc\xc3"), Err(LargeProblem::Text(TextProblem::NotUtf8 { line: 1, byte: 4 }))));
    }
}
