//! Tokens, by the rules of PostgreSQL's `scan.l`.

/// A token and where it stands, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// What a token is, as far as statements and their words need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// White space, a comment, a byte-order mark.
    Space,
    /// `;`.
    Semicolon,
    /// A keyword or a bare name.
    Word,
    /// A number, or a parameter such as `$1`.
    Number,
    /// A string in any of its forms.
    Text,
    /// A name in double quotes.
    Name,
    /// Any other character.
    Sign,
    /// `\`, where psql reads a meta-command.
    Backslash,
    /// Something that never ends or cannot be read, in words.
    Broken(&'static str),
    /// The end of the text.
    End,
}

const NUL: &str = "a NUL byte stands here, which PostgreSQL cannot take; remove it";
const STRING: &str = "this string never ends; close it with `'`, and write a `'` inside it twice: `''`";
const NAME: &str = "this quoted name never ends; close it with `\"`";
const COMMENT: &str = "this comment never ends; close it with `*/`, once for each `/*` inside it too";
const DOLLAR: &str = "this dollar-quoted string never ends; close it with the same tag it begins with";

impl Token {
    /// The token that starts at a byte; `standard` is whether a backslash is nothing special in `'…'`.
    #[inline]
    pub(crate) fn at(text: &str, start: usize, standard: bool) -> Self {
        let bytes = text.as_bytes();
        let rest = &bytes[start..];
        let Some(&first) = rest.first() else {
            return Self { kind: Kind::End, start, end: start };
        };
        let second = rest.get(1).copied();
        let many = |kind, length| Self { kind, start, end: start + length };
        match first {
            0xef if rest.starts_with(b"\xef\xbb\xbf") => many(Kind::Space, 3),
            b' ' | b'\t'..=b'\r' => many(Kind::Space, length_while(rest, is_space)),
            b';' => many(Kind::Semicolon, 1),
            b'\'' => text_token(rest, start, 0, !standard),
            b'e' | b'E' if second == Some(b'\'') => text_token(rest, start, 1, true),
            b'b' | b'B' | b'x' | b'X' if second == Some(b'\'') => text_token(rest, start, 1, false),
            // A national string is a plain one behind a letter.
            b'n' | b'N' if second == Some(b'\'') => text_token(rest, start, 1, !standard),
            b'u' | b'U' if rest.get(1..3) == Some(b"&'") => text_token(rest, start, 2, false),
            b'u' | b'U' if rest.get(1..3) == Some(b"&\"") => name_token(rest, start, 2),
            b'"' => name_token(rest, start, 0),
            b'$' => dollar(rest, start),
            b'-' if second == Some(b'-') => line_comment(rest, start),
            b'/' if second == Some(b'*') => block_comment(rest, start),
            b'\\' => many(Kind::Backslash, 1),
            b'0'..=b'9' => many(Kind::Number, number(rest)),
            _ if is_name_start(first) => many(Kind::Word, length_while(rest, is_name)),
            0 => many(Kind::Broken(NUL), 1),
            _ => many(Kind::Sign, 1),
        }
    }

    /// Its text.
    pub(crate) fn text(self, text: &str) -> &str {
        &text[self.start..self.end]
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

const fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | 0x80..)
}

const fn is_name(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn length_while(bytes: &[u8], matches: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !matches(*byte)).unwrap_or(bytes.len())
}

/// Digits; a name may follow them at once, as in `1 from` written `1from`, which old versions took.
fn number(rest: &[u8]) -> usize {
    let digits = length_while(rest, |byte| byte.is_ascii_digit() || byte == b'_');
    // A radix or an exponent belongs to the number.
    match rest.get(digits) {
        Some(b'x' | b'X' | b'o' | b'O' | b'b' | b'B') if digits == 1 && rest[0] == b'0' => {
            digits + 1 + length_while(&rest[digits + 1..], |byte| byte.is_ascii_alphanumeric())
        }
        Some(b'e' | b'E') if rest.get(digits + 1).is_some_and(u8::is_ascii_digit) => {
            digits + 1 + length_while(&rest[digits + 1..], |byte| byte.is_ascii_digit())
        }
        _ => digits,
    }
}

/// A string whose opening quote stands `prefix` bytes on. Parts that only a line end separates are one string,
/// by the rules of the first.
fn text_token(rest: &[u8], start: usize, prefix: usize, escapes: bool) -> Token {
    let mut length = prefix + 1;
    while let Some(found) = rest[length..].iter().position(|byte| matches!(*byte, b'\'' | b'\\' | 0)) {
        length += found + 1;
        match rest[length - 1] {
            0 => return nul(start + length - 1),
            // Whatever follows, it does not end the string.
            b'\\' if escapes => length += usize::from(length < rest.len() && rest[length] != 0),
            b'\\' => {}
            _ if rest.get(length) == Some(&b'\'') => length += 1,
            _ => match continued(&rest[length..]) {
                Some(more) => length += more,
                None => return Token { kind: Kind::Text, start, end: start + length },
            },
        }
        if length >= rest.len() {
            break;
        }
    }
    Token { kind: Kind::Broken(STRING), start, end: start + rest.len() }
}

/// How far behind its closing quote a string goes on, if it does.
fn continued(rest: &[u8]) -> Option<usize> {
    let (mut at, mut newline) = (0, false);
    loop {
        match rest.get(at)? {
            b'\n' | b'\r' => newline = true,
            byte if is_space(*byte) => {}
            b'-' if rest.get(at + 1) == Some(&b'-') => {
                at += length_while(&rest[at..], |byte| !matches!(byte, b'\n' | b'\r'));
                continue;
            }
            b'\'' if newline => return Some(at + 1),
            _ => return None,
        }
        at += 1;
    }
}

fn name_token(rest: &[u8], start: usize, prefix: usize) -> Token {
    let mut length = prefix + 1;
    while let Some(found) = rest[length..].iter().position(|byte| matches!(*byte, b'"' | 0)) {
        length += found + 1;
        if rest[length - 1] == 0 {
            return nul(start + length - 1);
        }
        if rest.get(length) != Some(&b'"') {
            return Token { kind: Kind::Name, start, end: start + length };
        }
        length += 1;
    }
    Token { kind: Kind::Broken(NAME), start, end: start + rest.len() }
}

/// `$tag$ … $tag$`, `$1`, or a lone `$`.
fn dollar(rest: &[u8], start: usize) -> Token {
    let many = |kind, length| Token { kind, start, end: start + length };
    if rest.get(1).is_some_and(u8::is_ascii_digit) {
        return many(Kind::Number, 1 + length_while(&rest[1..], |byte| byte.is_ascii_digit()));
    }
    let tag = 1 + length_while(&rest[1..], |byte| is_name(byte) && byte != b'$');
    if rest.get(tag) != Some(&b'$') {
        return many(Kind::Sign, 1);
    }
    let quote = &rest[..=tag];
    let mut at = quote.len();
    while let Some(found) = rest[at..].iter().position(|byte| matches!(*byte, b'$' | 0)) {
        at += found;
        if rest[at] == 0 {
            return nul(start + at);
        }
        if rest[at..].starts_with(quote) {
            return many(Kind::Text, at + quote.len());
        }
        at += 1;
    }
    many(Kind::Broken(DOLLAR), rest.len())
}

fn line_comment(rest: &[u8], start: usize) -> Token {
    let length = length_while(rest, |byte| !matches!(byte, b'\n' | b'\r' | 0));
    match rest.get(length) {
        Some(0) => nul(start + length),
        _ => Token { kind: Kind::Space, start, end: start + length },
    }
}

/// Comments nest.
fn block_comment(rest: &[u8], start: usize) -> Token {
    let (mut length, mut depth) = (2, 1);
    while let Some(found) = rest[length..].iter().position(|byte| matches!(*byte, b'*' | b'/' | 0)) {
        length += found;
        match (rest[length], rest.get(length + 1)) {
            (0, _) => return nul(start + length),
            (b'*', Some(b'/')) => {
                depth -= 1;
                length += 2;
                if depth == 0 {
                    return Token { kind: Kind::Space, start, end: start + length };
                }
            }
            (b'/', Some(b'*')) => {
                depth += 1;
                length += 2;
            }
            _ => length += 1,
        }
    }
    Token { kind: Kind::Broken(COMMENT), start, end: start + rest.len() }
}

fn nul(at: usize) -> Token {
    Token { kind: Kind::Broken(NUL), start: at, end: at + 1 }
}
