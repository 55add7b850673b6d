//! All profiles of a node, and who gets which.
//!
//! Invariant: a bundle is whole. One bad file, or one name that leads nowhere, and there is none; whoever
//! has an older one keeps it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{self, DENY_ALL, PolicyMode};
use crate::policy::{Document, Mode, Profile, Source, digest};

mod check;
mod choice;
mod error;
mod folder;
mod include;
mod kept;
pub mod memory;
#[cfg(test)]
mod tests;
pub mod watch;

pub use check::check;
use choice::{By, Candidate};
pub use choice::{Choice, Weighed};
pub use error::BundleError;
pub use kept::Kept;

/// All profiles, and who gets which.
#[derive(Clone, Debug)]
pub struct Bundle {
    profiles: BTreeMap<String, Arc<Profile>>,
    default: Arc<Profile>,
    /// Those of the configuration, then those of the profiles in the order of their names.
    candidates: Vec<Candidate>,
    digest: Arc<str>,
    /// What the files said, by their digests, so that those that stay the same are not read again.
    documents: HashMap<String, Document>,
}

/// A file that was read.
#[derive(Debug)]
struct Read {
    path: PathBuf,
    source: Source,
    document: Document,
}

impl Bundle {
    /// Reads the folder's `*.yaml` files, in the order of their names. Hidden files are no profiles. What an older
    /// bundle has compiled of the same files is used again. Where the node only watches, every profile is in audit
    /// mode.
    ///
    /// # Errors
    ///
    /// [`BundleError`] for the first thing that is wrong.
    pub fn load(
        policy: &config::Policy,
        trust: config::Gitlab,
        older: Option<&Self>,
    ) -> Result<Self, BundleError> {
        Self::of(&read_all(policy, older)?, policy, trust, older)
    }

    /// As [`Self::load`], and keeps what the files say. That they cannot be kept is a warning in the log.
    ///
    /// # Errors
    ///
    /// As for [`Self::load`]; what was kept before stays then.
    pub fn load_and_keep(
        policy: &config::Policy,
        trust: config::Gitlab,
        older: Option<&Self>,
        kept: &Kept,
    ) -> Result<Self, BundleError> {
        let files = read_all(policy, older)?;
        let bundle = Self::of(&files, policy, trust, older)?;
        let sources = files.values().map(|file| (file.path.as_path(), &file.source));
        if let Err(error) = kept.replace(sources) {
            let folder = kept.folder().display();
            tracing::warn!(%folder, %error, "the policies are not kept for the next agent");
        }
        Ok(bundle)
    }

    fn of(
        files: &BTreeMap<String, Read>,
        policy: &config::Policy,
        trust: config::Gitlab,
        older: Option<&Self>,
    ) -> Result<Self, BundleError> {
        check_selectors(files, trust)?;
        let joined: HashMap<_, _> = older
            .iter()
            .flat_map(|older| older.profiles.values())
            .map(|profile| (profile.digest(), profile))
            .collect();
        let mut profiles = include::join_all(files, &joined)?;
        profiles.insert(DENY_ALL.to_owned(), Arc::new(Profile::deny_all()));
        in_mode(&mut profiles, policy.mode);
        let named = |key: &dyn Fn() -> String, name: &str| {
            let (name, dir) = (name.to_owned(), policy.dir.clone());
            if profiles.contains_key(&name) {
                return Ok(name);
            }
            Err(BundleError::Unknown { key: key(), name, dir })
        };
        let default = named(&|| "`policy.default`".to_owned(), &policy.default)?;
        let mut chosen = Vec::new();
        for (namespace, name) in &policy.namespaces {
            let key = || format!("`policy.namespaces.{namespace}`");
            chosen.push((By::Configuration(namespace.clone()), named(&key, name)?));
        }
        for (name, file) in files {
            if let Some(selector) = file.document.select() {
                chosen.push((By::Selector(selector.clone()), name.clone()));
            }
        }
        let documents = files
            .values()
            .map(|file| (file.source.digest().to_owned(), file.document.clone()))
            .collect();
        Ok(Self::new(&profiles, &default, chosen, documents))
    }

    /// The bundle of a node that has none: everybody gets `deny-all`.
    #[must_use]
    pub fn deny_all(mode: PolicyMode) -> Self {
        let mut profiles = BTreeMap::from([(DENY_ALL.to_owned(), Arc::new(Profile::deny_all()))]);
        in_mode(&mut profiles, mode);
        Self::new(&profiles, DENY_ALL, Vec::new(), HashMap::new())
    }

    fn new(
        profiles: &BTreeMap<String, Arc<Profile>>,
        default: &str,
        chosen: Vec<(By, String)>,
        documents: HashMap<String, Document>,
    ) -> Self {
        // One line each, in the order of the keys; neither names nor digests hold spaces or line ends. Whom a profile
        // selects is a part of its file.
        let mut summary = String::new();
        for (name, profile) in profiles {
            let mode = profile.mode().as_str();
            let _infallible = writeln!(summary, "profile {name} {mode} {}", profile.digest());
        }
        let _infallible = writeln!(summary, "default {default}");
        for (by, name) in &chosen {
            if let By::Configuration(namespace) = by {
                let _infallible = writeln!(summary, "namespace {namespace} {name}");
            }
        }
        let digest: Arc<str> = digest(summary.as_bytes()).into();
        let profiles: BTreeMap<String, Arc<Profile>> = profiles
            .iter()
            .map(|(name, profile)| (name.clone(), Arc::new(profile.in_bundle(&digest))))
            .collect();
        let named = |name: &str| profiles.get(name).map(Arc::clone);
        let default =
            named(default).unwrap_or_else(|| Arc::new(Profile::deny_all().in_bundle(&digest)));
        let candidates = chosen
            .into_iter()
            .filter_map(|(by, name)| Some(Candidate { profile: named(&name)?, by }))
            .collect();
        Self { profiles, default, candidates, digest, documents }
    }

    /// A profile by its name.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<&Arc<Profile>> {
        self.profiles.get(name)
    }

    /// The profile of pods that no other is for.
    #[must_use]
    pub const fn default_profile(&self) -> &Arc<Profile> {
        &self.default
    }

    /// All profiles in the order of their names, `deny-all` among them.
    pub fn profiles(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.profiles.values()
    }

    /// The names of the profiles that select by labels of pods.
    pub fn by_labels(&self) -> impl Iterator<Item = &str> {
        let by_labels = |candidate: &&Candidate| match &candidate.by {
            By::Selector(selector) => selector.needs_labels(),
            By::Configuration(_) => false,
        };
        self.candidates.iter().filter(by_labels).map(|candidate| candidate.profile.name())
    }

    /// `sha256:` and a hex digest of all that the bundle says: equal bundles, and only these, have equal
    /// ones, whatever their files are called.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// Puts every profile in audit mode where the node only watches.
fn in_mode(profiles: &mut BTreeMap<String, Arc<Profile>>, mode: PolicyMode) {
    match mode {
        PolicyMode::Profiles => {}
        PolicyMode::Audit => {
            for profile in profiles.values_mut().filter(|one| one.mode() != Mode::Audit) {
                *profile = Arc::new(Profile::clone(profile).with_mode(Mode::Audit));
            }
        }
    }
}

/// Reads every file alone.
fn read_all(
    policy: &config::Policy,
    older: Option<&Bundle>,
) -> Result<BTreeMap<String, Read>, BundleError> {
    let mut files: BTreeMap<String, Read> = BTreeMap::new();
    for path in folder::profile_files(&policy.dir)? {
        let source = Source::from_file(&path)?;
        let known = older.and_then(|older| older.documents.get(source.digest()));
        let document = known.cloned().map_or_else(|| source.read(), Ok)?;
        let name = document.profile().name().to_owned();
        if name == DENY_ALL {
            return Err(BundleError::Reserved { file: path });
        }
        let read = Read { path: path.clone(), source, document };
        if let Some(first) = files.insert(name.clone(), read) {
            return Err(BundleError::Duplicate { name, first: first.path, second: path });
        }
    }
    Ok(files)
}

/// That each profile can be told whom it is for, and no other is for the same.
fn check_selectors(
    files: &BTreeMap<String, Read>,
    trust: config::Gitlab,
) -> Result<(), BundleError> {
    let mut seen = HashMap::new();
    for (name, file) in files {
        let Some(selector) = file.document.select() else { continue };
        if !trust.trust_annotations
            && let Some(fact) = selector.needs_annotations()
        {
            let (profile, condition) = (name.clone(), fact.key());
            return Err(BundleError::NeedsAnnotations { profile, condition });
        }
        if let Some(first) = seen.insert(selector, name) {
            let (first, second) = (String::clone(first), name.clone());
            let selector = selector.to_string();
            return Err(BundleError::SameSelector { first, second, selector });
        }
    }
    Ok(())
}
