//! The schema as a table for people, in Markdown.

use std::fmt::Write as _;

use serde_json::Value;

/// One row for each field of a record, those of nested objects after theirs.
pub(super) fn table(schema: &Value) -> String {
    let mut text = String::from("| field | type | meaning |\n| --- | --- | --- |\n");
    rows(schema, schema, "", &mut text);
    text
}

fn rows(root: &Value, object: &Value, prefix: &str, text: &mut String) {
    let Some(fields) = object.get("properties").and_then(Value::as_object) else { return };
    for (name, field) in fields {
        let path = format!("{prefix}{name}");
        let (target, is_nullable) = resolve(root, field);
        let meaning = described(field).or_else(|| described(target)).unwrap_or_default();
        let kind = kind(target);
        let null = if is_nullable { " or null" } else { "" };
        let words = meaning.replace('\n', " ").replace('|', "\\|");
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "| `{path}` | {kind}{null} | {words} |");
        rows(root, target, &format!("{path}."), text);
    }
}

fn described(schema: &Value) -> Option<&str> {
    schema.get("description").and_then(Value::as_str)
}

/// What a field refers to, and whether it may be null beside.
fn resolve<'s>(root: &'s Value, field: &'s Value) -> (&'s Value, bool) {
    let follow = |schema: &'s Value| {
        let name = schema.get("$ref").and_then(Value::as_str);
        let target = name.and_then(|name| root.pointer(name.trim_start_matches('#')));
        target.unwrap_or(schema)
    };
    let is_null = |schema: &Value| schema.get("type").is_some_and(|kind| kind == "null");
    if let Some(choices) = field.get("anyOf").and_then(Value::as_array) {
        let target = choices.iter().find(|choice| !is_null(choice));
        return (target.map_or(field, follow), choices.iter().any(is_null));
    }
    let kinds = field.get("type").and_then(Value::as_array);
    let is_nullable = kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "null"));
    (follow(field), is_nullable)
}

/// The words of a set, or the type.
fn kind(schema: &Value) -> String {
    let word = |value: &Value| value.as_str().map(|word| format!("`{word}`"));
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.iter().filter_map(word).collect::<Vec<_>>().join(", ");
    }
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        let words = choices.iter().filter_map(|choice| choice.get("const").and_then(word));
        return words.collect::<Vec<_>>().join(", ");
    }
    let first = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().find(|kind| *kind != "null"),
        other => other,
    };
    match first.and_then(Value::as_str) {
        Some("string") => "text".to_owned(),
        Some("integer") => "number".to_owned(),
        Some("array") => "list".to_owned(),
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}
