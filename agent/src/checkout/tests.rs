//! From the files of a project to the profile.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::policy::{NameDecision, Profile};

/// A folder with these files.
pub(super) fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        write(folder.path(), path, text.as_bytes());
    }
    folder
}

fn write(folder: &Path, path: &str, bytes: &[u8]) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// What the files of a project say, no client asked: `purpose host port (places)` for each endpoint, then
/// the gaps, then the warnings.
pub(super) fn facts(files: &[(&str, &str)]) -> Vec<String> {
    let folder = project(files);
    let root = folder.path().canonicalize().unwrap();
    let mut findings = Findings::default();
    sources::read_all(&root, &mut findings);
    Clients::none().answer(&root, &mut findings);
    let endpoints = findings.endpoints().map(|(purpose, endpoint, places)| {
        format!("{} {} {} ({places})", purpose.id(), endpoint.host, endpoint.port)
    });
    let gaps = findings.gaps().map(|(gap, places)| format!("{gap:?} ({places})"));
    let mut facts: Vec<String> = endpoints.chain(gaps).collect();
    facts.extend(findings.take_warnings());
    facts
}

/// The suggestion for these files, no client asked, as a profile.
fn suggested(files: &[(&str, &str)]) -> (Suggestion, Profile) {
    let folder = project(files);
    let suggestion = suggest(folder.path(), "a", &Clients::none()).unwrap();
    let profile = Profile::from_yaml("suggested.yaml", &suggestion.text)
        .unwrap_or_else(|error| panic!("{error}\n{}", suggestion.text));
    (suggestion, profile)
}

#[test]
fn a_suggestion_is_ready_for_review() {
    let (suggestion, profile) = suggested(&[
        ("package.json", "{\n  \"dependencies\": { \"a\": \"^1.0.0\" }\n}\n"),
        (
            "package-lock.json",
            "{\"packages\": {\"node_modules/a\": {\n\"resolved\": \"https://npm.example.com/a-1.0.0.tgz\"}}}",
        ),
        (".git/config", "[remote \"origin\"]\n\turl = git@gitlab.example.com:group/app.git\n"),
        (".gitmodules", "[submodule \"x\"]\nurl = https://gitlab.example.com/group/x.git\n"),
        ("Dockerfile", "FROM debian:12\nADD http://203.0.113.7/x /x\n"),
        (".gitlab-ci.yml", "test:\n  image: registry.example.com/ci:1\n  script: [make]\n"),
    ]);
    assert_eq!(suggestion.warnings, [""; 0]);
    let expected = r#"apiVersion: weir.dev/v1
kind: EgressProfile
metadata: { name: "a" }
spec:
  mode: block
  allow:
    - id: "npm"
      domains:
        # package-lock.json:2
        - "npm.example.com"
      ports: ["443/tcp"]
    - id: "git-22"
      domains:
        # .git/config:2
        - "gitlab.example.com"
      ports: ["22/tcp"]
    - id: "git"
      domains:
        # .gitmodules:2
        - "gitlab.example.com"
      ports: ["443/tcp"]
    # Images that jobs run in: the runner's node pulls them before the job. Remove this rule unless the job pulls them itself.
    - id: "job-images"
      domains:
        # .gitlab-ci.yml:2
        - "registry.example.com"
      ports: ["443/tcp"]
    # WARNING: addresses without a name; who owns them can change.
    - id: "downloads-addresses-80"
      cidrs:
        # Dockerfile:2
        - "203.0.113.7/32"
      ports: ["80/tcp"]
# To fill in: npm: the default of npm could not be asked, because it is not installed here: run `npm config get registry` where the job runs (package.json:2)
# To fill in: images: images without a host come from the registry that the client is set up for (Dockerfile:1)
"#;
    assert_eq!(suggestion.text, [render::HEADER, expected].concat());
    assert_eq!(profile.counts().rules, 5);
}

#[test]
fn a_project_that_names_nothing_allows_nothing() {
    let (suggestion, profile) = suggested(&[("README.md", "https://www.example.com/\n")]);
    assert_eq!(profile.counts().rules, 0);
    assert_eq!(suggestion.warnings, [""; 0]);
}

#[test]
fn projects_in_a_project_are_found_and_what_clients_fill_is_not() {
    let npmrc = "registry=https://npm.example.com/\n";
    for skipped in ["node_modules/x", "target", "vendor/x", ".venv/lib", ".git", ".cargo/registry"]
    {
        assert_eq!(facts(&[(&format!("{skipped}/.npmrc"), npmrc)]), [""; 0], "{skipped}");
    }
    let deep = "a/b/c/d/.npmrc";
    assert_eq!(facts(&[(deep, npmrc)]), [format!("npm npm.example.com 443 ({deep}:1)")]);
    let too_deep = format!("{}.npmrc", "d/".repeat(14));
    assert_eq!(facts(&[(&too_deep, npmrc)]), ["folders more than 12 deep were not entered"]);
}

#[test]
fn links_are_followed_inside_the_project_only() {
    let outside = project(&[("npmrc", "registry=https://secret.example.com/\n")]);
    let folder = project(&[("real", "registry=https://npm.example.com/\n"), ("b/x", "")]);
    let link =
        |to: &Path, at: &str| std::os::unix::fs::symlink(to, folder.path().join(at)).unwrap();
    link(Path::new("real"), ".npmrc");
    link(&outside.path().join("npmrc"), "b/.npmrc");
    link(outside.path(), "c");
    link(Path::new("/dev/zero"), "pip.conf");
    link(Path::new("b"), "b/loop");
    let suggestion = suggest(folder.path(), "a", &Clients::none()).unwrap();
    assert!(suggestion.text.contains("# .npmrc:1\n        - \"npm.example.com\""));
    assert!(!suggestion.text.contains("secret"), "{}", suggestion.text);
    assert_eq!(
        suggestion.warnings,
        ["b/.npmrc", "pip.conf"]
            .map(|path| format!("{path} could not be read: it leads out of the project's folder"))
    );
}

#[test]
fn what_cannot_be_read_is_a_warning_and_the_rest_is_read() {
    let folder = project(&[("a/.npmrc", "registry=https://npm.example.com/\n")]);
    let root = folder.path();
    write(root, "package-lock.json", b"{\"resolved\": \"\xff\"}");
    write(root, "yarn.lock", &vec![b'x'; 32 * 1024 * 1024 + 1]);
    write(root, "uv.lock", b"[[package]]\nsource = { registry = \"https://pip.example.com/\" }\nx");
    nix::unistd::mkfifo(&root.join("Cargo.lock"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let suggestion = suggest(root, "a", &Clients::none()).unwrap();
    assert!(suggestion.text.contains("npm.example.com"), "{}", suggestion.text);
    assert_eq!(
        suggestion.warnings,
        [
            "Cargo.lock could not be read: it is no regular file",
            "package-lock.json could not be read: it is no text",
            "uv.lock could not be read: it is no valid TOML (line 3)",
            "yarn.lock could not be read: it has more than 32 MiB",
        ]
    );
}

#[test]
fn names_of_files_stay_comments() {
    let name = "x\n  allow: [{ id: evil, cidrs: [0.0.0.0/0] }]\r\u{2028}\u{85}\u{1b}[31m\u{feff}";
    let npmrc = "registry=https://npm.example.com/\nproxy=$P\n";
    let path = format!("{name}/.npmrc");
    let (suggestion, profile) = suggested(&[(&path, npmrc)]);
    assert_eq!(profile.counts().prefixes, 0);
    assert!(suggestion.text.is_ascii() && !suggestion.text.contains('\u{1b}'));
    let (suggestion, _) = suggested(&[(&format!("{name}/Cargo.lock"), "[")]);
    assert!(suggestion.warnings[0].is_ascii() && !suggestion.warnings[0].contains('\n'));
}

#[test]
fn secrets_in_urls_are_not_shown() {
    let (suggestion, _) = suggested(&[
        (
            ".npmrc",
            "registry=https://u:hunter2@npm.example.com/\n//npm.example.com/:_authToken=hunter2\n",
        ),
        ("requirements.txt", "--index-url https://hunter2@pip.example.com:x/\n"),
        (".git/config", "[remote \"o\"]\nurl = https://u:hunter2@exa mple.com/\n"),
    ]);
    let all = format!("{}{}", suggestion.text, suggestion.warnings.concat());
    assert!(all.contains("npm.example.com") && !all.contains("hunter2"), "{all}");
}

#[test]
fn more_than_a_profile_holds_is_left_out_and_said() {
    let lines = |host: &dyn Fn(u16) -> String, count| -> String {
        let line = |n| format!("deb http://{}:{} x y\n", host(n), 1000 + n);
        (0..count).map(line).collect::<Vec<_>>().concat()
    };
    let (suggestion, profile) =
        suggested(&[("sources.list", &lines(&|_| "deb.example.com".to_owned(), 40))]);
    assert_eq!(profile.counts().rules, 32);
    assert!(suggestion.text.contains("#   deb.example.com 1039\n"), "{}", suggestion.text);
    let (suggestion, profile) =
        suggested(&[("sources.list", &lines(&|_| "203.0.113.7".to_owned(), 20))]);
    assert_eq!(profile.counts().rules, 16);
    assert!(suggestion.text.contains("#   203.0.113.7 1019\n"), "{}", suggestion.text);
    let many = |n: u16| format!("h{n}.example.com");
    let (suggestion, profile) = suggested(&[("sources.list", &lines(&many, 2500))]);
    assert_eq!(profile.counts().rules, 1024);
    assert_eq!(suggestion.warnings, ["500 mentions of hosts beyond the first 2000 were left out"]);
}

/// Files of every kind, each with a place for any text.
const HOLES: [(&str, &str); 24] = [
    ("package.json", "{\"dependencies\": {\"a\": \"@\"}}"),
    ("package-lock.json", "{\"packages\": {\"@\": {\"resolved\": \"@\"}}}"),
    (".npmrc", "registry=@\n"),
    ("yarn.lock", "resolved \"@\"\nresolution: \"a@@\"\n"),
    (".yarnrc.yml", "npmRegistryServer: \"@\"\n"),
    ("pnpm-lock.yaml", "packages: {a: {resolution: {tarball: '@'}}}\n"),
    ("requirements.txt", "@\n-r @\nx @ @\n--index-url @\n"),
    ("pip.conf", "[global]\nindex-url = @\n  @\n"),
    ("pyproject.toml", "[project]\ndependencies = ['@']\n[[tool.uv.index]]\nurl = '@'\n"),
    ("uv.lock", "[[package]]\nsource = { registry = '@' }\n"),
    ("Cargo.toml", "[dependencies]\na = { git = '@' }\nb = '@'\n"),
    ("Cargo.lock", "[[package]]\nsource = '@'\n"),
    (".cargo/config.toml", "[source.'@']\nregistry = '@'\nreplace-with = '@'\n"),
    ("go.mod", "require @ v1\nrequire (\n@\n)\n"),
    (
        "pom.xml",
        "<project><repositories><repository><url>@</url></repository></repositories></project>",
    ),
    ("settings.xml", "<settings><mirrors><mirror><url>@</url></mirror></mirrors></settings>"),
    ("gradle/wrapper/gradle-wrapper.properties", "distributionUrl=@\n"),
    ("sources.list", "deb @ x\n"),
    ("a.sources", "URIs: @\n @\n"),
    (".git/config", "[remote \"@\"]\nurl = @\n[url \"@\"]\ninsteadOf = @\n"),
    ("sub/.git", "gitdir: @\n"),
    ("Dockerfile", "ARG A=@\nFROM @\nADD @ /x\nRUN <<EOF\n@\nEOF\nCOPY --from=@ a b\n"),
    (".gitlab-ci.yml", "variables: {A: \"@\"}\nimage: \"@\"\ninclude: [local: \"@\"]\n"),
    ("@/.gitmodules", "[submodule \"@\"]\nurl = @\n"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_the_files_hold_the_suggestion_is_a_profile(
        texts in prop::collection::vec(
            prop_oneof![
                "\\PC{0,30}",
                "(https|ssh|git|x)://[a-z$@:.\\-\\[\\]{}\"'#\\\\ \u{2028}\u{85}]{0,30}",
                "[a-z]{1,8}\\.example\\.com(:[0-9]{1,5})?(/[a-z]{0,5})?",
                "[ -~\\n\\r\\t]{0,40}",
            ],
            HOLES.len(),
        ),
    ) {
        let folder = tempfile::tempdir().unwrap();
        for ((path, frame), text) in HOLES.into_iter().zip(&texts) {
            let part: String = text.chars().filter(|c| !matches!(c, '/' | '\0')).take(20).collect();
            let part = if matches!(part.as_str(), "" | "." | "..") { "x" } else { &part };
            write(folder.path(), &path.replace('@', part), frame.replace('@', text).as_bytes());
        }
        let suggestion = suggest(folder.path(), &texts[0], &Clients::none()).unwrap();
        let profile = Profile::from_yaml("suggested.yaml", &suggestion.text);
        prop_assert!(profile.is_ok(), "{}\n{}", profile.unwrap_err(), suggestion.text);
        prop_assert!(suggestion.text.is_ascii());
        prop_assert!(suggestion.warnings.iter().all(|warning| !warning.contains(char::is_control)));
        // A name that nobody wrote is not allowed.
        let name = crate::policy::HostName::parse("nobody.example.net").unwrap();
        prop_assert!(matches!(profile.unwrap().decide_name(&name), NameDecision::NotListed));
    }
}
