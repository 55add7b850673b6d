//! The control plane: etcd, an API server, the scheduler and the controllers of `DaemonSet`s and service accounts, on the
//! loopback of a namespace of their own, or of a host of the lab.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    ADMINISTRATOR, AUTHORITY, KUBELET, NODE, PORT, Programs, SERVICE, SERVICES, kubeconfig,
    last_lines,
};
use crate::exec::{self, DEFAULT_LIMIT, Running};
use crate::lab::{Host, Netns, own_prefix, sweep};
use crate::vm;

/// How long the API server may take until it is ready; its first start fills an empty etcd.
const READY_LIMIT: Duration = Duration::from_secs(90);

const API_SERVER_LOG: &str = "kube-apiserver.log";
/// What its own clients are told of it.
const KUBECONFIG: &str = "administrator.json";

/// Everything that runs; ended on drop.
#[derive(Debug)]
pub struct ControlPlane {
    // Before the namespace: they run in it.
    _clients: [Running; 2],
    api_server: Mutex<Option<Running>>,
    _etcd: Running,
    home: Home,
    files: Files,
    programs: Programs,
    folder: TempDir,
}

/// Where all of it runs.
#[derive(Debug)]
enum Home {
    Own(Netns),
    Host(Host),
}

impl Home {
    fn netns(&self) -> &Netns {
        match self {
            Self::Own(netns) => netns,
            Self::Host(host) => host.netns(),
        }
    }
}

impl ControlPlane {
    /// Starts all of it and returns once the API server is ready.
    pub fn start(programs: &Programs) -> Result<Self> {
        sweep()?;
        Self::start_in(Home::Own(Netns::create("control")?), programs)
    }

    /// The same on the loopback of a host: what runs there reaches it at 127.0.0.1.
    pub fn start_on(host: &Host, programs: &Programs) -> Result<Self> {
        Self::start_in(Home::Host(host.clone()), programs)
    }

    fn start_in(home: Home, programs: &Programs) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix(&own_prefix()?).tempdir()?;
        let netns = home.netns();
        let files = Files::write(folder.path())?;
        let etcd = start_etcd(programs, netns, folder.path())?;
        let api_server = start_api_server(programs, netns, folder.path(), &files)?;
        let key = format!("--service-account-private-key-file={}", files.key.display());
        let authority = format!("--root-ca-file={}", folder.path().join(AUTHORITY).display());
        let controllers =
            ["--controllers=daemonset,serviceaccount,serviceaccount-token", &key, &authority];
        let start =
            |name, options: &[&str]| start_client(programs, netns, folder.path(), name, options);
        let clients =
            [start("kube-controller-manager", &controllers)?, start("kube-scheduler", &[])?];
        let (api_server, programs) = (Mutex::new(Some(api_server)), programs.clone());
        Ok(Self { _clients: clients, api_server, _etcd: etcd, home, files, programs, folder })
    }

    /// Ends the API server; whoever watches anything is cut off.
    pub fn stop_api_server(&self) -> Result<()> {
        let running = self.api_server.lock().unwrap_or_else(PoisonError::into_inner).take();
        let running = running.context("the API server does not run")?;
        running.signal(Signal::SIGKILL)?;
        running.finish(DEFAULT_LIMIT).map(drop)
    }

    /// Starts the API server again, and returns once it is ready.
    pub fn start_api_server(&self) -> Result<()> {
        let server = start_api_server(&self.programs, self.netns(), self.folder(), &self.files)?;
        self.api_server.lock().unwrap_or_else(PoisonError::into_inner).replace(server);
        Ok(())
    }

    /// `program` where the API server is reached, as its administrator: kubectl, or Helm.
    #[must_use]
    pub fn client(&self, program: &Command) -> Command {
        let mut command = enter(self.netns(), program.get_program());
        command.args(program.get_args()).env_clear();
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("KUBECONFIG", self.folder().join(KUBECONFIG));
        command
    }

    /// What the API server has logged last, for messages.
    #[must_use]
    pub fn log(&self) -> String {
        log_in(self.folder())
    }

    /// A folder that goes with it: its own files, and what a guest is to find.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The namespace on whose loopback the API server listens.
    #[must_use]
    pub fn netns(&self) -> &Netns {
        self.home.netns()
    }

    /// What a client on its host is to be told of it that calls with `token`.
    #[must_use]
    pub fn kubeconfig(&self, token: &str) -> Value {
        kubeconfig("127.0.0.1", &self.folder().join(AUTHORITY), token)
    }
}

fn log_in(folder: &Path) -> String {
    last_lines(&fs::read_to_string(folder.join(API_SERVER_LOG)).unwrap_or_default())
}

/// Waits until the API server is ready.
fn wait(netns: &Netns) -> Result<()> {
    let mut curl = enter(netns, "curl");
    curl.args(["--silent", "--show-error", "--fail", "--insecure"]);
    curl.args(["--retry", "1000", "--retry-delay", "1", "--retry-all-errors"]);
    curl.args(["--header", &format!("Authorization: Bearer {ADMINISTRATOR}")]);
    curl.arg(format!("https://127.0.0.1:{PORT}/readyz"));
    exec::run(curl, READY_LIMIT)?.expect_code(0).map(drop)
}

/// Certificates and tokens of the API server.
#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    tokens: PathBuf,
}

impl Files {
    fn write(folder: &Path) -> Result<Self> {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "weir lab's Kubernetes");
        let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;
        fs::write(folder.join(AUTHORITY), authority.pem())?;

        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        let seen_by_guests: IpAddr = vm::HOST.parse()?;
        let seen_by_pods: IpAddr = SERVICE.parse()?;
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), seen_by_guests, seen_by_pods] {
            parameters.subject_alt_names.push(SanType::IpAddress(address));
        }
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &authority)?;
        let files = Self {
            certificate: folder.join("api-server.pem"),
            key: folder.join("api-server.key"),
            tokens: folder.join("tokens.csv"),
        };
        fs::write(&files.certificate, certificate.pem())?;
        fs::write(&files.key, key.serialize_pem())?;
        // Token, name, uid, groups.
        let tokens = format!(
            "{ADMINISTRATOR},administrator,1,system:masters\n\
             {KUBELET},system:node:{NODE},2,system:nodes\n"
        );
        fs::write(&files.tokens, tokens)?;
        let authority = folder.join(AUTHORITY);
        let config = kubeconfig("127.0.0.1", &authority, ADMINISTRATOR);
        fs::write(folder.join(KUBECONFIG), config.to_string())?;
        Ok(files)
    }
}

fn start_etcd(programs: &Programs, netns: &Netns, folder: &Path) -> Result<Running> {
    let mut etcd = enter(netns, programs.path("etcd"));
    etcd.arg("--data-dir").arg(folder.join("etcd"));
    etcd.args(["--listen-client-urls", "http://127.0.0.1:2379"]);
    etcd.args(["--advertise-client-urls", "http://127.0.0.1:2379"]);
    etcd.args(["--listen-peer-urls", "http://127.0.0.1:2380", "--unsafe-no-fsync"]);
    into_file(&mut etcd, folder, "etcd.log")
}

/// Starts an API server and returns once it is ready.
fn start_api_server(
    programs: &Programs,
    netns: &Netns,
    folder: &Path,
    files: &Files,
) -> Result<Running> {
    let mut server = enter(netns, programs.path("kube-apiserver"));
    let mut option = |name: &str, value: &str| {
        server.arg(format!("--{name}={value}"));
    };
    let (certificate, key) = (files.certificate.to_string_lossy(), files.key.to_string_lossy());
    option("etcd-servers", "http://127.0.0.1:2379");
    option("bind-address", "127.0.0.1");
    option("secure-port", &PORT.to_string());
    // Loopback is no address to tell clients of, so it is the one that guests use.
    option("advertise-address", vm::HOST);
    option("tls-cert-file", &certificate);
    option("tls-private-key-file", &key);
    option("token-auth-file", &files.tokens.to_string_lossy());
    option("authorization-mode", "Node,RBAC");
    option("enable-admission-plugins", "NodeRestriction");
    option("service-account-issuer", "https://kubernetes.default.svc");
    option("service-account-signing-key-file", &key);
    option("service-account-key-file", &certificate);
    option("service-cluster-ip-range", SERVICES);
    option("feature-gates", "EphemeralContainers=true");
    option("cert-dir", &folder.join("certificates").to_string_lossy());
    let server = into_file(&mut server, folder, API_SERVER_LOG)?;
    wait(netns)
        .with_context(|| format!("the API server does not get ready:\n{}", log_in(folder)))?;
    Ok(server)
}

/// Starts one of those that make of the API server's objects others.
fn start_client(
    programs: &Programs,
    netns: &Netns,
    folder: &Path,
    name: &str,
    options: &[&str],
) -> Result<Running> {
    let mut client = enter(netns, programs.path(name));
    client.arg(format!("--kubeconfig={}", folder.join(KUBECONFIG).display()));
    client.arg(format!("--cert-dir={}", folder.join("certificates").display()));
    client.args(["--bind-address=127.0.0.1", "--port=0", "--leader-elect=false"]).args(options);
    into_file(&mut client, folder, &format!("{name}.log"))
}

/// Starts `command` with both outputs in a file of `folder`.
fn into_file(command: &mut Command, folder: &Path, name: &str) -> Result<Running> {
    let mut shell = Command::new("sh");
    shell.args(["-c", "log=$1; shift; exec \"$@\" > \"$log\" 2>&1", "sh"]);
    shell.arg(folder.join(name)).arg(command.get_program()).args(command.get_args());
    exec::spawn_as(shell, name.trim_end_matches(".log").to_owned())
}

fn enter(netns: &Netns, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", netns.path().display())).arg(program);
    command
}
