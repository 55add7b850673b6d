//! One enforced process tree: its policy, its place in the kernel, its names, its records.
//!
//! Invariants:
//! - What the kernel allows is what `table::AllowTable` holds; nothing else writes allow entries.
//! - The policy changes under the same lock as the allow table, so no answer that was decided under
//!   the old one is admitted under the new one.

pub mod account;
mod adopt;
mod apply;
mod arrivals;
pub mod containers;
mod destination;
mod hosts;
pub mod journal;
mod reads;
pub mod records;
mod refused;
mod report;
mod rules;
mod serve;
pub mod subject;
pub mod sweep;
mod table;
mod tampering;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use weir_ebpf::{flow::Outcome, reason::REASONS};

use crate::{
    config::HardBlocks,
    datapath::{Datapath, DatapathError, slot::Slot},
    events::record::Lack,
    policy::Profile,
    resolver::search_list,
};

use self::{
    arrivals::Arrivals, hosts::HostMemory, journal::Journal, records::Recorder,
    rules::ProfileHistory, sweep::Swept, table::AllowTable, tampering::Tampering,
};

/// Where the pod's listener can be reached from inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerAddress {
    /// IPv4 address.
    pub v4: std::net::Ipv4Addr,
    /// IPv6 address, where there is one.
    pub v6: Option<std::net::Ipv6Addr>,
    /// Port of UDP and TCP.
    pub port: u16,
    /// Who can reach it.
    pub reach: Reach,
}

/// Who can reach a pod's listener, and with it, what the network around the pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everybody on this machine: the pod is in the machine's own network namespace.
    Machine,
    /// The pod alone: it has a network namespace of its own, and a second layer outside it.
    Pod,
}

/// Addresses on this side of the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The pod's own addresses and inner networks.
    pub own: Vec<IpNet>,
    /// The node's addresses.
    pub node: Vec<IpAddr>,
}

impl Surroundings {
    /// Those of a pod in the network namespace of this process.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn of_this_machine() -> std::io::Result<Self> {
        let all = crate::system::addresses::own_addresses()?;
        let own = all.iter().copied().map(IpNet::from).collect();
        Ok(Self::new(own, all))
    }

    /// With the node's addresses as pods meet them. Each pod's veth brings a link-local one, which reaches no other pod:
    /// 110 pods would bring 110.
    #[must_use]
    pub fn new(own: Vec<IpNet>, node: impl IntoIterator<Item = IpAddr>) -> Self {
        let is_met = |address: &IpAddr| match address {
            IpAddr::V4(v4) => !v4.is_loopback(),
            IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
        };
        Self { own, node: node.into_iter().filter(is_met).collect() }
    }
}

/// One enforced process tree.
#[derive(Debug)]
pub struct EnforcedPod {
    datapath: Arc<Datapath>,
    slot: Slot,
    profile: ArcSwap<Profile>,
    listener: ListenerAddress,
    state: Mutex<State>,
    hosts: Mutex<HostMemory>,
    swept: Mutex<Swept>,
    tampering: Mutex<Tampering>,
    recorder: Recorder,
    arrivals: Arrivals,
    journal: Option<Journal>,
    /// The pod's uid, where there is one to be told to its barrier.
    uid: Option<String>,
    /// The search list of its own resolv.conf, where it has one.
    search: Option<Vec<String>>,
    hard_blocks: HardBlocks,
    /// What the operator says on the pod's page.
    help: Option<Arc<str>>,
    /// What it has not, that others may have.
    lacks: Vec<Lack>,
}

/// What became of a pod's connects and packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Let pass by policy: connects, and packets of sockets that are not connected.
    pub allowed: u64,
    /// Refused, or let pass by audit mode alone; questions among them.
    pub refused: u64,
    /// Events and flows that found no room.
    pub lost: u64,
}

/// What a pod's refusals and losses came to, those of pods together where they are added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connects, packets and questions refused, by the place of the reason.
    pub refused: [u64; REASONS],
    /// Those that audit mode let pass.
    pub audited: [u64; REASONS],
    /// Events and flows that found no room in the kernel.
    pub lost_in_kernel: u64,
    /// Those that the agent could not tell.
    pub lost_in_agent: u64,
    /// Processes of which the kernel did not keep who they are or whom they descend from.
    pub lost_processes: u64,
}

impl Totals {
    /// Adds another pod's.
    pub fn add(&mut self, other: &Self) {
        let pairs = self.refused.iter_mut().zip(&other.refused);
        for (sum, more) in pairs.chain(self.audited.iter_mut().zip(&other.audited)) {
            *sum = sum.saturating_add(*more);
        }
        self.lost_in_kernel = self.lost_in_kernel.saturating_add(other.lost_in_kernel);
        self.lost_in_agent = self.lost_in_agent.saturating_add(other.lost_in_agent);
        self.lost_processes = self.lost_processes.saturating_add(other.lost_processes);
    }
}

/// What changes when the policy does.
#[derive(Debug)]
struct State {
    table: AllowTable,
    surroundings: Surroundings,
    /// Whether every layer that the pod is to have is in place.
    proven: bool,
    /// Of the policy in the kernel; 0 before there is one.
    generation: u32,
    /// Whether the kernel holds the current profile, all of it.
    applied: bool,
    history: ProfileHistory,
}

/// Why a pod could not be enforced.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// The kernel side failed.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
}

impl EnforcedPod {
    /// A pod in a slot; closed until [`Self::enforce`].
    #[must_use]
    pub fn new(
        datapath: Arc<Datapath>,
        slot: Slot,
        profile: Arc<Profile>,
        listener: ListenerAddress,
        entries: usize,
        recorder: Recorder,
    ) -> Self {
        Self {
            datapath,
            slot,
            profile: ArcSwap::new(profile),
            listener,
            state: Mutex::new(State {
                table: AllowTable::new(entries),
                surroundings: Surroundings::default(),
                proven: false,
                generation: 0,
                applied: false,
                history: ProfileHistory::default(),
            }),
            hosts: Mutex::default(),
            swept: Mutex::default(),
            tampering: Mutex::default(),
            recorder,
            arrivals: Arrivals::default(),
            journal: None,
            uid: None,
            search: None,
            hard_blocks: HardBlocks { metadata: true, dot: true },
            help: None,
            lacks: Vec::new(),
        }
    }

    /// Has its records say what it lacks.
    #[must_use]
    pub fn with_lacks(self, lacks: Vec<Lack>) -> Self {
        Self { lacks, ..self }
    }

    /// Lets the pod's barrier be told that the pod is enforced, once it is.
    #[must_use]
    pub fn with_uid(self, uid: String) -> Self {
        Self { uid: Some(uid), ..self }
    }

    /// Tells the resolver which names the pod's clients make of others.
    #[must_use]
    pub fn with_search(self, suffixes: &[String]) -> Self {
        let search = search_list(suffixes.iter().map(String::as_str));
        Self { search: Some(search), ..self }
    }

    /// Has the node's operator say what is refused ahead of every profile.
    #[must_use]
    pub fn with_hard_blocks(self, hard_blocks: HardBlocks) -> Self {
        Self { hard_blocks, ..self }
    }

    /// Has the pod's page say what the operator wants to be said there.
    #[must_use]
    pub fn with_help(self, help: Option<Arc<str>>) -> Self {
        Self { help, ..self }
    }

    /// Keeps a journal, so that another agent can take over after a kill.
    #[must_use]
    pub fn with_journal(self, journal: Journal) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// The slot.
    #[must_use]
    pub const fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The kernel side.
    #[must_use]
    pub const fn datapath(&self) -> &Arc<Datapath> {
        &self.datapath
    }

    /// The records of this pod.
    #[must_use]
    pub const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The policy in force.
    #[must_use]
    pub fn current_profile(&self) -> Arc<Profile> {
        self.profile.load_full()
    }

    /// Where the pod's listener is.
    #[must_use]
    pub const fn listener(&self) -> ListenerAddress {
        self.listener
    }

    /// How many allow entries the pod has.
    #[must_use]
    pub fn entries(&self) -> usize {
        lock(&self.state).table.len()
    }

    /// What was let pass, refused and lost so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let counters = self.datapath.counters(&self.slot).unwrap_or_default();
        let names = self.recorder.names();
        // Those that were moved out of the table are still its.
        let flows = lock(&self.swept).account(self.slot.flows());
        let allowed = flows.iter().filter(|(key, _)| key.outcome == Outcome::Allowed as u8);
        Tally {
            allowed: allowed.map(|(_, flow)| flow.count).sum(),
            refused: counters.all_refused()
                + counters.all_audited()
                + names.refused()
                + names.audited(),
            lost: counters.lost_events + counters.lost_flows + self.recorder.lost(),
        }
    }

    /// What was refused, by reason, and lost so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let counters = self.datapath.counters(&self.slot).unwrap_or_default();
        let mut totals = Totals {
            refused: counters.refused,
            audited: counters.audited,
            lost_in_kernel: counters.lost_events + counters.lost_flows,
            lost_in_agent: self.recorder.lost(),
            lost_processes: counters.lost_processes,
        };
        self.recorder.names().add_to(&mut totals);
        totals
    }

    /// Gives the slot back. The links must be gone, and nobody may use the pod any more.
    pub fn release(&self) {
        self.datapath.release_slot(&self.slot);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept under these locks is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
