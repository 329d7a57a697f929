//! The keys a macro knows, each with an example, and the nearest one to a typo.

use std::collections::HashSet;

use proc_macro2::{Ident, TokenStream};

use crate::errors::Errors;
use crate::parse::entries::entries;

/// A key and how it is written.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) example: &'static str,
}

const ID: Key = Key { name: "id", example: r#"id = "0001_create_users""# };
const NAMESPACE: Key = Key { name: "namespace", example: r#"namespace = "billing""# };
const DEPENDS_ON: Key = Key { name: "depends_on", example: r#"depends_on = [create_users, "billing/0001_plans"]"# };
const TRANSACTION: Key = Key { name: "transaction", example: r#"transaction = "none""# };
const ON_INTERRUPT: Key = Key { name: "on_interrupt", example: r#"on_interrupt = "retry""# };
const PROBE: Key = Key { name: "probe", example: "probe = look_for_users" };
const REPEATABLE: Key = Key { name: "repeatable", example: "repeatable = true" };
const REPLACES: Key = Key { name: "replaces", example: r#"replaces = ["0001_users", "0002_plans"]"# };
const TAGS: Key = Key { name: "tags", example: r#"tags = ["seed"]"# };
const CHECKSUM: Key = Key { name: "checksum", example: r#"checksum = "manual:1""# };
const DESCRIPTION: Key = Key { name: "description", example: r#"description = "Users sign in by e-mail.""# };
const CRATE: Key = Key { name: "crate", example: "crate = ::admmgt" };

/// What `#[migration(…)]` takes.
pub(crate) const OF_CODE: &[Key] = &[
    ID,
    NAMESPACE,
    DEPENDS_ON,
    Key { name: "down", example: "down = drop_users" },
    TRANSACTION,
    ON_INTERRUPT,
    PROBE,
    REPEATABLE,
    REPLACES,
    TAGS,
    CHECKSUM,
    DESCRIPTION,
    CRATE,
];

/// What `sql_migration!(…)` takes.
pub(crate) const OF_SQL: &[Key] = &[
    ID,
    NAMESPACE,
    DEPENDS_ON,
    Key { name: "up", example: r#"up = "sql/users.up.sql""# },
    Key { name: "down", example: r#"down = "sql/users.down.sql""# },
    Key { name: "name", example: "name = pub create_users" },
    Key { name: "backend", example: r#"backend = "sqlite""# },
    TRANSACTION,
    ON_INTERRUPT,
    PROBE,
    REPEATABLE,
    REPLACES,
    TAGS,
    CHECKSUM,
    DESCRIPTION,
    CRATE,
];

/// What `migrations_dir!("folder", …)` takes besides the folder.
pub(crate) const OF_DIR: &[Key] = &[
    NAMESPACE,
    Key { name: "backend", example: r#"backend = "sqlite""# },
    Key { name: "strict", example: "strict = true" },
    CRATE,
];

/// One entry whose key is known and not a repetition.
pub(crate) struct Argument {
    pub(crate) key: Ident,
    pub(crate) value: TokenStream,
    example: &'static str,
}

impl Argument {
    /// The error of a value that is of the wrong kind, or not there.
    pub(crate) fn wrong(&self, problem: &str) -> syn::Error {
        let Self { key, value, example } = self;
        if value.is_empty() {
            return syn::Error::new_spanned(key, format!("`{key}` has no value; write `{example}`"));
        }
        syn::Error::new_spanned(value, format!("{problem}; write `{example}`"))
    }
}

/// The entries of one macro call, taken out key by key.
pub(crate) struct Arguments(Vec<Argument>);

impl Arguments {
    /// Reads the entries; unknown and repeated keys are errors.
    pub(crate) fn read(tokens: TokenStream, known: &[Key], errors: &mut Errors) -> Self {
        let mut seen = HashSet::new();
        let mut arguments = Vec::new();
        for entry in entries(tokens, errors) {
            let name = entry.key.to_string();
            match known.iter().find(|key| key.name == name) {
                None => errors.at(&entry.key, unknown(&name, known)),
                Some(_) if !seen.insert(name.clone()) => {
                    errors.at(&entry.key, format!("`{name}` is given twice; keep one of the two"));
                }
                Some(key) => arguments.push(Argument { key: entry.key, value: entry.value, example: key.example }),
            }
        }
        Self(arguments)
    }

    /// The argument of a key, if it was given.
    pub(crate) fn take(&mut self, name: &str) -> Option<Argument> {
        let at = self.0.iter().position(|argument| argument.key == name)?;
        Some(self.0.swap_remove(at))
    }
}

fn unknown(name: &str, known: &[Key]) -> String {
    let is_of_code = known.iter().any(|key| key.name == "down") && known.iter().all(|key| key.name != "up");
    if is_of_code && OF_SQL.iter().any(|key| key.name == name) {
        return format!(
            "`{name}` is a key of `sql_migration!(…)`; here the function itself is what runs, remove `{name}`"
        );
    }
    match nearest(name, known) {
        Some(key) => format!("there is no key `{name}`; did you mean `{}`?", key.example),
        None => {
            let names: Vec<String> = known.iter().map(|key| format!("`{}`", key.name)).collect();
            format!("there is no key `{name}`; the keys are {}", names.join(", "))
        }
    }
}

/// The key that shares its start or at least half of its letters.
fn nearest<'a>(name: &str, known: &'a [Key]) -> Option<&'a Key> {
    let nearest = known.iter().min_by_key(|key| distance(name, key.name))?;
    let near = |key: &Key| distance(name, key.name) * 2 <= name.len().max(key.name.len());
    let starts = |key: &&Key| name.len() > 2 && (key.name.starts_with(name) || name.starts_with(key.name));
    known.iter().find(starts).or(Some(nearest).filter(|key| near(key)))
}

/// How many letters have to be added, removed or replaced.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_find_the_key_that_was_meant() {
        let check = |name: &str| nearest(name, OF_CODE).map_or("", |key| key.name);
        for (typo, meant) in [
            ("depends", "depends_on"),
            ("dependson", "depends_on"),
            ("dependencies", "depends_on"),
            ("tag", "tags"),
            ("desc", "description"),
            ("transactional", "transaction"),
            ("txn", ""),
            ("name_space", "namespace"),
            ("whatever", ""),
        ] {
            assert_eq!(check(typo), meant, "{typo}");
        }
    }

    #[test]
    fn distances_are_counted_in_letters() {
        for (a, b, expected) in [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("id", "di", 2)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
