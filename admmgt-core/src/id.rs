//! What a migration is called: a namespace and an id.

use std::cmp::Ordering;
use std::fmt;

use admmgt_files::name::{NameProblem, check_name};
use serde::{Deserialize, Serialize};

use crate::Text;

/// The name of a set of migrations that is written and shipped together; by default the name of
/// the crate that defines it. Several namespaces can share one database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(Text);

impl Namespace {
    /// A namespace, if the name is one.
    ///
    /// # Errors
    /// [`InvalidName`] says which character or length is refused.
    ///
    /// ```
    /// use admmgt_core::Namespace;
    ///
    /// assert_eq!(Namespace::new("billing").unwrap().as_str(), "billing");
    /// assert!(Namespace::new("billing/eu").is_err());
    /// ```
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        match check_name(&name) {
            Ok(()) => Ok(Self(name.into())),
            Err(problem) => Err(InvalidName { name, problem }),
        }
    }

    pub(crate) const fn from_static(name: &'static str) -> Self {
        Self(Text::from_static(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Namespace {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<Self, InvalidName> {
        Self::new(name)
    }
}

impl From<Namespace> for String {
    fn from(namespace: Namespace) -> Self {
        namespace.0.into()
    }
}

/// The full name of a migration, written `namespace/id`.
///
/// Ids are ordered as people count: runs of digits compare as numbers, so `2_b` comes before
/// `10_a`, and everything else compares byte by byte.
///
/// ```
/// use admmgt_core::MigrationId;
///
/// let id: MigrationId = "billing/0002_plans".parse().unwrap();
/// assert_eq!(id.namespace().as_str(), "billing");
/// assert_eq!(id.id(), "0002_plans");
/// assert!(MigrationId::new("app", "2_b").unwrap() < MigrationId::new("app", "10_a").unwrap());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MigrationId {
    namespace: Namespace,
    id: Text,
}

impl MigrationId {
    /// A migration's name from its two parts.
    ///
    /// # Errors
    /// [`InvalidName`] says which part is refused and why.
    pub fn new(namespace: impl Into<String>, id: impl Into<String>) -> Result<Self, InvalidName> {
        let id = id.into();
        let namespace = Namespace::new(namespace)?;
        match check_name(&id) {
            Ok(()) => Ok(Self { namespace, id: id.into() }),
            Err(problem) => Err(InvalidName { name: id, problem }),
        }
    }

    /// For names that a macro has checked while the crate was compiled.
    pub(crate) const fn from_static(namespace: &'static str, id: &'static str) -> Self {
        Self { namespace: Namespace::from_static(namespace), id: Text::from_static(id) }
    }

    /// The set it belongs to.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its name within the namespace.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for MigrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.width().is_some() {
            return f.pad(&format!("{}/{}", self.namespace, self.id));
        }
        write!(f, "{}/{}", self.namespace, self.id)
    }
}

impl std::str::FromStr for MigrationId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let (namespace, id) = text.split_once('/').unwrap_or(("", text));
        Self::new(namespace, id)
    }
}

impl TryFrom<String> for MigrationId {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<MigrationId> for String {
    fn from(id: MigrationId) -> Self {
        id.to_string()
    }
}

impl Ord for MigrationId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.namespace.cmp(&other.namespace).then_with(|| admmgt_files::order::natural(&self.id, &other.id))
    }
}

impl PartialOrd for MigrationId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A name that cannot be a namespace or an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot name a migration or a namespace: {problem}", .name.escape_debug())]
pub struct InvalidName {
    /// The name as given.
    pub name: String,
    /// What is wrong with it.
    pub problem: NameProblem,
}

/// What two ids share that differ only by case or by zeros before a number.
pub(crate) fn likeness(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    let mut after_digit = false;
    for (at, c) in id.char_indices() {
        let next_is_digit = id.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit);
        let padding = c == '0' && !after_digit && next_is_digit;
        if !padding {
            after_digit = c.is_ascii_digit();
            // Almost every name is ASCII, and the Unicode tables cost a fifth of building a set.
            if c.is_ascii() { out.push(c.to_ascii_lowercase()) } else { out.extend(c.to_lowercase()) }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_as_people_count() {
        let mut ids = ["2.1_a", "2.1", "10_b", "2_a", "1", "001", "V2.10__x", "V2.9__x", "a", "B", "a2", "a10"]
            .map(|id| MigrationId::new("app", id).unwrap());
        ids.sort();
        let ids: Vec<&str> = ids.iter().map(MigrationId::id).collect();
        assert_eq!(ids, ["001", "1", "2_a", "2.1", "2.1_a", "10_b", "B", "V2.9__x", "V2.10__x", "a", "a2", "a10"]);
    }

    #[test]
    fn padding_and_case_alone_make_ids_alike() {
        assert_eq!(likeness("001_Users"), likeness("1_users"));
        assert_eq!(likeness("1.0"), "1.0");
        assert_eq!(likeness("100"), "100");
        assert_eq!(likeness("a_007"), "a_7");
        assert_ne!(likeness("10_a"), likeness("1_a"));
    }

    #[test]
    fn hostile_names_are_refused() {
        for bad in ["", "../x", "a b", "a/b", "a'b", "a\"b", "a;b", "a\0b", "a\u{202e}b", "-x"] {
            assert!(MigrationId::new("app", bad).is_err(), "{bad:?}");
        }
        assert!(MigrationId::new("app", "ü_übersicht").is_ok());
        assert!("no_namespace".parse::<MigrationId>().is_err());
    }
}
