//! `#[migration]`: calls the function with what its argument asks for.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::spanned::Spanned;

use super::item::{Parts, companion, here, item};
use crate::check::arguments::CodeArguments;
use crate::check::signature::Call;
use crate::fingerprint;
use crate::parse::description::first_paragraph;
use crate::parse::function::Function;

/// What stands next to the function.
pub(crate) fn code(function: Function, call: &Call, arguments: &CodeArguments) -> TokenStream {
    let name = &function.signature.ident;
    let companion = companion(&function.visibility, name);
    let computed = || fingerprint::of_code(function.tokens.clone(), arguments.down.as_ref());
    let item = item(&Parts {
        shared: &arguments.shared,
        description: &arguments.shared.description.clone().unwrap_or_else(|| first_paragraph(&function.attributes)),
        checksum: &arguments.shared.checksum.clone().unwrap_or_else(computed),
        after: None,
        origin: quote_spanned!(here()=> Code),
        file: quote_spanned!(here()=> ::core::file!()),
        line: quote_spanned!(here()=> ::core::line!()),
        backend: backend(call),
        up: quote_spanned!(here()=> __admmgt::Body::Code(__up)),
        down: match arguments.down {
            Some(_) => quote_spanned!(here()=> ::core::option::Option::Some(__admmgt::Body::Code(__down))),
            None => quote_spanned!(here()=> ::core::option::Option::None),
        },
        probe: match arguments.shared.probe {
            Some(_) => quote_spanned!(here()=> ::core::option::Option::Some(__probe)),
            None => quote_spanned!(here()=> ::core::option::Option::None),
        },
        bodies: bodies(name, call, arguments),
        name: Some(name),
    });
    quote_spanned!(here()=> #companion #item)
}

fn backend(call: &Call) -> TokenStream {
    let ty = &call.argument;
    if call.is_async {
        quote_spanned!(here()=> <#ty as __admmgt::FromContext<_>>::BACKEND)
    } else {
        quote_spanned!(here()=> <#ty as __admmgt::FromBlocking<_>>::BACKEND)
    }
}

fn bodies(name: &Ident, call: &Call, arguments: &CodeArguments) -> TokenStream {
    let nothing = quote_spanned!(here()=> ());
    let probed = quote_spanned!(here()=> __admmgt::Probed);
    let up = body(&Ident::new("__up", here()), name, call, &nothing);
    let down = arguments.down.as_ref().map(|path| body(&Ident::new("__down", here()), path, call, &nothing));
    let probe = arguments.shared.probe.as_ref();
    let probe = probe.map(|path| body(&Ident::new("__probe", here()), path, &call.of_a_probe(), &probed));
    quote_spanned!(here()=> #up #down #probe)
}

/// A function with the one signature that all bodies have.
fn body(name: &Ident, function: &impl ToTokens, call: &Call, answer: &TokenStream) -> TokenStream {
    let future = if call.is_async { awaited(function, call, answer) } else { on_the_thread(function, call, answer) };
    quote_spanned! {here()=>
        fn #name(__cx: &mut __admmgt::Context)
            -> __admmgt::BoxFuture<'_, ::core::result::Result<#answer, __admmgt::BoxError>>
        {
            #future
        }
    }
}

fn awaited(function: &impl ToTokens, call: &Call, answer: &TokenStream) -> TokenStream {
    let ty = &call.argument;
    let result = with_boxed_error(quote_spanned!(at(function)=> #function(__db).await), call, answer);
    quote_spanned! {at(function)=>
        ::std::boxed::Box::pin(async move {
            let __db = <#ty as __admmgt::FromContext<_>>::from_context(__cx)?;
            #result
        })
    }
}

fn on_the_thread(function: &impl ToTokens, call: &Call, answer: &TokenStream) -> TokenStream {
    let ty = &call.argument;
    let result = with_boxed_error(quote_spanned!(at(function)=> #function(__db)), call, answer);
    quote_spanned! {at(ty)=>
        ::std::boxed::Box::pin(__admmgt::Context::blocking(__cx, |__db: &mut #ty| #result))
    }
}

/// The answer of the function with its error as the library's. Where that cannot be, the compiler
/// underlines the return type.
fn with_boxed_error(result: TokenStream, call: &Call, answer: &TokenStream) -> TokenStream {
    quote_spanned! {here().located_at(call.output)=>
        ::core::result::Result::<#answer, _>::map_err(#result, __admmgt::__private::IntoBoxError::into_box_error)
    }
}

/// Code of the macro for which the compiler underlines what the user wrote.
fn at(written: &impl ToTokens) -> Span {
    here().located_at(written.span())
}
