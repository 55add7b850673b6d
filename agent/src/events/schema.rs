//! The JSON Schema of the records, made from their types.

use schemars::Schema;

use super::record::Record;

mod table;

/// The schema as pretty-printed JSON with a newline at its end.
///
/// # Errors
///
/// Never for the types of this program; the serialiser's own error.
pub fn text() -> serde_json::Result<String> {
    serde_json::to_string_pretty(&schema()).map(|text| text + "\n")
}

/// The schema as a table in Markdown: each field with its type and meaning.
#[must_use]
pub fn table() -> String {
    table::table(schema().as_value())
}

fn schema() -> Schema {
    let mut schema = schemars::schema_for!(Record);
    schema.insert("title".to_owned(), "weir event record".into());
    schema
}
