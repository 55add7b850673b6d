//! Joins profiles with what they include.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{BundleError, Read};
use crate::policy::{Profile, digest};

/// All files by the names of their profiles.
type Files = BTreeMap<String, Read>;

/// The profile of each file, with the rules of all that it includes, directly or not. What an older bundle has joined
/// of the same files is taken from there.
pub(super) fn join_all(
    files: &Files,
    older: &HashMap<&str, &Arc<Profile>>,
) -> Result<BTreeMap<String, Arc<Profile>>, BundleError> {
    let mut profiles = BTreeMap::new();
    for (name, file) in files {
        let included = included(files, name)?;
        let profile = if included.is_empty() {
            Arc::clone(file.document.profile())
        } else {
            join(name, file, &included, older)?
        };
        profiles.insert(name.clone(), profile);
    }
    Ok(profiles)
}

fn join(
    name: &str,
    file: &Read,
    included: &[(&str, &Read)],
    older: &HashMap<&str, &Arc<Profile>>,
) -> Result<Arc<Profile>, BundleError> {
    let mut parts = file.source.digest().to_owned();
    for (_, other) in included {
        parts.push('\n');
        parts.push_str(other.source.digest());
    }
    let digest = digest(parts.as_bytes());
    if let Some(known) = older.get(digest.as_str()) {
        return Ok(Arc::clone(known));
    }
    let mut owners: HashMap<&str, &str> = HashMap::new();
    for (owner, file) in std::iter::once((name, file)).chain(included.iter().copied()) {
        for id in file.document.profile().rule_ids() {
            if let Some(first) = owners.insert(id, owner) {
                let (profile, id) = (name.to_owned(), id.clone());
                let (first, second) = (first.to_owned(), owner.to_owned());
                return Err(BundleError::SameRule { profile, id, first, second });
            }
        }
    }
    let sources: Vec<_> = included.iter().map(|(_, file)| &file.source).collect();
    let joined = file.source.join(&sources, digest);
    let failed = |problem| BundleError::Joined { profile: name.to_owned(), problem };
    joined.map(Arc::new).map_err(failed)
}

/// All that a profile includes, directly or not, each once, in the order in which it is met.
fn included<'f>(files: &'f Files, name: &'f str) -> Result<Vec<(&'f str, &'f Read)>, BundleError> {
    let mut met: Vec<(&str, &Read)> = Vec::new();
    // The profiles that lead to the one looked at, each with those of its includes that are still to be looked at.
    let mut path: Vec<(&str, std::slice::Iter<'f, String>)> = Vec::new();
    if let Some(file) = files.get(name) {
        path.push((name, file.document.include().iter()));
    }
    while let Some((profile, rest)) = path.last_mut() {
        let Some(next) = rest.next() else {
            path.pop();
            continue;
        };
        let Some((next, file)) = files.get_key_value(next) else {
            let (profile, included) = ((*profile).to_owned(), next.clone());
            return Err(BundleError::UnknownInclude { profile, included });
        };
        if let Some(begin) = path.iter().position(|(name, _)| name == next) {
            let names = path.iter().skip(begin).map(|(name, _)| (*name).to_owned());
            return Err(BundleError::Circle { path: names.chain([next.clone()]).collect() });
        }
        if !met.iter().any(|(name, _)| name == next) {
            met.push((next, file));
            path.push((next, file.document.include().iter()));
        }
    }
    Ok(met)
}
