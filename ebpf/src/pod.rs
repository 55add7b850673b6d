//! What the kernel knows of one pod (or of one `weir run` tree): its state, allow entries, networks.
//!
//! Rules are numbers that the agent gives; the kernel only hands them on to the records.

use crate::{
    address::{Address, Endpoint, protocol},
    flow::Event,
    reason::REASONS,
};

/// How many pods one set of programs serves; slot 0 is never used and means "deny everything".
pub const SLOTS: usize = 256;

/// How many tables of its own a pod has: allow entries, flows, processes, clients, flows on the wire.
pub const TABLES: usize = 5;

/// How many slots the kernel can tell the tables of at once: a packet of Linux 5.10 is at most a page, less what goes
/// around it (`bpf_prog_test_run_skb`).
pub const SLOTS_AT_ONCE: usize = 128;

/// The packet with which the agent asks which tables the slots have, and is answered: each who asks has his own. It may
/// end behind any row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Placed {
    /// The slot of the first row.
    pub first: u32,
    /// All zero: up to the end of an Ethernet header, and the next word.
    pub padding: [u32; 3],
    /// The identifiers of each slot's tables, in the order of [`TABLES`], 0 for one that it has not.
    pub rows: [[u32; TABLES]; SLOTS_AT_ONCE],
}

/// Whoever connects here asks whether enforcement is in place (192.0.2.1: RFC 5737, TEST-NET-1).
pub const SENTINEL: Address = Address::from_v4_be(0xc000_0201_u32.to_be());

/// Where the name of the pod's page leads (192.0.2.80, `2001:db8::192.0.2.80`: RFC 5737, RFC 3849).
pub const PAGE_V4: Address = Address::from_v4_be(0xc000_0250_u32.to_be());
/// As [`PAGE_V4`], for IPv6.
pub const PAGE_V6: Address = Address([0x2001_0db8_u32.to_be(), 0, 0, 0xc000_0250_u32.to_be()]);
/// The only port there.
pub const PAGE_PORT: u16 = 80;

/// Whether this is where the pod's page is: the pod's own listener serves it. Everything else at these addresses
/// is as anywhere.
#[inline(always)]
#[must_use]
pub fn leads_to_page(endpoint: &Endpoint) -> bool {
    endpoint.port == PAGE_PORT
        && endpoint.protocol == protocol::TCP
        && (endpoint.address == PAGE_V4 || endpoint.address == PAGE_V6)
}

/// Ports that one trusted network may hold (the union over all networks that cover it).
pub const PORTS_PER_NETWORK: usize = 16;

/// The state of a pod, by slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PodState {
    /// Policy generation: an admission under another generation is judged again. Never 0 when ready.
    pub generation: u32,
    /// Bits of [`flags`].
    pub flags: u32,
    /// Which of the two banks of the network trie holds the current policy (0 or 1).
    pub bank: u32,
    /// Port of the pod's DNS listener, host byte order, the same for UDP and TCP.
    pub listener_port: u16,
    /// Always zero.
    pub padding: u16,
    /// IPv4 address of the listener in v4-mapped form.
    pub listener_v4: Address,
    /// IPv6 address of the listener; the v4-mapped one where the host has no IPv6 loopback.
    pub listener_v6: Address,
    /// Number of the rule that refuses what no other rule allows.
    pub refusing_rule: u32,
    /// Address families of sockets that may be made, one bit each ([`may_make`]).
    pub families: [u32; 2],
}

const _: () = assert!(size_of::<PodState>() == 60);

/// Families of sockets that lead nowhere, or into the other layers: `AF_UNIX`, `AF_INET`, `AF_INET6` and `AF_NETLINK`
/// (`include/linux/socket.h`).
pub const LOCAL_FAMILIES: [u32; 2] = [1 << 1 | 1 << 2 | 1 << 10 | 1 << 16, 0];

/// Whether sockets of a family may be made.
#[inline(always)]
#[must_use]
pub const fn may_make(families: [u32; 2], family: u32) -> bool {
    let [low, high] = families;
    let word = if family < 32 { low } else { high };
    family < 64 && word >> (family & 31) & 1 != 0
}

/// Bits of [`PodState::flags`].
pub mod flags {
    /// The pod is configured. Without this bit everything is refused.
    pub const READY: u32 = 1;
    /// Let pass and report what the policy does not allow.
    pub const AUDIT: u32 = 1 << 1;
    /// Refuse the cloud metadata services ahead of every rule.
    pub const BLOCK_METADATA: u32 = 1 << 2;
    /// Refuse port 853 ahead of every rule.
    pub const BLOCK_DOT: u32 = 1 << 3;
    /// The pod has a network namespace of its own: its loopback device and its inner networks lead
    /// nowhere else, and what leaves is judged again on the wire.
    pub const OWN_NETNS: u32 = 1 << 4;
    /// Every layer that this pod is to have is in place: the sentinel is answered.
    pub const PROVEN: u32 = 1 << 5;
    /// The slot is some pod's, whose policy is not there yet. It tells the programs nothing: it keeps the
    /// slot from being given to another pod by an agent that comes after a kill.
    pub const HELD: u32 = 1 << 6;
    /// Processes may leave the pod's cgroup, as Docker in Docker does; what they send is judged on the wire.
    pub const MAY_LEAVE: u32 = 1 << 7;
    /// The profile watches credential files.
    pub const WATCHES_FILES: u32 = 1 << 8;
    /// Reads of those are refused.
    pub const BLOCKS_FILES: u32 = 1 << 9;
    /// Connections that the node makes to the pod may be answered.
    pub const ANSWERS_NODE: u32 = 1 << 10;
}

/// What the allow map holds for an endpoint: two words, because there are thousands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AllowEntry {
    /// End of life on the monotonic clock, in [`ticks`]. An entry past it admits nothing new; it
    /// stays so that a reload can tell a revoked socket from one whose answer merely aged.
    pub expires: u32,
    /// Number of the rule.
    pub rule: u32,
}

const _: () = assert!(size_of::<AllowEntry>() == 8);

/// A moment on the monotonic clock in units of 2^28 ns (268 ms), which a word holds for 36 years.
#[inline(always)]
#[must_use]
pub const fn ticks(ns: u64) -> u32 {
    let [t0, t1, t2, t3, rest @ ..] = (ns >> 28).to_le_bytes();
    if matches!(rest, [0, 0, 0, 0]) { u32::from_le_bytes([t0, t1, t2, t3]) } else { u32::MAX }
}

/// What the network trie is searched for: a pod's bank, then the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct NetworkKey {
    /// `slot * 2 + bank`; every prefix covers it whole, so no pod meets another's networks.
    pub slot_bank: u32,
    /// The address.
    pub address: Address,
}

const _: () = assert!(size_of::<NetworkKey>() == 20);

impl NetworkKey {
    /// Bits of [`Self::slot_bank`], which every prefix includes.
    pub const SLOT_BITS: u32 = 32;

    /// The key of an address in a pod's bank.
    #[inline(always)]
    #[must_use]
    pub const fn new(slot: u32, bank: u32, address: Address) -> Self {
        Self { slot_bank: slot.wrapping_mul(2).wrapping_add(bank & 1), address }
    }

    /// The key of an address of the node's: they are kept once for all pods, in the bank of the slot that is no pod's.
    #[inline(always)]
    #[must_use]
    pub const fn of_node(address: Address) -> Self {
        Self::new(0, 0, address)
    }
}

/// A port of a trusted network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct NetworkPort {
    /// The port in host byte order; 0 for ICMP.
    pub port: u16,
    /// The IP protocol number; 0 ends the list.
    pub protocol: u8,
    /// Always zero.
    pub padding: u8,
    /// Number of the rule.
    pub rule: u32,
}

/// A trusted network: what one longest-prefix match tells of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Network {
    /// Bits of [`network_flags`].
    pub flags: u32,
    /// How many of `ports` are used.
    pub count: u32,
    /// The ports, the unused ones zero.
    pub ports: [NetworkPort; PORTS_PER_NETWORK],
}

const _: () = assert!(size_of::<Network>() == 8 + 8 * PORTS_PER_NETWORK);

/// Bits of [`Network::flags`].
pub mod network_flags {
    /// An address of the pod itself.
    pub const OWN: u32 = 1;
    /// A source whose connections to the pod may be answered.
    pub const INBOUND: u32 = 1 << 1;
}

impl Network {
    /// The rule that allows this endpoint's protocol and port here.
    #[inline(always)]
    #[must_use]
    pub fn rule_for(&self, endpoint: &Endpoint) -> Option<u32> {
        // ICMP for IPv4 and IPv6 are one thing to a rule; the programs normalise before they ask.
        for port in &self.ports {
            if port.protocol == 0 {
                return None;
            }
            if port.protocol == endpoint.protocol && port.port == endpoint.port {
                return Some(port.rule);
            }
        }
        None
    }
}

/// Counters of a pod, by slot. Only the slow paths touch them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PodCounters {
    /// Connects and packets refused, by the place of the reason.
    pub refused: [u64; REASONS],
    /// Connects and packets that audit mode let pass, likewise.
    pub audited: [u64; REASONS],
    /// Events that found the ring full or the pod's share of it used up.
    pub lost_events: u64,
    /// Flow entries that could not be written.
    pub lost_flows: u64,
    /// Socket storage that the kernel would not give: refused, whatever the policy says.
    pub no_storage: u64,
    /// Processes whose binary and ancestry found no room.
    pub lost_processes: u64,
    /// Start of the current one-second window of the event share, monotonic nanoseconds.
    pub window_ns: u64,
    /// Events written in this window.
    pub window_events: u64,
    /// Events written since the slot was taken; those that the agent has taken out are counted beside.
    pub events: u64,
    /// Flow entries written since the slot was taken, those that are gone again included.
    pub flows: u64,
    /// Process entries written, likewise.
    pub processes: u64,
}

const _: () = assert!(size_of::<PodCounters>() == 72 + 2 * 8 * REASONS);

impl PodCounters {
    /// Connects and packets refused, whatever the reason.
    #[must_use]
    pub fn all_refused(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// Connects and packets that audit mode let pass, whatever the reason.
    #[must_use]
    pub fn all_audited(&self) -> u64 {
        self.audited.iter().sum()
    }
}

/// Events that one pod may write in a second: what the agent reads and tells of one pod.
pub const EVENTS_PER_WINDOW: u64 = 1024;

/// Length of that window, in nanoseconds.
pub const WINDOW_NS: u64 = 1_000_000_000;

/// Bytes of the ring in which the events of all pods wait for the agent.
pub const EVENT_RING_BYTES: usize = 128 * 1024;

/// Bytes that one event takes there: itself, and the kernel's header (`BPF_RINGBUF_HDR_SZ`).
pub const EVENT_BYTES: usize = size_of::<Event>() + 8;

/// Whether a pod may write an event, of which so many wait for the agent already.
///
/// Fewer may wait than there is still room for. So a pod leaves at least as much free as it holds, however long
/// the agent does not read: one that is alone takes half of the ring, those that flood at once take equal parts,
/// and leave as much to all others (the "dynamic threshold" of switches with a shared memory, Choudhury and
/// Hahne 1998).
#[inline(always)]
#[must_use]
pub const fn has_share(waiting: u64, unread_bytes: u64) -> bool {
    // Both are read while others write; more of a pod cannot wait than waits of all.
    let own = waiting.wrapping_mul(EVENT_BYTES as u64);
    let own = if own < unread_bytes { own } else { unread_bytes };
    own < (EVENT_RING_BYTES as u64).saturating_sub(unread_bytes)
}

#[cfg(test)]
mod tests;
