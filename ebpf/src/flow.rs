//! Flows and events: what was let through or refused, counted in place, first sights reported.

use crate::{
    address::Endpoint,
    process::{COMM_BYTES, ProcessKey},
};

/// What happened to a flow; the numbers cross the kernel boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// Passed by policy.
    Allowed = 1,
    /// Refused.
    Blocked = 2,
    /// Passed because the profile is in audit mode.
    Audited = 3,
}

impl Outcome {
    /// The outcome with this number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Allowed),
            2 => Some(Self::Blocked),
            3 => Some(Self::Audited),
            _ => None,
        }
    }
}

/// A flow of a pod: one process, one destination, one outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FlowKey {
    /// The destination.
    pub peer: Endpoint,
    /// Process id (thread group id); 0 when not known.
    pub tgid: u32,
    /// An [`Outcome`].
    pub outcome: u8,
    /// A [`crate::reason::Reason`]; 0 when allowed.
    pub reason: u8,
    /// Which execution of that process id it was ([`ProcessKey::execution`]).
    pub execution: u16,
}

const _: () = assert!(size_of::<FlowKey>() == 28);

/// What is counted of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Flow {
    /// Connects, or packets of sockets that are not connected.
    pub count: u64,
    /// IP bytes sent.
    pub bytes_up: u64,
    /// IP bytes received.
    pub bytes_down: u64,
    /// First sight on the monotonic clock, nanoseconds.
    pub first_ns: u64,
    /// Last sight on the monotonic clock, nanoseconds.
    pub last_ns: u64,
    /// The process.
    pub process: ProcessKey,
    /// Its name.
    pub comm: [u8; COMM_BYTES],
    /// Number of the rule at the first sight.
    pub rule: u32,
    /// Bits of [`known`].
    pub known: u32,
}

const _: () = assert!(size_of::<Flow>() == 80);

/// The first sight of a refused or audited flow, on its way through the ring buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// Monotonic clock, nanoseconds.
    pub at_ns: u64,
    /// The process.
    pub process: ProcessKey,
    /// Its name.
    pub comm: [u8; COMM_BYTES],
    /// What was refused, and why.
    pub flow: FlowKey,
    /// The pod.
    pub slot: u32,
    /// Bits of [`known`].
    pub known: u32,
    /// Always zero.
    pub padding: u32,
}

const _: () = assert!(size_of::<Event>() == 80);

/// What is known of the process behind an event, a flow or a question.
pub mod known {
    /// A security module's hook saw it, in its own context.
    pub const BY_LSM: u32 = 1;
    /// It had read a credential file that its profile watches, or descends from one that had.
    pub const AFTER_CREDENTIAL_READ: u32 = 1 << 1;
}

/// Who sent a DNS query to the listener: keyed by the source of the packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Client {
    /// The process.
    pub process: ProcessKey,
    /// Its name.
    pub comm: [u8; COMM_BYTES],
    /// When the last packet left, monotonic nanoseconds.
    pub at_ns: u64,
    /// The name server it meant to ask.
    pub asked: Endpoint,
    /// Bits of [`known`].
    pub known: u32,
}

const _: () = assert!(size_of::<Client>() == 64);

/// A flow on the wire: both ends of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct WireKey {
    /// Where it comes from.
    pub source: Endpoint,
    /// Where it goes.
    pub destination: Endpoint,
}

const _: () = assert!(size_of::<WireKey>() == 40);

/// What the second layer remembers of a flow that the allow entries admitted, so that it outlives them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct WireFlow {
    /// Policy generation under which it was admitted.
    pub generation: u32,
    /// Number of the rule.
    pub rule: u32,
}

const _: () = assert!(size_of::<WireFlow>() == 8);
