//! The annotated function. Its body stays one unparsed group, so that a thousand migrations expand
//! quickly.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Signature, Token, Visibility};

/// A function, read up to its body.
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    /// The signature and the body as they were written: what the fingerprint is taken of.
    pub(crate) tokens: TokenStream,
}

impl Function {
    /// Reads an item, if it is a function with a body.
    pub(crate) fn parse(item: TokenStream) -> syn::Result<Self> {
        let mut header: Vec<TokenTree> = item.into_iter().collect();
        let body = header.pop_if(|last| is_body(last));
        let mut function = head.parse2(header.into_iter().collect())?;
        let Some(body) = body else {
            return Err(syn::Error::new_spanned(&function.signature, "this function has no body; write `{ … }`"));
        };
        function.tokens.extend([body]);
        Ok(function)
    }
}

fn head(input: ParseStream) -> syn::Result<Function> {
    let attributes = input.call(Attribute::parse_outer)?;
    let visibility = input.parse()?;
    let tokens: TokenStream = input.fork().parse()?;
    if !starts_a_function(&tokens) {
        return Err(syn::Error::new_spanned(
            tokens,
            "`#[migration]` goes on a function; write `async fn create_users(cx: &mut Context) -> Result<(), BoxError> { … }`",
        ));
    }
    let signature = input.parse()?;
    input.parse::<Option<Token![;]>>()?;
    Ok(Function { attributes, visibility, signature, tokens })
}

/// Whether `fn` stands among the first words, as in `pub async unsafe extern "C" fn`.
fn starts_a_function(tokens: &TokenStream) -> bool {
    let words = tokens.clone().into_iter().take_while(|t| matches!(t, TokenTree::Ident(_) | TokenTree::Literal(_)));
    words.into_iter().any(|word| matches!(word, TokenTree::Ident(ident) if ident == "fn"))
}

/// A group in braces, or one that a `macro_rules!` handed over as `$body:block`.
fn is_body(token: &TokenTree) -> bool {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => true,
        TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
            let mut inner = group.stream().into_iter();
            inner.next().is_some_and(|token| is_body(&token)) && inner.next().is_none()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str) -> Result<String, String> {
        let function = Function::parse(source.parse().unwrap()).map_err(|error| error.to_string())?;
        Ok(format!("{} | {}", function.signature.ident, function.tokens))
    }

    #[test]
    fn the_tokens_start_after_the_visibility() {
        let read = check("/// Doc\n #[inline] pub(crate) async fn f(db: &mut T) -> R { anything goes here }");
        assert_eq!(read.unwrap(), "f | async fn f (db : & mut T) -> R { anything goes here }");
    }

    #[test]
    fn what_is_not_a_function_is_told_so() {
        for source in ["struct X;", "pub struct X { a: u8 }", "const F: fn() = g;", "mod m {}", "impl X { fn f() {} }"]
        {
            assert!(check(source).unwrap_err().contains("goes on a function"), "{source}");
        }
        assert!(check("fn f();").unwrap_err().contains("has no body"));
    }
}
