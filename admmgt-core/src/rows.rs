//! [`Rows`]: the rows of a table, to be changed batch by batch by a backend that speaks SQL. The few queries that takes are
//! the same in every SQL; how a key is written as text is the backend's.

use crate::Error;

/// The rows of a table, and what is set in them: [`Backfill::update`](crate::Backfill::update).
///
/// All parts are SQL of the database, as they would stand in `update TABLE set … where …`; a name with a capital or a space
/// in it stands in its quotes.
///
/// The key is what the rows are read in the order of: the primary key, or the columns of another index whose columns are
/// never NULL (which is looked for once, at the beginning). Without an index on them each batch would read the whole table; and
/// what is set must not change the key, or its rows are met again.
///
/// ```
/// use admmgt_core::{BoxError, Context, Rows};
///
/// async fn fill(cx: &mut Context) -> Result<(), BoxError> {
///     let rows = Rows::of("sales", ["id"]).set("gross = round(net * 1.2, 2)").only("gross is null");
///     let filled = cx.backfill("gross").update(&rows).await?;
///     assert!(filled.changed <= filled.seen);
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rows {
    /// The table, as SQL names it: `sales`, `billing."Sales"`.
    pub table: String,
    /// The columns of the key, in the order of its index.
    pub key: Vec<String>,
    /// What stands behind `set`; empty where nothing is set.
    pub set: String,
    /// Which rows are changed, as it stands behind `where`; `None` for all.
    pub only: Option<String>,
}

impl Rows {
    /// The rows of a table in the order of these columns.
    pub fn of<C: Into<String>>(table: impl Into<String>, key: impl IntoIterator<Item = C>) -> Self {
        let key = key.into_iter().map(Into::into).collect();
        Self { table: table.into(), key, set: String::new(), only: None }
    }

    /// What is set: `gross = net * 1.2, taxed = true`.
    pub fn set(mut self, set: impl Into<String>) -> Self {
        self.set = set.into();
        self
    }

    /// Changes only these: `gross is null`. What an earlier attempt has changed should be left out here, so that rows
    /// which the application writes meanwhile are not changed twice.
    pub fn only(mut self, only: impl Into<String>) -> Self {
        self.only = Some(only.into());
        self
    }

    /// The statement that changes the rows whose keys are behind `after`, up to `end` and with it. Keys are SQL.
    pub fn update(&self, after: Option<&str>, end: &str) -> String {
        let only = self.only.as_ref().map_or_else(String::new, |only| format!(" and ({only})"));
        format!("update {} set {} where {}{only}", self.table, self.set, self.between(after, Some(end)))
    }

    /// The query for the key of the last of so many rows behind `after`, as this expression writes it: no row where there are
    /// fewer. Keys are SQL.
    pub fn nth(&self, key: &str, after: Option<&str>, count: u64) -> String {
        let (table, behind, order) = (&self.table, self.between(after, None), self.order("asc"));
        let skipped = count.saturating_sub(1);
        format!("select {key} from {table} where {behind} order by {order} limit 1 offset {skipped}")
    }

    /// The query for the key of the last row of all behind `after`, and how many there are. Keys are SQL.
    pub fn last(&self, key: &str, after: Option<&str>) -> String {
        let (table, behind, order) = (&self.table, self.between(after, None), self.order("desc"));
        format!(
            "select {key}, (select count(*) from {table} where {behind}) from {table} where {behind} order by {order} limit 1"
        )
    }

    /// The query that finds a row without a whole key: it is behind no other, and would be left out without a word.
    pub fn keyless(&self) -> String {
        let columns: Vec<String> = self.key.iter().map(|column| format!("{column} is null")).collect();
        format!("select 1 from {} where {} limit 1", self.table, columns.join(" or "))
    }

    /// The error where [`Rows::keyless`] finds one.
    pub fn keyless_error(&self) -> Error {
        let (table, key) = (&self.table, self.key.join(", "));
        let problem = format!(
            "`{table}` has rows where the key `{key}` is NULL, which no batch would come to; fill it first, or choose other \
             columns"
        );
        Error::Usage { problem }
    }

    /// The condition for the rows behind `after`, up to `end` and with it.
    fn between(&self, after: Option<&str>, end: Option<&str>) -> String {
        let columns = self.columns();
        let row = |key: &str| if self.key.len() == 1 { key.to_owned() } else { format!("({key})") };
        let after = after.map(|after| format!("{columns} > {}", row(after)));
        let end = end.map(|end| format!("{columns} <= {}", row(end)));
        let both: Vec<String> = after.into_iter().chain(end).collect();
        if both.is_empty() { "true".to_owned() } else { both.join(" and ") }
    }

    /// The columns of the key, as one value.
    fn columns(&self) -> String {
        let columns = self.key.join(", ");
        if self.key.len() == 1 { columns } else { format!("({columns})") }
    }

    /// The columns of the key in one order: `a desc, b desc`.
    fn order(&self, order: &str) -> String {
        let columns: Vec<String> = self.key.iter().map(|column| format!("{column} {order}")).collect();
        columns.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_open_at_its_beginning_and_closed_at_its_end() {
        let one = Rows::of("t", ["id"]).set("a = 1").only("b or c");
        assert_eq!(one.update(None, "9"), "update t set a = 1 where id <= 9 and (b or c)");
        assert_eq!(one.update(Some("4"), "9"), "update t set a = 1 where id > 4 and id <= 9 and (b or c)");
        let two = Rows::of("t", ["a", "b"]).set("c = 1");
        assert_eq!(
            two.update(Some("1, 'x'"), "2, 'y'"),
            "update t set c = 1 where (a, b) > (1, 'x') and (a, b) <= (2, 'y')"
        );
        assert_eq!(two.between(None, None), "true");
    }

    #[test]
    fn the_end_of_a_batch_is_asked_for_by_its_place_and_the_last_one_from_the_end() {
        let two = Rows::of("t", ["a", "b"]);
        assert_eq!(
            two.nth("k(a, b)", Some("1, 2"), 10),
            "select k(a, b) from t where (a, b) > (1, 2) order by a asc, b asc limit 1 offset 9"
        );
        assert_eq!(
            two.last("k(a, b)", None),
            "select k(a, b), (select count(*) from t where true) from t where true order by a desc, b desc limit 1"
        );
        assert_eq!(two.keyless(), "select 1 from t where a is null or b is null limit 1");
    }
}
