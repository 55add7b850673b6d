//! cargo: what it calls its default registry is told by `cargo metadata`, where it goes by its first connection, and
//! where crates are downloaded from by the index's config.json that it keeps in its home.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::Client;
use super::asker::{Asker, Question};
use crate::checkout::endpoint::{self, Endpoint, Host};
use crate::checkout::findings::{Findings, Gap, NotAsked, Place, Places};
use crate::checkout::notes::Notes;
use crate::checkout::purpose::Purpose;
use crate::checkout::read::own_file;
use crate::checkout::sources::cargo::{self, Settings};

/// The name of the default registry in cargo's settings.
const DEFAULT_SOURCE: &str = "crates-io";
/// Size of cargo's own files, in bytes.
const OWN_FILE: u64 = 1024 * 1024;
/// Replacements that follow each other.
const REPLACEMENTS: usize = 16;
/// Indexes in cargo's home that are looked at.
const INDEXES: usize = 1000;
const SETTINGS_NAME: &str = "$CARGO_HOME/config.toml";

/// Where a registry leads once replacements are followed.
#[derive(Debug, PartialEq, Eq)]
enum Lead {
    /// To the default registry, as cargo itself has it.
    Default,
    /// To this index.
    Index(String, Option<Place>),
    /// Into a folder.
    Local,
}

/// Notes the registries that the checkout needs.
pub(super) fn answer(asker: &Asker<'_>, cargo_home: Option<&Path>, findings: &mut Findings) {
    let needs = findings.unsettled(Client::Cargo);
    let locked = std::mem::take(&mut findings.cargo.locked);
    if needs.is_empty() && locked.is_empty() {
        return;
    }
    read_own_settings(cargo_home, findings);
    let settings = std::mem::take(&mut findings.cargo.settings);
    let registries = Registries { asker, cargo_home, settings };
    let canonical = registries.canonical(&locked);
    if !needs.is_empty() {
        registries.note(registries.follow(DEFAULT_SOURCE), None, &needs, findings);
    }
    for (url, places) in locked {
        let lead = match registries.settings.name_of(&url) {
            Some(name) => registries.follow(name),
            None if canonical.as_ref().is_none_or(|default| same(default, &url)) => {
                registries.follow(DEFAULT_SOURCE)
            }
            None => Lead::Index(url.clone(), None),
        };
        registries.note(lead, Some(&url), &places, findings);
    }
}

/// cargo's own settings count after those of the checkout.
fn read_own_settings(cargo_home: Option<&Path>, findings: &mut Findings) {
    let Some(home) = cargo_home else { return };
    for name in ["config.toml", "config"] {
        let Ok(text) = own_file(&home.join(name), OWN_FILE) else { continue };
        if let Err(error) = cargo::settings(&text, &mut Notes::new(findings, SETTINGS_NAME)) {
            findings.warn_of(SETTINGS_NAME, &error);
        }
    }
}

struct Registries<'a> {
    asker: &'a Asker<'a>,
    cargo_home: Option<&'a Path>,
    settings: Settings,
}

impl Registries<'_> {
    /// What lock files call the default registry; asked only if they name one that no settings do.
    fn canonical(&self, locked: &BTreeMap<String, Places>) -> Option<String> {
        let unknown = locked.keys().any(|url| self.settings.name_of(url).is_none());
        unknown.then(|| canonical(self.asker).ok()).flatten()
    }

    /// Follows the replacements of the source `name`.
    fn follow(&self, name: &str) -> Lead {
        let mut name = name;
        for _ in 0..REPLACEMENTS {
            let source = self.settings.sources.get(name);
            if let Some(next) = source.and_then(|source| source.replace_with.as_deref()) {
                name = next;
                continue;
            }
            if source.is_some_and(|source| source.is_local) {
                return Lead::Local;
            }
            let registry = source.and_then(|source| source.registry.as_ref());
            return match registry.or_else(|| self.settings.registries.get(name)) {
                Some((url, place)) => Lead::Index(url.clone(), Some(place.clone())),
                None => Lead::Default,
            };
        }
        Lead::Local
    }

    /// Notes index and downloads; `url` is what a lock file calls the registry.
    fn note(&self, lead: Lead, url: Option<&str>, places: &Places, findings: &mut Findings) {
        let index = match lead {
            Lead::Local => return,
            Lead::Index(index, None) => {
                let index = endpoint::git(&index);
                findings.lead(Purpose::Cargo, index.clone(), places);
                index.ok()
            }
            Lead::Index(index, Some(place)) => {
                let mut said = Places::of(place);
                said.extend(places);
                let index = endpoint::git(&index);
                findings.lead(Purpose::Cargo, index.clone(), &said);
                index.ok()
            }
            Lead::Default => match default_index(self.asker) {
                Ok(index) => {
                    let said = Places::answer("the first connection of `cargo fetch`", places);
                    findings.lead(Purpose::Cargo, Ok(index.clone()), &said);
                    Some(index)
                }
                Err(why) => {
                    findings.gap(Gap::Default(Client::Cargo, why), places);
                    // Where a cargo of old goes, at least.
                    if let Some(url) = url {
                        findings.lead(Purpose::Cargo, endpoint::git(url), places);
                    }
                    None
                }
            },
        };
        if let Some(index) = index {
            self.note_downloads(&index, places, findings);
        }
    }

    fn note_downloads(&self, index: &Endpoint, places: &Places, findings: &mut Findings) {
        let downloads = self.cargo_home.map(|home| downloads(home, &index.host));
        let downloads = downloads.unwrap_or_default();
        if downloads.is_empty() {
            findings.gap(Gap::CrateDownloads, places);
        }
        for (url, file) in downloads {
            findings.lead(Purpose::Cargo, endpoint::url(&url), &Places::line(&file, 1));
        }
    }
}

impl Settings {
    /// The name that the settings give to the registry of `url`.
    fn name_of(&self, url: &str) -> Option<&str> {
        let sources = self.sources.iter().filter_map(|(name, source)| {
            let (index, _) = source.registry.as_ref()?;
            Some((name, index))
        });
        let registries = self.registries.iter().map(|(name, (index, _))| (name, index));
        let mut all = sources.chain(registries);
        all.find(|(_, index)| same(index, url)).map(|(name, _)| name.as_str())
    }
}

/// Whether two spellings of an index are one, as far as a slash at the end goes.
fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// The `dl` of every config.json that cargo keeps of indexes on `host`, with the file's name. The folders are named
/// after the host and a digest.
fn downloads(cargo_home: &Path, host: &Host) -> Vec<(String, String)> {
    let Ok(folders) = fs::read_dir(cargo_home.join("registry/index")) else { return Vec::new() };
    let prefix = format!("{host}-");
    let mut found = Vec::new();
    for folder in folders.flatten().take(INDEXES) {
        let Ok(name) = folder.file_name().into_string() else { continue };
        let digest = name.strip_prefix(&prefix);
        if !digest.is_some_and(|digest| digest.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            continue;
        }
        let Ok(text) = own_file(&folder.path().join("config.json"), OWN_FILE) else { continue };
        let Ok(config) = serde_json::from_str::<Value>(&text) else { continue };
        if let Some(dl) = config.get("dl").and_then(Value::as_str) {
            let file = format!("$CARGO_HOME/registry/index/{name}/config.json");
            found.push((dl.to_owned(), file));
        }
    }
    found.sort();
    found
}

/// A project of weir's own with one dependency, for cargo to look at.
struct Probe {
    /// Removed on drop.
    _folder: tempfile::TempDir,
    manifest: String,
    home: String,
}

impl Probe {
    fn make() -> Option<Self> {
        let folder = tempfile::tempdir().ok()?;
        let path = folder.path();
        fs::create_dir(path.join("src")).ok()?;
        fs::write(path.join("src/lib.rs"), "").ok()?;
        // A workspace of its own, so that cargo looks for none in the folders above.
        let manifest = "[package]\nname = \"weir-probe\"\nversion = \"0.0.0\"\n\n\
                        [dependencies]\nweir-probe-dependency = \"1\"\n\n[workspace]\n";
        fs::write(path.join("Cargo.toml"), manifest).ok()?;
        let manifest = path.join("Cargo.toml").to_str()?.to_owned();
        // A home of its own: nothing is cached in it, and nobody else holds its lock.
        let home = path.join("home").to_str()?.to_owned();
        Some(Self { _folder: folder, manifest, home })
    }

    fn question<'a>(&'a self, asker: &Asker<'a>) -> Result<Question<'a>, NotAsked> {
        Ok(asker
            .find(Client::Cargo, &["cargo"])?
            .variable("CARGO_HOME", &self.home)
            .variable("CARGO_NET_RETRY", "0")
            .variable("CARGO_NET_OFFLINE", "false")
            .variable("CARGO_NET_GIT_FETCH_WITH_CLI", "false"))
    }
}

/// What lock files call cargo's default registry.
fn canonical(asker: &Asker<'_>) -> Result<String, NotAsked> {
    let probe = Probe::make().ok_or(NotAsked::Failed)?;
    let question = probe.question(asker)?.arguments(&[
        "metadata",
        "--no-deps",
        "--format-version=1",
        "--manifest-path",
        &probe.manifest,
    ]);
    let metadata: Value =
        serde_json::from_str(&asker.output(&question)?).map_err(|_error| NotAsked::NoAnswer)?;
    let source = metadata
        .pointer("/packages/0/dependencies/0/source")
        .and_then(Value::as_str)
        .ok_or(NotAsked::NoAnswer)?;
    Ok(source.strip_prefix("registry+").unwrap_or(source).to_owned())
}

/// Where cargo's default registry has its index.
fn default_index(asker: &Asker<'_>) -> Result<Endpoint, NotAsked> {
    let probe = Probe::make().ok_or(NotAsked::Failed)?;
    let question = probe.question(asker)?.arguments(&["fetch", "--manifest-path", &probe.manifest]);
    asker.first_contact(&question, |_proxy| Ok(()))?.map_err(|_none| NotAsked::NoAnswer)
}
