//! The JSON Schema of the records, made from their types.

use super::record::Record;

/// The schema as pretty-printed JSON with a newline at its end.
///
/// # Errors
///
/// Never for the types of this program; the serialiser's own error.
pub fn text() -> serde_json::Result<String> {
    let mut schema = schemars::schema_for!(Record);
    schema.insert("title".to_owned(), "weir event record".into());
    serde_json::to_string_pretty(&schema).map(|text| text + "\n")
}
