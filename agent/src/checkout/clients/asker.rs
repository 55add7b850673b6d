//! Starts a client and hears its answer.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::proxy::RefusingProxy;
use super::{Client, LIMIT};
use crate::checkout::endpoint::{Endpoint, NoEndpoint};
use crate::checkout::findings::NotAsked;

/// Where clients are started: it belongs to root, and nothing that they look for in a project is there.
const FOLDER: &str = "/";
/// How much of an answer is read, in bytes.
const ANSWER: u64 = 1024 * 1024;

/// Settings of proxies that the clients and their libraries read from the environment.
const PROXIES: [&str; 9] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "CARGO_HTTP_PROXY",
    "npm_config_proxy",
    "npm_config_https_proxy",
];
/// Settings that would lead past a proxy, or add to what is asked.
const LEFT_OUT: [&str; 5] =
    ["no_proxy", "NO_PROXY", "npm_config_noproxy", "MAVEN_ARGS", "MAVEN_PROJECTBASEDIR"];

/// Keeps clients from looking for news of themselves, and from handing over to a version of another place.
const QUIET: [(&str, &str); 10] = [
    ("NO_UPDATE_NOTIFIER", "1"),
    ("npm_config_update_notifier", "false"),
    ("npm_config_logs_max", "0"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("COREPACK_ENABLE_NETWORK", "0"),
    ("COREPACK_ENABLE_DOWNLOAD_PROMPT", "0"),
    ("YARN_IGNORE_PATH", "1"),
    ("YARN_ENABLE_TELEMETRY", "0"),
    ("GOTOOLCHAIN", "local"),
    ("RUSTUP_AUTO_INSTALL", "0"),
];

/// Where it looks for clients and how it reaches them.
#[derive(Debug)]
pub(super) struct Asker<'a> {
    programs: &'a [PathBuf],
    /// The checkout, a canonical path.
    root: &'a Path,
    limit: Duration,
}

/// A client to be started.
#[derive(Debug)]
pub(super) struct Question<'a> {
    client: Client,
    program: PathBuf,
    arguments: Vec<&'a str>,
    environment: Vec<(&'a str, &'a str)>,
}

impl<'a> Question<'a> {
    /// With these arguments.
    pub(super) fn arguments(mut self, arguments: &[&'a str]) -> Self {
        self.arguments.extend(arguments);
        self
    }

    /// With this variable in its environment.
    pub(super) fn variable(mut self, name: &'a str, value: &'a str) -> Self {
        self.environment.push((name, value));
        self
    }
}

impl<'a> Asker<'a> {
    /// `programs` are absolute folders.
    pub(super) const fn new(programs: &'a [PathBuf], root: &'a Path) -> Self {
        Self { programs, root, limit: LIMIT }
    }

    /// With another time for each client.
    #[cfg(test)]
    pub(super) const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The first of `names` that is installed.
    pub(super) fn find(&self, client: Client, names: &[&str]) -> Result<Question<'a>, NotAsked> {
        if self.root == Path::new(FOLDER) {
            return Err(NotAsked::RootFolder);
        }
        let all = names.iter().flat_map(|name| self.programs.iter().map(move |at| at.join(name)));
        let program = all.into_iter().find(|path| self.may_run(path));
        let program = program.ok_or(NotAsked::NotInstalled)?;
        Ok(Question { client, program, arguments: Vec::new(), environment: Vec::new() })
    }

    /// An executable file that is no part of the checkout.
    fn may_run(&self, path: &Path) -> bool {
        let is_program = fs::metadata(path)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        is_program && !self.is_inside(path)
    }

    /// Whether a path leads into the checkout, itself or by links.
    fn is_inside(&self, path: &Path) -> bool {
        let real = fs::canonicalize(path);
        path.starts_with(self.root) || real.is_ok_and(|real| real.starts_with(self.root))
    }

    /// This process's environment without what leads into the checkout: search paths of programs and modules, options
    /// that load files. `PATH` keeps its other folders.
    fn environment(&self) -> Vec<(OsString, OsString)> {
        let path = self.programs.iter().filter(|folder| !self.is_inside(folder));
        let path = env::join_paths(path).unwrap_or_default();
        env::vars_os()
            .filter(|(name, value)| name != "PATH" && !self.leads_inside(value))
            .chain([("PATH".into(), path)])
            .collect()
    }

    /// Whether a variable's value names a place in the checkout, anywhere in it.
    fn leads_inside(&self, value: &OsStr) -> bool {
        // What is no Unicode is no setting that a client of these needs.
        let (Some(value), Some(root)) = (value.to_str(), self.root.to_str()) else { return true };
        let mut paths = value.split([':', '=', ',', ';', ' ']).filter(|part| part.starts_with('/'));
        value.contains(root) || paths.any(|path| self.is_inside(Path::new(path)))
    }

    /// What the client writes to its standard output, if it succeeds.
    pub(super) fn output(&self, question: &Question<'_>) -> Result<String, NotAsked> {
        runtime()?.block_on(async {
            let proxy = RefusingProxy::open().await.map_err(|_error| NotAsked::Failed)?;
            let mut running = self.start(question, &proxy, Stdio::piped())?;
            let answer = async {
                let mut bytes = Vec::new();
                if let Some(output) = running.child.stdout.take() {
                    // What is longer is no answer; its writer is told so by the closed pipe.
                    output.take(ANSWER).read_to_end(&mut bytes).await.ok()?;
                }
                running.child.wait().await.ok()?.success().then_some(bytes)
            };
            let bytes = timeout(self.limit, answer).await.map_err(|_elapsed| NotAsked::TooSlow)?;
            Ok(String::from_utf8_lossy(&bytes.ok_or(NotAsked::Failed)?).into_owned())
        })
    }

    /// The first place that the client wants to connect to. `prepare` is given the address of the refusing proxy,
    /// for clients that read it from a file.
    pub(super) fn first_contact(
        &self,
        question: &Question<'_>,
        prepare: impl FnOnce(std::net::SocketAddr) -> std::io::Result<()>,
    ) -> Result<Result<Endpoint, NoEndpoint>, NotAsked> {
        runtime()?.block_on(async {
            let proxy = RefusingProxy::open().await.map_err(|_error| NotAsked::Failed)?;
            prepare(proxy.address()).map_err(|_error| NotAsked::Failed)?;
            let mut running = self.start(question, &proxy, Stdio::null())?;
            let contact = async {
                tokio::select! {
                    contact = proxy.first_contact() => Some(contact),
                    _ended = running.child.wait() => None,
                }
            };
            let contact =
                timeout(self.limit, contact).await.map_err(|_elapsed| NotAsked::TooSlow)?;
            contact.ok_or(NotAsked::NoAnswer)
        })
    }

    fn start(
        &self,
        question: &Question<'_>,
        proxy: &RefusingProxy,
        output: Stdio,
    ) -> Result<Running, NotAsked> {
        let url = format!("http://{}", proxy.address());
        let mut command = Command::new(&question.program);
        command.args(&question.arguments).current_dir(FOLDER).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
        command.env_clear().envs(self.environment());
        command.envs(PROXIES.map(|name| (name, &url))).envs(QUIET);
        for name in LEFT_OUT {
            command.env_remove(name);
        }
        command.envs(question.environment.iter().copied());
        let child = command.spawn().map_err(|error| {
            tracing::debug!("starting {}: {error}", question.client.name());
            NotAsked::Failed
        })?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Running { child, group })
    }
}

fn runtime() -> Result<Runtime, NotAsked> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|_error| NotAsked::Failed)
}

/// A client at work, ended with its process group on drop.
#[derive(Debug)]
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // ESRCH: it has ended, and nothing that it started is left.
            killpg(group, Signal::SIGKILL).ok();
        }
    }
}
