//! The test programs that cargo builds, found through its JSON messages.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shell::{self, cargo};

/// The package whose tests are the end-to-end suites: root, namespaces, one process per case.
pub(crate) const SUITES: &str = "weir-tests";

/// One test program.
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    /// The package's name.
    pub(crate) package: String,
    /// `package::target`.
    pub(crate) name: String,
    /// Whether it is a `[[test]]` target, and not the unit tests of a library or program.
    pub(crate) is_suite: bool,
    /// The program.
    pub(crate) path: PathBuf,
    /// The package's folder, where its tests expect to run.
    pub(crate) folder: PathBuf,
}

/// Builds every test of the workspace with the programs that they run, and lists the tests by name.
///
/// With the tests of a package cargo builds its programs, too. Built apart from them weir would have other features of
/// its dependencies, so that these would be compiled twice.
pub(crate) fn build() -> Result<Vec<Binary>> {
    // It has no dependencies, and no tests that run it.
    shell::run(cargo(&["build", "--locked", "--package", "weir-initc"]))?;
    let words = ["test", "--locked", "--workspace", "--no-run", "--lib", "--bins", "--tests"];
    listed_by(cargo(&words))
}

/// The test programs that this call of cargo builds.
pub(super) fn listed_by(mut command: Command) -> Result<Vec<Binary>> {
    command.args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    let messages = shell::capture(command)?;
    let mut binaries: Vec<Binary> = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| binary(&message))
        .collect();
    binaries.sort_by(|left, right| left.name.cmp(&right.name));
    binaries.first().context("cargo built no test")?;
    Ok(binaries)
}

fn binary(message: &Value) -> Option<Binary> {
    let is_test = message.pointer("/profile/test")?.as_bool()?;
    let path = message.get("executable")?.as_str().filter(|_| is_test)?;
    let target = message.pointer("/target/name")?.as_str()?;
    let kind = message.pointer("/target/kind/0")?.as_str()?;
    let manifest = PathBuf::from(message.get("manifest_path")?.as_str()?);
    // `path+file:///…/tests#weir-tests@0.1.0`, or without a name where the folder has it.
    let id = message.get("package_id")?.as_str()?;
    let fragment = id.rsplit('#').next()?;
    let package = match fragment.split_once('@') {
        Some((name, _)) => name,
        None => id.split('#').next()?.rsplit('/').next()?,
    };
    let name = format!("{package}::{target}");
    Some(Binary {
        package: package.to_owned(),
        name,
        is_suite: kind == "test",
        path: path.into(),
        folder: manifest.parent()?.to_path_buf(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::binary;

    fn message(id: &str, test: bool) -> serde_json::Value {
        json!({
            "reason": "compiler-artifact",
            "package_id": id,
            "manifest_path": "/src/tests/Cargo.toml",
            "target": {"kind": ["test"], "name": "sockets"},
            "profile": {"test": test},
            "executable": "/target/debug/deps/sockets-1",
        })
    }

    #[test]
    fn package_and_target_make_the_name() {
        let found = binary(&message("path+file:///src/tests#weir-tests@0.1.0", true)).unwrap();
        assert_eq!((found.name.as_str(), found.is_suite), ("weir-tests::sockets", true));
        let short = binary(&message("path+file:///src/xtask#0.1.0", true)).unwrap();
        assert_eq!(short.package, "xtask");
    }

    #[test]
    fn programs_that_are_no_tests_are_left_out() {
        assert!(binary(&message("path+file:///src/tests#weir-tests@0.1.0", false)).is_none());
    }
}
