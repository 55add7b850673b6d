//! From nodes to the fields of a map: which keys there are and what shape their values have.
//!
//! What is wrong is reported and the rest is still read.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::diagnostic::{Problems, Span, shown};
use super::fault::Fault;
use super::nearest::nearest;
use super::tree::{Key, Node, Text, Value};

/// A key and its value.
#[derive(Debug)]
pub(crate) struct Field<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) node: Node<'a>,
}

/// Takes a map apart by its known keys; reports the others, repeated ones, missing ones among the
/// first `required`, and what is no map.
pub(crate) fn fields<'a, const N: usize>(
    node: Node<'a>,
    place: &str,
    known: [&'static str; N],
    required: usize,
    problems: &mut Problems<impl From<Fault>>,
) -> Option<[Option<Field<'a>>; N]> {
    let mut fields_found = [const { None::<Field<'a>> }; N];
    let mut mistyped = Vec::new();
    let entries = match node.value {
        Value::Map(entries) => entries,
        other => {
            let (what, found) = (place.to_owned(), describe(&other));
            problems.push(node.span, Fault::WrongType { what, expected: "a map", found });
            return None;
        }
    };
    for (key, node) in entries {
        let slot = known.iter().zip(&mut fields_found).find(|(name, _)| **name == key.text);
        match slot {
            Some((_, slot @ None)) => *slot = Some(Field { key, node }),
            Some((field, Some(first))) => {
                let (place, first_line) = (place.to_owned(), first.key.span.line);
                problems.push(key.span, Fault::DuplicateField { field, place, first_line });
            }
            None => {
                let problem = unknown_field(&key, place, &known);
                if let Fault::UnknownField { nearest, .. } = problem {
                    mistyped.extend(nearest);
                }
                problems.push(key.span, problem);
            }
        }
    }
    for (field, found) in known.into_iter().zip(&fields_found).take(required) {
        // A mistyped key is one mistake, not two.
        if found.is_none() && !mistyped.contains(&field) {
            let (span, place) = (Span { length: 1, ..node.span }, place.to_owned());
            problems.push(span, Fault::MissingField { field, place });
        }
    }
    Some(fields_found)
}

fn unknown_field(key: &Key<'_>, place: &str, known: &[&'static str]) -> Fault {
    let nearest = nearest(&key.text, known);
    Fault::UnknownField { field: shown(&key.text), place: place.to_owned(), nearest }
}

/// The entries of a list; nothing, and a report, where no list is.
pub(crate) fn list<'a>(
    node: Node<'a>,
    what: &str,
    expected: &'static str,
    problems: &mut Problems<impl From<Fault>>,
) -> Vec<Node<'a>> {
    match node.value {
        Value::List(items) => items,
        other => {
            let (what, found) = (what.to_owned(), describe(&other));
            problems.push(node.span, Fault::WrongType { what, expected, found });
            Vec::new()
        }
    }
}

/// The entries of a map whose keys are the user's; reports repeated ones and what is no map.
pub(crate) fn entries<'a>(
    node: Node<'a>,
    what: &str,
    problems: &mut Problems<impl From<Fault>>,
) -> Vec<(Text<'a>, Node<'a>)> {
    let pairs = match node.value {
        Value::Map(pairs) => pairs,
        other => {
            let (what, found) = (what.to_owned(), describe(&other));
            problems.push(node.span, Fault::WrongType { what, expected: "a map", found });
            return Vec::new();
        }
    };
    let mut lines = HashMap::new();
    let mut entries = Vec::new();
    for (Key { text, span }, node) in pairs {
        match lines.entry(text.clone()) {
            Entry::Vacant(free) => {
                free.insert(span.line);
                entries.push((Text { text, span }, node));
            }
            Entry::Occupied(first) => {
                let (key, place, first_line) = (shown(&text), what.to_owned(), *first.get());
                problems.push(span, Fault::DuplicateKey { key, place, first_line });
            }
        }
    }
    entries
}

/// The texts of a list.
pub(crate) fn texts<'a>(
    node: Node<'a>,
    what: &str,
    expected: &'static str,
    problems: &mut Problems<impl From<Fault>>,
) -> Vec<Text<'a>> {
    list(node, what, expected, problems)
        .into_iter()
        .filter_map(|item| text(item, &format!("an entry of {what}"), problems))
        .collect()
}

/// The texts of a list, or the one text that stands in place of a list of one.
pub(crate) fn text_or_texts<'a>(
    node: Node<'a>,
    what: &str,
    problems: &mut Problems<impl From<Fault>>,
) -> Vec<Text<'a>> {
    match node.value {
        Value::Scalar(_) => text(node, what, problems).into_iter().collect(),
        _ => texts(node, what, "text or a list of texts", problems),
    }
}

/// A scalar that is not null.
pub(crate) fn text<'a>(
    node: Node<'a>,
    what: &str,
    problems: &mut Problems<impl From<Fault>>,
) -> Option<Text<'a>> {
    match node.value {
        Value::Scalar(scalar) if !scalar.is_null() => {
            Some(Text { text: scalar.text, span: node.span })
        }
        other => {
            let (what, found) = (what.to_owned(), describe(&other));
            problems.push(node.span, Fault::WrongType { what, expected: "text", found });
            None
        }
    }
}

/// `true` or `false`, without quotes, with the place of the key.
pub(crate) fn boolean(
    field: &Field<'_>,
    place: &str,
    problems: &mut Problems<impl From<Fault>>,
) -> Option<(bool, Span)> {
    let found = match &field.node.value {
        Value::Scalar(scalar) if scalar.plain && scalar.text == "true" => {
            return Some((true, field.key.span));
        }
        Value::Scalar(scalar) if scalar.plain && scalar.text == "false" => {
            return Some((false, field.key.span));
        }
        other => describe(other),
    };
    let what = format!("`{}` of {place}", field.key.text);
    problems.push(field.node.span, Fault::WrongType { what, expected: "`true` or `false`", found });
    None
}

fn describe(value: &Value<'_>) -> &'static str {
    match value {
        Value::Scalar(scalar) if scalar.is_null() => "nothing",
        Value::Scalar(scalar) if scalar.plain => "text",
        Value::Scalar(_) => "quoted text",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}
