//! The rows of our tables as [`stored`] reads them: every column came as text.

use admmgt_core::stored;

use crate::quote;

/// One row of a query.
pub(super) struct PgRow(pub(super) Vec<Option<String>>);

impl PgRow {
    fn value(&self, at: usize) -> Option<&str> {
        self.0.get(at).and_then(Option::as_deref)
    }
}

impl stored::Row for PgRow {
    fn text(&self, at: usize) -> Result<Option<String>, String> {
        Ok(self.value(at).map(str::to_owned))
    }

    fn number(&self, at: usize) -> Result<Option<i64>, String> {
        let Some(text) = self.value(at) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("is `{text}` and must be an integer"))
    }

    fn bytes(&self, at: usize) -> Result<Option<Vec<u8>>, String> {
        let Some(text) = self.value(at) else { return Ok(None) };
        let digits = text.strip_prefix("\\x").ok_or_else(|| "is not written as hexadecimal digits".to_owned())?;
        quote::from_hex(digits).map(Some).ok_or_else(|| "holds what is no hexadecimal digit".to_owned())
    }
}
