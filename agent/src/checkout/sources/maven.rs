//! Maven: `pom.xml`, `settings.xml` and the wrapper's properties.

use std::collections::BTreeMap;

use crate::checkout::clients::Client;
use crate::checkout::document::{self, Malformed};
use crate::checkout::notes::Notes;
use crate::checkout::purpose::Purpose;

use super::ini;

/// What Maven calls its default repository.
const CENTRAL: &str = "central";

/// pom.xml.
pub(super) fn project(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    let mut redefined = [false, false];
    let read = document::xml(text, &mut |leaf| {
        // Where artifacts are published to is no place to fetch from.
        let publishes = leaf.keys.iter().any(|key| key == "distributionManagement");
        if publishes || leaf.keys.first().is_none_or(|root| root != "project") {
            return;
        }
        if leaf.ends(&["repositories", "repository", "url"])
            || leaf.ends(&["pluginRepositories", "pluginRepository", "url"])
        {
            notes.url(Purpose::Maven, leaf.text, leaf.line);
        }
        let [libraries, plugins] = &mut redefined;
        *libraries |= leaf.ends(&["repository", "id"]) && leaf.text == CENTRAL;
        *plugins |= leaf.ends(&["pluginRepository", "id"]) && leaf.text == CENTRAL;
    });
    if redefined != [true, true] {
        // Plugins are needed even where no library is.
        notes.needs(Client::Maven, 1);
    }
    read
}

/// settings.xml, a checkout's or the user's own.
pub(in crate::checkout) fn settings(text: &str, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    let mut proxies: BTreeMap<usize, Proxy> = BTreeMap::new();
    let mut settled = false;
    let read = document::xml(text, &mut |leaf| {
        if leaf.is(&["settings", "mirrors", "mirror", "url"])
            || leaf.is(&["settings", "profiles", "profile", "repositories", "repository", "url"])
            || leaf.ends(&["pluginRepositories", "pluginRepository", "url"])
        {
            notes.url(Purpose::Maven, leaf.text, leaf.line);
        } else if leaf.is(&["settings", "mirrors", "mirror", "mirrorOf"]) {
            settled |= mirrors_central(leaf.text);
        } else if leaf.is(&["settings", "proxies", "proxy", "*"]) {
            let proxy = proxies.entry(leaf.map).or_default();
            match leaf.key() {
                "host" => proxy.host = Some((leaf.text.to_owned(), leaf.line)),
                "port" => leaf.text.clone_into(&mut proxy.port),
                "active" => proxy.is_off = leaf.text == "false",
                _ => {}
            }
        }
    });
    for proxy in proxies.into_values().filter(|proxy| !proxy.is_off) {
        let Some((host, line)) = proxy.host else { continue };
        // Maven's own default.
        let port = if proxy.port.is_empty() { "8080" } else { &proxy.port };
        notes.proxy(Purpose::Maven, &format!("{host}:{port}"), line);
    }
    if settled {
        // `mvn --settings` takes it from anywhere.
        notes.settles_file(Client::Maven, "");
    }
    read
}

#[derive(Debug, Default)]
struct Proxy {
    host: Option<(String, usize)>,
    port: String,
    is_off: bool,
}

/// Whether a list as in `*,!other` takes in the default repository.
fn mirrors_central(list: &str) -> bool {
    let mut names = list.split(',').map(str::trim);
    names.clone().all(|name| name != "!central")
        && names.any(|name| matches!(name, "*" | "external:*" | CENTRAL))
}

/// maven-wrapper.properties.
pub(super) fn wrapper(text: &str, notes: &mut Notes<'_>) {
    for setting in ini::settings(text) {
        if matches!(setting.key.as_str(), "distributionUrl" | "wrapperUrl") {
            notes.url(Purpose::Maven, &setting.value.replace('\\', ""), setting.line);
        }
    }
}
