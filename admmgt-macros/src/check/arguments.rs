//! The arguments of both macros, checked.

use admmgt_files::name::check_name;
use proc_macro2::{Ident, Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{LitStr, Path, Visibility, parse_quote};

use super::dependencies::{Dependency, Own, dependencies, names};
use super::keys::{Argument, Arguments, OF_CODE, OF_SQL};
use super::values::{self, OnInterrupt, Transaction};
use crate::errors::{Errors, both};
use crate::package::Package;

/// What both kinds of migrations say of themselves.
pub(crate) struct Shared {
    pub(crate) id: String,
    pub(crate) namespace: String,
    pub(crate) depends_on: Vec<Dependency>,
    pub(crate) transaction: Transaction,
    pub(crate) on_interrupt: OnInterrupt,
    /// The function that looks how far an interrupted one came.
    pub(crate) probe: Option<Path>,
    pub(crate) repeatable: bool,
    pub(crate) replaces: Vec<Dependency>,
    pub(crate) tags: Vec<String>,
    pub(crate) checksum: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) library: Path,
}

/// `#[migration(…)]`.
pub(crate) struct CodeArguments {
    pub(crate) shared: Shared,
    pub(crate) down: Option<Path>,
}

/// `sql_migration!(…)`.
pub(crate) struct SqlArguments {
    pub(crate) shared: Shared,
    pub(crate) up: LitStr,
    pub(crate) down: Option<LitStr>,
    pub(crate) name: Option<Name>,
    pub(crate) backend: Option<String>,
}

/// `name = pub create_users`: the struct that other migrations can name.
pub(crate) struct Name {
    pub(crate) visibility: Visibility,
    pub(crate) ident: Ident,
}

impl CodeArguments {
    /// Reads and checks; `function` is what the attribute stands on, if that could be read.
    pub(crate) fn check(tokens: TokenStream, function: Option<&Ident>, package: &Package) -> syn::Result<Self> {
        if tokens.is_empty() {
            return Err(missing("`id`", &format!("#[migration({})]", example_id(function))));
        }
        let mut errors = Errors::default();
        let mut arguments = Arguments::read(tokens, OF_CODE, &mut errors);
        let down =
            arguments.take("down").and_then(|it| errors.keep(values::path(&it, "this is not a function's name")));
        let shared = Shared::check(&mut arguments, function, package, &mut errors);
        errors.finish()?;
        Ok(Self { shared, down })
    }
}

impl SqlArguments {
    /// Reads and checks; no file is opened yet.
    pub(crate) fn check(tokens: TokenStream, package: &Package) -> syn::Result<Self> {
        let mut errors = Errors::default();
        let mut arguments = Arguments::read(tokens, OF_SQL, &mut errors);
        let name = arguments.take("name").and_then(|it| errors.keep(name(&it)));
        let own = name.as_ref().map(|name| &name.ident);
        let shared = Shared::check(&mut arguments, own, package, &mut errors);
        let up = arguments.take("up").map_or_else(|| Err(missing("`up`", "up = \"sql/users.up.sql\"")), |it| file(&it));
        let down = arguments.take("down").and_then(|it| errors.keep(file(&it)));
        let backend = arguments.take("backend").and_then(|it| errors.keep(values::name(&it)));
        let ((), up) = both(errors.finish(), up)?;
        Ok(Self { shared, up, down, name, backend })
    }
}

impl Shared {
    fn check(arguments: &mut Arguments, function: Option<&Ident>, package: &Package, errors: &mut Errors) -> Self {
        let id = errors.keep(id(arguments.take("id"), function)).unwrap_or_default();
        let namespace = errors.keep(namespace(arguments.take("namespace"), package)).unwrap_or_default();
        let own = Own { function, namespace: &namespace, id: &id };
        let mut take = |key| arguments.take(key);
        let probe = take("probe").and_then(|it| errors.keep(values::path(&it, "this is not a function's name")));
        let choice = take("on_interrupt").and_then(|it| Some((errors.keep(values::on_interrupt(&it))?, it)));
        if let (Some(_), Some((_, it))) = (&probe, &choice) {
            errors.at(&it.key, "a probe decides by itself what is done; keep one of `probe` and `on_interrupt`");
        }
        Self {
            depends_on: take("depends_on").and_then(|it| errors.keep(dependencies(&it, &own))).unwrap_or_default(),
            transaction: take("transaction").and_then(|it| errors.keep(values::transaction(&it))).unwrap_or_default(),
            on_interrupt: match &probe {
                Some(_) => OnInterrupt::Probe,
                None => choice.map(|(choice, _)| choice).unwrap_or_default(),
            },
            probe,
            repeatable: take("repeatable").and_then(|it| errors.keep(values::yes_or_no(&it))).unwrap_or_default(),
            replaces: take("replaces").and_then(|it| errors.keep(names(&it, &own))).unwrap_or_default(),
            tags: take("tags").and_then(|it| errors.keep(values::tags(&it))).unwrap_or_default(),
            checksum: take("checksum").and_then(|it| errors.keep(values::checksum(&it))),
            description: take("description").and_then(|it| errors.keep(values::text(&it))).map(|text| text.value()),
            library: take("crate")
                .and_then(|it| errors.keep(values::path(&it, "this is not the path of a crate")))
                .unwrap_or_else(|| parse_quote!(::admmgt)),
            id,
            namespace,
        }
    }
}

fn id(argument: Option<Argument>, function: Option<&Ident>) -> syn::Result<String> {
    argument.map_or_else(|| Err(missing("`id`", &example_id(function))), |it| values::id(&it))
}

fn example_id(function: Option<&Ident>) -> String {
    let name = function.map_or_else(|| "create_users".to_owned(), |name| name.unraw().to_string());
    format!("id = \"0001_{name}\"")
}

/// The namespace that was given, or the name of the crate.
pub(super) fn namespace(argument: Option<Argument>, package: &Package) -> syn::Result<String> {
    match (argument, &package.name) {
        (Some(argument), _) => values::name(&argument),
        (None, Some(name)) if check_name(name).is_ok() => Ok(name.clone()),
        (None, _) => Err(syn::Error::new(
            Span::call_site(),
            "the crate's name is not known here (`CARGO_PKG_NAME` is not set); write `namespace = \"…\"`",
        )),
    }
}

/// `create_users` or `pub create_users`.
fn name(argument: &Argument) -> syn::Result<Name> {
    let name = |input: ParseStream| Ok(Name { visibility: input.parse()?, ident: input.parse()? });
    name.parse2(argument.value.clone()).map_err(|_| argument.wrong("this is not a name, with `pub` or without"))
}

/// The path of a SQL file.
fn file(argument: &Argument) -> syn::Result<LitStr> {
    let path = values::text(argument)?;
    if path.value().is_empty() {
        return Err(argument.wrong("the path of the file is empty"));
    }
    Ok(path)
}

fn missing(key: &str, example: &str) -> syn::Error {
    syn::Error::new(Span::call_site(), format!("{key} is missing; write `{example}`"))
}
