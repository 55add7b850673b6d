//! One host of the lab: a namespace, its addresses, and a thread in it on which servers run.
//!
//! A socket stays in the namespace of the thread that opened it, so everything a host serves is
//! opened from a task of its runtime.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::future::Future;
use std::net::IpAddr;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::netns::Netns;
use super::wire::Wire;

/// Kernel settings of every namespace: addresses are usable at once, and ICMP sockets open to all.
const SETTINGS: [(&str, &str); 4] = [
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/router_solicitations", "0"),
    ("net/ipv4/ping_group_range", "0 2147483647"),
];
const FORWARDING: [(&str, &str); 2] =
    [("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")];

/// A namespace with a runtime inside; cheap to clone, removed with its last clone.
#[derive(Clone, Debug)]
pub struct Host {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    addresses: Vec<IpAddr>,
    // Last: the namespace goes when nothing runs in it any more.
    netns: Netns,
}

impl Host {
    /// A host with no links yet.
    pub(super) fn create(label: &str, addresses: &[IpAddr], forwards: bool) -> Result<Self> {
        Self::start(Netns::create(label)?, label, addresses, forwards)
    }

    /// A host in an empty namespace.
    pub(super) fn start(
        netns: Netns,
        label: &str,
        addresses: &[IpAddr],
        forwards: bool,
    ) -> Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready_sender, ready) = mpsc::channel();
        let path = netns.path();
        let thread = std::thread::Builder::new().name(label.to_owned()).spawn(move || {
            let started = enter(&path, forwards);
            match started {
                Ok(runtime) => {
                    ready_sender.send(Ok(runtime.handle().clone())).ok();
                    runtime.block_on(async { stopped.await.ok() });
                    runtime.shutdown_timeout(Duration::from_secs(1));
                }
                Err(error) => {
                    ready_sender.send(Err(error)).ok();
                }
            }
        })?;
        let runtime = ready.recv().context("a host's thread ended early")??;
        let addresses = addresses.to_vec();
        let inner = Inner { runtime, stop: Some(stop), thread: Some(thread), addresses, netns };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The namespace itself.
    #[must_use]
    pub fn netns(&self) -> &Netns {
        &self.inner.netns
    }

    /// Every address of the host.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.inner.addresses
    }

    /// Runs `future` inside the host and waits for its value.
    pub fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = mpsc::channel();
        self.spawn(async move {
            sender.send(future.await).ok();
        });
        receiver.recv().context("a task of a lab host ended without a value")
    }

    /// Starts `future` inside the host; it ends with the host at the latest.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.inner.runtime.spawn(future);
    }

    /// A command that will run `program` in this namespace, under the pid it is started with.
    #[must_use]
    pub fn enter(&self, program: impl AsRef<OsStr>) -> Command {
        let mut net = OsString::from("--net=");
        net.push(self.inner.netns.path());
        let mut command = Command::new("nsenter");
        command.arg(net).arg(program);
        command
    }

    /// Begins to count the packets that arrive on the interface with index `ifindex` or, with none,
    /// on any.
    pub fn watch(&self, ifindex: Option<usize>) -> Result<Wire> {
        self.run(async move { Wire::open(ifindex) })?
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn enter(path: &std::path::Path, forwards: bool) -> Result<tokio::runtime::Runtime> {
    let file = fs::File::open(path)?;
    nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET)?;
    // /proc/sys/net shows the namespace of whoever looks.
    for (key, value) in SETTINGS {
        fs::write(format!("/proc/sys/{key}"), value).with_context(|| format!("setting {key}"))?;
    }
    if forwards {
        for (key, value) in FORWARDING {
            fs::write(format!("/proc/sys/{key}"), value)?;
        }
    }
    Ok(Builder::new_current_thread().enable_all().build()?)
}
