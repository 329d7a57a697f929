//! What a database looks like, what it holds, and a copy of both.

use std::collections::BTreeSet;

use admmgt_testkit::{Data, Rows, Schema};
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::Result;

/// What the names of the collections of the history begin with.
const OURS: &str = "_admmgt";

/// So many documents are written at once.
const SOME: usize = 1000;

/// The collections and views, as the server describes them; its own are left out.
async fn collections(database: &Database) -> Result<Vec<Document>> {
    let mut cursor = database.run_cursor_command(doc! { "listCollections": 1 }).await?;
    let mut all = Vec::new();
    while cursor.advance().await? {
        all.push(cursor.deserialize_current()?);
    }
    all.retain(|found| !name(found).starts_with("system."));
    // Views stand on collections.
    all.sort_by_key(|found| (is_view(found), name(found).to_owned()));
    Ok(all)
}

fn name(found: &Document) -> &str {
    found.get_str("name").unwrap_or_default()
}

fn is_view(found: &Document) -> bool {
    found.get_str("type").is_ok_and(|text| text == "view")
}

async fn indexes(database: &Database, collection: &str) -> Result<Vec<Document>> {
    let mut cursor = database.run_cursor_command(doc! { "listIndexes": collection }).await?;
    let mut all = Vec::new();
    while cursor.advance().await? {
        all.push(cursor.deserialize_current()?);
    }
    all.retain(|index| name(index) != "_id_");
    Ok(all)
}

fn text(value: &Bson) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Without what is the same where it is not said: the server says it of a collection whose validator was changed once.
fn said(mut options: Document) -> Document {
    let defaults = [
        ("validator", Bson::from(doc! {})),
        ("validationLevel", "strict".into()),
        ("validationAction", "error".into()),
    ];
    for (field, default) in defaults {
        if options.get(field) == Some(&default) {
            options.remove(field);
        }
    }
    options
}

pub(super) async fn schema(database: &Database) -> Result<Schema> {
    let mut lines = Vec::new();
    for found in collections(database).await?.iter().filter(|found| !name(found).starts_with(OURS)) {
        let options = text(&said(found.get_document("options").cloned().unwrap_or_default()).into());
        let kind = found.get_str("type").unwrap_or("collection");
        lines.push(format!("{kind} {} {options}", name(found)));
        if !is_view(found) {
            let indexes = indexes(database, name(found)).await?;
            lines.extend(indexes.into_iter().map(|index| {
                let called = name(&index).to_owned();
                format!("index {}.{called} {}", name(found), text(&index.into()))
            }));
        }
    }
    Ok(Schema::new(lines))
}

/// The fields of the outermost level are the columns.
pub(super) async fn data(database: &Database) -> Result<Data> {
    let mut data = Data::new();
    for found in collections(database).await?.iter().filter(|found| !name(found).starts_with(OURS) && !is_view(found)) {
        let mut cursor = database.collection::<Document>(name(found)).find(doc! {}).await?;
        let mut documents = Vec::new();
        while cursor.advance().await? {
            documents.push(cursor.deserialize_current()?);
        }
        let columns: BTreeSet<String> = documents.iter().flat_map(Document::keys).cloned().collect();
        let row = |document: &Document| columns.iter().map(|column| document.get(column).map(text)).collect();
        let rows: Vec<Vec<Option<String>>> = documents.iter().map(row).collect();
        data.insert(name(found).to_owned(), Rows::new(columns, rows));
    }
    Ok(data)
}

/// Makes a database like another, the history with it.
pub(super) async fn copy(from: &Database, to: &Database) -> Result<()> {
    for found in collections(from).await? {
        let mut create = doc! { "create": name(&found) };
        create.extend(found.get_document("options").cloned().unwrap_or_default());
        to.run_command(create).await?;
        if is_view(&found) {
            continue;
        }
        let indexes = indexes(from, name(&found)).await?;
        if !indexes.is_empty() {
            to.run_command(doc! { "createIndexes": name(&found), "indexes": indexes }).await?;
        }
        let mut cursor = from.collection::<Document>(name(&found)).find(doc! {}).await?;
        let mut some = Vec::new();
        loop {
            let is_more = cursor.advance().await?;
            if is_more {
                some.push(cursor.deserialize_current()?);
            }
            if !some.is_empty() && (!is_more || some.len() == SOME) {
                let into = to.collection::<Document>(name(&found));
                // What was there may not fit a validator that came later.
                into.insert_many(std::mem::take(&mut some)).bypass_document_validation(true).await?;
            }
            if !is_more {
                break;
            }
        }
    }
    Ok(())
}
