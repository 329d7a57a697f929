//! The signature of a migration: `[async] fn name(db: &mut T) -> Result<(), E>`.
//!
//! The compiler's own messages for most of these mistakes point into the expansion or speak of
//! trait bounds, so they are found here.

use proc_macro2::Span;
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{GenericParam, Safety, Signature, Type, parse_quote};

use super::{argument, output};
use crate::errors::{Errors, both};

/// What the expansion needs of a signature.
pub(crate) struct Call {
    pub(crate) is_async: bool,
    /// `T` of the argument `&mut T`.
    pub(crate) argument: Type,
    /// Where the return type stands: errors of its conversion point there.
    pub(crate) output: Span,
}

impl Call {
    /// The call of its probe. Where it can wait, it chooses its own connection: one that only reads.
    pub(crate) fn of_a_probe(&self) -> Self {
        let argument = if self.is_async { parse_quote!(_) } else { self.argument.clone() };
        Self { is_async: self.is_async, argument, output: self.output }
    }
}

/// Accepts or refuses a signature, with every reason.
pub(crate) fn check(signature: &Signature) -> syn::Result<Call> {
    let is_async = signature.asyncness.is_some();
    let kind = both(qualifiers(signature), generics(signature));
    let types = both(argument::check(signature), output::check(signature));
    let (_, (argument, output)) = both(kind, types)?;
    Ok(Call { is_async, argument: argument.clone(), output: output.span() })
}

/// Neither `const`, `unsafe` nor `extern`.
fn qualifiers(signature: &Signature) -> syn::Result<()> {
    let mut errors = Errors::default();
    if let Some(word) = &signature.constness {
        errors.at(word, "a migration runs against a database and cannot be `const`; remove the word");
    }
    if let Safety::Unsafe(word) = &signature.safety {
        errors.at(word, "the library calls migrations from safe code; remove `unsafe` here and write it around the part that needs it");
    }
    if let Some(abi) = &signature.abi {
        errors.at(abi, "a migration is called from Rust; remove `extern`");
    }
    errors.finish()
}

/// Nothing for the caller to choose.
fn generics(signature: &Signature) -> syn::Result<()> {
    let generics = &signature.generics;
    let refuse = |tokens: &dyn ToTokens, message| Err(syn::Error::new_spanned(tokens.to_token_stream(), message));
    match (generics.params.first(), &generics.where_clause) {
        (Some(GenericParam::Lifetime(_)), _) => {
            refuse(&generics.params, "a migration has no lifetime parameters; remove them, `db: &mut T` needs none")
        }
        (Some(_), _) => refuse(
            &generics.params,
            "a migration cannot be generic, the library calls it with one connection; write that type in the argument",
        ),
        (None, Some(clause)) => refuse(clause, "a migration has nothing to bound; remove the `where` clause"),
        (None, None) => Ok(()),
    }
}
