//! Checksums of SQL and of code, written `v1:sha256:<64 hexadecimal digits>`.

use sha2::{Digest, Sha256};

use crate::text::without_mark;

/// What every checksum of this version starts with: its scheme.
pub const SCHEME: &str = "v1:sha256:";

/// The checksum of a SQL text.
///
/// The byte-order mark is dropped and CRLF becomes LF, so that an editor or a git setting never
/// looks like an edit. Everything else counts: a trailing space may stand inside a literal.
///
/// ```
/// use admmgt_files::checksum::of_sql;
///
/// assert_eq!(of_sql("select 1;\r\n"), of_sql("\u{feff}select 1;\n"));
/// assert_ne!(of_sql("select 1;"), of_sql("select 1; "));
/// ```
pub fn of_sql(text: &str) -> String {
    let mut hash = SqlHasher::default();
    hash.update(text);
    hash.finish()
}

/// The checksum of a SQL text that comes in pieces; the same as that of all of it, [`of_sql`].
///
/// ```
/// use admmgt_files::checksum::{of_sql, SqlHasher};
///
/// let mut hash = SqlHasher::default();
/// ["select 1;\r", "\nselect", " 2;"].into_iter().for_each(|piece| hash.update(piece));
/// assert_eq!(hash.finish(), of_sql("select 1;\nselect 2;"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct SqlHasher {
    hash: Hasher,
    began: bool,
    /// A carriage return was last, and a line feed may follow.
    held: bool,
}

impl SqlHasher {
    /// The next piece.
    pub fn update(&mut self, piece: &str) {
        if piece.is_empty() {
            return;
        }
        let mut rest = if self.began { piece } else { without_mark(piece) };
        self.began = true;
        if std::mem::take(&mut self.held) && !rest.starts_with('\n') {
            self.hash.0.update(b"\r");
        }
        while let Some(at) = rest.find("\r\n") {
            self.hash.0.update(&rest.as_bytes()[..at]);
            rest = &rest[at + 1..];
        }
        if let Some(whole) = rest.strip_suffix('\r') {
            self.held = true;
            rest = whole;
        }
        self.hash.0.update(rest.as_bytes());
    }

    /// The checksum, with its scheme.
    pub fn finish(mut self) -> String {
        if self.held {
            self.hash.0.update(b"\r");
        }
        self.hash.finish()
    }
}

/// The SHA-384 of a text, which sqlx keeps of its migrations.
///
/// # Errors
/// What reading it says.
pub fn sha384(mut text: impl std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut hash = sha2::Sha384::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match text.read(&mut piece)? {
            0 => return Ok(hash.finalize().to_vec()),
            read => hash.update(&piece[..read]),
        }
    }
}

/// A 32-byte digest of a list of fields, each with its length before it, so that no two lists
/// share one.
pub fn digest<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Hasher::new();
    for field in fields {
        hash.field(field);
    }
    hash.0.finalize().into()
}

/// Builds the checksum of something that is not one text: the tokens of a function.
#[derive(Debug, Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Starts with nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one field, its length first.
    pub fn field(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// The checksum, with its scheme.
    pub fn finish(self) -> String {
        let mut text = String::with_capacity(SCHEME.len() + 64);
        text.push_str(SCHEME);
        for byte in self.0.finalize() {
            text.push(char::from(b"0123456789abcdef"[usize::from(byte >> 4)]));
            text.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
        }
        text
    }
}

/// Accepts or refuses a checksum that a person wrote: `v1:sha256:` and 64 lower-case hexadecimal
/// digits, or a word of one's own scheme such as `manual:2`.
pub fn check(text: &str) -> Result<(), String> {
    let problem = match text.strip_prefix(SCHEME) {
        Some(hex) if hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) => return Ok(()),
        Some(_) => "a `v1:sha256:` checksum has 64 lower-case hexadecimal digits",
        None if text.starts_with("v1:") => "the only scheme of version 1 is `v1:sha256:`",
        None if text.is_empty() || text.len() > 200 => "a checksum has 1 to 200 bytes",
        None if !text.contains(':') => "start it with a scheme, such as `manual:1`",
        None if text.bytes().all(|b| b.is_ascii_graphic()) => return Ok(()),
        None => "a checksum has printable ASCII characters and no spaces",
    };
    Err(problem.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_sqlx_is_the_standards() {
        // FIPS 180-2, appendix D.1.
        let hash = sha384("abc".as_bytes()).unwrap();
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"
        );
    }

    #[test]
    fn the_scheme_is_what_the_format_promises() {
        // As `sha256sum` prints them: stored histories depend on it.
        assert_eq!(of_sql(""), "v1:sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(
            of_sql("select 1;\r\n"),
            "v1:sha256:4a45092ccf992ea92250053a80b931b787924ba61648f420555511b84f10ab6c"
        );
    }

    #[test]
    fn only_line_ends_and_the_mark_are_canonical() {
        assert_eq!(of_sql("a\r\nb\r\n"), of_sql("a\nb\n"));
        assert_ne!(of_sql("a\rb"), of_sql("a\nb"));
        assert_ne!(of_sql("a\r\r\nb"), of_sql("a\nb"));
        assert_ne!(of_sql("a\n"), of_sql("a"));
    }

    #[test]
    fn pieces_have_the_checksum_of_the_whole() {
        for text in ["", "\u{feff}a\r\nb", "\r\r\n\r", "a\r", "\r\n\r\n", "é\r\u{feff}\n"] {
            for cut in (0..=text.len()).filter(|cut| text.is_char_boundary(*cut)) {
                for again in (cut..=text.len()).filter(|cut| text.is_char_boundary(*cut)) {
                    let mut hash = SqlHasher::default();
                    [&text[..cut], &text[cut..again], &text[again..]].into_iter().for_each(|piece| hash.update(piece));
                    assert_eq!(hash.finish(), of_sql(text), "{text:?} {cut} {again}");
                }
            }
        }
    }

    #[test]
    fn fields_cannot_be_moved_across_their_border() {
        assert_ne!(digest([b"ab".as_slice(), b"c"]), digest([b"a".as_slice(), b"bc"]));
    }

    #[test]
    fn written_checksums_are_checked() {
        assert!(check(&of_sql("x")).is_ok());
        assert!(check("manual:2").is_ok());
        for bad in ["", "2", "v1:sha256:00", "v1:md5:0", "manual: 2"] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert!(check("").unwrap_err().contains("1 to 200 bytes"));
        assert!(check(&format!("manual:{}", "2".repeat(193))).is_ok());
        assert!(check(&format!("manual:{}", "2".repeat(194))).unwrap_err().contains("1 to 200 bytes"));
    }
}
