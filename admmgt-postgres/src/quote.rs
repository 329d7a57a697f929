//! Values as SQL text. The only place where a value becomes a part of a statement.

/// A text as a literal, whatever `standard_conforming_strings` says. A NUL cannot be stored and becomes `�`.
pub(crate) fn text(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 3);
    quoted.push_str("E'");
    for character in value.chars() {
        match character {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            '\0' => quoted.push('\u{fffd}'),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

/// A text or NULL.
pub(crate) fn optional(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".to_owned(), text)
}

/// A number or NULL.
pub(crate) fn number(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |value| value.to_string())
}

/// Bytes as a literal of type `bytea`.
pub(crate) fn bytes(value: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut quoted = String::with_capacity(2 * value.len() + 13);
    quoted.push_str("E'\\\\x");
    for byte in value {
        quoted.push(char::from(DIGITS[usize::from(byte >> 4)]));
        quoted.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    quoted.push_str("'::bytea");
    quoted
}

/// Bytes from their hexadecimal digits, as the server shows them.
pub(crate) fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.as_bytes().chunks(2).map(byte).collect()
}

/// A name in double quotes.
pub(crate) fn name(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\"\""))
}

/// A name as it is written in SQL, as the server knows it: folded, or without its quotes.
pub(crate) fn folded(written: &str) -> String {
    const LONGEST: usize = 63;
    let mut folded = match written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        // As the server does: letters of ASCII.
        None => written.to_ascii_lowercase(),
    };
    // It keeps no more than that, either.
    folded.truncate(folded.floor_char_boundary(LONGEST));
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_values() {
        assert_eq!(text("it's a \\ back"), "E'it''s a \\\\ back'");
        assert_eq!(text("a\0b"), "E'a\u{fffd}b'");
        assert_eq!(optional(None), "NULL");
        assert_eq!(number(None::<u32>), "NULL");
        assert_eq!(number(Some(7)), "7");
        assert_eq!(bytes(&[0, 255, 16]), "E'\\\\x00ff10'::bytea");
        assert_eq!(name("a\"b"), "\"a\"\"b\"");
        assert_eq!(folded("Users_Email"), "users_email");
        assert_eq!(folded("\"Users\"\"Email\""), "Users\"Email");
    }
}
