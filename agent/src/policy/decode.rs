//! From YAML nodes to the fields of a profile, as typed: which keys there are and what shape they have.
//!
//! Meaning is not judged here but in `resolve`; both report into one [`Problems`].

use super::diagnostic::{Problems, Span, shown};
use super::nearest::nearest;
use super::problem::Problem;
use super::raw::{RawDns, RawProfile, RawRule, Text};
use super::yaml::{Key, Node, Value};

/// Keys of the published schema that only the node agent acts on.
const UNSUPPORTED: [&str; 2] = ["select", "credwatch"];

/// Reads the document; whatever is wrong goes into `problems`, and the rest is still read.
pub(super) fn profile<'a>(root: Node<'a>, problems: &mut Problems) -> RawProfile<'a> {
    let place = "the profile";
    let keys = ["apiVersion", "kind", "metadata", "spec"];
    let Some([api_version, kind, metadata, spec]) = fields(root, place, keys, 4, problems) else {
        return RawProfile::default();
    };

    let mut raw = RawProfile {
        api_version: api_version.and_then(|field| text(field.node, "`apiVersion`", problems)),
        kind: kind.and_then(|field| text(field.node, "`kind`", problems)),
        ..RawProfile::default()
    };
    if let Some(field) = metadata {
        raw.name = fields(field.node, "`metadata`", ["name"], 1, problems)
            .and_then(|[name]| name)
            .and_then(|field| text(field.node, "`metadata.name`", problems));
    }
    if let Some(field) = spec {
        decode_spec(field.node, &mut raw, problems);
    }
    raw
}

fn decode_spec<'a>(node: Node<'a>, raw: &mut RawProfile<'a>, problems: &mut Problems) {
    let keys = ["mode", "allow", "deny", "dns", "inbound"];
    let Some([mode, allow, deny, dns, inbound]) = fields(node, "`spec`", keys, 0, problems) else {
        return;
    };
    raw.mode = mode.and_then(|field| text(field.node, "`mode`", problems));
    if let Some(field) = allow {
        let rules = list(field.node, "`allow`", "a list of rules", problems);
        raw.allow = rules
            .into_iter()
            .enumerate()
            .filter_map(|(at, node)| decode_rule(node, at + 1, problems))
            .collect();
    }
    if let Some(field) = deny {
        raw.deny = fields(field.node, "`deny`", ["domains"], 0, problems)
            .and_then(|[domains]| domains)
            .map(|field| texts(field.node, "`deny.domains`", "a list of host names", problems))
            .unwrap_or_default();
    }
    if let Some(field) = dns {
        let keys = ["grace", "maxTtl", "namesPerWildcard"];
        if let Some([grace, max_ttl, names]) = fields(field.node, "`dns`", keys, 0, problems) {
            let mut text = |field: Option<Field<'a>>, what| text(field?.node, what, problems);
            raw.dns = RawDns {
                grace: text(grace, "`dns.grace`"),
                max_ttl: text(max_ttl, "`dns.maxTtl`"),
                names_per_wildcard: text(names, "`dns.namesPerWildcard`"),
            };
        }
    }
    raw.inbound = inbound.map(|field| {
        texts(field.node, "`inbound`", "a list of `node` and network prefixes", problems)
    });
}

fn decode_rule<'a>(node: Node<'a>, number: usize, problems: &mut Problems) -> Option<RawRule<'a>> {
    let place = rule_place(&node, number);
    let span = node.span;
    let keys = ["id", "domains", "cidrs", "ports", "private"];
    let found_before = problems.len();
    let [id, domains, cidrs, ports, private] = fields(node, &place, keys, 1, problems)?;
    let mistyped = problems.len() > found_before;
    // A mistyped `domains` is one mistake, not two.
    let has_target =
        mistyped || [&domains, &cidrs].into_iter().flatten().any(|field| !is_empty(&field.node));
    let mut entries = |field: Option<Field<'a>>, name: &str, expected: &'static str| {
        let what = format!("`{name}` of {place}");
        field.map(|field| texts(field.node, &what, expected, problems))
    };
    let domains = entries(domains, "domains", "a list of host names");
    let cidrs = entries(cidrs, "cidrs", "a list of network prefixes");
    let no_ports = ports.as_ref().is_some_and(|field| is_empty(&field.node));
    let ports = entries(ports, "ports", "a list of ports");
    Some(RawRule {
        id: id.and_then(|field| text(field.node, &format!("`id` of {place}"), problems)),
        span,
        has_target,
        no_ports,
        has_domains: domains.is_some(),
        domains: domains.unwrap_or_default(),
        cidrs: cidrs.unwrap_or_default(),
        ports,
        private: private.and_then(|field| boolean(&field, &place, problems)),
        place,
    })
}

fn is_empty(node: &Node<'_>) -> bool {
    matches!(&node.value, Value::List(items) if items.is_empty())
}

/// How messages call a rule: by its id where it has one, else by its position.
fn rule_place(node: &Node<'_>, number: usize) -> String {
    let id = match &node.value {
        Value::Map(entries) => entries.iter().find(|(key, _)| key.text == "id"),
        _ => None,
    };
    match id {
        Some((_, Node { value: Value::Scalar(id), .. })) if !id.is_null() => {
            format!("allow rule `{}`", shown(&id.text))
        }
        _ => format!("allow rule {number}"),
    }
}

/// A key and its value.
struct Field<'a> {
    key: Key<'a>,
    node: Node<'a>,
}

/// Takes a map apart by its known keys; reports the others, repeated ones, missing ones among the
/// first `required`, and what is no map.
fn fields<'a, const N: usize>(
    node: Node<'a>,
    place: &str,
    known: [&'static str; N],
    required: usize,
    problems: &mut Problems,
) -> Option<[Option<Field<'a>>; N]> {
    let mut fields_found = [const { None::<Field<'a>> }; N];
    let mut mistyped = Vec::new();
    let entries = match node.value {
        Value::Map(entries) => entries,
        other => {
            let (what, found) = (place.to_owned(), describe(&other));
            problems.push(node.span, Problem::WrongType { what, expected: "a map", found });
            return None;
        }
    };
    for (key, node) in entries {
        let slot = known.iter().zip(&mut fields_found).find(|(name, _)| **name == key.text);
        match slot {
            Some((_, slot @ None)) => *slot = Some(Field { key, node }),
            Some((field, Some(first))) => {
                let (place, first_line) = (place.to_owned(), first.key.span.line);
                problems.push(key.span, Problem::DuplicateField { field, place, first_line });
            }
            None => {
                let problem = unknown_field(&key, place, &known);
                if let Problem::UnknownField { nearest, .. } = problem {
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
            problems.push(span, Problem::MissingField { field, place });
        }
    }
    Some(fields_found)
}

fn unknown_field(key: &Key<'_>, place: &str, known: &[&'static str]) -> Problem {
    if place == "`spec`"
        && let Some(field) = UNSUPPORTED.into_iter().find(|field| *field == key.text)
    {
        return Problem::UnsupportedField(field);
    }
    let nearest = nearest(&key.text, known);
    Problem::UnknownField { field: shown(&key.text), place: place.to_owned(), nearest }
}

fn list<'a>(
    node: Node<'a>,
    what: &str,
    expected: &'static str,
    problems: &mut Problems,
) -> Vec<Node<'a>> {
    match node.value {
        Value::List(items) => items,
        other => {
            let (what, found) = (what.to_owned(), describe(&other));
            problems.push(node.span, Problem::WrongType { what, expected, found });
            Vec::new()
        }
    }
}

fn texts<'a>(
    node: Node<'a>,
    what: &str,
    expected: &'static str,
    problems: &mut Problems,
) -> Vec<Text<'a>> {
    list(node, what, expected, problems)
        .into_iter()
        .filter_map(|item| text(item, &format!("an entry of {what}"), problems))
        .collect()
}

fn text<'a>(node: Node<'a>, what: &str, problems: &mut Problems) -> Option<Text<'a>> {
    match node.value {
        Value::Scalar(scalar) if !scalar.is_null() => {
            Some(Text { text: scalar.text, span: node.span })
        }
        other => {
            let (what, found) = (what.to_owned(), describe(&other));
            problems.push(node.span, Problem::WrongType { what, expected: "text", found });
            None
        }
    }
}

/// `true` or `false`, without quotes.
fn boolean(field: &Field<'_>, place: &str, problems: &mut Problems) -> Option<(bool, Span)> {
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
    problems
        .push(field.node.span, Problem::WrongType { what, expected: "`true` or `false`", found });
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
