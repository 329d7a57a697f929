//! The `_id`s of documents: their types, as MongoDB sorts and compares them, and each as a text.

use admmgt_core::BoxError;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};

/// Types that are compared with one another, in the order in which MongoDB sorts them; by the names of `$type`.
pub(crate) const BRACKETS: [(Bracket, &[&str]); 15] = [
    (Bracket::MinKey, &["minKey"]),
    (Bracket::Null, &["null", "undefined"]),
    (Bracket::Number, &["number"]),
    (Bracket::Text, &["string", "symbol"]),
    (Bracket::Object, &["object"]),
    (Bracket::Binary, &["binData"]),
    (Bracket::ObjectId, &["objectId"]),
    (Bracket::Bool, &["bool"]),
    (Bracket::Date, &["date"]),
    (Bracket::Timestamp, &["timestamp"]),
    (Bracket::Regex, &["regex"]),
    (Bracket::Pointer, &["dbPointer"]),
    (Bracket::Code, &["javascript"]),
    (Bracket::CodeWithScope, &["javascriptWithScope"]),
    (Bracket::MaxKey, &["maxKey"]),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bracket {
    MinKey,
    Null,
    Number,
    Text,
    Object,
    Binary,
    ObjectId,
    Bool,
    Date,
    Timestamp,
    Regex,
    Pointer,
    Code,
    CodeWithScope,
    MaxKey,
}

impl Bracket {
    pub(crate) fn of(id: &Bson) -> Self {
        match id {
            Bson::MinKey => Self::MinKey,
            Bson::Null | Bson::Undefined => Self::Null,
            Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::Decimal128(_) => Self::Number,
            Bson::String(_) | Bson::Symbol(_) => Self::Text,
            Bson::Document(_) => Self::Object,
            Bson::Binary(_) => Self::Binary,
            Bson::ObjectId(_) => Self::ObjectId,
            Bson::Boolean(_) => Self::Bool,
            Bson::DateTime(_) => Self::Date,
            Bson::Timestamp(_) => Self::Timestamp,
            Bson::RegularExpression(_) => Self::Regex,
            Bson::DbPointer(_) => Self::Pointer,
            Bson::JavaScriptCode(_) => Self::Code,
            Bson::JavaScriptCodeWithScope(_) => Self::CodeWithScope,
            Bson::MaxKey | Bson::Array(_) => Self::MaxKey,
        }
    }

    pub(crate) fn place(self) -> usize {
        BRACKETS.iter().position(|(bracket, _)| *bracket == self).unwrap_or(BRACKETS.len())
    }

    /// There is one value only, with which nothing can be compared.
    fn is_single(self) -> bool {
        matches!(self, Self::MinKey | Self::Null | Self::MaxKey)
    }

    pub(crate) fn whole(self) -> Document {
        doc! { "_id": { "$type": BRACKETS[self.place()].1.to_vec() } }
    }

    /// What comes behind an `_id` in its bracket; `None` where nothing can.
    pub(crate) fn behind(self, id: &Bson) -> Option<Document> {
        if self.is_single() {
            return None;
        }
        // It sorts before all numbers, and no comparison with it holds.
        if is_nan(id) {
            return Some(doc! { "$and": [self.whole(), { "_id": { "$ne": id.clone() } }] });
        }
        Some(doc! { "_id": { "$gt": id.clone() } })
    }

    pub(crate) fn between(self, after: Option<&Bson>, end: &Bson) -> Document {
        if self.is_single() || is_nan(end) {
            return doc! { "_id": end.clone() };
        }
        let mut ids = doc! { "$lte": end.clone() };
        match after.filter(|after| Self::of(after) == self) {
            Some(after) if is_nan(after) => doc! { "_id": ids },
            Some(after) => {
                ids.insert("$gt", after.clone());
                doc! { "_id": ids }
            }
            // The first batch of numbers holds what is none of them.
            None if self == Self::Number => doc! { "$or": [{ "_id": ids }, { "_id": f64::NAN }] },
            None => doc! { "_id": ids },
        }
    }
}

fn is_nan(id: &Bson) -> bool {
    match id {
        Bson::Double(value) => value.is_nan(),
        Bson::Decimal128(value) => value.to_string() == "NaN",
        _ => false,
    }
}

/// An `_id` as text, exact to the bit: the bytes of a document with it, in hexadecimal digits.
pub(crate) fn encoded(id: &Bson) -> Result<String, BoxError> {
    let raw = RawDocumentBuf::try_from(&doc! { "": id.clone() })?;
    Ok(raw.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(crate) fn decoded(text: &str) -> Result<Bson, BoxError> {
    let wrong =
        || format!("the checkpoint `{text}` is no key of this backfill; was it changed since it was interrupted?");
    let digits = |at: usize| text.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(digits).collect();
    let raw = RawDocumentBuf::from_bytes(bytes.ok_or_else(wrong)?).map_err(|_| wrong())?;
    let mut document = Document::try_from(&*raw).map_err(|_| wrong())?;
    document.remove("").ok_or_else(|| wrong().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::{JavaScriptCodeWithScope, Regex};

    #[test]
    fn a_key_comes_back_as_it_was() {
        for id in
            [Bson::Int32(5), Bson::Int64(5), Bson::Double(0.1), Bson::String("ü".to_owned()), Bson::Null, Bson::MinKey]
        {
            assert_eq!(decoded(&encoded(&id).unwrap()).unwrap(), id);
        }
        let nan = [Bson::Double(f64::NAN), Bson::Decimal128("NaN".parse().unwrap())];
        assert!(nan.iter().all(|nan| is_nan(&decoded(&encoded(nan).unwrap()).unwrap())));
        for wrong in ["", "5", "zz", "0500000000", "ü"] {
            assert!(decoded(wrong).unwrap_err().to_string().contains("is no key of this backfill"), "{wrong}");
        }
    }

    #[test]
    fn a_range_is_of_one_type() {
        let range = |after: Option<Bson>, end: Bson| Bracket::of(&end).between(after.as_ref(), &end);
        assert_eq!(range(Some(4.into()), 9.into()), doc! { "_id": { "$lte": 9, "$gt": 4 } });
        // What came before was of another type.
        assert_eq!(range(Some(4.into()), "b".into()), doc! { "_id": { "$lte": "b" } });
        assert_eq!(range(Some(4.into()), Bson::MaxKey), doc! { "_id": Bson::MaxKey });
        assert_eq!(Bracket::Null.behind(&Bson::Null), None);
        let code = || "f()".to_owned();
        let scoped = JavaScriptCodeWithScope { code: code(), scope: doc! {} };
        let regex = Regex { pattern: "^a".to_owned(), options: String::new() };
        for (id, bracket) in [
            (Bson::RegularExpression(regex), Bracket::Regex),
            (Bson::JavaScriptCode(code()), Bracket::Code),
            (Bson::JavaScriptCodeWithScope(scoped), Bracket::CodeWithScope),
        ] {
            assert_eq!(Bracket::of(&id), bracket);
        }
        assert!(BRACKETS.iter().enumerate().all(|(at, (bracket, _))| bracket.place() == at));
    }
}
