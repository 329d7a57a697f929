//! Both macros as functions: what only an odd environment shows, and that the expansion is code.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenTree};
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

/// What a `macro_rules!` hands over stands in groups that nobody sees.
#[test]
fn what_another_macro_hands_over_is_what_it_is() {
    let group = |text: &str| TokenTree::from(Group::new(Delimiter::None, text.parse().unwrap()));
    let function = |ty: TokenTree, body: TokenTree| {
        let argument = TokenStream::from_iter(["cx: &mut".parse().unwrap(), TokenStream::from(ty)]);
        let argument = TokenTree::from(Group::new(Delimiter::Parenthesis, argument));
        let parts = ["/// Users.\nasync fn users".parse().unwrap(), argument.into(), "-> Result<()>".parse().unwrap()];
        TokenStream::from_iter(parts.into_iter().chain([TokenStream::from(body)]))
    };
    let of = |item: TokenStream| code("id = \"1\"".parse().unwrap(), item, &package(Some("app")));
    let plain = "/// Users.\nasync fn users(cx: &mut Context) -> Result<()> { Ok(()) }".parse().unwrap();
    let plain = of(plain).unwrap().to_string();
    let grouped = of(function(group("Context"), group("{ Ok(()) }"))).unwrap().to_string();
    assert_eq!(checksum(&grouped), checksum(&plain));
    assert!(of(function(group("Context"), group("{ Ok(()) } { Ok(()) }"))).is_err());
    let told = problems(of(function(group("rusqlite::Connection"), group("{ Ok(()) }"))));
    assert!(told[0].contains("blocks its thread"), "{told:?}");
}

#[test]
fn the_parts_of_a_signature_that_are_out_of_the_ordinary() {
    let of = |signature: &str| {
        let item = format!("/// Users.\nasync fn users{signature} {{ Ok(()) }}");
        code_of("id = \"1\"", &item, Some("app")).map_or_else(|error| error.to_string(), |_| "fits".to_owned())
    };
    let said: Vec<String> = [
        "(_: Context) -> Result<()>",
        "(_: [u8; 2]) -> Result<()>",
        "(cx: &mut (Tx<'a>, u8)) -> Result<()>",
        "(cx: &mut Context) -> MigrationResult",
        "(cx: &mut Context) -> Result<{ 3 }>",
        "(cx: &mut Context) -> Result<(), Box<Failed>>",
        "(cx: &mut Context) -> Result<(), Box<dyn Error + 'static>>",
        "(cx: &mut Context) -> Result<(), Box<dyn Error + Send + Sync + 'static>>",
    ]
    .map(of)
    .into();
    expect_test::expect![[r#"
        a migration borrows its connection mutably; write `db: &mut Context`
        a migration borrows its connection mutably; write `db: &mut Context`
        a migration's argument has no lifetime; borrow the connection itself, as in `cx: &mut Context`
        fits
        fits
        fits
        this error could not be sent to another thread; write `Box<dyn std::error::Error + Send + Sync>`
        fits"#]]
    .assert_eq(&said.join("\n"));
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

/// Every use of a macro of ours in a text, as what it becomes.
fn expansions(text: TokenStream, package: &Package) -> Vec<syn::Result<TokenStream>> {
    let tokens: Vec<TokenTree> = text.into_iter().collect();
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match (token, tokens.get(at + 1), tokens.get(at + 2)) {
            (TokenTree::Punct(hash), Some(TokenTree::Group(attribute)), _) if hash.as_char() == '#' => {
                let inner: Vec<TokenTree> = attribute.stream().into_iter().collect();
                if !matches!(inner.first(), Some(TokenTree::Ident(name)) if name == "migration") {
                    continue;
                }
                let arguments = match inner.get(1) {
                    Some(TokenTree::Group(arguments)) => arguments.stream(),
                    _ => TokenStream::new(),
                };
                // Documentation stands before the attribute, and belongs to the item.
                let is_doc = |pair: &[TokenTree]| matches!(pair, [TokenTree::Punct(hash), TokenTree::Group(_)] if hash.as_char() == '#');
                let mut from = at;
                while from >= 2 && is_doc(&tokens[from - 2..from]) {
                    from -= 2;
                }
                let ends = |token: &TokenTree| match token {
                    TokenTree::Group(body) => body.delimiter() == Delimiter::Brace,
                    TokenTree::Punct(end) => end.as_char() == ';',
                    _ => false,
                };
                let length = tokens[at + 2..].iter().position(ends).map_or(tokens.len() - at - 2, |length| length + 1);
                let item = tokens[from..at].iter().chain(&tokens[at + 2..at + 2 + length]).cloned().collect();
                found.push(code(arguments, item, package));
            }
            (TokenTree::Ident(name), Some(TokenTree::Punct(bang)), Some(TokenTree::Group(group)))
                if bang.as_char() == '!' =>
            {
                match name.to_string().as_str() {
                    "sql_migration" => found.push(sql(group.stream(), package)),
                    "migrations_dir" => found.push(folder(group.stream(), package)),
                    _ => {}
                }
            }
            (TokenTree::Group(group), ..) => found.extend(expansions(group.stream(), package)),
            _ => {}
        }
    }
    found
}

fn sources(folder: &str) -> Vec<(PathBuf, TokenStream)> {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
    let paths =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap().parse().unwrap())).collect()
}

/// The words of the rejections that rustc is asked for in `tests/ui.rs`, without rustc.
#[test]
fn what_does_not_compile_is_refused_with_the_same_words() {
    let folder = std::env::temp_dir().join(format!("admmgt-macros-ui-{}", std::process::id()));
    fs::create_dir_all(folder.join("sql")).unwrap();
    let files: [(&str, &[u8]); 3] = [
        ("latin1.sql", b"select 1;\n-- caf\xe9\n"),
        ("utf16.sql", b"\xff\xfes\0e\0l\0e\0c\0t\0"),
        ("nul.sql", b"select 1;\nselect 2;\0\n"),
    ];
    files.iter().for_each(|(name, content)| fs::write(folder.join("sql").join(name), content).unwrap());
    let package = Package { name: Some("app".to_owned()), folder: folder.clone() };
    let mut refused = 0;
    for (path, text) in sources("tests/ui") {
        let words = fs::read_to_string(path.with_extension("stderr")).unwrap();
        for error in expansions(text, &package).into_iter().filter_map(Result::err).flatten() {
            let error = error.to_string();
            let first = error.lines().next().unwrap();
            assert!(words.contains(first), "{}: {first}", path.display());
            refused += 1;
        }
    }
    fs::remove_dir_all(folder).unwrap();
    assert!(refused > 70, "{refused}");
}

#[test]
fn what_compiles_expands_to_items() {
    let mut expanded = 0;
    // In `places.rs` some stand in macros of its own, and get their arguments from there.
    let whole = |(path, _): &(PathBuf, TokenStream)| !path.ends_with("places.rs");
    for (path, text) in sources("tests").into_iter().chain(sources("tests/strict")).filter(whole) {
        for expansion in expansions(text, &package(Some("app"))) {
            let expansion = expansion.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(!syn::parse2::<File>(expansion).unwrap().items.is_empty(), "{}", path.display());
            expanded += 1;
        }
    }
    assert!(expanded > 10, "{expanded}");
}

#[test]
fn folders_are_read_while_the_crate_is_compiled() {
    let root = std::env::temp_dir().join(format!("admmgt-macros-folder-{}", std::process::id()));
    let package = Package { name: Some("app".to_owned()), folder: root.clone() };
    let folder_of = |arguments: &str| folder(arguments.parse().unwrap(), &package);
    let write = |name: &str, text: &[u8]| {
        let path = root.join("migrations").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    fs::create_dir_all(root.join("migrations")).unwrap();
    assert!(problems(folder_of("\"migrations\""))[0].contains("holds no migration"));
    write("V1__users.sql", b"-- no-transaction\nvacuum;");
    write("U1__users.sql", b"select 1;");
    write("R__views.sql", b"select 2;");
    fs::write(root.join("admmgt.lock"), "").unwrap();
    let expansion =
        folder_of("\"migrations\", backend = \"sqlite\", namespace = \"billing\", crate = other").unwrap().to_string();
    for part in ["admmgt.lock", "V1__users.sql", "U1__users.sql", "\"billing\"", "\"sqlite\"", "other"] {
        assert!(expansion.contains(part), "{part}: {expansion}");
    }
    write("notes.txt", b"");
    assert!(folder_of("\"migrations\"").is_ok());
    // rustc holds a large one as a whole, as the others.
    write(
        "V3__large.sql",
        format!("select 3;\n{}", "-- more than four megabytes of this line\n".repeat(110_000)).as_bytes(),
    );
    assert!(folder_of("\"migrations\"").unwrap().to_string().contains("select 3;"));
    let strict = problems(folder_of("\"migrations\", strict = true"));
    assert!(strict[0].contains("migrations/notes.txt"), "{strict:?}");
    write("V2__broken.sql", b"select 1;\n\xff");
    let broken = problems(folder_of("\"migrations\""));
    assert!(broken[0].starts_with("migrations/V2__broken.sql:2: "), "{broken:?}");
    write("V1__again.sql", b"select 1;");
    assert!(problems(folder_of("\"migrations\""))[0].contains("V1__again.sql"));
    // Prisma counts by the text of the name, where ids count by the number.
    for name in ["10_users", "9_plans"] {
        fs::create_dir_all(root.join("texts").join(name)).unwrap();
        fs::write(root.join("texts").join(name).join("migration.sql"), b"select 1;").unwrap();
    }
    let ordered = folder_of("\"texts\"").unwrap().to_string();
    assert!(ordered.contains("after : :: core :: option :: Option :: Some (\"10_users\")"), "{ordered}");
    fs::remove_dir_all(root).unwrap();
}
