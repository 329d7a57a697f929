//! Both macros as functions: what only an odd environment shows, and that the expansion is code.

use std::fs;
use std::path::{Path, PathBuf};

use syn::{File, Item};

use super::*;

const FUNCTION: &str = "/// Users.\npub async fn users(cx: &mut Context) -> Result<(), BoxError> { Ok(()) }";

fn package(name: Option<&str>) -> Package {
    Package { name: name.map(str::to_owned), folder: PathBuf::from(env!("CARGO_MANIFEST_DIR")) }
}

fn code_of(arguments: &str, function: &str, name: Option<&str>) -> syn::Result<TokenStream> {
    code(arguments.parse().unwrap(), function.parse().unwrap(), &package(name))
}

fn sql_of(arguments: &str) -> syn::Result<TokenStream> {
    sql(arguments.parse().unwrap(), &package(Some("app")))
}

fn problems(result: syn::Result<TokenStream>) -> Vec<String> {
    result.unwrap_err().into_iter().map(|error| error.to_string()).collect()
}

/// The kinds of the items that an expansion holds.
fn kinds(expansion: TokenStream) -> Vec<&'static str> {
    let file: File = syn::parse2(expansion).unwrap();
    file.items.iter().map(kind).collect()
}

fn kind(item: &Item) -> &'static str {
    match item {
        Item::Struct(_) => "struct",
        Item::Const(_) => "const",
        _ => "other",
    }
}

#[test]
fn an_expansion_is_a_struct_and_a_constant() {
    let arguments = "id = \"1\", down = a::b, depends_on = [x, \"y\", \"z/y\"], tags = [\"t\"]";
    assert_eq!(kinds(code_of(arguments, FUNCTION, Some("app")).unwrap()), ["struct", "const"]);
    let plain = FUNCTION.replace("async ", "");
    assert_eq!(kinds(code_of("id = \"1\"", &plain, Some("app")).unwrap()), ["struct", "const"]);
    let sql = "id = \"1\", up = \"tests/sql/views.up.sql\"";
    assert_eq!(kinds(sql_of(sql).unwrap()), ["const"]);
    assert_eq!(
        kinds(sql_of(&format!("{sql}, name = pub a, down = \"tests/sql/views.down.sql\"")).unwrap()),
        ["struct", "const"]
    );
}

#[test]
fn without_cargo_the_namespace_has_to_be_given() {
    let problems = problems(code_of("id = \"1\", depends_on = [\"0\"]", FUNCTION, None));
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("write `namespace = \"…\"`"), "{problems:?}");
    assert!(code_of("id = \"1\", namespace = \"app\"", FUNCTION, None).is_ok());
}

#[test]
fn errors_of_the_arguments_and_of_the_function_come_together() {
    assert_eq!(problems(code_of("id = \"\", tag = []", "fn f() {}", Some("app"))).len(), 4);
}

#[test]
fn an_absolute_path_is_taken_as_it_is() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql/views.up.sql");
    let expansion = sql_of(&format!("id = \"1\", up = {:?}", file.display().to_string())).unwrap().to_string();
    assert!(!expansion.contains("CARGO_MANIFEST_DIR"), "{expansion}");
}

#[test]
fn a_checksum_of_sql_ignores_line_ends_and_one_of_code_ignores_the_visibility() {
    let crlf = sql_of("id = \"1\", up = \"tests/sql/views.up.sql\"").unwrap().to_string();
    assert!(crlf.contains(&admmgt_files::checksum::of_sql("create view v;\n")), "{crlf}");
    let public = code_of("id = \"1\"", FUNCTION, Some("app")).unwrap().to_string();
    let private = code_of("id = \"1\"", &FUNCTION.replace("pub ", ""), Some("app")).unwrap().to_string();
    assert_eq!(checksum(&public), checksum(&private));
}

fn checksum(expansion: &str) -> &str {
    let at = expansion.find("v1:sha256:").unwrap();
    &expansion[at..at + 74]
}

#[test]
fn a_file_of_unusable_bytes_is_named_with_its_line() {
    let folder = std::env::temp_dir().join(format!("admmgt-macros-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("bad.sql"), b"a\nb\xff").unwrap();
    let package = Package { name: Some("app".to_owned()), folder: folder.clone() };
    let found = problems(sql("id = \"1\", up = \"bad.sql\", down = \"none.sql\"".parse().unwrap(), &package));
    fs::remove_dir_all(folder).unwrap();
    assert!(found[0].starts_with("bad.sql:2: "), "{found:?}");
    assert!(found[1].starts_with("there is no file `none.sql`"), "{found:?}");
}
