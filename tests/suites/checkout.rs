//! A first profile from a real checkout: made by npm, pip, cargo and git, suggested without a packet, and enough for
//! a real install.
//!
//! Registries stand in the lab under the names that the clients use by default. These are learned from the clients.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use weir_tests::exec::{self, DEFAULT_LIMIT};
use weir_tests::lab::Lab;
use weir_tests::registry::{self, PACKAGE, Registry, VERSION, first_question, fresh_folder, run};
use weir_tests::skip::{self, Skip};
use weir_tests::weir::{self, Outcome};

/// Where archives are, if not beside the index.
const ARCHIVES: &str = "mirror.example.com";

/// Waits until the connections of what ran before are closed from both sides: the kernel sends for them.
fn all_is_closed(lab: &Lab) -> Result<()> {
    let deadline = Instant::now() + DEFAULT_LIMIT;
    loop {
        let mut open = lab.client.host().enter("ss");
        open.args(["-Htn", "state", "connected", "exclude", "time-wait"]);
        let open = exec::run(open, DEFAULT_LIMIT)?.expect_code(0)?.stdout;
        if open.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "still open: {open}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The profile that is suggested for `checkout`, without a packet and without a warning.
fn suggest(lab: &Lab, checkout: &Path) -> Result<String> {
    all_is_closed(lab)?;
    let watch = lab.watch_client_link()?;
    let script = format!("exec '{}' policy suggest --project .", weir::binary()?.display());
    let output = run(lab, checkout, &script)?.expect_code(0)?;
    let sent = watch.take()?;
    ensure!(sent.is_empty(), "the suggestion sent {sent:?}: {}", output.describe());
    ensure!(output.stderr.is_empty(), "warnings: {}", output.describe());
    Ok(output.stdout)
}

/// Runs `script` in `folder` under `weir run`, with this profile or with none.
fn under_weir(lab: &Lab, folder: &Path, profile: Option<&str>, script: &str) -> Result<Outcome> {
    let mut invocation = match profile {
        Some(text) => lab.weir().profile(text)?,
        None => lab.weir(),
    };
    for (name, value) in registry::environment(lab) {
        invocation = invocation.env(&name, &value.to_string_lossy());
    }
    invocation.run(&["sh", "-c", &format!("cd '{}' && {script}", folder.display())])
}

/// `script` succeeds under `profile` without a violation; it fails under none, and under one without any of the
/// hosts `needed`.
fn is_enough(lab: &Lab, folder: &Path, profile: &str, script: &str, needed: &[&str]) -> Result<()> {
    let enforced = under_weir(lab, folder, Some(profile), script)?.expect_code(0)?;
    ensure!(enforced.violations().count() == 0, "{}\n{profile}", enforced.describe());
    let refused = under_weir(lab, folder, None, script)?;
    ensure!(refused.output.code != 0, "it works without a profile: {}", refused.describe());
    for host in needed {
        let entry = format!("- \"{host}\"");
        ensure!(profile.contains(&entry), "{host} is not in\n{profile}");
        let without = profile.replace(&entry, "- \"removed.example.com\"");
        let refused = under_weir(lab, folder, Some(&without), script)?;
        ensure!(refused.output.code != 0, "it works without {host}: {}", refused.describe());
        refused.violation("that names the host", |event| {
            event.host() == *host && event.reason() == "domain_not_in_allowlist"
        })?;
    }
    Ok(())
}

/// A checkout that `script` made.
fn checkout(lab: &Lab, script: &str) -> Result<PathBuf> {
    let folder = fresh_folder(lab, "checkout")?;
    run(lab, &folder, script)?.expect_code(0)?;
    Ok(folder)
}

#[test]
fn npm_installs_from_its_default_registry() -> Result<()> {
    let lab = Lab::new()?;
    let default = Registry::Npm.default_host(&lab)?;
    Registry::Npm.serve(&lab, &default, &default)?;
    let manifest = format!("npm init --yes && npm pkg set dependencies.{PACKAGE}={VERSION}");
    let checkout = checkout(&lab, &manifest)?;
    let profile = suggest(&lab, &checkout)?;
    ensure!(profile.contains("# `npm config get registry`, package.json:"), "{profile}");
    let install = "npm install --no-package-lock --fetch-retries=0 --cache \"$(mktemp -d)\" && node -e 'require(\"weir-probe\")' && \
                   rm -r node_modules";
    is_enough(&lab, &checkout, &profile, install, &[&default])
}

#[test]
fn npm_installs_what_its_lock_file_names() -> Result<()> {
    let lab = Lab::new()?;
    let default = Registry::Npm.default_host(&lab)?;
    Registry::Npm.serve(&lab, &default, ARCHIVES)?;
    let checkout = checkout(&lab, &format!("npm init --yes && npm install {PACKAGE}"))?;
    let profile = suggest(&lab, &checkout)?;
    ensure!(profile.contains("# package-lock.json:"), "{profile}");
    let install = "npm ci --fetch-retries=0 --cache \"$(mktemp -d)\" && node -e 'require(\"weir-probe\")' && rm -r node_modules";
    is_enough(&lab, &checkout, &profile, install, &[ARCHIVES])
}

#[test]
fn pip_installs_from_its_default_index() -> Result<()> {
    let lab = Lab::new()?;
    let default = Registry::Pip.default_host(&lab)?;
    Registry::Pip.serve(&lab, &default, &default)?;
    let requirements = format!(
        "pip3 download --no-cache-dir {PACKAGE} && rm *.whl && echo {PACKAGE}=={VERSION} > requirements.txt"
    );
    let checkout = checkout(&lab, &requirements)?;
    let profile = suggest(&lab, &checkout)?;
    ensure!(profile.contains("# `pip install --help`, requirements.txt:1"), "{profile}");
    ensure!(profile.contains("# To know: pip: an index may link to files"), "{profile}");
    let install =
        "pip3 install --retries 0 --no-cache-dir --target \"$(mktemp -d)\" -r requirements.txt";
    is_enough(&lab, &checkout, &profile, install, &[&default])
}

#[test]
fn pip_installs_from_the_indexes_of_its_files() -> Result<()> {
    let lab = Lab::new()?;
    let index = "git.example.com";
    Registry::Pip.serve(&lab, index, ARCHIVES)?;
    let requirements = format!(
        "printf -- '--index-url https://{index}/simple\\n--find-links https://{ARCHIVES}/files/\\n{PACKAGE}\\n' > requirements.txt"
    );
    let checkout = checkout(&lab, &requirements)?;
    let profile = suggest(&lab, &checkout)?;
    // The file chooses, so pip was not asked.
    ensure!(!profile.contains("pip install --help"), "{profile}");
    let install =
        "pip3 install --retries 0 --no-cache-dir --target \"$(mktemp -d)\" -r requirements.txt";
    is_enough(&lab, &checkout, &profile, install, &[index, ARCHIVES])
}

#[test]
fn cargo_fetches_from_its_default_registry() -> Result<()> {
    let lab = Lab::new()?;
    let default = Registry::Cargo.default_host(&lab)?;
    Registry::Cargo.serve(&lab, &default, ARCHIVES)?;
    let script = format!(
        "cargo init --quiet --vcs none --name app && cargo add --quiet {PACKAGE} && cargo fetch"
    );
    let checkout = checkout(&lab, &script)?;
    let profile = suggest(&lab, &checkout)?;
    ensure!(profile.contains("# the first connection of `cargo fetch`, Cargo.lock:"), "{profile}");
    ensure!(profile.contains("/config.json:1"), "{profile}");
    let fetch = "CARGO_NET_RETRY=0 CARGO_HOME=\"$(mktemp -d)\" cargo fetch --locked";
    is_enough(&lab, &checkout, &profile, fetch, &[&default, ARCHIVES])?;

    // Where cargo was never used, the index alone is known, and what is missing is said.
    fs::remove_dir_all(lab.client.home().join(".cargo/registry"))?;
    let profile = suggest(&lab, &checkout)?;
    ensure!(profile.contains(&format!("- \"{default}\"")), "{profile}");
    ensure!(!profile.contains(ARCHIVES), "{profile}");
    ensure!(profile.contains("# To fill in: cargo: the index says where crates"), "{profile}");
    Ok(())
}

#[test]
fn cargo_fetches_from_what_its_settings_put_in_place_of_the_default() -> Result<()> {
    let lab = Lab::new()?;
    let (default, index) = (Registry::Cargo.default_host(&lab)?, "git.example.com");
    Registry::Cargo.serve(&lab, index, ARCHIVES)?;
    let settings = format!(
        "[source.crates-io]\\nreplace-with = \"lab\"\\n[source.lab]\\nregistry = \"sparse+https://{index}/\"\\n"
    );
    let script = format!(
        "cargo init --quiet --vcs none --name app && mkdir .cargo && printf '{settings}' > .cargo/config.toml && \
         printf '{PACKAGE} = \"1\"\\n' >> Cargo.toml && cargo fetch"
    );
    let checkout = checkout(&lab, &script)?;
    let profile = suggest(&lab, &checkout)?;
    ensure!(!profile.contains(&default), "{profile}");
    let fetch = "CARGO_NET_RETRY=0 CARGO_HOME=\"$(mktemp -d)\" cargo fetch --locked";
    is_enough(&lab, &checkout, &profile, fetch, &[index, ARCHIVES])
}

/// Leaves the submodule as a fresh clone has it: named, and not there.
const FORGET: &str = "git submodule --quiet deinit --force part && rm -rf .git/modules/part";

#[test]
fn git_reaches_remotes_and_submodules() -> Result<()> {
    let lab = Lab::new()?;
    let clone = format!(
        "git clone --quiet https://git.example.com/project.git . && \
         git submodule --quiet add https://{ARCHIVES}/project.git part && {FORGET}"
    );
    let checkout = checkout(&lab, &clone)?;
    let profile = suggest(&lab, &checkout)?;
    let fetch =
        format!("git fetch --quiet origin && git submodule --quiet update --init && {FORGET}");
    is_enough(&lab, &checkout, &profile, &fetch, &["git.example.com", ARCHIVES])
}

#[test]
fn one_checkout_may_have_all_of_them() -> Result<()> {
    let lab = Lab::new()?;
    let mut script = "git clone --quiet https://git.example.com/project.git .".to_owned();
    for (registry, make) in [
        (Registry::Npm, "mkdir web && (cd web && npm init --yes && npm install weir-probe)"),
        (Registry::Pip, "mkdir tools && echo weir-probe > tools/requirements.txt"),
        (
            Registry::Cargo,
            "cargo init --quiet --vcs none --name app core && (cd core && cargo add --quiet weir-probe && cargo fetch)",
        ),
    ] {
        let default = registry.default_host(&lab)?;
        registry.serve(&lab, &default, &default)?;
        script = format!("{script} && {make}");
    }
    let checkout = checkout(&lab, &script)?;
    let profile = suggest(&lab, &checkout)?;
    let install = "git fetch --quiet && (cd web && npm ci --fetch-retries=0 --cache \"$(mktemp -d)\") && \
                   pip3 install --retries 0 --no-cache-dir --target \"$(mktemp -d)\" -r tools/requirements.txt && \
                   (cd core && CARGO_NET_RETRY=0 CARGO_HOME=\"$(mktemp -d)\" cargo fetch --locked)";
    is_enough(&lab, &checkout, &profile, install, &["git.example.com"])
}

#[test]
fn maven_goes_where_the_profile_says() -> Result<()> {
    let lab = Lab::new()?;
    if run(&lab, lab.folder(), "mvn --version")?.code != 0 {
        return skip::record("maven_goes_where_the_profile_says", Skip::NoMaven);
    }
    let default = first_question(&lab, "mvn --batch-mode com.example:none:1:none")?;
    let checkout = checkout(&lab, "echo '<project/>' > pom.xml")?;
    let profile = suggest(&lab, &checkout)?;
    let entry = format!("# the first connection of `mvn`, pom.xml:1\n        - \"{default}\"\n");
    ensure!(profile.contains(&entry), "{default} is not in\n{profile}");
    Ok(())
}

/// Settings by which a checkout has its client run a program: each writes a file `ran`.
const TRAPS: &str = r#"
trap='#!/bin/sh
touch "$TRAPPED"
echo https://trap.example.net/'
mkdir -p node_modules/.bin .yarn .cargo .mvn bin sub
for path in node_modules/.bin/npm npm pip3 cargo mvn bin/npm bin/pip3 bin/cargo bin/go bin/yarn bin/mvn bin/node bin/python3 bin/rustc bin/java bin/git bin/env bin/trap; do
  printf '%s\n' "$trap" > $path; chmod +x $path
done
git init --quiet . && git config core.fsmonitor "$PWD/bin/trap" && git config core.sshCommand "$PWD/bin/trap"
git remote add origin ssh://git@git.example.com/a.git
printf 'require("fs").writeFileSync(process.env.TRAPPED, "")' > .yarn/trap.cjs
printf 'yarnPath: .yarn/trap.cjs\n' > .yarnrc.yml
printf 'yarn-path ".yarn/trap.cjs"\n' > .yarnrc
printf 'script-shell=%s\nnode-options=--require=%s\n' "$PWD/bin/trap" "$PWD/.yarn/trap.cjs" > .npmrc
printf '{"dependencies": {"a": "1"}, "packageManager": "yarn@9.9.9", "scripts": {"preinstall": "bin/trap"}}' > package.json
printf '__metadata:\n  version: 8\n\n"a@npm:1":\n  resolution: "a@npm:1.0.0"\n' > sub/yarn.lock
cp package.json sub
printf '[build]\nrustc = "bin/trap"\nrustc-wrapper = "bin/trap"\n[registry]\nglobal-credential-providers = ["bin/trap"]\n' > .cargo/config.toml
printf '[toolchain]\npath = "%s"\n' "$PWD" > rust-toolchain.toml
printf '[package]\nname = "x"\nversion = "0.0.0"\nbuild = "build.rs"\n[dependencies]\na = "1"\n' > Cargo.toml
printf 'import os\nopen(os.environ["TRAPPED"], "w")\n' | tee setup.py pip.py > sitecustomize.py
printf 'module git.example.com/x\ngo 1.99\ntoolchain go1.99.0\nrequire git.example.com/y v1.0.0\n' > go.mod
printf -- '-javaagent:%s\n' "$PWD/bin/trap" > .mvn/jvm.config
printf '<project/>' > pom.xml
"#;

#[test]
fn nothing_of_a_hostile_checkout_runs() -> Result<()> {
    let lab = Lab::new()?;
    let folder = fresh_folder(&lab, "checkout")?;
    run(&lab, &folder, TRAPS)?.expect_code(0)?;
    let trapped = lab.folder().join("trapped");
    // The folder's programs stand first, as tools that follow a project's settings put them.
    let suggest = format!(
        "ln -s \"$PWD\" ../link; cd ../link; export TRAPPED='{}' PATH=\"$PWD/node_modules/.bin:$PWD/bin:.:$PATH\" \
         PYTHONPATH=\"$PWD\" NODE_OPTIONS=\"--require=$PWD/.yarn/trap.cjs\" RUSTC_WRAPPER=\"$PWD/bin/trap\"; \
         exec '{}' policy suggest --project .",
        trapped.display(),
        weir::binary()?.display()
    );
    let watch = lab.watch_client_link()?;
    let output = run(&lab, &folder, &suggest)?.expect_code(0)?;
    ensure!(watch.take()?.is_empty(), "it sent something: {}", output.describe());
    ensure!(!trapped.exists(), "a program of the checkout ran: {}", output.describe());
    ensure!(!output.stdout.contains("trap.example.net"), "{}", output.describe());
    // The traps work, and the clients were asked all the same.
    run(&lab, &folder, &format!("TRAPPED='{}' bin/npm", trapped.display()))?.expect_code(0)?;
    ensure!(trapped.exists(), "the trap does not work");
    for asked in [
        "`npm config get registry`",
        "`pip install --help`",
        "the first connection of `cargo fetch`",
    ] {
        ensure!(output.stdout.contains(asked), "{asked}: {}", output.describe());
    }
    Ok(())
}
