//! Seeds: scripts of other projects, where they are at hand.

use serde_json::Value;

/// Up to so many texts of the corpora.
pub(crate) fn texts(count: usize) -> Vec<String> {
    let Some(folder) = std::env::var_os("ADMMGT_CORPORA") else { return Vec::new() };
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        collect(&serde_json::from_str(&text).unwrap_or_default(), &mut texts);
    }
    let mut random = fastrand::Rng::with_seed(5);
    random.shuffle(&mut texts);
    texts.truncate(count);
    texts
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() > 20 && text.contains(' ') => texts.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| collect(value, texts)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, texts)),
        _ => {}
    }
}
