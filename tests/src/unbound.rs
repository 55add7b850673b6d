//! The resolver of the lab: a real unbound that resolves every name at the lab's authority.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::dns::{READY, wait_until_answers};
use crate::exec::{self, Running};
use crate::lab::Host;
use crate::lab::addresses::Pair;

/// A running unbound, ended with its owner.
#[derive(Debug)]
pub struct Unbound {
    // First: the process ends before its namespace goes.
    _process: Running,
    host: Host,
}

impl Unbound {
    /// Starts unbound on port 53 of `host`; returns when it answers. `authority` is its only source.
    pub fn start(host: Host, folder: &Path, authority: Pair) -> Result<Self> {
        let config = folder.join("unbound.conf");
        std::fs::write(&config, configuration(&host, authority))?;
        let mut net = std::ffi::OsString::from("--net=");
        net.push(host.netns().path());
        let mut command = Command::new("nsenter");
        command.arg(net).args(["unbound", "-d", "-p", "-c"]).arg(&config);
        let process = exec::spawn(command).context("starting unbound, of the package unbound")?;
        let address = *host.addresses().first().context("a resolver without an address")?;
        let ready = host.run(async move {
            let limit = Duration::from_secs(10);
            wait_until_answers(SocketAddr::new(address, 53), READY, limit).await
        })?;
        if let Err(error) = ready {
            process.signal(nix::sys::signal::Signal::SIGTERM).ok();
            let output = process.finish(Duration::from_secs(5))?;
            return Err(error.context(output.describe()));
        }
        Ok(Self { _process: process, host })
    }

    /// The host it runs on.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }
}

fn configuration(host: &Host, authority: Pair) -> String {
    let lines: Vec<String> =
        host.addresses().iter().map(|address| format!("  interface: {address}\n")).collect();
    let interfaces = lines.concat();
    format!(
        "server:
{interfaces}  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
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
  target-fetch-policy: \"0 0 0 0 0\"
  infra-cache-min-rtt: 10
  cache-max-negative-ttl: 0
  edns-buffer-size: 1232
remote-control:
  control-enable: no
stub-zone:
  name: \".\"
  stub-addr: {v4}
  stub-addr: {v6}
  stub-prime: no
",
        v4 = authority.v4,
        v6 = authority.v6,
    )
}
