//! Go tells by `go env` whether modules come from proxies or from their own hosts.

use serde_json::Value;

use super::Client;
use super::asker::Asker;
use crate::checkout::endpoint::{self, Endpoint, NoEndpoint};
use crate::checkout::findings::{Findings, Gap, NotAsked, Places};
use crate::checkout::purpose::Purpose;

const VARIABLES: [&str; 4] = ["GOPROXY", "GOSUMDB", "GONOPROXY", "GONOSUMDB"];

/// What Go's environment says of modules.
#[derive(Debug, Default)]
struct Environment {
    proxies: String,
    checksums: String,
    /// Patterns of modules that no proxy, and no checksum server, is asked for.
    past_proxies: String,
    past_checksums: String,
}

/// Notes where Go fetches the checkout's modules from.
pub(super) fn answer(asker: &Asker<'_>, findings: &mut Findings) {
    let places = findings.unsettled(Client::Go);
    if places.is_empty() {
        return;
    }
    match environment(asker) {
        Ok(environment) => environment.note(&places, findings),
        Err(why) => findings.gap(Gap::Default(Client::Go, why), &places),
    }
}

fn environment(asker: &Asker<'_>) -> Result<Environment, NotAsked> {
    let question = asker.find(Client::Go, &["go"])?.arguments(&["env", "-json"]);
    let output = asker.output(&question.arguments(&VARIABLES))?;
    let value: Value = serde_json::from_str(&output).map_err(|_error| NotAsked::NoAnswer)?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let [proxies, checksums, past_proxies, past_checksums] = VARIABLES.map(text);
    Ok(Environment { proxies, checksums, past_proxies, past_checksums })
}

impl Environment {
    fn note(&self, places: &Places, findings: &mut Findings) {
        let modules = std::mem::take(&mut findings.go.modules);
        let (mut behind_proxies, mut checked) = (false, false);
        // Proxies are tried from left to right.
        let is_direct = self.proxy_words().next() == Some("direct");
        for (path, place) in modules {
            checked |= !matches_any(&self.past_checksums, &path);
            if is_direct || matches_any(&self.past_proxies, &path) {
                findings.lead(Purpose::Go, own_host(&path), &Places::of(place));
            } else {
                behind_proxies = true;
            }
        }
        if behind_proxies {
            let places = Places::answer("`go env GOPROXY`", places);
            for proxy in self.proxy_words().filter(|word| *word != "direct" && *word != "off") {
                findings.lead(Purpose::Go, endpoint::url(proxy), &places);
            }
            if !is_direct && self.proxy_words().any(|word| word == "direct") {
                findings.gap(Gap::DirectModules, &places);
            }
        }
        if checked && let Some(server) = checksum_server(&self.checksums) {
            findings.lead(Purpose::Go, server, &Places::answer("`go env GOSUMDB`", places));
        }
    }

    fn proxy_words(&self) -> impl Iterator<Item = &str> {
        self.proxies.split([',', '|']).map(str::trim).filter(|word| !word.is_empty())
    }
}

/// A module's own host, asked by https.
fn own_host(path: &str) -> Result<Endpoint, NoEndpoint> {
    let host = path.split('/').next().unwrap_or(path);
    endpoint::url(&format!("https://{host}/"))
}

/// `NAME`, `NAME+KEY` or `NAME+KEY URL`.
fn checksum_server(value: &str) -> Option<Result<Endpoint, NoEndpoint>> {
    let mut words = value.split_whitespace();
    let name = words.next().filter(|name| *name != "off")?.split('+').next()?;
    Some(match words.next() {
        Some(url) => endpoint::url(url),
        None => endpoint::url(&format!("https://{name}/")),
    })
}

/// Whether a pattern of a comma-separated list matches a beginning of `path`, as `go help private` has it.
fn matches_any(patterns: &str, path: &str) -> bool {
    patterns.split(',').map(str::trim).filter(|pattern| !pattern.is_empty()).any(|pattern| {
        let mut parts = path.split('/');
        pattern
            .trim_end_matches('/')
            .split('/')
            .all(|pattern| parts.next().is_some_and(|part| matches(pattern, part)))
    })
}

/// `*` is any text, `?` any character. Sets in brackets are not known, and match nothing.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pattern_rest = pattern.chars();
    match pattern_rest.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = pattern_rest.as_str().trim_start_matches('*');
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|at| text.get(at..).is_some_and(|text| matches(rest, text)))
        }
        Some(wanted) => {
            let mut text_rest = text.chars();
            text_rest.next().is_some_and(|found| wanted == '?' || wanted == found)
                && matches(pattern_rest.as_str(), text_rest.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkout::findings::Place;

    fn noted(proxies: &str, checksums: &str, private: &str) -> (String, bool) {
        let environment = Environment {
            proxies: proxies.to_owned(),
            checksums: checksums.to_owned(),
            past_proxies: private.to_owned(),
            past_checksums: private.to_owned(),
        };
        let mut findings = Findings::default();
        let place = Place::Line { file: "go.mod".into(), line: 3 };
        for module in ["git.example.com/a/b", "go.corp.example.com/secret/x"] {
            findings.go.modules.insert(module.to_owned(), place.clone());
        }
        environment.note(&Places::of(place), &mut findings);
        let hosts = findings.endpoints().map(|(_, endpoint, _)| endpoint.host.to_string());
        let hosts: Vec<String> = hosts.collect();
        (hosts.join(" "), findings.gaps().any(|(gap, _)| *gap == Gap::DirectModules))
    }

    #[test]
    fn modules_come_from_proxies_or_from_their_own_hosts() {
        let check = |[proxies, checksums, private]: [&str; 3], expected: &[&str], direct| {
            assert_eq!(noted(proxies, checksums, private), (expected.join(" "), direct));
        };
        let (proxy, sums) = ("https://proxy.example.com,direct", "sum.example.com");
        let corporate = "go.corp.example.com";
        check([proxy, "off", ""], &["proxy.example.com"], true);
        check([proxy, sums, "*.corp.example.com"], &[corporate, "proxy.example.com", sums], true);
        check([proxy, sums, "git.*"], &["git.example.com", "proxy.example.com", sums], true);
        check([proxy, sums, "*.example.com,*.corp.*"], &["git.example.com", corporate], false);
        check(["direct", "off", ""], &["git.example.com", corporate], false);
        check(["off", "sum+key https://s.example.com/x", ""], &["s.example.com"], false);
    }

    #[test]
    fn patterns_match_beginnings() {
        let check = |pattern: &str, path: &str, expected: bool| {
            assert_eq!(matches_any(pattern, path), expected, "{pattern} {path}");
        };
        check("*.corp.example.com", "x.corp.example.com/a", true);
        check("*.corp.example.com", "corp.example.com/a", false);
        check("x.example.com/a", "x.example.com/a/b", true);
        check("x.example.com/a", "x.example.com/ab", false);
        check("x.example.com/a", "x.example.com", false);
        check("a,x.example.com/?b*", "x.example.com/abc", true);
        check("", "x.example.com", false);
        check("**a", &"b".repeat(50_000), false);
    }
}
