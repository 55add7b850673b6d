//! The servers that are measured, and the upstream that all of them ask.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bench::{Ground, example};
use crate::dns::wait_until_answers;
use crate::exec::{self, Running};
use crate::lab::Host;

/// Every name below it has an address at the upstream.
pub(super) const DOMAIN: &str = "bench.example.com";

const UPSTREAM_PORT: u16 = 5300;
const LIMIT: Duration = Duration::from_secs(10);

/// The four servers, ended with their owner.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) weir: Server,
    pub(super) unbound: Server,
    pub(super) dnsmasq: Server,
    pub(super) upstream: Server,
    pub(super) host: Host,
    /// Names that the cache is to hold, one question a line, as dnsperf reads it.
    pub(super) questions: std::path::PathBuf,
}

/// One running server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) process: Running,
    pub(super) port: u16,
}

impl Server {
    pub(super) const fn address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.port)
    }

    fn start(host: &Host, command: Command, port: u16) -> Result<Self> {
        let server = Self { process: exec::spawn_with_input(command)?, port };
        let address = server.address();
        let name = format!("ready.{DOMAIN}");
        let ready = host.run(async move { wait_until_answers(address, &name, LIMIT).await })?;
        if let Err(error) = ready {
            server.process.signal(nix::sys::signal::Signal::SIGTERM).ok();
            let output = server.process.finish(LIMIT)?;
            return Err(error.context(output.describe()));
        }
        Ok(server)
    }
}

impl Servers {
    /// Starts all of them on the client's machine; returns when each has answered.
    pub(super) fn start(ground: &Ground) -> Result<Self> {
        let host = ground.lab.client.host().clone();
        let folder = ground.lab.folder();
        let source = format!(
            "  local-zone: {DOMAIN}. redirect\n  local-data: \"{DOMAIN}. 3600 IN A 192.0.2.10\"\n"
        );
        let upstream = unbound(&host, folder, UPSTREAM_PORT, &source)?;
        let forward = format!(
            "  do-not-query-localhost: no\n\
             forward-zone:\n  name: .\n  forward-addr: 127.0.0.1@{UPSTREAM_PORT}\n"
        );
        let unbound = unbound(&host, folder, 5302, &forward)?;
        Ok(Self {
            weir: weir(&host)?,
            unbound,
            dnsmasq: dnsmasq(&host)?,
            upstream,
            questions: questions(folder)?,
            host,
        })
    }
}

fn weir(host: &Host) -> Result<Server> {
    let mut command = host.enter(example("resolver_bench")?);
    command.arg("127.0.0.1:5301").arg(format!("127.0.0.1:{UPSTREAM_PORT}"));
    Server::start(host, command, 5301)
}

fn dnsmasq(host: &Host) -> Result<Server> {
    let mut command = host.enter("dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file", "--user=root"]);
    command.args(["--no-resolv", "--no-hosts", "--listen-address=127.0.0.1", "--bind-interfaces"]);
    command.args(["--port=5303", "--cache-size=10000"]);
    command.arg(format!("--server=127.0.0.1#{UPSTREAM_PORT}"));
    Server::start(host, command, 5303).context("starting dnsmasq, of the package dnsmasq-base")
}

fn unbound(host: &Host, folder: &Path, port: u16, source: &str) -> Result<Server> {
    let config = folder.join(format!("unbound-{port}.conf"));
    let text = format!(
        "server:
  interface: 127.0.0.1@{port}
  chroot: \"\"
  username: \"\"
  pidfile: \"\"
  directory: \"/\"
  use-syslog: no
  logfile: \"\"
  verbosity: 0
  num-threads: 1
  module-config: \"iterator\"
  qname-minimisation: no
remote-control:
  control-enable: no
server:
{source}"
    );
    std::fs::write(&config, text)?;
    let mut command = host.enter("unbound");
    command.args(["-d", "-p", "-c"]).arg(&config);
    Server::start(host, command, port).context("starting unbound, of the package unbound")
}

/// As many names as a large job asks for.
fn questions(folder: &Path) -> Result<std::path::PathBuf> {
    let path = folder.join("questions");
    let lines: Vec<String> = (0..1000).map(|n| format!("cached{n}.{DOMAIN} A\n")).collect();
    std::fs::write(&path, lines.concat()).context("writing the questions")?;
    Ok(path)
}
