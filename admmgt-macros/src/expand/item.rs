//! What both kinds of migrations become: a `static`, its registration, and a struct to name it by.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::{Path, Visibility};

use crate::check::arguments::Shared;
use crate::check::dependencies::Dependency;
use crate::check::values::{OnInterrupt, Transaction};

/// What differs between the kinds.
pub(crate) struct Parts<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) description: &'a str,
    pub(crate) checksum: &'a str,
    /// The id of the one that it comes after.
    pub(crate) after: Option<&'a str>,
    /// `Code` or `Sql`.
    pub(crate) origin: TokenStream,
    pub(crate) file: TokenStream,
    pub(crate) line: TokenStream,
    pub(crate) backend: TokenStream,
    pub(crate) up: TokenStream,
    pub(crate) down: TokenStream,
    pub(crate) probe: TokenStream,
    /// The functions or statics that `up` and `down` name.
    pub(crate) bodies: TokenStream,
    /// The struct that says what the migration is called.
    pub(crate) name: Option<&'a Ident>,
}

/// The struct of the migration's name: `depends_on = [create_users]` is a path to it. With braces
/// it takes no name that a function could have. Its name stands where the function's does but comes
/// from the macro, so that the lints of names and of dead code do not judge it.
pub(crate) fn companion(visibility: &Visibility, name: &Ident) -> TokenStream {
    let mut name = name.clone();
    name.set_span(Span::call_site().located_at(name.span()));
    quote_spanned! {here()=>
        #[doc(hidden)]
        #visibility struct #name {}
    }
}

/// Everything else, in a block of its own.
pub(crate) fn item(parts: &Parts<'_>) -> TokenStream {
    let Parts { shared, bodies, .. } = parts;
    let library = &shared.library;
    let lists = lists(shared);
    let meta = meta(parts);
    let (up, down) = (&parts.up, &parts.down);
    let declared = parts.name.map(|name| declared(name, shared));
    quote_spanned! {here()=>
        const _: () = {
            use #library as __admmgt;
            #lists
            #bodies
            static __ITEM: __admmgt::Item = __admmgt::__private::item(#meta, #up, #down);
            #declared
            __admmgt::__private::inventory::submit! { __admmgt::__private::Registration(&__ITEM) }
        };
    }
}

fn meta(parts: &Parts<'_>) -> TokenStream {
    let after = match parts.after {
        Some(after) => quote_spanned!(here()=> ::core::option::Option::Some(#after)),
        None => quote_spanned!(here()=> ::core::option::Option::None),
    };
    let Parts { description, checksum, origin, file, line, backend, probe, .. } = parts;
    let Shared { namespace, id: name, transaction: mode, on_interrupt: choice, repeatable, .. } = parts.shared;
    let (transaction, on_interrupt) = (transaction(*mode), on_interrupt(*choice));
    quote_spanned! {here()=>
        __admmgt::__private::MetaParts {
            namespace: #namespace,
            id: #name,
            description: #description,
            depends_on: __DEPENDS_ON,
            after: #after,
            checksum: #checksum,
            origin: __admmgt::Origin::#origin,
            transaction: __admmgt::TransactionMode::#transaction,
            on_interrupt: __admmgt::OnInterrupt::#on_interrupt,
            probe: #probe,
            repeatable: #repeatable,
            replaces: __REPLACES,
            tags: __TAGS,
            file: #file,
            line: #line,
            backend: #backend,
        }
    }
}

/// Constants of their own: only there a reference to a list lives as long as the program.
fn lists(shared: &Shared) -> TokenStream {
    let depends_on = shared.depends_on.iter().map(dependency);
    let replaces = shared.replaces.iter().map(dependency);
    let tags = &shared.tags;
    quote_spanned! {here()=>
        const __DEPENDS_ON: &[__admmgt::MigrationId] = &[#(#depends_on),*];
        const __REPLACES: &[__admmgt::MigrationId] = &[#(#replaces),*];
        const __TAGS: &[::std::borrow::Cow<'static, ::core::primitive::str>] = &[#(__admmgt::__private::tag(#tags)),*];
    }
}

fn dependency(dependency: &Dependency) -> TokenStream {
    match dependency {
        Dependency::Path(path) => declared_id(path),
        Dependency::Name { namespace, id: name } => id(namespace, name),
    }
}

/// Underlines the path where it names no migration.
fn declared_id(path: &Path) -> TokenStream {
    quote_spanned! {here()=> <#path as __admmgt::__private::Declared>::ID }
}

fn declared(name: &Ident, shared: &Shared) -> TokenStream {
    let id = id(&shared.namespace, &shared.id);
    quote_spanned! {here()=>
        impl __admmgt::__private::Declared for #name {
            const ID: __admmgt::MigrationId = #id;
            const ITEM: &'static __admmgt::Item = &__ITEM;
        }
    }
}

fn id(namespace: &str, id: &str) -> TokenStream {
    quote_spanned! {here()=> __admmgt::__private::id(#namespace, #id) }
}

fn transaction(mode: Transaction) -> impl ToTokens {
    let name = match mode {
        Transaction::Auto => "Auto",
        Transaction::Required => "Required",
        Transaction::None => "None",
    };
    Ident::new(name, here())
}

fn on_interrupt(choice: OnInterrupt) -> impl ToTokens {
    let name = match choice {
        OnInterrupt::Manual => "Manual",
        OnInterrupt::Retry => "Retry",
        OnInterrupt::Probe => "Probe",
    };
    Ident::new(name, here())
}

/// Locals are the macro's own, items are found from where it is used.
pub(crate) fn here() -> Span {
    Span::mixed_site()
}
