//! Extended JSON: documents as text, so that what is read is what was written.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mongodb::bson::{Binary, Bson, Document};
use serde::de::Error as _;
use serde_json::{Error, Value};

/// Names that stand alone for a value that JSON has no word for: `{ "$oid": "…" }`.
const WORDS: [&str; 18] = [
    "$oid",
    "$date",
    "$numberInt",
    "$numberLong",
    "$numberDouble",
    "$numberDecimal",
    "$binary",
    "$uuid",
    "$timestamp",
    "$regularExpression",
    "$symbol",
    "$code",
    "$scope",
    "$undefined",
    "$minKey",
    "$maxKey",
    "$dbPointer",
    "$type",
];

/// Reads a document. A whole number is a short one where it fits, as the shell of MongoDB reads it.
pub(crate) fn read(text: &str) -> Result<Document, Error> {
    match value(serde_json::from_str(text)?)? {
        Bson::Document(document) => Ok(document),
        _ => Err(Error::custom("it must be an object")),
    }
}

fn value(json: Value) -> Result<Bson, Error> {
    Ok(match json {
        Value::Null => Bson::Null,
        Value::Bool(yes) => yes.into(),
        Value::String(text) => text.into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => i32::try_from(whole).map_or(Bson::Int64(whole), Bson::Int32),
            None => Bson::Double(number.as_f64().ok_or_else(|| Error::custom(format!("{number} is too large")))?),
        },
        Value::Array(all) => all.into_iter().map(value).collect::<Result<Vec<_>, _>>()?.into(),
        Value::Object(fields) if fields.keys().all(|name| WORDS.contains(&&**name)) && is_word(&fields) => {
            serde_json::from_value(Value::Object(fields))?
        }
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, json)| Ok::<_, Error>((name, value(json)?)));
            fields.collect::<Result<Document, _>>()?.into()
        }
    })
}

/// `$type` alone is a query.
fn is_word(fields: &serde_json::Map<String, Value>) -> bool {
    fields.keys().any(|name| name != "$type")
}

/// Writes a value.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, value: &Bson) -> fmt::Result {
    let text = |text: &str| serde_json::to_string(text).map_err(|_| fmt::Error);
    match value {
        Bson::Document(document) => {
            f.write_str("{")?;
            for (at, (name, value)) in document.iter().enumerate() {
                write!(f, "{}{}:", if at > 0 { "," } else { "" }, text(name)?)?;
                write(f, value)?;
            }
            f.write_str("}")
        }
        Bson::Array(values) => {
            f.write_str("[")?;
            for (at, value) in values.iter().enumerate() {
                f.write_str(if at > 0 { "," } else { "" })?;
                write(f, value)?;
            }
            f.write_str("]")
        }
        Bson::Int64(number) => write!(f, "{{\"$numberLong\":\"{number}\"}}"),
        Bson::Double(number) if number.is_nan() => f.write_str("{\"$numberDouble\":\"NaN\"}"),
        Bson::Double(number) if number.is_infinite() => {
            write!(f, "{{\"$numberDouble\":\"{}Infinity\"}}", if *number < 0.0 { "-" } else { "" })
        }
        // Where it is of the usual kind, it would be a list of numbers otherwise.
        Bson::Binary(Binary { subtype, bytes }) => {
            let (bytes, kind) = (BASE64_STANDARD.encode(bytes), u8::from(*subtype));
            write!(f, "{{\"$binary\":{{\"base64\":\"{bytes}\",\"subType\":\"{kind:02x}\"}}}}")
        }
        other => f.write_str(&serde_json::to_string(other).map_err(|_| fmt::Error)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::spec::BinarySubtype;
    use mongodb::bson::{DateTime, Regex, Timestamp, doc, oid::ObjectId};

    struct Shown<'a>(&'a Document);

    impl fmt::Display for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write(f, &self.0.clone().into())
        }
    }

    #[test]
    fn values_are_read_as_what_they_were() {
        let all = doc! {
            "long": 5_i64, "least": i64::MIN, "int": 5, "small": -7, "double": 5.0, "far": [f64::INFINITY, f64::NEG_INFINITY],
            "text": "a \"quoted\" $text", "null": null, "date": DateTime::from_millis(7), "id": ObjectId::new(),
            "binary": Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 2] }, "at": Timestamp { time: 1, increment: 2 },
            "regex": Regex { pattern: "^a".to_owned(), options: "i".to_owned() }, "min": Bson::MinKey,
            "key.with": { "$dollar": 1, "b": [{ "$type": "string" }, { "$regex": "x" }, {}] },
        };
        let text = Shown(&all).to_string();
        assert_eq!(read(&text).unwrap(), all, "{text}");
    }

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        let read = read(r#"{ "a": -1, "b": 3000000000, "c": 1.0, "d": 1e400 }"#);
        assert!(read.is_err(), "it is no number that there is");
        let read = super::read(r#"{ "a": -1, "b": 3000000000, "c": 1.0 }"#).unwrap();
        assert_eq!(read, doc! { "a": -1, "b": 3_000_000_000_i64, "c": 1.0 });
        assert!(super::read("[]").is_err() && super::read("{").is_err());
    }
}
