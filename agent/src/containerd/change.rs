//! What the watcher tells.

use std::time::Instant;

use super::container::Container;
use super::id::{ContainerId, SandboxId};
use super::sandbox::{Sandbox, SandboxError};

/// A change in what runs.
#[derive(Debug)]
pub enum Change {
    /// Everything that runs. What was told before and is not in the listing is gone.
    Relisted(Listing),
    /// A sandbox was made and has a network namespace; CNI may still be at work in it, and nothing runs. Not all
    /// are told so early.
    Created {
        /// The sandbox.
        sandbox: Box<Sandbox>,
        /// When the event came.
        received: Instant,
    },
    /// The network of a sandbox is complete, and its pause process is about to start.
    Ready(SandboxId),
    /// A sandbox's pause process has started; its network is set up, its containers come next. Or a container of
    /// it runs although its pause process has ended.
    Started {
        /// The sandbox.
        sandbox: Box<Sandbox>,
        /// When the event came.
        received: Instant,
    },
    /// A sandbox's pause process has ended, and so has every container of it; or it never started.
    Gone(SandboxId),
    /// A sandbox has started that cannot be read.
    Unreadable(Unreadable),
    /// A container of a sandbox was made; nothing of it runs yet.
    ContainerCreated(Container),
    /// A container of a sandbox has started.
    ContainerStarted(Container),
    /// A container of a sandbox has ended.
    ContainerGone(ContainerId),
}

/// What runs.
#[derive(Debug, Default)]
pub struct Listing {
    /// Sandboxes whose pause process or any of whose containers runs.
    pub sandboxes: Vec<Sandbox>,
    /// Containers whose first process runs.
    pub containers: Vec<Container>,
    /// Sandboxes that are stored and of which nothing runs, or not yet.
    pub idle: Vec<Idle>,
    /// Sandboxes that run, or may run, and cannot be read: they are not gone.
    pub unreadable: Vec<Unreadable>,
}

/// A sandbox of which nothing runs by what containerd tells.
#[derive(Debug)]
pub struct Idle {
    /// Its id, as containerd gives it.
    pub id: String,
    /// What is stored of it, if that can be read.
    pub sandbox: Option<Sandbox>,
}

/// A sandbox that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Its id, as containerd gives it.
    pub id: String,
    /// Why.
    pub error: SandboxError,
}

impl Listing {
    pub(super) fn add(&mut self, sandbox: Result<Sandbox, Unreadable>) {
        match sandbox {
            Ok(sandbox) => self.sandboxes.push(sandbox),
            Err(unreadable) => self.unreadable.push(unreadable),
        }
    }
}
