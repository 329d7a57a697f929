//! What the name of a file says.

use super::Layout;

/// Which way a file leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Up,
    Down,
}

/// A name that fits a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) layout: Layout,
    pub(super) role: Role,
    /// What two files of one migration share, and two migrations never.
    pub(super) version: String,
    pub(super) id: String,
    /// It is for one dialect only: ours.
    pub(super) for_dialect: bool,
    /// It starts with a word that holds a number (`m0001_users`): a migration where all of them do.
    pub(super) is_word: bool,
    /// It runs again each time it changes.
    pub(super) repeatable: bool,
    /// It runs outside of a transaction.
    pub(super) outside: bool,
    /// Without endings.
    pub(super) stem: String,
    /// The name of what it takes back, if there is a file of that name.
    pub(super) takes_back: Option<String>,
}

/// The longest number of a migration, in characters.
const LONGEST_NUMBER: usize = 46;

/// Endings of names that may say of a file that it takes another one back.
const TAKES_BACK: [&str; 8] = ["_down", "-down", ".rollback", "_rollback", "-rollback", "_undo", "_revert", "-undo"];

/// Endings of files that tools run, and that are not SQL.
const PROGRAMS: [&str; 18] = [
    "js", "mjs", "cjs", "ts", "mts", "cts", "go", "py", "rb", "php", "rs", "java", "kt", "cs", "exs", "clj", "groovy",
    "pl",
];

/// Why a file is none of ours; of interest to everybody.
pub(super) const PROGRAM: &str = "it is numbered like a migration, and is a program";

/// Why a file is none of ours; of no interest to anybody.
pub(super) const OTHER_DIALECT: &str = "it is for another dialect";

/// Words for a dialect, and the backend they mean.
const DIALECTS: [(&str, &str); 19] = [
    ("sqlite", "sqlite"),
    ("sqlite3", "sqlite"),
    ("postgres", "postgres"),
    ("postgresql", "postgres"),
    ("pg", "postgres"),
    ("pgsql", "postgres"),
    ("mysql", "mysql"),
    ("mariadb", "mysql"),
    ("cockroach", "cockroach"),
    ("cockroachdb", "cockroach"),
    ("mssql", "mssql"),
    ("sqlserver", "mssql"),
    ("oracle", "oracle"),
    ("h2", "h2"),
    ("clickhouse", "clickhouse"),
    ("duckdb", "duckdb"),
    ("spanner", "spanner"),
    ("mongo", MONGO),
    ("mongodb", MONGO),
];

/// Its files are commands in JSON.
const MONGO: &str = "mongo";

/// The ending of a dialect's files.
pub(super) fn ending(dialect: &str) -> &'static str {
    if dialect == MONGO { "json" } else { "sql" }
}

/// Why a file is none of ours, where its ending is another one.
fn not_ours(stem: &str, wanted: &str, dialect: &str) -> &'static str {
    let of_another = |word: &str| DIALECTS.iter().any(|(known, backend)| *known == word && *backend != dialect);
    match wanted {
        _ if stem.split('.').skip(1).any(of_another) => OTHER_DIALECT,
        "json" => "its ending is not `.json`",
        _ => "its ending is not `.sql`",
    }
}

pub(super) fn parse(name: &str, dialect: &str) -> Result<Named, &'static str> {
    let wanted = ending(dialect);
    let none = if wanted == "sql" { "it has no ending `.sql`" } else { "it has no ending `.json`" };
    let (mut stem, ending) = name.rsplit_once('.').ok_or(none)?;
    let (mut role, mut for_dialect, mut outside) = (None, false, false);
    if !ending.eq_ignore_ascii_case(wanted) {
        let word = ending.to_ascii_lowercase();
        // `0001.sql.sqlite`
        let of_dialect = DIALECTS.iter().find(|(known, _)| *known == word);
        stem = match (of_dialect, stem.rsplit_once('.')) {
            (Some((_, backend)), Some((stem, ending))) if *backend == dialect && ending == wanted => stem,
            (Some(_), Some((_, "sql" | "json"))) => return Err(OTHER_DIALECT),
            _ if PROGRAMS.contains(&&*word) && is_numbered(stem) => return Err(PROGRAM),
            _ => return Err(not_ours(stem, wanted, dialect)),
        };
        for_dialect = true;
    }
    // `.up.sqlite.sql` and `.sqlite.up.sql` are both seen.
    while let Some((rest, word)) = stem.rsplit_once('.') {
        let word = word.to_ascii_lowercase();
        match (&*word, DIALECTS.iter().find(|(known, _)| *known == word)) {
            ("up" | "do", _) if role.is_none() => role = Some(Role::Up),
            ("down" | "undo", _) if role.is_none() => role = Some(Role::Down),
            // pop
            ("autocommit", _) => outside = true,
            (_, Some((_, backend))) if *backend == dialect => for_dialect = true,
            (_, Some(_)) => return Err(OTHER_DIALECT),
            _ => break,
        }
        stem = rest;
    }
    // postgrator: `001.do.users.sql`
    let parts: Vec<&str> = stem.splitn(3, '.').collect();
    let joined;
    if let ([number, word @ ("do" | "undo"), name], None) = (&*parts, role) {
        role = Some(if *word == "do" { Role::Up } else { Role::Down });
        joined = format!("{number}.{name}");
        stem = &joined;
    }
    let repeatable = is_repeatable(stem);
    let (layout, role, version) = match flyway(stem) {
        // `R__views.down.sql` takes a repeatable one back; others have `U`.
        Some((kind, version)) if role.is_none() || repeatable => (Layout::Flyway, role.unwrap_or(kind?), version),
        _ if is_numbered(stem) => (Layout::Numbered, role.unwrap_or(Role::Up), number(stem)),
        _ => return Err("its name starts with no number or version"),
    };
    let takes_back = TAKES_BACK.iter().find_map(|end| stem.strip_suffix(end)).filter(|_| role == Role::Up);
    let is_word = layout == Layout::Numbered && !numbered(stem).starts_with(|first: char| first.is_ascii_digit());
    let id = if layout == Layout::Flyway { flyway_id(stem) } else { id(numbered(stem)) };
    let (stem, takes_back) = (stem.to_owned(), takes_back.map(str::to_owned));
    Ok(Named { layout, role, version, id, for_dialect, is_word, repeatable, outside, stem, takes_back })
}

/// `V2.1__name`, `U2_1__name`, `R__name`.
fn flyway(stem: &str) -> Option<(Result<Role, &'static str>, String)> {
    let (head, _) = stem.split_once("__")?;
    let kind = head.chars().next()?;
    let version = &head[kind.len_utf8()..];
    let is_version = !version.is_empty()
        && version.split(['.', '_']).all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    match (kind, is_version, version.is_empty()) {
        ('V' | 'v', true, _) => Some((Ok(Role::Up), plain(version))),
        ('U' | 'u', true, _) => Some((Ok(Role::Down), plain(version))),
        ('B' | 'b', true, _) => {
            Some((Err("baseline scripts are not run; `Migrator::baseline` counts migrations in"), String::new()))
        }
        ('R' | 'r', _, true) => Some((Ok(Role::Up), stem.to_owned())),
        _ => None,
    }
}

/// `2_01` and `2.1` are one version.
fn plain(version: &str) -> String {
    let parts: Vec<&str> = version.split(['.', '_']).map(without_zeros).collect();
    let end = parts.iter().rposition(|part| *part != "0").map_or(1, |at| at + 1);
    parts[..end].join(".")
}

fn without_zeros(digits: &str) -> &str {
    let rest = digits.trim_start_matches('0');
    if rest.is_empty() { "0" } else { rest }
}

/// `R__views`.
fn is_repeatable(stem: &str) -> bool {
    stem.strip_prefix(['R', 'r']).is_some_and(|rest| rest.starts_with("__"))
}

/// With dots in the version, so that ids sort as versions do; an undo script has the id of what it undoes.
fn flyway_id(stem: &str) -> String {
    if is_repeatable(stem) {
        return id(&format!("R{}", &stem[1..]));
    }
    let (head, name) = stem.split_once("__").unwrap_or((stem, ""));
    id(&format!("V{}__{name}", head[1..].replace('_', ".")))
}

/// Without a `V` before its number, so that `V1_a` and `2_b` sort as they are meant.
fn numbered(stem: &str) -> &str {
    let bare = stem.trim_start_matches(['V', 'v']);
    if bare.starts_with(|first: char| first.is_ascii_digit()) { bare } else { stem }
}

/// `0001_users`, and words with a number in them: `V3_users`, `m0001_users`, `a1b2c3_users`.
fn is_numbered(stem: &str) -> bool {
    let head = stem.split(['_', '-', '.', ' ']).next().unwrap_or_default();
    let is_word = head.len() <= LONGEST_NUMBER && head.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word && head.bytes().any(|byte| byte.is_ascii_digit())
}

/// What no two migrations share: the number a name starts with. Where it goes on, as in a date or a time,
/// several migrations may begin alike, and only the whole name is their own.
pub(super) fn number(stem: &str) -> String {
    let bare = stem.trim_start_matches(['V', 'v']);
    let digits = &bare[..bare.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(bare.len())];
    let rest = &bare[digits.len()..];
    let name = rest.trim_start_matches(['-', '_', '.', ' ']);
    let goes_on =
        (name.len() == rest.len() && !rest.is_empty()) || name.starts_with(|first: char| first.is_ascii_digit());
    if digits.is_empty() || goes_on {
        return stem.to_owned();
    }
    without_zeros(digits).to_owned()
}

/// The name in characters that ids may have.
pub(super) fn id(stem: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | ':' | '@');
    stem.trim().chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_layout() {
        let parsed = |name: &str| match parse(name, "sqlite") {
            Ok(Named { layout, role, version, id, for_dialect, .. }) => {
                format!("{layout:?} {role:?} {version} {id}{}", if for_dialect { " ours" } else { "" })
            }
            Err(reason) => reason.to_owned(),
        };
        for (name, expected) in [
            ("V1__users.sql", "Flyway Up 1 V1__users"),
            ("V2.1__more plans.sql", "Flyway Up 2.1 V2.1__more_plans"),
            ("V2_01__x.sql", "Flyway Up 2.1 V2.01__x"),
            ("U2.1__x.sql", "Flyway Down 2.1 V2.1__x"),
            ("R__views.sql", "Flyway Up R__views R__views"),
            ("R__all views.down.sql", "Flyway Down R__all views R__all_views"),
            ("0001_users.sql", "Numbered Up 1 0001_users"),
            ("1-users.up.sql", "Numbered Up 1 1-users"),
            ("1-users.down.sql", "Numbered Down 1 1-users"),
            ("001.users.SQL", "Numbered Up 1 001.users"),
            ("V3_users.sql", "Numbered Up 3 3_users"),
            ("3_users_down.sql", "Numbered Up 3 3_users_down"),
            ("3_users.undo.sql", "Numbered Down 3 3_users"),
            ("3_users.cockroach.autocommit.up.sql", "it is for another dialect"),
            ("01.sql.sqlite", "Numbered Up 1 01 ours"),
            ("01.sql.postgres", "it is for another dialect"),
            ("0002_backfill.go", "it is numbered like a migration, and is a program"),
            ("mod.rs", "its ending is not `.sql`"),
            ("7.sql", "Numbered Up 7 7"),
            ("m0001_users.sql", "Numbered Up m0001_users m0001_users"),
            ("20240101T120000Z-users.sql", "Numbered Up 20240101T120000Z-users 20240101T120000Z-users"),
            ("20240101120000_users.up.sql", "Numbered Up 20240101120000 20240101120000_users"),
            ("2_3d_models.sql", "Numbered Up 2_3d_models 2_3d_models"),
            ("1_users.sqlite.sql", "Numbered Up 1 1_users ours"),
            ("1_users.up.sqlite3.sql", "Numbered Up 1 1_users ours"),
            ("1_users.postgres.sql", "it is for another dialect"),
            ("init.sql", "its name starts with no number or version"),
            ("README.md", "its ending is not `.sql`"),
            ("Makefile", "it has no ending `.sql`"),
            ("1_users.mongo.json", "it is for another dialect"),
            ("1_users.json", "its ending is not `.sql`"),
        ] {
            assert_eq!(parsed(name), expected, "{name}");
        }
        for (name, expected) in [
            ("1_users.json", Ok("1_users")),
            ("1_users.up.mongo.json", Ok("1_users")),
            ("1_users.mongodb.json", Ok("1_users")),
            ("1_users.sql", Err("its ending is not `.json`")),
            ("1_users.postgres.sql", Err(OTHER_DIALECT)),
            ("users", Err("it has no ending `.json`")),
        ] {
            assert_eq!(parse(name, "mongo").map(|named| named.id), expected.map(str::to_owned), "{name}");
        }
        assert_eq!(number("2024-01-01_users"), "2024-01-01_users");
    }
}
