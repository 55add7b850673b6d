//! Variables in image references, as Dockerfiles and CI files write them: `$X`, `${X}`, `${X:-default}`.

use std::collections::HashMap;

/// Longest result, in bytes; values may hold variables of their own.
const LONGEST: usize = 4096;

/// `text` with the variables of `values` filled in. One that is not known, or has no default, stays as it is.
pub(super) fn expand(text: &str, values: &HashMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let (name, default, length) = variable(from);
        let known = values.get(name).map(String::as_str).filter(|value| {
            // `:-` takes an empty value for none.
            !(value.is_empty() && default.is_some())
        });
        let (whole, after) = from.split_at(length);
        out.push_str(known.or(default).unwrap_or(whole));
        rest = after;
        if out.len() > LONGEST {
            break;
        }
    }
    out.push_str(rest);
    out
}

/// Name, default and length of the variable that `text` begins with; a lone `$` is one without a name.
fn variable(text: &str) -> (&str, Option<&str>, usize) {
    let after = text.get(1..).unwrap_or_default();
    if let Some(inside) = after.strip_prefix('{')
        && let Some(end) = inside.find('}')
    {
        let inside = inside.get(..end).unwrap_or_default();
        let length = end + 3;
        let name = name_of(inside);
        let default = inside.get(name.len()..).unwrap_or_default();
        let default = default.strip_prefix(":-").or_else(|| default.strip_prefix('-'));
        return (name, default, length);
    }
    let name = name_of(after);
    (name, None, 1 + name.len())
}

/// The name at the beginning of `text`.
fn name_of(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_variables_and_defaults_are_filled_in() {
        let values = [("HOST", "r.example.com"), ("EMPTY", "")];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let check = |text: &str, expected: &str| assert_eq!(expand(text, &values), expected);
        check("$HOST/a:1", "r.example.com/a:1");
        check("${HOST}/a:$TAG", "r.example.com/a:$TAG");
        check("${NONE:-d.example.com}/a", "d.example.com/a");
        check("${NONE-d.example.com}/a", "d.example.com/a");
        check("${EMPTY:-d.example.com}/a", "d.example.com/a");
        check("${EMPTY}a", "a");
        check("${NONE:+x}/a", "${NONE:+x}/a");
        check("a$", "a$");
        check("${HOST", "${HOST");
        check("$é${", "$é${");
    }
}
