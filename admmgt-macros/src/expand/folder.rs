//! `migrations_dir!`: every file of a folder as a migration.

use std::path::Path;

use admmgt_files::checksum;
use proc_macro2::{Ident, TokenStream};
use quote::quote_spanned;

use super::item::{Parts, here, item};
use crate::check::arguments::Shared;
use crate::check::folder::FolderArguments;
use crate::check::values::{OnInterrupt, Transaction};

/// One text of a migration, read while the crate is compiled.
pub(crate) struct Embedded {
    /// As it is written, from the folder of Cargo.toml.
    pub(crate) file: String,
    pub(crate) text: String,
    /// It runs outside of a transaction.
    pub(crate) outside: bool,
}

/// A migration whose texts are fine.
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) up: Embedded,
    pub(crate) down: Option<Embedded>,
    pub(crate) repeatable: bool,
    /// The id of the one that it comes after.
    pub(crate) after: Option<String>,
}

/// What stands in place of the macro call. `watched` are the files whose edit compiles the crate again.
pub(crate) fn folder(arguments: &FolderArguments, listed: &[Listed], watched: &[&Path]) -> TokenStream {
    let items = listed.iter().map(|one| migration(arguments, one));
    let watched = watched.iter().map(|path| path.display().to_string());
    let (library, written) = (&arguments.library, &arguments.folder);
    let dialect = arguments.backend.as_deref().unwrap_or_default();
    let ids = listed.iter().map(|one| &one.id);
    quote_spanned! {here()=>
        #(#items)*
        #[cfg(debug_assertions)]
        const _: () = {
            use #library as __admmgt;
            __admmgt::__private::inventory::submit! {
                __admmgt::__private::EmbeddedFolder {
                    path: ::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/", #written),
                    written: #written,
                    dialect: #dialect,
                    ids: &[#(#ids),*],
                }
            }
        };
        const _: &[&[::core::primitive::u8]] = &[#(::core::include_bytes!(#watched)),*];
    }
}

fn migration(arguments: &FolderArguments, listed: &Listed) -> TokenStream {
    let Listed { id, up, down, repeatable, after } = listed;
    let shared = Shared {
        id: id.clone(),
        namespace: arguments.namespace.clone(),
        depends_on: Vec::new(),
        transaction: if up.outside { Transaction::None } else { Transaction::Auto },
        on_interrupt: OnInterrupt::default(),
        probe: None,
        repeatable: *repeatable,
        replaces: Vec::new(),
        tags: Vec::new(),
        checksum: None,
        description: None,
        library: arguments.library.clone(),
    };
    let file = &up.file;
    let down_static = down.as_ref().map(|down| text("__DOWN", down));
    let up_static = text("__UP", up);
    item(&Parts {
        shared: &shared,
        description: "",
        checksum: &checksum::of_sql(&up.text),
        after: after.as_deref(),
        origin: quote_spanned!(here()=> Sql),
        file: quote_spanned!(here()=> #file),
        line: quote_spanned!(here()=> 1),
        backend: match &arguments.backend {
            Some(name) => quote_spanned!(here()=> ::core::option::Option::Some(__admmgt::Backend::new(#name))),
            None => quote_spanned!(here()=> ::core::option::Option::None),
        },
        up: quote_spanned!(here()=> __admmgt::Body::Sql(&__UP)),
        down: match down {
            Some(_) => quote_spanned!(here()=> ::core::option::Option::Some(__admmgt::Body::Sql(&__DOWN))),
            None => quote_spanned!(here()=> ::core::option::Option::None),
        },
        probe: quote_spanned!(here()=> ::core::option::Option::None),
        bodies: quote_spanned!(here()=> #up_static #down_static),
        name: None,
    })
}

fn text(name: &str, embedded: &Embedded) -> TokenStream {
    let name = Ident::new(name, here());
    let Embedded { file, text, outside } = embedded;
    let mode = Ident::new(if *outside { "None" } else { "Auto" }, here());
    quote_spanned! {here()=>
        static #name: __admmgt::SqlSource =
            __admmgt::__private::sql_in(__admmgt::TransactionMode::#mode, #file, #text);
    }
}
