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
    split(tokens, errors).into_iter().filter_map(|part| errors.keep(entry(part))).collect()
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

fn entry(part: TokenStream) -> syn::Result<Entry> {
    let mut tokens = part.clone().into_iter();
    match (tokens.next(), tokens.next()) {
        (Some(TokenTree::Ident(key)), Some(TokenTree::Punct(equals))) if equals.as_char() == '=' => {
            Ok(Entry { key, value: tokens.collect() })
        }
        (Some(TokenTree::Punct(hash)), _) if hash.as_char() == '#' => Err(syn::Error::new_spanned(
            part,
            "a doc comment or an attribute cannot stand here; write `description = \"…\"`",
        )),
        (Some(TokenTree::Ident(key)), _) => {
            Err(syn::Error::new_spanned(part, format!("`{key}` has no value; write `{key} = …`")))
        }
        _ => Err(syn::Error::new_spanned(part, "expected `key = value`, such as `id = \"0001_create_users\"`")),
    }
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
        let problems = check("id, \"x\", , tags[1], /// doc\n down = y").unwrap_err();
        assert_eq!(problems.matches(" | ").count(), 4, "{problems}");
        assert!(problems.contains("`tags` has no value; write `tags = …`"), "{problems}");
        assert!(problems.contains("description"), "{problems}");
    }
}
