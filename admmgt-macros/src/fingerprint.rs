//! The checksum of a migration written in Rust: a hash of its tokens.
//!
//! What counts: every word, literal, sign and delimiter of the signature and the body, in order,
//! and the path of `down`. What does not: white space, comments, doc comments, attributes
//! (`#[…]`, `#![…]`, inside the body too) and a comma before a closing `)`, `]` or `}`, which
//! rustfmt adds when it wraps a list. So the one-element tuple `(a,)` has the fingerprint of `(a)`,
//! and `a & &b` that of `a && b`: edits the types rarely let through, against a cry of wolf at every
//! wrapped call. What the body calls is not covered. Braces that rustfmt adds around a closure or
//! an arm do count.
//!
//! The tokens are walked and never printed as a whole: how a stream is printed differs between
//! compilers. Each one is a field: a byte for its kind, then its text. The groups without
//! delimiters that `macro_rules!` leaves around its fragments are looked through.
//!
//! This is a stored format: a change of it makes every applied migration look edited.

use admmgt_files::checksum::Hasher;
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::Path;

/// The checksum of a function and of the path of the function that takes it back.
pub(crate) fn of_code(function: TokenStream, down: Option<&Path>) -> String {
    let mut hash = Hasher::new();
    walk(function, &mut hash);
    if let Some(down) = down {
        add(&mut hash, b'd', "");
        walk(down.to_token_stream(), &mut hash);
    }
    hash.finish()
}

fn walk(tokens: TokenStream, hash: &mut Hasher) {
    let tokens = flat(tokens);
    let mut rest = tokens.as_slice();
    while let [token, after @ ..] = rest {
        let attribute = attribute(rest);
        let trailing_comma = is_punct(token, ',') && after.is_empty();
        if attribute == 0 && !trailing_comma {
            self::token(token, hash);
        }
        rest = &rest[attribute.max(1)..];
    }
}

fn token(token: &TokenTree, hash: &mut Hasher) {
    match token {
        TokenTree::Ident(ident) => add(hash, b'i', &ident.to_string()),
        TokenTree::Literal(literal) => add(hash, b'l', &literal.to_string()),
        TokenTree::Punct(punct) => add(hash, b'p', punct.as_char().encode_utf8(&mut [0; 4])),
        TokenTree::Group(group) => {
            add(hash, b'g', opening(group.delimiter()));
            walk(group.stream(), hash);
            add(hash, b'e', "");
        }
    }
}

fn add(hash: &mut Hasher, kind: u8, text: &str) {
    let mut field = Vec::with_capacity(1 + text.len());
    field.push(kind);
    field.extend_from_slice(text.as_bytes());
    hash.field(&field);
}

fn opening(delimiter: Delimiter) -> &'static str {
    match delimiter {
        Delimiter::Parenthesis => "(",
        Delimiter::Bracket => "[",
        Delimiter::Brace => "{",
        Delimiter::None => "",
    }
}

/// The tokens with those of invisible groups in place of the groups.
fn flat(tokens: TokenStream) -> Vec<TokenTree> {
    let mut all = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => all.extend(flat(group.stream())),
            token => all.push(token),
        }
    }
    all
}

/// How many tokens at the start are one attribute: `#[…]`, `#![…]`, or a doc comment as one.
fn attribute(tokens: &[TokenTree]) -> usize {
    match tokens {
        [hash, list, ..] if is_punct(hash, '#') && is_list(list) => 2,
        [hash, bang, list, ..] if is_punct(hash, '#') && is_punct(bang, '!') && is_list(list) => 3,
        _ => 0,
    }
}

fn is_punct(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

fn is_list(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str =
        r#"async fn add(db: &mut Db) -> Result<(), E> { let n = db.run("a", 1 + 2).await?; f((n, n)); Ok(()) }"#;

    fn of(source: &str) -> String {
        of_code(source.parse().unwrap(), None)
    }

    #[test]
    fn what_rustfmt_and_documentation_change_does_not_count() {
        for same in [
            "async fn add(\n    db: &mut Db,\n) -> Result<(), E> {\n let n = db\n .run(\n \"a\",\n 1 + 2,\n ).await?;\n f((n, n,),);\n Ok(()) }",
            "async fn add(db:&mut Db)->Result<(),E>{let n=db.run(\"a\",1+2).await?;f((n,n));Ok(())}",
            "async fn add(db: &mut Db) -> Result<(), E> { /* why */ let n = db.run(\"a\", 1 + 2).await?; // so\n f((n, n)); Ok(()) }",
            "async fn add(#[cfg(all())] db: &mut Db) -> Result<(), E> { #![allow(x)] /// doc\n #[allow(unused)] let n = db.run(\"a\", 1 + 2).await?; f((n, n)); Ok(()) }",
        ] {
            assert_eq!(of(same), of(BASE), "{same}");
        }
    }

    #[test]
    fn every_edit_of_a_token_counts() {
        let edits = [
            ("\"a\"", "\"b\""),
            ("1 + 2", "1 - 2"),
            ("1 + 2", "2 + 1"),
            ("1 + 2", "12"),
            ("let n", "let mut n"),
            ("f((n, n))", "f(n, n)"),
            ("f((n, n))", "f([n, n])"),
            ("(n, n)", "(n)"),
            ("async fn", "fn"),
            ("fn add", "fn add_email"),
            ("&mut Db", "&mut Other"),
            (", E>", ", F>"),
            ("Ok(())", "Ok(());"),
            ("Ok(())", "Ok(()),x"),
            ("?; f", "; f"),
        ];
        for (from, to) in edits {
            assert_ne!(of(&BASE.replace(from, to)), of(BASE), "{from} to {to}");
        }
        let renamed = BASE.replace("let n", "let m").replace("(n, n)", "(m, m)");
        assert_ne!(of(&renamed), of(BASE));
    }

    #[test]
    fn borders_of_tokens_and_groups_count() {
        for (a, b) in [("a b", "ab"), ("a (b) c", "a (b c)"), ("\"a\" \"b\"", "\"ab\""), ("a", "\"a\""), ("a,b", "a b")]
        {
            assert_ne!(of(a), of(b), "{a} and {b}");
        }
    }

    #[test]
    fn the_way_back_counts() {
        let down = |path: &str| of_code(BASE.parse().unwrap(), Some(&syn::parse_str(path).unwrap()));
        assert_ne!(down("drop_email"), of(BASE));
        assert_ne!(down("drop_email"), down("drop_emails"));
        assert_ne!(down("a::b"), down("b"));
        assert_ne!(of_code("a d b".parse().unwrap(), None), of_code("a".parse().unwrap(), Some(&syn::parse_quote!(b))));
    }

    #[test]
    fn what_macro_rules_wraps_around_a_fragment_does_not_count() {
        let inner: TokenStream = "1, 2,".parse().unwrap();
        let wrapped = TokenTree::Group(proc_macro2::Group::new(Delimiter::None, inner));
        let around = TokenTree::Group(proc_macro2::Group::new(Delimiter::Parenthesis, TokenStream::from(wrapped)));
        assert_eq!(of_code(TokenStream::from(around), None), of("(1, 2)"));
    }

    /// Computed by hand as well: SHA-256 over each token's length (8 bytes, little endian), kind and text.
    #[test]
    fn the_stored_format_is_pinned() {
        let source =
            "pub_ fn f(db: &mut Db) -> R<()> { #[x] db.run(\"text\", 1_0u8, 'c', 'a: {}); r#type.0.1 != [1, 2,] }";
        let checksum = of_code(source.parse().unwrap(), Some(&syn::parse_quote!(a::undo)));
        assert_eq!(checksum, "v1:sha256:c0828c7795577183436b1bde8e150733f63c298b80cce7bae3b6f6b222e81053");
    }
}
