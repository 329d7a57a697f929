//! `depends_on = [create_users, "billing/0001_plans"]`.

use std::collections::HashSet;

use admmgt_files::name::check_name;
use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::parse::Parser;
use syn::{LitStr, Path};

use super::keys::Argument;
use super::values::list;
use crate::errors::Errors;

/// What has to be applied before.
pub(crate) enum Dependency {
    /// A migration in reach of the compiler, which checks that it exists.
    Path(Path),
    /// Any other, found when the set is built.
    Name { namespace: String, id: String },
}

/// What the migration that depends on others is called itself.
pub(crate) struct Own<'a> {
    pub(crate) function: Option<&'a Ident>,
    pub(crate) namespace: &'a str,
    pub(crate) id: &'a str,
}

/// Reads the list; repetitions and the migration itself are errors.
pub(crate) fn dependencies(argument: &Argument, own: &Own<'_>) -> syn::Result<Vec<Dependency>> {
    let mut errors = Errors::default();
    let mut seen = HashSet::new();
    let mut dependencies = Vec::new();
    for part in list(argument, &mut errors)? {
        match dependency(&part, own.namespace) {
            Err(error) => errors.add(error),
            Ok(found) if found.is(own) => errors.at(part, "a migration cannot depend on itself; remove this entry"),
            Ok(found) if !seen.insert(found.key()) => errors.at(part, "this dependency is listed twice; remove one"),
            Ok(found) => dependencies.push(found),
        }
    }
    errors.finish().map(|()| dependencies)
}

/// Reads a list of names in quotes: what they name is not there any more, so no path could lead there.
pub(crate) fn names(argument: &Argument, own: &Own<'_>) -> syn::Result<Vec<Dependency>> {
    let mut errors = Errors::default();
    let mut seen = HashSet::new();
    let mut names = Vec::new();
    for part in list(argument, &mut errors)? {
        match syn::parse2::<LitStr>(part.clone()) {
            Err(_) => {
                errors.at(part, "what is replaced is not there any more; write its name in quotes: `\"0001_users\"`")
            }
            Ok(text) => match named(&text, own.namespace) {
                Err(error) => errors.add(error),
                Ok(found) if found.is(own) => errors.at(part, "a migration cannot replace itself; remove this entry"),
                Ok(found) if !seen.insert(found.key()) => errors.at(part, "this name is listed twice; remove one"),
                Ok(found) => names.push(found),
            },
        }
    }
    errors.finish().map(|()| names)
}

fn dependency(part: &TokenStream, namespace: &str) -> syn::Result<Dependency> {
    if let Ok(text) = syn::parse2::<LitStr>(part.clone()) {
        return named(&text, namespace);
    }
    Path::parse_mod_style.parse2(part.clone()).map(Dependency::Path).map_err(|_| {
        syn::Error::new_spanned(
            part,
            "this is neither a migration's function nor a string; write `create_users`, `billing::create_plans` or \
             `\"billing/0001_plans\"`",
        )
    })
}

fn named(text: &LitStr, own_namespace: &str) -> syn::Result<Dependency> {
    let value = text.value();
    let checked = match value.split_once('/') {
        Some((namespace, id)) => check_name(namespace).and_then(|()| check_name(id)).map(|()| (namespace, id)),
        None => check_name(&value).map(|()| (own_namespace, value.as_str())),
    };
    match checked {
        Ok((namespace, id)) => Ok(Dependency::Name { namespace: namespace.to_owned(), id: id.to_owned() }),
        Err(problem) => Err(syn::Error::new(
            text.span(),
            format!("this names no migration: {problem}; write `\"namespace/id\"`, or `\"id\"` in the same namespace"),
        )),
    }
}

impl Dependency {
    /// Whether it names the migration it was written for.
    fn is(&self, own: &Own<'_>) -> bool {
        match self {
            Self::Path(path) => own.function.is_some_and(|function| path.is_ident(function)),
            Self::Name { namespace, id } => namespace == own.namespace && id == own.id,
        }
    }

    /// What two entries share that are the same.
    fn key(&self) -> String {
        match self {
            Self::Path(path) => path.to_token_stream().into_iter().map(|token| token.to_string()).collect(),
            Self::Name { namespace, id } => format!("{namespace}/{id}"),
        }
    }
}
