//! Each kind of file, in the words of the programs that write it.

mod build;
mod cargo;
mod git;
mod node;
mod python;

use super::super::tests::facts;

/// The facts of one file.
#[track_caller]
fn check(path: &str, text: &str, expected: &[&str]) {
    check_all(&[(path, text)], expected);
}

#[track_caller]
fn check_all(files: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(facts(files), expected, "{files:?}");
}

#[test]
fn files_are_known_by_their_names() {
    for known in [
        "package.json",
        "a/npm-shrinkwrap.json",
        "requirements.txt",
        "requirements-dev.txt",
        "dev-requirements.in",
        "requirements/base.txt",
        "constraints.txt",
        "pylock.toml",
        "pylock.dev.toml",
        ".cargo/config.toml",
        ".cargo/config",
        "debian/x.sources",
        "etc/apt/sources.list.d/x.list",
        "Dockerfile",
        "Dockerfile.dev",
        "app.Dockerfile",
        "dev.dockerfile",
        "Containerfile",
        ".gitlab-ci.yml",
        "ci/lint.gitlab-ci.yml",
        "sub/.git",
        ".mvn/wrapper/maven-wrapper.properties",
    ] {
        assert!(super::reader_of(known).is_some(), "{known}");
    }
    for other in
        ["config.toml", "config", "x.list", "Dockerfiles", "notes.txt", "a.lock", "gitlab-ci.yml"]
    {
        assert!(super::reader_of(other).is_none(), "{other}");
    }
}
