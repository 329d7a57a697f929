//! The arguments of `migrations_dir!`, checked.

use proc_macro2::TokenStream;
use syn::parse::{ParseStream, Parser};
use syn::{LitStr, Path, Token, parse_quote};

use super::arguments::namespace;
use super::keys::{Arguments, OF_DIR};
use super::values;
use crate::errors::Errors;
use crate::package::Package;

/// `migrations_dir!("migrations", backend = "sqlite")`.
pub(crate) struct FolderArguments {
    pub(crate) folder: LitStr,
    pub(crate) namespace: String,
    pub(crate) backend: Option<String>,
    /// Files that are no migrations are an error.
    pub(crate) strict: bool,
    pub(crate) library: Path,
}

impl FolderArguments {
    /// Reads and checks; the folder is not opened yet.
    pub(crate) fn check(tokens: TokenStream, package: &Package) -> syn::Result<Self> {
        let example =
            "write the folder first, from the folder of this crate's Cargo.toml: `migrations_dir!(\"migrations\")`";
        let first = |input: ParseStream<'_>| {
            let folder: LitStr = input.parse().map_err(|error| syn::Error::new(error.span(), example))?;
            let _: Option<Token![,]> = input.parse()?;
            Ok((folder, input.parse::<TokenStream>()?))
        };
        let (folder, rest) = first.parse2(tokens)?;
        let mut errors = Errors::default();
        let mut arguments = Arguments::read(rest, OF_DIR, &mut errors);
        let namespace = errors.keep(namespace(arguments.take("namespace"), package)).unwrap_or_default();
        let backend = arguments.take("backend").and_then(|it| errors.keep(values::name(&it)));
        let strict = arguments.take("strict").and_then(|it| errors.keep(values::yes_or_no(&it))).unwrap_or_default();
        let library = arguments
            .take("crate")
            .and_then(|it| errors.keep(values::path(&it, "this is not the path of a crate")))
            .unwrap_or_else(|| parse_quote!(::admmgt));
        errors.finish().map(|()| Self { folder, namespace, backend, strict, library })
    }
}
