//! What only a client knows is asked of the client: its default registry.
//!
//! Some have a command that tells it. cargo and Maven have none, so they are started on a project of weir's own and told
//! of a proxy on loopback that refuses: the first host that they ask it for is the answer.
//!
//! Invariant: a client runs in the root folder, never in the checkout: what it reads there (settings, plug-ins, tool
//! versions, paths of programs to start) would be the checkout's word. A program inside the checkout is not started, nor
//! handed to a client by its environment.
//! Invariant: a client reaches no network: every proxy setting that it honours leads to the refusing proxy.
//! Invariant: a client ends within [`LIMIT`], with whatever it started in its process group.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::findings::Findings;
use super::purpose::Purpose;

mod asker;
mod cargo;
mod go;
mod maven;
mod node;
mod pip;
mod proxy;
#[cfg(test)]
mod tests;

use asker::Asker;

/// How long one client may take: a Java program on a busy machine needs seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// A program that fetches packages and has a default of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    Npm,
    Yarn,
    Pnpm,
    Pip,
    Cargo,
    Go,
    Maven,
}

impl Client {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Yarn => "yarn",
            Self::Pnpm => "pnpm",
            Self::Pip => "pip",
            Self::Cargo => "cargo",
            Self::Go => "go",
            Self::Maven => "mvn",
        }
    }

    /// What its default is for.
    pub(super) const fn purpose(self) -> Purpose {
        match self {
            Self::Npm | Self::Yarn | Self::Pnpm => Purpose::Npm,
            Self::Pip => Purpose::Pip,
            Self::Cargo => Purpose::Cargo,
            Self::Go => Purpose::Go,
            Self::Maven => Purpose::Maven,
        }
    }

    /// The command by which a person finds out.
    pub(super) const fn question(self) -> &'static str {
        match self {
            Self::Npm => "npm config get registry",
            Self::Yarn => "yarn config get npmRegistryServer",
            Self::Pnpm => "pnpm config get registry",
            Self::Pip => "pip install --help",
            Self::Cargo => "weir run --audit --suggest FILE -- cargo fetch",
            Self::Go => "go env GOPROXY GOSUMDB",
            Self::Maven => "weir run --audit --suggest FILE -- mvn verify",
        }
    }
}

/// Where the clients of a machine are, and their settings.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    /// Folders of programs, absolute.
    programs: Vec<PathBuf>,
    /// The user's home.
    home: Option<PathBuf>,
    cargo_home: Option<PathBuf>,
}

impl Clients {
    /// As the environment of this process has them: `PATH`, `HOME`, `CARGO_HOME`.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        let home = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
        Self {
            // An entry that is not absolute would depend on the folder.
            programs: env::split_paths(&path).filter(|folder| folder.is_absolute()).collect(),
            cargo_home: cargo_home.or_else(|| Some(home.as_ref()?.join(".cargo"))),
            home,
        }
    }

    /// No client: whatever only a client knows stays open.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Asks for every default that the checkout in `root` leaves to its clients.
    pub(super) fn answer(&self, root: &Path, findings: &mut Findings) {
        let asker = Asker::new(&self.programs, root);
        for client in [Client::Npm, Client::Yarn, Client::Pnpm] {
            node::answer(&asker, client, findings);
        }
        pip::answer(&asker, findings);
        go::answer(&asker, findings);
        maven::answer(&asker, self.home.as_deref(), findings);
        cargo::answer(&asker, self.cargo_home.as_deref(), findings);
    }
}
