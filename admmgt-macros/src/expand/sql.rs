//! `sql_migration!`: embeds the files and says where they stand.

use std::path::Path;

use proc_macro2::{Ident, TokenStream};
use quote::quote_spanned;
use syn::LitStr;

use super::item::{Parts, companion, here, item};
use crate::check::arguments::SqlArguments;

/// What stands in place of the macro call; `checksum` is that of the file `up`.
pub(crate) fn sql(arguments: &SqlArguments, checksum: &str) -> TokenStream {
    let companion = arguments.name.as_ref().map(|name| companion(&name.visibility, &name.ident));
    let file = &arguments.up;
    let item = item(&Parts {
        shared: &arguments.shared,
        description: arguments.shared.description.as_deref().unwrap_or_default(),
        checksum: arguments.shared.checksum.as_deref().unwrap_or(checksum),
        after: None,
        origin: quote_spanned!(here()=> Sql),
        file: quote_spanned!(here()=> #file),
        line: quote_spanned!(here()=> 1),
        backend: match &arguments.backend {
            Some(name) => quote_spanned!(here()=> ::core::option::Option::Some(__admmgt::Backend::new(#name))),
            None => quote_spanned!(here()=> ::core::option::Option::None),
        },
        up: quote_spanned!(here()=> __admmgt::Body::Sql(&__UP)),
        down: match arguments.down {
            Some(_) => quote_spanned!(here()=> ::core::option::Option::Some(__admmgt::Body::Sql(&__DOWN))),
            None => quote_spanned!(here()=> ::core::option::Option::None),
        },
        probe: match &arguments.shared.probe {
            Some(_) => quote_spanned!(here()=> ::core::option::Option::Some(__probe)),
            None => quote_spanned!(here()=> ::core::option::Option::None),
        },
        bodies: bodies(arguments),
        name: arguments.name.as_ref().map(|name| &name.ident),
    });
    quote_spanned!(here()=> #companion #item)
}

fn bodies(arguments: &SqlArguments) -> TokenStream {
    let up = source(&Ident::new("__UP", here()), &arguments.up);
    let down = arguments.down.as_ref().map(|path| source(&Ident::new("__DOWN", here()), path));
    let probe = arguments.shared.probe.as_ref().map(probe);
    quote_spanned!(here()=> #up #down #probe)
}

/// A function that takes the context, whatever the database is.
fn probe(path: &syn::Path) -> TokenStream {
    quote_spanned! {here()=>
        fn __probe(__cx: &mut __admmgt::Context)
            -> __admmgt::BoxFuture<'_, ::core::result::Result<__admmgt::Probed, __admmgt::BoxError>>
        {
            ::std::boxed::Box::pin(async move {
                ::core::result::Result::map_err(#path(__cx).await, __admmgt::__private::IntoBoxError::into_box_error)
            })
        }
    }
}

fn source(name: &Ident, path: &LitStr) -> TokenStream {
    let text = embedded(path);
    quote_spanned!(here()=> static #name: __admmgt::SqlSource = __admmgt::__private::sql(#path, #text);)
}

/// The text, in a way that makes rustc run again when the file changes.
fn embedded(path: &LitStr) -> TokenStream {
    if Path::new(&path.value()).is_absolute() {
        return quote_spanned!(here()=> ::core::include_str!(#path));
    }
    quote_spanned! {here()=>
        ::core::include_str!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/", #path))
    }
}
