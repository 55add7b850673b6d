//! Finds the files below the project's folder. Links are not followed here; folders that clients fill (dependencies,
//! caches, build results) are passed over.

use std::fs;
use std::path::Path;

use super::clients::Client;
use super::findings::{Findings, Gap, Places};

/// How deep folders are entered below the project's.
const DEPTH: usize = 12;
/// Entries of folders that are looked at.
const ENTRIES: usize = 200_000;

/// What clients put there is no word of the checkout's own.
const SKIPPED: [&str; 16] = [
    "node_modules",
    "bower_components",
    "target",
    "vendor",
    "venv",
    ".venv",
    ".tox",
    ".nox",
    ".cache",
    ".npm",
    ".yarn",
    ".pnpm-store",
    ".gradle",
    ".terraform",
    "__pycache__",
    "site-packages",
];

/// Folders of which only these files are looked at.
const SETTINGS_ONLY: [(&str, &[&str]); 3] =
    [(".git", &["config"]), (".cargo", &["config.toml", "config"]), (".m2", &["settings.xml"])];

/// The paths of all files, from `root`, with `/`, in the order of their names.
pub(super) fn files(root: &Path, findings: &mut Findings) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![(String::new(), 0)];
    let mut left = ENTRIES;
    let mut too_deep = false;
    while let Some((folder, depth)) = folders.pop() {
        let entries = match fs::read_dir(root.join(&folder)) {
            Ok(entries) => entries,
            Err(error) => {
                findings.warn_of(if folder.is_empty() { "." } else { &folder }, &error);
                continue;
            }
        };
        let mut names = Vec::new();
        for entry in entries.flatten() {
            if left == 0 {
                findings.warn(format!(
                    "only the first {ENTRIES} entries of the folders were looked at"
                ));
                files.sort();
                return files;
            }
            left -= 1;
            // A name that is no Unicode is none of the known ones.
            if let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) {
                names.push((name, kind.is_dir()));
            }
        }
        for (name, is_folder) in names {
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if !is_folder {
                files.push(path);
            } else if let Some((_, known)) = SETTINGS_ONLY.iter().find(|(own, _)| *own == name) {
                let present = known.iter().map(|file| format!("{path}/{file}"));
                files.extend(present.filter(|file| root.join(file).symlink_metadata().is_ok()));
            } else if name == "vendor" && root.join(&path).join("modules.txt").is_file() {
                // Go's own list of what `go mod vendor` put there.
                findings.settle(Client::Go, &folder);
                let list = Places::line(&format!("{path}/modules.txt"), 1);
                findings.gap(Gap::VendoredModules, &list);
            } else if !SKIPPED.contains(&name.as_str()) {
                too_deep |= depth >= DEPTH;
                if depth < DEPTH {
                    folders.push((path, depth + 1));
                }
            }
        }
    }
    if too_deep {
        findings.warn(format!("folders more than {DEPTH} deep were not entered"));
    }
    files.sort();
    files
}
