//! From the bytes of a migration file to text, or to words that say what is wrong with them.

use std::fmt;

/// Why the bytes of a file are not usable text. Lines and bytes count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextProblem {
    /// The file is UTF-16.
    Utf16 {
        /// `little` or `big` endian.
        endian: &'static str,
    },
    /// A byte that is not UTF-8.
    NotUtf8 {
        /// The line it stands in.
        line: usize,
        /// The byte of that line.
        byte: usize,
    },
    /// A NUL byte, where databases stop reading a statement.
    Nul {
        /// The line it stands in.
        line: usize,
        /// The byte of that line.
        byte: usize,
    },
}

impl TextProblem {
    /// The line the problem stands in, counted from 1.
    pub fn line(&self) -> usize {
        match self {
            Self::Utf16 { .. } => 1,
            Self::NotUtf8 { line, .. } | Self::Nul { line, .. } => *line,
        }
    }
}

impl fmt::Display for TextProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utf16 { endian } => write!(f, "the file is UTF-16 ({endian} endian); save it as UTF-8"),
            Self::NotUtf8 { line, byte } => {
                write!(f, "line {line}, byte {byte} is not UTF-8; save the file as UTF-8")
            }
            Self::Nul { line, byte } => {
                write!(f, "line {line}, byte {byte} is a NUL byte, where the database would stop reading; remove it")
            }
        }
    }
}

impl std::error::Error for TextProblem {}

/// The text of a migration file: UTF-8 without NUL bytes. A byte-order mark is kept; checksums
/// ([`crate::checksum::of_sql`]) and statement splitters skip it.
///
/// ```
/// use admmgt_files::text::{decode, TextProblem};
///
/// assert_eq!(decode(b"select 1;"), Ok("select 1;"));
/// assert_eq!(decode(b"a\nb\xff"), Err(TextProblem::NotUtf8 { line: 2, byte: 2 }));
/// ```
pub fn decode(bytes: &[u8]) -> Result<&str, TextProblem> {
    if let Some(endian) = begins_as_utf16(bytes) {
        return Err(TextProblem::Utf16 { endian });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (line, byte) = position(bytes, error.valid_up_to());
        TextProblem::NotUtf8 { line, byte }
    })?;
    match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => {
            let (line, byte) = position(bytes, at);
            Err(TextProblem::Nul { line, byte })
        }
        None => Ok(text),
    }
}

pub(crate) fn begins_as_utf16(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, ..] => Some("little"),
        [0xfe, 0xff, ..] => Some("big"),
        // Without a byte-order mark, ASCII written as UTF-16 has a NUL in every other byte.
        [a, 0, b, 0, ..] if *a != 0 && *b != 0 => Some("little"),
        [0, a, 0, b, ..] if *a != 0 && *b != 0 => Some("big"),
        _ => None,
    }
}

/// The text without its byte-order mark.
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn position(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = &bytes[..at];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    (line, at - start + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unusable_encoding_is_named() {
        assert_eq!(decode(b"\xff\xfes\0e\0"), Err(TextProblem::Utf16 { endian: "little" }));
        assert_eq!(decode(b"\xfe\xff\0s\0e"), Err(TextProblem::Utf16 { endian: "big" }));
        assert_eq!(decode(b"s\0e\0l\0"), Err(TextProblem::Utf16 { endian: "little" }));
        assert_eq!(decode(b"\0s\0e\0l"), Err(TextProblem::Utf16 { endian: "big" }));
        assert_eq!(decode(b"one\ntwo\0"), Err(TextProblem::Nul { line: 2, byte: 4 }));
        assert_eq!(decode(b"caf\xe9"), Err(TextProblem::NotUtf8 { line: 1, byte: 4 }));
    }

    #[test]
    fn a_byte_order_mark_is_kept_and_can_be_skipped() {
        let text = decode(b"\xef\xbb\xbfselect 1").unwrap();
        assert_eq!(without_mark(text), "select 1");
        assert_eq!(without_mark("select 1"), "select 1");
    }
}
