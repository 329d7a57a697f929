//! `key = value, key = value`: what stands between the parentheses of both macros.

use proc_macro2::{Ident, TokenStream, TokenTree};

use crate::errors::Errors;

/// One `key = value`.
pub(crate) struct Entry {
    pub(crate) key: Ident,
    pub(crate) value: TokenStream,
}

/// All entries; what is not one is an error.
pub(crate) fn entries(tokens: TokenStream, errors: &mut Errors) -> Vec<Entry> {
    split(tokens, errors).into_iter().filter_map(|part| entry(part, errors)).collect()
}

/// The parts between top-level commas. Two commas in a row are an error, one at the end is not.
pub(crate) fn split(tokens: TokenStream, errors: &mut Errors) -> Vec<TokenStream> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Punct(comma) if comma.as_char() == ',' && part.is_empty() => {
                errors.at(comma, "nothing stands before this comma; remove it");
            }
            TokenTree::Punct(comma) if comma.as_char() == ',' => parts.push(part.drain(..).collect()),
            token => part.push(token),
        }
    }
    if !part.is_empty() {
        parts.push(part.into_iter().collect());
    }
    parts
}

/// A key without `=` gets an empty value, which the check of the key refuses with an example.
fn entry(part: TokenStream, errors: &mut Errors) -> Option<Entry> {
    let mut tokens = part.clone().into_iter();
    match (tokens.next(), tokens.next()) {
        (Some(TokenTree::Ident(key)), Some(equals)) if is_punct(&equals, '=') => {
            Some(Entry { key, value: before_next_entry(tokens.collect(), errors) })
        }
        (Some(TokenTree::Ident(key)), _) => Some(Entry { key, value: TokenStream::new() }),
        (Some(hash), _) if is_punct(&hash, '#') => {
            errors.at(part, "a doc comment or an attribute cannot stand here; write `description = \"…\"`");
            None
        }
        _ => {
            errors.at(part, "expected `key = value`, such as `id = \"0001_create_users\"`");
            None
        }
    }
}

/// The value without an entry that follows it and has no comma before it.
fn before_next_entry(mut value: Vec<TokenTree>, errors: &mut Errors) -> TokenStream {
    let starts = |pair: &[TokenTree]| matches!(pair, [TokenTree::Ident(_), equals] if is_punct(equals, '='));
    if let Some(at) = value.windows(2).position(starts) {
        errors.at(&value[at], format!("a comma is missing; write `, {} = …`", value[at]));
        value.truncate(at);
    }
    value.into_iter().collect()
}

fn is_punct(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str) -> Result<Vec<String>, String> {
        let mut errors = Errors::default();
        let entries = entries(source.parse().unwrap(), &mut errors);
        errors.finish().map_err(|error| error.into_iter().map(|e| e.to_string()).collect::<Vec<_>>().join(" | "))?;
        Ok(entries.iter().map(|entry| format!("{}:{}", entry.key, entry.value)).collect())
    }

    #[test]
    fn entries_are_split_at_top_level_commas_only() {
        assert_eq!(check("id = \"a\", tags = [1, 2], crate = x,").unwrap(), ["id:\"a\"", "tags:[1 , 2]", "crate:x"]);
        assert_eq!(check("").unwrap(), [""; 0]);
    }

    #[test]
    fn every_malformed_entry_is_reported() {
        let problems = check("\"x\", , id = 1 tags = [], /// doc\n down = y").unwrap_err();
        assert_eq!(problems.matches(" | ").count(), 3, "{problems}");
        assert!(problems.contains("write `, tags = …`"), "{problems}");
        assert!(problems.contains("description"), "{problems}");
    }

    #[test]
    fn a_key_without_an_equals_sign_has_no_value() {
        assert_eq!(check("id, tags[\"a\"], down").unwrap(), ["id:", "tags:", "down:"]);
    }
}
