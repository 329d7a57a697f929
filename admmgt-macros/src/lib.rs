//! `#[migration]` and `sql_migration!`: what is decided while the application is compiled.
//!
//! ```text
//! tokens ──parse──▶ what was written ──check──▶ what is meant ──expand──▶ tokens
//!                                       └─ errors that say what to write instead
//!                   fingerprint: the checksum of a function     source: that of a SQL file
//! ```
//!
//! Applications use these through the `admmgt` crate.

mod check;
mod errors;
mod expand;
mod fingerprint;
mod package;
mod parse;
mod source;

use proc_macro2::TokenStream;
use quote::quote;

use crate::check::arguments::{CodeArguments, SqlArguments};
use crate::check::signature;
use crate::errors::both;
use crate::package::Package;
use crate::parse::function::Function;

/// Registers a function as a migration. TODO
#[proc_macro_attribute]
pub fn migration(arguments: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let item = TokenStream::from(item);
    let added = code(arguments.into(), item.clone(), &Package::current());
    let added = added.unwrap_or_else(|errors| errors.into_compile_error());
    quote!(#item #added).into()
}

/// TODO
#[proc_macro]
pub fn sql_migration(arguments: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let expansion = sql(arguments.into(), &Package::current());
    expansion.unwrap_or_else(|errors| errors.into_compile_error()).into()
}

/// What `#[migration]` adds to the function.
fn code(arguments: TokenStream, item: TokenStream, package: &Package) -> syn::Result<TokenStream> {
    let function = Function::parse(item);
    let name = function.as_ref().ok().map(|function| function.signature.ident.clone());
    let arguments = CodeArguments::check(arguments, name.as_ref(), package);
    let call = function.and_then(|function| Ok((signature::check(&function.signature)?, function)));
    let (arguments, (call, function)) = both(arguments, call)?;
    Ok(expand::code::code(function, &call, &arguments))
}

/// What `sql_migration!` becomes.
fn sql(arguments: TokenStream, package: &Package) -> syn::Result<TokenStream> {
    let arguments = SqlArguments::check(arguments, package)?;
    let up = source::checksum_of(&arguments.up, &package.folder);
    let down = arguments.down.as_ref().map(|down| source::checksum_of(down, &package.folder)).transpose();
    let (checksum, _) = both(up, down)?;
    Ok(expand::sql::sql(&arguments, &checksum))
}
