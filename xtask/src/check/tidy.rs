//! House rules that no compiler knows, read off the tracked files.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::shell;

/// Longest file, lines.
const MAX_LINES: usize = 450;
/// Files that may be longer, each with the reason.
const LONG_FILES: [(&str, &str); 0] = [];
/// The one folder that may use aya.
const LOADER: &str = "agent/src/datapath/";

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    file: String,
    line: usize,
    rule: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

/// Every broken rule in the files that git tracks below `root`, or would track.
pub(super) fn problems(root: &Path) -> Result<Vec<Problem>> {
    let mut list = shell::command("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]).current_dir(root);
    let names = shell::capture(list)?;
    let mut problems = Vec::new();
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        let path: PathBuf = root.join(name);
        // Deleted but not yet committed, or a link to elsewhere.
        if !path.is_file() {
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("reading {name}"))?;
        let Ok(text) = String::from_utf8(bytes) else { continue };
        problems.extend(problems_in(name, &text));
    }
    Ok(problems)
}

fn problems_in(file: &str, text: &str) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut broken = |line: usize, rule: &'static str| {
        found.push(Problem { file: file.to_owned(), line, rule });
    };
    let is_lock = has_extension(file, "lock");
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if !is_lock && forbidden_hosts().iter().any(|host| line.contains(host.as_str())) {
            broken(number, "names the host of a package registry");
        }
        if has_machine_path(line) {
            broken(number, "holds a path of one machine");
        }
    }
    if !has_extension(file, "rs") {
        return found;
    }
    if !text.trim_start().starts_with("//!") && !text.starts_with("#!") {
        broken(1, "a module without a //! line that says what it is");
    }
    let lines = text.lines().count();
    if lines > MAX_LINES && !LONG_FILES.iter().any(|(name, _)| *name == file) {
        broken(lines, "longer than 450 lines without a listed reason");
    }
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let code = line.trim_start();
        if code.starts_with(&["#[al", "low("].concat())
            || code.starts_with(&["#![al", "low("].concat())
        {
            broken(number, "an exception that is no #[expect(…, reason = …)]");
        }
        let excepts = code.starts_with("#[expect(") || code.starts_with("#![expect(");
        if excepts && !reason_follows(text, index) {
            broken(number, "an #[expect] without a reason");
        }
        let uses_aya =
            ["use aya::", "use aya;", "use aya_obj"].iter().any(|use_| code.starts_with(use_));
        if uses_aya && !file.starts_with(LOADER) {
            broken(number, "only agent/src/datapath may use aya");
        }
        if code.starts_with(&["#[ign", "ore"].concat()) {
            broken(number, "a test that is never run");
        }
    }
    found
}

/// Whether the attribute that begins on line `index` has a reason before it closes.
fn reason_follows(text: &str, index: usize) -> bool {
    let attribute =
        text.lines().skip(index).take_while(|line| !line.trim_start().starts_with("fn "));
    let mut seen = String::new();
    for line in attribute.take(8) {
        seen.push_str(line);
        if line.trim_end().ends_with(")]") {
            break;
        }
    }
    seen.contains("reason = \"")
}

fn has_extension(file: &str, extension: &str) -> bool {
    Path::new(file).extension().is_some_and(|found| found == extension)
}

/// Host names that must not stand in the repository; put together so that they do not stand here.
fn forbidden_hosts() -> [String; 8] {
    [
        ["crates", ".", "io"],
        ["py", "pi.", "org"],
        ["python", "hosted.", "org"],
        ["npm", "js.", "org"],
        ["npm", "js.", "com"],
        ["deb.", "debian.", "org"],
        ["proxy.", "golang.", "org"],
        ["ruby", "gems.", "org"],
    ]
    .map(|parts| parts.concat())
}

/// Whether `line` holds an absolute path that only the machines of the authors have.
fn has_machine_path(line: &str) -> bool {
    let roots =
        [["/wo", "rk/"], ["/tmp/", "wt-"], ["/ro", "ot/.cargo"]].map(|parts| parts.concat());
    roots.iter().any(|root| {
        line.match_indices(root.as_str()).any(|(at, _)| {
            let before = line.get(..at).and_then(|text| text.chars().next_back());
            before.is_none_or(|letter| !letter.is_alphanumeric() && !"._-}$".contains(letter))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::problems_in;

    fn check(file: &str, text: &str, expected: &[&str]) {
        let rules: Vec<&str> = problems_in(file, text).iter().map(|problem| problem.rule).collect();
        assert_eq!(rules, expected, "{file}: {text}");
    }

    #[test]
    fn a_module_says_what_it_is() {
        check("agent/src/a.rs", "//! A.\nfn a() {}\n", &[]);
        check(
            "agent/src/a.rs",
            "fn a() {}\n",
            &["a module without a //! line that says what it is"],
        );
        check("README.md", "no module\n", &[]);
    }

    #[test]
    fn a_file_is_short() {
        let long = format!("//! A.\n{}", "\n".repeat(450));
        check("a.rs", &long, &["longer than 450 lines without a listed reason"]);
    }

    #[test]
    fn exceptions_have_reasons() {
        let allow = ["//! A.\n#[al", "low(dead_code)]\n"].concat();
        check("a.rs", &allow, &["an exception that is no #[expect(…, reason = …)]"]);
        check("a.rs", "//! A.\n#[expect(dead_code)]\n", &["an #[expect] without a reason"]);
        check("a.rs", "//! A.\n#[expect(dead_code, reason = \"used by B\")]\n", &[]);
        check("a.rs", "//! A.\n#[expect(\n    dead_code,\n    reason = \"used by B\"\n)]\n", &[]);
    }

    #[test]
    fn aya_has_one_folder() {
        check("agent/src/datapath/load.rs", "//! A.\nuse aya::Ebpf;\n", &[]);
        check(
            "agent/src/run.rs",
            "//! A.\nuse aya::Ebpf;\n",
            &["only agent/src/datapath may use aya"],
        );
    }

    #[test]
    fn hosts_and_paths_stay_out() {
        let host = ["see https://static.crates", ".io/x"].concat();
        check("README.md", &host, &["names the host of a package registry"]);
        check("Cargo.lock", &host, &[]);
        let path = ["cp /wo", "rk/x ."].concat();
        check(".ci/run", &path, &["holds a path of one machine"]);
        check(".ci/run", &["cp $A/wo", "rk/x target/wo", "rk/"].concat(), &[]);
    }
}
