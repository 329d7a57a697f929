//! The one argument of a migration: `db: &mut T`.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::{FnArg, Pat, PatType, Path, Signature, Token, Type, TypePath, TypeReference};

/// `T` of the only argument `&mut T`.
pub(crate) fn check(signature: &Signature) -> syn::Result<&Type> {
    let argument = only(signature)?;
    let reference = match bare(&argument.ty) {
        Type::Reference(reference) if reference.mutability.is_some() => reference,
        other => return refuse(&argument.ty, &not_borrowed(&argument.pat, other)),
    };
    target(reference, signature.asyncness.is_some())?;
    Ok(&reference.elem)
}

fn only(signature: &Signature) -> syn::Result<&PatType> {
    let mut inputs = signature.inputs.iter();
    match (inputs.next(), inputs.next()) {
        (Some(FnArg::Receiver(receiver)), _) => refuse(
            receiver,
            "a migration has no `self`; move the function out of the `impl` block and write `cx: &mut Context`",
        ),
        (Some(FnArg::Typed(argument)), None) => Ok(argument),
        (Some(_), Some(_)) => refuse(
            signature.inputs.iter().skip(1).cloned().collect::<Punctuated<FnArg, Token![,]>>(),
            "a migration takes the connection and nothing else; remove this, and read what else it needs inside",
        ),
        (None, _) => Err(syn::Error::new(
            signature.paren_token.span.join(),
            "a migration takes the connection; write `cx: &mut Context`, or the type of your database's client",
        )),
    }
}

/// Words for an argument that is not `&mut T`, with its own name and type where they are simple.
fn not_borrowed(pattern: &Pat, ty: &Type) -> String {
    let name = match pattern {
        Pat::Ident(pattern) => pattern.ident.to_string(),
        _ => "db".to_owned(),
    };
    let ty = match ty {
        Type::Reference(reference) => &reference.elem,
        ty => ty,
    };
    let ty = match bare(ty) {
        Type::Path(TypePath { qself: None, path, .. }) => written(path),
        _ => "Context".to_owned(),
    };
    format!("a migration borrows its connection mutably; write `{name}: &mut {ty}`")
}

fn written(path: &Path) -> String {
    let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    names.join("::")
}

/// Refuses what cannot be handed out: unnamed types, types with lifetimes, blocking ones in async.
fn target(reference: &TypeReference, is_async: bool) -> syn::Result<()> {
    let ty = bare(&reference.elem);
    match ty {
        Type::ImplTrait(_) | Type::TraitObject(_) => refuse(
            ty,
            "a migration names the type of its connection; write `&mut Context`, which works on any database, or the \
             type of your database's client",
        ),
        _ if has_lifetime(reference.to_token_stream()) => refuse(
            reference,
            "a migration's argument has no lifetime; borrow the connection itself, as in `cx: &mut Context`",
        ),
        Type::Path(path) if is_async && is_rusqlite(&path.path) => refuse(
            ty,
            "rusqlite blocks its thread; write a plain `fn` instead of `async fn`, it runs on the connection's own \
             thread",
        ),
        _ => Ok(()),
    }
}

fn has_lifetime(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Punct(punct) => punct.as_char() == '\'',
        TokenTree::Group(group) => has_lifetime(group.stream()),
        _ => false,
    })
}

fn is_rusqlite(path: &Path) -> bool {
    let mut names = path.segments.iter().rev().map(|segment| &segment.ident);
    names.next().is_some_and(|name| name == "Connection") && names.next().is_some_and(|name| name == "rusqlite")
}

/// The type without the parentheses and invisible groups around it.
pub(crate) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        ty => ty,
    }
}

fn refuse<T>(tokens: impl ToTokens, message: &str) -> syn::Result<T> {
    Err(syn::Error::new_spanned(tokens, message))
}
