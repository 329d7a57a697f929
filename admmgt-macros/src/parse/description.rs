//! The description of a migration: the first paragraph of its doc comment.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The lines up to the first empty one, joined by spaces.
pub(crate) fn first_paragraph(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes.iter().filter_map(doc_text).flat_map(|text| lines(&text)).collect();
    let paragraph = lines.iter().skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty());
    paragraph.map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn doc_text(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

/// The lines of one doc attribute; a block comment has several, often with a star before each.
fn lines(text: &str) -> Vec<String> {
    let block = text.contains('\n');
    let line = |line: &str| {
        let line = line.trim();
        if block { line.strip_prefix('*').unwrap_or(line).trim_start().to_owned() } else { line.to_owned() }
    };
    text.split('\n').map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &str) {
        let function: syn::ItemFn = syn::parse_str(&format!("{source} fn f() {{}}")).unwrap();
        assert_eq!(first_paragraph(&function.attrs), expected);
    }

    #[test]
    fn the_first_paragraph_becomes_one_line() {
        check("", "");
        check("/// Users sign in\n/// by e-mail.\n///\n/// More.\n", "Users sign in by e-mail.");
        check("///\n/// Users\n", "Users");
        check("/** Users\n * sign in.\n *\n * More. */", "Users sign in.");
        check("#[doc(hidden)] #[doc = include_str!(\"x\")] #[inline] /// Users\n", "Users");
    }
}
