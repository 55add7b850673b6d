//! npm, yarn and pnpm.

use super::super::npm::Specifier;
use super::{check, check_all};

#[test]
fn specifiers_are_told_apart() {
    use Specifier::{Archive, Hosted, Local, Registry, Repository};
    for (text, expected) in [
        ("^1.2.3", Registry),
        ("~1.2 || >=2 <3", Registry),
        ("latest", Registry),
        ("", Registry),
        ("npm:other@1", Registry),
        ("npm:@scope/other@1", Registry),
        ("https://a.example.com/x.tgz", Archive("https://a.example.com/x.tgz")),
        ("git+https://g.example.com/x.git#v1", Repository("git+https://g.example.com/x.git#v1")),
        ("git@g.example.com:x/y.git", Repository("git@g.example.com:x/y.git")),
        ("github:user/repo", Hosted),
        ("user/repo#branch", Hosted),
        ("file:../x", Local),
        ("../x", Local),
        ("~/x", Local),
        ("workspace:*", Local),
        ("link:x", Local),
    ] {
        assert_eq!(Specifier::of(text), expected, "{text}");
    }
}

#[test]
fn a_manifest_needs_what_its_dependencies_name() {
    let text = r#"{
  "name": "x", "version": "1.0.0",
  "dependencies": { "a": "file:a", "b": "git+ssh://git@git.example.com/b.git" },
  "devDependencies": { "c": "https://files.example.com/c.tgz",
    "d": "^1.0.0", "e": "^1.0.0" },
  "scripts": { "dependencies": "https://no.example.com/" }
}"#;
    check(
        "package.json",
        text,
        &[
            "npm files.example.com 443 (package.json:4)",
            "npm git.example.com 22 (package.json:3)",
            "Default(Npm, NotInstalled) (package.json:5)",
            "HostedRepositories (package.json:3)",
        ],
    );
    check("package.json", r#"{"dependencies": {"a": "file:a"}}"#, &[]);
}

#[test]
fn a_lock_file_of_npm_names_every_archive() {
    let second = r#"{ "lockfileVersion": 3, "packages": {
 "": { "name": "x" },
 "node_modules/a": { "version": "1.0.0",
   "resolved": "https://npm.example.com/a/-/a-1.0.0.tgz", "integrity": "sha512-x" },
 "node_modules/b": { "version": "1.0.0",
   "resolved": "git+ssh://git@git.example.com/g/b.git#0123" },
 "node_modules/c": { "resolved": "packages/c", "link": true },
 "node_modules/d": { "resolved": false },
 "node_modules/e": { "resolved": "https://npm.example.com:8443/e/-/e-1.0.0.tgz" }
} }"#;
    check(
        "package-lock.json",
        second,
        &[
            "npm git.example.com 22 (package-lock.json:6)",
            "npm npm.example.com 443 (package-lock.json:4)",
            "npm npm.example.com 8443 (package-lock.json:9)",
            "HostedRepositories (package-lock.json:6)",
        ],
    );
    let first = r#"{ "dependencies": { "a": { "version": "1.0.0",
 "resolved": "http://npm.example.com/a.tgz",
 "dependencies": { "b": { "version": "https://files.example.com/b.tgz" } } } } }"#;
    check(
        "npm-shrinkwrap.json",
        first,
        &[
            "npm files.example.com 443 (npm-shrinkwrap.json:3)",
            "npm npm.example.com 80 (npm-shrinkwrap.json:2)",
        ],
    );
}

#[test]
fn settings_of_npm_answer_for_their_folder_and_below() {
    let manifest = r#"{"dependencies": {"a": "1"}}"#;
    let npmrc = "; a comment\n# another\nregistry = \"https://npm.example.com/\"\n\
                 @scope:registry=https://scope.example.com\nhttps-proxy=proxy.example.com:3128\nproxy=null\n\
                 //npm.example.com/:_authToken=${TOKEN}\nscript-shell=/bin/evil\n";
    let own = [
        "npm npm.example.com 443 (a/.npmrc:3)",
        "npm proxy.example.com 3128 (a/.npmrc:5)",
        "npm scope.example.com 443 (a/.npmrc:4)",
    ];
    let with_other = [&own[..], &["Default(Npm, NotInstalled) (package.json:1)"]].concat();
    check_all(&[("a/.npmrc", npmrc), ("a/b/package.json", manifest)], &own);
    check_all(
        &[("a/.npmrc", npmrc), ("a/package.json", manifest), ("package.json", manifest)],
        &with_other,
    );
    check(".npmrc", "registry=${NPM_REGISTRY}\n", &["Variable(Npm) (.npmrc:1)"]);
}

#[test]
fn a_lock_file_of_the_first_yarn_names_every_archive() {
    let lock = "# yarn lockfile v1\n\n\na@^1.0.0:\n  version \"1.0.0\"\n  \
                resolved \"https://yarn.example.com/a/-/a-1.0.0.tgz#abc\"\n  integrity sha512-x\n\n\
                \"b@git+https://git.example.com/b.git\":\n  resolved \"git+https://git.example.com/b.git#def\"\n";
    check_all(
        &[("package.json", r#"{"dependencies": {"a": "1"}}"#), ("yarn.lock", lock)],
        &[
            "npm git.example.com 443 (yarn.lock:10)",
            "npm yarn.example.com 443 (yarn.lock:6)",
            "HostedRepositories (yarn.lock:10)",
        ],
    );
    check(
        ".yarnrc",
        "registry \"https://yarn.example.com\"\nyarn-path \"evil.js\"\n\"@s:registry\" \"https://s.example.com\"\n",
        &["npm s.example.com 443 (.yarnrc:3)", "npm yarn.example.com 443 (.yarnrc:1)"],
    );
}

#[test]
fn a_lock_file_of_the_later_yarn_leaves_the_registry_to_its_settings() {
    let lock = "__metadata:\n  version: 8\n\n\"@s/a@npm:^1.0.0\":\n  version: 1.0.0\n  \
                resolution: \"@s/a@npm:1.0.0::__archiveUrl=https%3A%2F%2Ffiles.example.com%2Fa.tgz\"\n  linkType: hard\n\n\
                \"b@npm:^1.0.0\":\n  resolution: \"b@npm:1.0.0\"\n\n\"c@workspace:.\":\n  resolution: \"c@workspace:.\"\n\n\
                \"d@https://git.example.com/d.git\":\n  resolution: \"d@https://git.example.com/d.git#commit=1\"\n\n\
                \"e@patch:b@npm%3A1\":\n  resolution: \"b@patch:b@npm%3A1.0.0#x::version=1&hash=2\"\n";
    let facts = [
        "npm files.example.com 443 (yarn.lock:6)",
        "npm git.example.com 443 (yarn.lock:16)",
        "Default(Yarn, NotInstalled) (yarn.lock:10)",
    ];
    check("yarn.lock", lock, &facts);
    let settings = "yarnPath: .yarn/releases/evil.cjs\nnpmRegistryServer: \"https://yarn.example.com\"\n\
                    npmScopes:\n  s:\n    npmRegistryServer: https://s.example.com\nhttpsProxy: http://p.example.com:80\n";
    check_all(
        &[("yarn.lock", lock), (".yarnrc.yml", settings)],
        &[
            facts[0],
            facts[1],
            "npm p.example.com 80 (.yarnrc.yml:6)",
            "npm s.example.com 443 (.yarnrc.yml:5)",
            "npm yarn.example.com 443 (.yarnrc.yml:2)",
        ],
    );
}

#[test]
fn a_lock_file_of_pnpm_names_what_is_no_registrys() {
    let lock = "lockfileVersion: '9.0'\n\npackages:\n\n  a@1.0.0:\n    resolution: {integrity: sha512-x}\n\n  \
                b@https://files.example.com/b.tgz:\n    resolution: {tarball: https://files.example.com/b.tgz, integrity: sha512-y}\n\n  \
                c@git+https://git.example.com/c.git#1:\n    resolution: {commit: '1', repo: https://git.example.com/c.git, type: git}\n";
    let facts = [
        "npm files.example.com 443 (pnpm-lock.yaml:9)",
        "npm git.example.com 443 (pnpm-lock.yaml:12)",
        "Default(Pnpm, NotInstalled) (pnpm-lock.yaml:6)",
        "HostedRepositories (pnpm-lock.yaml:12)",
    ];
    let manifest = ("package.json", r#"{"dependencies": {"a": "1"}}"#);
    check_all(&[("pnpm-lock.yaml", lock), manifest], &facts);
    check_all(
        &[("pnpm-lock.yaml", lock), (".npmrc", "registry=https://npm.example.com\n")],
        &[facts[0], facts[1], "npm npm.example.com 443 (.npmrc:1)", facts[3]],
    );
    for settings in [
        "registry: https://npm.example.com\n",
        "registries: {default: https://npm.example.com}\n",
        "registries: {'https://npm.example.com': {scopes: ['@']}}\n",
    ] {
        check_all(
            &[("pnpm-lock.yaml", lock), ("pnpm-workspace.yaml", settings)],
            &[facts[0], facts[1], "npm npm.example.com 443 (pnpm-workspace.yaml:1)", facts[3]],
        );
    }
}
