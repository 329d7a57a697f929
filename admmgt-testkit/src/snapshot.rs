//! What a database looks like and what it holds, to be compared.

use std::collections::{BTreeMap, BTreeSet};

/// What a database looks like: a line for each thing in it, whatever the order it was made in.
///
/// ```
/// use admmgt_testkit::Schema;
///
/// let before = Schema::new(["table users", "column users.name text"]);
/// let after = Schema::new(["table users", "column users.email text"]);
/// assert_eq!(before.differences(&after), ["- column users.name text", "+ column users.email text"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema(BTreeSet<String>);

impl Schema {
    /// Of these lines.
    pub fn new(lines: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(lines.into_iter().map(Into::into).collect())
    }

    /// Its lines, in order.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// What is here only, behind a `-`, and what is there only, behind a `+`.
    pub fn differences(&self, there: &Self) -> Vec<String> {
        let gone = self.0.difference(&there.0).map(|line| format!("- {line}"));
        let new = there.0.difference(&self.0).map(|line| format!("+ {line}"));
        gone.chain(new).collect()
    }
}

/// What a database holds, by the names of its tables.
pub type Data = BTreeMap<String, Rows>;

/// The rows of one table.
///
/// ```
/// use admmgt_testkit::Rows;
///
/// let users = Rows::new(["id", "name"], [vec![Some("1".to_owned()), None]]);
/// assert_eq!((users.columns.len(), users.rows.len()), (2, 1));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rows {
    /// The names of its columns.
    pub columns: Vec<String>,
    /// The rows, sorted. Each has its values in the order of the columns, as texts that differ where the values do;
    /// `None` for NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Rows {
    /// Of these columns and rows.
    pub fn new(
        columns: impl IntoIterator<Item = impl Into<String>>,
        rows: impl IntoIterator<Item = Vec<Option<String>>>,
    ) -> Self {
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort();
        Self { columns: columns.into_iter().map(Into::into).collect(), rows }
    }

    /// How many rows hold something in a column.
    pub(crate) fn filled(&self, column: &str) -> usize {
        let Some(at) = self.columns.iter().position(|one| one == column) else { return 0 };
        self.rows.iter().filter(|row| row.get(at).is_some_and(Option::is_some)).count()
    }

    /// The rows with these columns only, in order.
    pub(crate) fn only(&self, columns: &[&String]) -> Vec<Vec<Option<String>>> {
        let places: Vec<Option<usize>> =
            columns.iter().map(|column| self.columns.iter().position(|one| one == *column)).collect();
        let row = |row: &Vec<Option<String>>| {
            places.iter().map(|at| at.and_then(|at| row.get(at).cloned()).flatten()).collect::<Vec<_>>()
        };
        let mut rows: Vec<_> = self.rows.iter().map(row).collect();
        rows.sort();
        rows
    }
}
