//! Installing Debian packages without letting them start daemons, now or at the next boot.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Once;

use anyhow::{Context, Result, ensure};

use crate::shell::{self, ask, say};

/// Asked by invoke-rc.d before a package starts its service; 101 forbids (Debian policy 9.3.3).
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Services that come with the packages and that nobody asked for.
const SERVICES: [&str; 4] =
    ["unbound.service", "nscd.service", "iperf3.service", "containerd.service"];

/// Installs `names`, from `suite` where one is given.
pub(super) fn install(names: &[String], suite: Option<&str>) -> Result<()> {
    ensure!(is_root(), "installing packages needs root: run this command as root");
    ensure!(
        shell::has("apt-get"),
        "this is no Debian system: install {} yourself",
        names.join(" ")
    );
    let enabled_before: Vec<&str> =
        SERVICES.into_iter().filter(|service| is_enabled(service)).collect();
    let guard = NoDaemons::hold()?;
    refresh();
    let mut install = apt_get(&["install", "--yes", "--no-install-recommends"]);
    if let Some(suite) = suite {
        install.args(["--target-release", suite]);
    }
    install.args(names);
    shell::run(install)?;
    drop(guard);
    for service in SERVICES {
        if is_enabled(service) && !enabled_before.contains(&service) {
            say(&format!("setup: leaving {service} off at boot"));
            ask("systemctl", &["disable", "--quiet", service])
                .with_context(|| format!("disabling {service}"))?;
        }
    }
    Ok(())
}

/// Enables the release's backports, from the mirror that the machine already uses, and installs.
pub(super) fn install_from_backports(names: &[String]) -> Result<()> {
    let codename = os_release("VERSION_CODENAME").context("a Debian release without a name")?;
    let suite = format!("{codename}-backports");
    if !index_targets().iter().any(|(_, known)| *known == suite) {
        let (mirror, _) = index_targets()
            .into_iter()
            .find(|(_, known)| *known == codename)
            .context("no package source for this release is set up")?;
        let source = format!(
            "Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        );
        say(&format!("setup: adding the package source {suite}"));
        fs::write("/etc/apt/sources.list.d/weir-backports.sources", source)
            .context("adding a package source")?;
    }
    // The lists that were fetched know nothing of the new source.
    shell::run(apt_get(&["update"]))?;
    install(names, Some(&suite))
}

/// Fetches the package lists, once in this process. Without root the lists stay as they are.
pub(super) fn refresh() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if is_root() && shell::has("apt-get") {
            say("setup: fetching the package lists");
            // What stays unknown is reported where it is needed.
            apt_get(&["update"]).status().ok();
        }
    });
}

/// The version that would be installed; none when there is no such package.
pub(super) fn candidate(package: &str) -> Option<String> {
    let policy = ask("apt-cache", &["policy", package])?;
    let line = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (line != "(none)").then(|| line.to_owned())
}

/// A field of os-release(5).
pub(super) fn os_release(field: &str) -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

/// Mirror and suite of every package list.
fn index_targets() -> Vec<(String, String)> {
    let arguments = ["indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"];
    let lines = ask("apt-get", &arguments).unwrap_or_default();
    let pairs = lines.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(mirror, suite)| (mirror.to_owned(), suite.to_owned())).collect()
}

fn apt_get(arguments: &[&str]) -> std::process::Command {
    let mut command = shell::command("apt-get");
    command.args(["-qq", "-o", "Dpkg::Use-Pty=0"]).args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_enabled(service: &str) -> bool {
    ask("systemctl", &["is-enabled", service]).is_some()
}

fn is_root() -> bool {
    ask("id", &["-u"]).is_some_and(|id| id.trim() == "0")
}

/// While it lives, no package starts a service. A policy of the machine's own is left in place.
struct NoDaemons {
    ours: bool,
}

impl NoDaemons {
    fn hold() -> Result<Self> {
        let path = Path::new(POLICY);
        if path.exists() {
            return Ok(Self { ours: false });
        }
        fs::write(path, "#!/bin/sh\nexit 101\n").context("forbidding package services")?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoDaemons {
    fn drop(&mut self) {
        if self.ours {
            fs::remove_file(POLICY).ok();
        }
    }
}
