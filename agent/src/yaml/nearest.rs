//! "Did you mean": the known word nearest to a mistyped one.

/// The word within a third of the typed word's length in edits (at least one edit is forgiven), or
/// `None` when nothing is near. Case and separators do not count.
pub(crate) fn nearest(typed: &str, known: &[&'static str]) -> Option<&'static str> {
    // Long keys are never near, and the distance is quadratic in their length.
    if typed.len() > 40 {
        return None;
    }
    let typed = fold(typed);
    let allowed = (typed.chars().count() / 3).max(1);
    known
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&typed, &fold(word)), *word))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

fn fold(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_probably_meant() {
        let known = ["domains", "cidrs", "ports", "private", "id", "maxTtl", "namesPerWildcard"];
        let check = |typed: &str, expected: Option<&str>| {
            assert_eq!(nearest(typed, &known), expected, "{typed}");
        };
        check("domain", Some("domains"));
        check("Domains", Some("domains"));
        check("domians", Some("domains"));
        check("max_ttl", Some("maxTtl"));
        check("names-per-wildcard", Some("namesPerWildcard"));
        check("cidr", Some("cidrs"));
        check("if", Some("id"));
        check("regexp", None);
        check("", None);
        check(&"domains".repeat(10), None);
    }
}
