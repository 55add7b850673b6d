//! The user's machine: runs real programs in the client's namespace with its own resolv.conf.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::addresses::RESOLVER;
use super::host::Host;
use super::netns::processes_in;
use crate::exec::{self, DEFAULT_LIMIT, Output, Running};

/// Binds the lab's files over the machine's in a private mount namespace, then becomes the command.
///
/// `nsenter --net` and not `ip netns exec`: the latter remounts /sys and hides cgroups and bpffs.
const ENTER: &str = "set -e; busybox sh -c \"$1\" sh \"$2\"; shift 2; exec \"$@\"";

/// By busybox, which has these programs in itself, and would take its own for the command, too.
const BIND: &str = "set -e
for file in resolv.conf nsswitch.conf hosts; do
  mount -o bind \"$1/$file\" \"$(readlink -f /etc/$file)\"
done
for folder in /run/nscd /run/systemd/resolve; do
  if [ -d $folder ]; then mount -t tmpfs none $folder; fi
done";

/// Which name services the client's nsswitch.conf lists for hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameService {
    /// `files dns`.
    Dns,
    /// `files resolve [!UNAVAIL=return] dns`, as systemd's packages set it.
    SystemdResolved,
}

/// The client's machine.
#[derive(Debug)]
pub struct Client {
    host: Host,
    folder: PathBuf,
    environment: BTreeMap<String, OsString>,
}

impl Client {
    pub(super) fn new(host: Host, lab: &Path, ca: &Path) -> Result<Self> {
        let folder = lab.join("client");
        for inner in ["home", "tmp"] {
            fs::create_dir_all(folder.join(inner))?;
        }
        // As Debian's installer writes it: programs that ask for the machine's own name need no DNS.
        let own =
            fs::read_to_string("/proc/sys/kernel/hostname").context("reading the host name")?;
        let hosts = format!("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {own}");
        fs::write(folder.join("hosts"), hosts)?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut search = OsString::from("/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:");
        search.push(path);
        let mut environment = BTreeMap::from([
            ("PATH".to_owned(), search),
            ("HOME".to_owned(), folder.join("home").into_os_string()),
            // What they leave there goes with the lab.
            ("TMPDIR".to_owned(), folder.join("tmp").into_os_string()),
            ("LC_ALL".to_owned(), "C".into()),
            ("GIT_TERMINAL_PROMPT".to_owned(), "0".into()),
        ]);
        for name in ["CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"] {
            environment.insert(name.to_owned(), ca.as_os_str().to_owned());
        }
        let client = Self { host, folder, environment };
        client.set_name_service(NameService::Dns)?;
        client.set_resolvers(&[RESOLVER.v4.into()])?;
        Ok(client)
    }

    /// The namespace that the programs run in.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The home folder of its programs.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Folder of its resolv.conf, nsswitch.conf and hosts.
    pub(crate) fn files(&self) -> &Path {
        &self.folder
    }

    /// Environment variables of its programs.
    pub(crate) fn environment(&self) -> &BTreeMap<String, OsString> {
        &self.environment
    }

    /// Chooses the resolv.conf of commands started from now on.
    pub fn set_resolvers(&self, addresses: &[IpAddr]) -> Result<()> {
        let servers: Vec<String> =
            addresses.iter().map(|address| format!("nameserver {address}\n")).collect();
        let text =
            format!("{}options timeout:2 attempts:2\nsearch ci.example.org\n", servers.concat());
        fs::write(self.folder.join("resolv.conf"), text).context("writing resolv.conf")
    }

    /// Chooses the nsswitch.conf of commands started from now on.
    pub fn set_name_service(&self, service: NameService) -> Result<()> {
        let hosts = match service {
            NameService::Dns => "files dns",
            NameService::SystemdResolved => "files resolve [!UNAVAIL=return] dns",
        };
        let text = format!("passwd: files\ngroup: files\nhosts: {hosts}\n");
        fs::write(self.folder.join("nsswitch.conf"), text).context("writing nsswitch.conf")
    }

    /// `argv`, ready to be started on the client's machine. The process keeps its pid through to the
    /// last exec, so a signal to it reaches the program itself.
    pub fn command<S: AsRef<str>>(&self, argv: &[S]) -> Command {
        let mut net = OsString::from("--net=");
        net.push(self.host.netns().path());
        let mut command = Command::new("nsenter");
        command.arg(net);
        command.args([
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            ENTER,
            "sh",
            BIND,
        ]);
        command.arg(&self.folder).args(argv.iter().map(AsRef::as_ref));
        command.current_dir(self.home()).env_clear().envs(&self.environment);
        if let Some(skips) = std::env::var_os(crate::skip::SKIPS_FILE) {
            command.env(crate::skip::SKIPS_FILE, skips);
        }
        command
    }

    /// Ends every connection of this machine. The kernel goes on closing a connection after its process has gone
    /// (a FIN and its acknowledgement, MPTCP's end of data), and who watches for a next program's packets would see it.
    pub fn end_connections(&self) -> Result<()> {
        self.run(&["ss", "--tcp", "--kill"])?.expect_code(0)?;
        Ok(())
    }

    /// Starts `argv` on the client's machine.
    pub fn spawn<S: AsRef<str>>(&self, argv: &[S]) -> Result<Running> {
        let words: Vec<&str> = argv.iter().map(AsRef::as_ref).collect();
        exec::spawn_as(self.command(argv), words.join(" "))
    }

    /// Runs `argv` on the client's machine to its end, without weir.
    pub fn run<S: AsRef<str>>(&self, argv: &[S]) -> Result<Output> {
        self.spawn(argv)?.finish(DEFAULT_LIMIT)
    }

    /// Pids of every process on the client's machine.
    pub fn processes(&self) -> Result<Vec<i32>> {
        // This process's main thread never enters a namespace of the lab, so it is not among them.
        processes_in(&self.host.netns().path())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Only processes that this lab started can be in its namespace.
        for pid in self.processes().unwrap_or_default() {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
    }
}
