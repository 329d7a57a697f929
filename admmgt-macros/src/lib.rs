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

#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;
use quote::quote;

use crate::check::arguments::{CodeArguments, SqlArguments};
use crate::check::folder::FolderArguments;
use crate::check::signature;
use crate::errors::both;
use crate::package::Package;
use crate::parse::function::Function;

/// Registers a function as a migration. The function stays as it is written and can be called in
/// tests like any other.
///
/// ```standalone_crate
/// use admmgt::prelude::*;
/// use admmgt::{MemoryConnection, MemoryDriver};
///
/// /// Users sign in by e-mail.
/// #[migration(id = "0001_users", down = drop_users)]
/// async fn create_users(cx: &mut Context) -> Result<(), BoxError> {
///     cx.execute("create table users").await?;
///     Ok(())
/// }
///
/// async fn drop_users(cx: &mut Context) -> Result<(), BoxError> {
///     cx.execute("drop table users").await?;
///     Ok(())
/// }
///
/// #[migration(id = "0002_plans", depends_on = [create_users], tags = ["seed"])]
/// fn seed_plans(db: &mut MemoryConnection) -> Result<(), BoxError> {
///     db.run("insert into plans")?;
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let database = MemoryDriver::new();
/// Migrator::new(database.clone()).up().await?;
/// assert_eq!(database.journal(), ["create table users", "insert into plans"]);
/// # Ok(()) }
/// ```
///
/// # The function
///
/// `async fn name(db: &mut T) -> Result<(), E>` or the same without `async`. `T` is [`Context`], which
/// works on any database, or the client of one, which makes the migration one for that database. A
/// plain `fn` takes a client that blocks, such as `rusqlite::Connection`, and runs on the connection's
/// own thread. `E` is whatever becomes a `BoxError`: every error that is `Send` and `Sync`, and strings.
///
/// Next to it stands a hidden struct of the same name and visibility: `depends_on = [create_users]` is
/// a path to it, so a typo does not compile, and `use billing::create_plans` brings both. So a module or
/// a type cannot have the name of a migration beside it: the compiler then says that the name "is
/// defined multiple times".
///
/// # The keys
///
/// | key | value | default |
/// |---|---|---|
/// | `id` | the name within the namespace; it orders what no dependency orders | required |
/// | `namespace` | whose migrations these are | the name of the crate |
/// | `depends_on` | what is applied before: paths of migrations, `"namespace/id"` for those of crates that are not imported, `"id"` for those of the same namespace | `[]` |
/// | `down` | the function that takes it back: the same argument, `async` or plain like this one | none: not reversible |
/// | `transaction` | `"auto"`, `"required"` or `"none"` | `"auto"` |
/// | `on_interrupt` | `"manual"`, or `"retry"`: it goes on where it stopped | `"manual"` |
/// | `probe` | a function that looks how far it came when it was interrupted: `async` or plain like this one, returning `Result<Probed, E>`. An `async` one takes `&mut Context` or a connection of its own choice, such as one that only reads; a plain one takes the same argument | none |
/// | `repeatable` | `true`: it runs again each time its checksum changes, after everything it depends on, or else after everything in its namespace that is not repeatable; for views, triggers, procedures | `false` |
/// | `replaces` | the names of migrations that were squashed into this one: where all of them are applied it is counted in, where none is it runs | `[]` |
/// | `tags` | words to choose migrations by | `[]` |
/// | `checksum` | one's own, such as `"manual:1"` | computed, see below |
/// | `description` | one sentence for people | the first paragraph of the doc comment |
/// | `crate` | the path of the library under another name | `::admmgt` |
///
/// # The checksum
///
/// It is computed from the words and signs of the function, from its name to the end of its body, and
/// from the path of `down`. White space, comments, doc comments, attributes, and the commas that rustfmt
/// adds at the end of a wrapped list do not count; a renamed local does. What the function calls is not
/// covered: a helper can change without a trace. `checksum = "manual:1"` puts the promise into your hands.
///
/// [`Context`]: https://docs.rs/admmgt/latest/admmgt/struct.Context.html
#[proc_macro_attribute]
pub fn migration(arguments: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let item = TokenStream::from(item);
    let added = code(arguments.into(), item.clone(), &Package::current());
    let added = added.unwrap_or_else(syn::Error::into_compile_error);
    quote!(#item #added).into()
}

/// Registers SQL files as a migration. The files are part of the program: it needs none at run time,
/// and an edit of one compiles the crate again.
///
/// ```standalone_crate
/// use admmgt::MemoryDriver;
/// use admmgt::prelude::*;
/// # use admmgt_macros::sql_migration;
///
/// // tests/sql/views.up.sql: create view v;
/// sql_migration!(
///     id = "0005_views",
///     up = "tests/sql/views.up.sql",
///     down = "tests/sql/views.down.sql",
///     name = pub create_views,
/// );
///
/// #[migration(id = "0006_grants", depends_on = [create_views])]
/// async fn grants(cx: &mut Context) -> Result<(), BoxError> {
///     cx.execute("grant select on v").await?;
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let database = MemoryDriver::new();
/// Migrator::new(database.clone()).up().await?;
/// assert_eq!(database.journal(), ["create view v;", "grant select on v"]);
/// # Ok(()) }
/// ```
///
/// | key | value | default |
/// |---|---|---|
/// | `up` | the file, from the folder of the crate's Cargo.toml | required |
/// | `down` | the file that takes it back | none: not reversible |
/// | `name` | a name for `depends_on` and `migrations!`, with `pub` or without | none |
/// | `backend` | the only kind of database it is for, such as `"sqlite"` | any |
/// | `description` | one sentence for people | empty |
///
/// `probe` names an `async fn(&mut Context)`, whatever the database is. `id`, `namespace`, `depends_on`,
/// `transaction`, `on_interrupt`, `repeatable`, `replaces`, `tags`, `checksum` and `crate` are those of
/// [`#[migration]`](macro@migration). The checksum is that of the file `up`, with its line ends as LF and
/// without a byte-order mark. A file that is missing, not UTF-8 or holds a NUL byte does not compile.
#[proc_macro]
pub fn sql_migration(arguments: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let expansion = sql(arguments.into(), &Package::current());
    expansion.unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Registers every SQL file of a folder as a migration, in any layout that
/// [`MigrationsDir`](https://docs.rs/admmgt-core/latest/admmgt_core/struct.MigrationsDir.html) reads at run time.
/// The files are part of the program: it needs none at run time.
///
/// ```standalone_crate
/// use admmgt::MemoryDriver;
/// use admmgt::prelude::*;
/// # use admmgt_macros::migrations_dir;
///
/// migrations_dir!("tests/folder", namespace = "app");     // 0001_users.up.sql, 0001_users.down.sql, 0002_plans.sql
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let database = MemoryDriver::new();
/// assert_eq!(Migrator::new(database.clone()).up().await?.ran.len(), 2);
/// # Ok(()) }
/// ```
///
/// `backend = "sqlite"` keeps the migrations for one kind of database, and chooses the files that are for one
/// dialect only; `strict = true` refuses files that are no migrations; `namespace` and `crate` are those of [`#[migration]`](macro@migration).
///
/// An edited or deleted file compiles the crate again. Of a *new* file rustc never hears, whatever a macro does:
/// keep a lockfile (`admmgt::check!()`), whose new line it does hear of, or write
/// `fn main() { println!("cargo::rerun-if-changed=migrations") }` in `build.rs`.
#[proc_macro]
pub fn migrations_dir(arguments: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let expansion = folder(arguments.into(), &Package::current());
    expansion.unwrap_or_else(syn::Error::into_compile_error).into()
}

/// What `migrations_dir!` becomes.
fn folder(arguments: TokenStream, package: &Package) -> syn::Result<TokenStream> {
    let arguments = FolderArguments::check(arguments, package)?;
    let (listed, files) = source::listed(&arguments, &package.folder)?;
    let watched: Vec<&std::path::Path> = files.iter().map(std::path::PathBuf::as_path).collect();
    Ok(expand::folder::folder(&arguments, &listed, &watched))
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
