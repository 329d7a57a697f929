//! The values of single keys: texts, lists of texts, paths.

use admmgt_files::name::check_name;
use proc_macro2::TokenStream;
use syn::parse::{ParseStream, Parser};
use syn::{LitStr, Path, bracketed};

use super::keys::Argument;
use crate::errors::Errors;
use crate::parse::entries::split;

/// Whether a migration wants a transaction.
#[derive(Default, Clone, Copy)]
pub(crate) enum Transaction {
    #[default]
    Auto,
    Required,
    None,
}

/// What a run does about a migration that was interrupted.
#[derive(Default, Clone, Copy)]
pub(crate) enum OnInterrupt {
    #[default]
    Manual,
    Retry,
    /// Not a word of its own: what `probe = function` means.
    Probe,
}

/// A string in quotes.
pub(crate) fn text(argument: &Argument) -> syn::Result<LitStr> {
    syn::parse2(argument.value.clone()).map_err(|_| argument.wrong("this is not one string in quotes"))
}

/// A string that names a migration or a namespace.
pub(crate) fn name(argument: &Argument) -> syn::Result<String> {
    let literal = text(argument)?;
    let name = literal.value();
    match check_name(&name) {
        Ok(()) => Ok(name),
        Err(problem) => Err(syn::Error::new(literal.span(), format!("this name cannot be used: {problem}"))),
    }
}

/// The id of the migration. A slash in it is a namespace in the wrong place.
pub(crate) fn id(argument: &Argument) -> syn::Result<String> {
    let literal = text(argument)?;
    match literal.value().split_once('/') {
        Some((namespace, id)) if check_name(namespace).is_ok() && check_name(id).is_ok() => Err(syn::Error::new(
            literal.span(),
            format!("an id has no namespace in it; write `namespace = \"{namespace}\", id = \"{id}\"`"),
        )),
        _ => name(argument),
    }
}

/// A checksum in one's own words.
pub(crate) fn checksum(argument: &Argument) -> syn::Result<String> {
    let literal = text(argument)?;
    match admmgt_files::checksum::check(&literal.value()) {
        Ok(()) => Ok(literal.value()),
        Err(problem) => Err(syn::Error::new(literal.span(), format!("this checksum cannot be used: {problem}"))),
    }
}

/// One of the three words.
pub(crate) fn transaction(argument: &Argument) -> syn::Result<Transaction> {
    let word = text(argument)?;
    match word.value().as_str() {
        "auto" => Ok(Transaction::Auto),
        "required" => Ok(Transaction::Required),
        "none" => Ok(Transaction::None),
        _ => Err(syn::Error::new(word.span(), "no such transaction; write `\"auto\"`, `\"required\"` or `\"none\"`")),
    }
}

/// What is done if it was interrupted: one of the two words.
pub(crate) fn on_interrupt(argument: &Argument) -> syn::Result<OnInterrupt> {
    let word = text(argument)?;
    match word.value().as_str() {
        "manual" => Ok(OnInterrupt::Manual),
        "retry" => Ok(OnInterrupt::Retry),
        "probe" => Err(syn::Error::new(word.span(), "name the function that looks: `probe = look_for_users`")),
        _ => Err(syn::Error::new(word.span(), "no such choice; write `\"manual\"` or `\"retry\"`")),
    }
}

/// `true` or `false`.
pub(crate) fn yes_or_no(argument: &Argument) -> syn::Result<bool> {
    syn::parse2::<syn::LitBool>(argument.value.clone())
        .map(|literal| literal.value)
        .map_err(|_| argument.wrong("this is neither `true` nor `false`"))
}

/// `["seed", "slow"]`.
pub(crate) fn tags(argument: &Argument) -> syn::Result<Vec<String>> {
    let mut errors = Errors::default();
    let parts = list(argument, &mut errors)?;
    let tags = parts.into_iter().filter_map(|part| errors.keep(tag(part))).collect();
    errors.finish().map(|()| tags)
}

fn tag(part: TokenStream) -> syn::Result<String> {
    match syn::parse2::<LitStr>(part.clone()) {
        Ok(text) if !text.value().is_empty() => Ok(text.value()),
        _ => Err(syn::Error::new_spanned(part, "a tag is a word in quotes; write `tags = [\"seed\"]`")),
    }
}

/// The parts of a list in brackets.
pub(crate) fn list(argument: &Argument, errors: &mut Errors) -> syn::Result<Vec<TokenStream>> {
    let inside = |input: ParseStream| {
        let content;
        bracketed!(content in input);
        content.parse()
    };
    let content =
        inside.parse2(argument.value.clone()).map_err(|_| argument.wrong("this is not a list in brackets"))?;
    Ok(split(content, errors))
}

/// A path without arguments: `create_users`, `billing::create_plans`.
pub(crate) fn path(argument: &Argument, problem: &str) -> syn::Result<Path> {
    Path::parse_mod_style.parse2(argument.value.clone()).map_err(|_| argument.wrong(problem))
}
