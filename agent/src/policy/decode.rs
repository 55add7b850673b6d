//! From YAML nodes to the fields of a profile, as typed: which keys there are and what shape they have.
//!
//! Meaning is not judged here but in `resolve`; both report into one [`Problems`].

use super::problem::Problems;
use super::raw::{RawCredwatch, RawDns, RawProfile, RawRule};
use crate::yaml::{Field, Node, Value, boolean, fields, list, shown, text, texts};

mod select;

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
    let keys = [
        "select",
        "include",
        "mode",
        "allow",
        "deny",
        "dns",
        "inbound",
        "families",
        "dockerInDocker",
        "credwatch",
    ];
    let Some([select, include, mode, allow, deny, dns, inbound, families, docker, credwatch]) =
        fields(node, "`spec`", keys, 0, problems)
    else {
        return;
    };
    raw.select = select.and_then(|field| select::select(field, problems));
    raw.include = include
        .map(|field| texts(field.node, "`include`", "a list of profile names", problems))
        .unwrap_or_default();
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
    raw.families = families
        .map(|field| texts(field.node, "`families`", "a list of socket families", problems))
        .unwrap_or_default();
    let docker = docker.and_then(|field| boolean(&field, "`spec`", problems));
    raw.docker_in_docker = docker.is_some_and(|(docker, _)| docker);
    raw.credwatch = credwatch.map(|field| (field.key.span, decode_credwatch(field.node, problems)));
}

fn decode_credwatch<'a>(node: Node<'a>, problems: &mut Problems) -> RawCredwatch<'a> {
    let keys = ["paths", "block"];
    let Some([paths, block]) = fields(node, "`credwatch`", keys, 1, problems) else {
        return RawCredwatch::default();
    };
    let paths =
        paths.map(|field| texts(field.node, "`credwatch.paths`", "a list of paths", problems));
    let block = block.and_then(|field| boolean(&field, "`credwatch`", problems));
    RawCredwatch { paths, block: block.is_some_and(|(block, _)| block) }
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
