//! What a migration returns: `Result<(), E>`, under whatever name.

use syn::{GenericArgument, PathArguments, PathSegment, ReturnType, Signature, Type, TypeParamBound, TypeTraitObject};

use super::argument::bare;

const NO_VALUE: &str = "a migration returns nothing but success; write `()` here and end it with `Ok(())`";

/// The return type, if its name ends with `Result` and nothing in it is known to be wrong.
pub(crate) fn check(signature: &Signature) -> syn::Result<&Type> {
    let ty = match &signature.output {
        ReturnType::Type(_, ty) => ty,
        ReturnType::Default => {
            let message =
                "a migration says whether it failed; write `-> Result<(), BoxError>` and end it with `Ok(())`";
            return Err(syn::Error::new(signature.paren_token.span.close(), message));
        }
    };
    let Some(segment) = result(ty) else {
        return refuse(ty, "a migration returns a `Result`; write `-> Result<(), BoxError>` and end it with `Ok(())`");
    };
    let arguments = type_arguments(segment);
    match arguments.as_slice() {
        [value, _] if !is_unit(value) => refuse(value, NO_VALUE),
        [value] if is_number(value) => refuse(value, NO_VALUE),
        [_, error] if is_unsendable_box(error) => refuse(
            error,
            "this error could not be sent to another thread; write `Box<dyn std::error::Error + Send + Sync>`",
        ),
        _ => Ok(ty),
    }
}

/// The last part of a path that ends with `Result`: `sqlx::Result<()>`, `MigrationResult`.
fn result(ty: &Type) -> Option<&PathSegment> {
    match bare(ty) {
        Type::Path(path) => path.path.segments.last().filter(|segment| segment.ident.to_string().ends_with("Result")),
        _ => None,
    }
}

fn type_arguments(segment: &PathSegment) -> Vec<&Type> {
    match &segment.arguments {
        PathArguments::AngleBracketed(list) => list.args.iter().filter_map(type_argument).collect(),
        _ => Vec::new(),
    }
}

fn type_argument(argument: &GenericArgument) -> Option<&Type> {
    match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    }
}

fn is_unit(ty: &Type) -> bool {
    matches!(bare(ty), Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// The one argument of `sqlx::Result<u64>`: a count of rows, and surely not an error.
fn is_number(ty: &Type) -> bool {
    let numbers = ["i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128", "usize"];
    matches!(bare(ty), Type::Path(path) if numbers.iter().any(|number| path.path.is_ident(number)))
}

/// `Box<dyn Error>` without `Send` and `Sync`.
fn is_unsendable_box(ty: &Type) -> bool {
    let Type::Path(path) = bare(ty) else { return false };
    let Some(segment) = path.path.segments.last().filter(|segment| segment.ident == "Box") else { return false };
    match type_arguments(segment).first().map(|inner| bare(inner)) {
        Some(Type::TraitObject(object)) => !(names(object, "Send") && names(object, "Sync")),
        _ => false,
    }
}

fn names(object: &TypeTraitObject, marker: &str) -> bool {
    let is_marker = |bound: &TypeParamBound| match bound {
        TypeParamBound::Trait(bound) => bound.path.segments.last().is_some_and(|segment| segment.ident == marker),
        _ => false,
    };
    object.bounds.iter().any(is_marker)
}

fn refuse<T>(ty: &Type, message: &str) -> syn::Result<T> {
    Err(syn::Error::new_spanned(ty, message))
}
