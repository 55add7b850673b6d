//! Keeps room in a pod's tables of flows and processes, however long it lives and however much it tries.
//!
//! The kernel counts what it writes into either table. When one is more than half full, settled flows move into
//! the pod's account in memory, where what is counted of the same flow later joins them, and ended processes into
//! a memory from which later records still name them.
//!
//! Invariants:
//! - A flow that is moved is counted once: it is read and deleted in one step where the kernel can (Linux 5.14),
//!   and what it counts between the two steps of an older one is all that can be missed.
//! - Memory is bounded. When it is used up nothing is moved, and the kernel counts what finds no room.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use weir_ebpf::{
    flow::{Flow, FlowKey},
    pod::PodCounters,
    process::{Process, ProcessKey},
};

use super::{EnforcedPod, lock};
use crate::{datapath::slot::PodLimits, system::clock::monotonic_ns};

/// How often the kernel's counts are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A flow without a packet for so long is settled, though its process lives.
const IDLE_NS: u64 = 2_000_000_000;
/// Flows that one pod's account holds in memory.
const FLOWS: usize = 8192;
/// Ended processes that one pod remembers; the oldest are forgotten first.
const PROCESSES: usize = 1024;

/// What was moved out of a pod's tables.
#[derive(Debug, Default)]
pub(super) struct Swept {
    flows: HashMap<FlowKey, Flow>,
    processes: HashMap<ProcessKey, Process>,
    order: VecDeque<ProcessKey>,
    /// Entries that the kernel had written and that are in the tables no more; `None` before the first look.
    removed: Option<Removed>,
}

/// How many entries of each table were removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Removed {
    flows: u64,
    processes: u64,
}

impl Swept {
    /// Adds a flow to the account.
    fn keep_flow(&mut self, key: FlowKey, flow: Flow) {
        self.flows.entry(key).and_modify(|known| join(known, &flow)).or_insert(flow);
    }

    /// Remembers a process.
    fn keep_process(&mut self, key: ProcessKey, process: &Process) {
        if self.processes.insert(key, *process).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > PROCESSES {
            if let Some(oldest) = self.order.pop_front() {
                self.processes.remove(&oldest);
            }
        }
    }

    /// Whether what was seen at this time is a flow that was moved and came back. Its first sight is not: that may
    /// still be on its way when the flow is moved already, and has the very time of the flow's beginning.
    pub(super) fn knows(&self, key: &FlowKey, at_ns: u64) -> bool {
        self.flows.get(key).is_some_and(|flow| flow.first_ns < at_ns)
    }

    /// A process that was remembered.
    pub(super) fn process(&self, key: &ProcessKey) -> Option<Process> {
        self.processes.get(key).copied()
    }

    /// The account: what was moved, joined by what the table still holds.
    pub(super) fn account(&self, table: Vec<(FlowKey, Flow)>) -> HashMap<FlowKey, Flow> {
        let mut all = self.flows.clone();
        for (key, flow) in table {
            all.entry(key).and_modify(|known| join(known, &flow)).or_insert(flow);
        }
        all
    }

    fn has_room(&self, key: &FlowKey) -> bool {
        self.flows.len() < FLOWS || self.flows.contains_key(key)
    }
}

/// Adds what was counted of a flow later to what was counted of it before.
fn join(known: &mut Flow, later: &Flow) {
    known.count = known.count.saturating_add(later.count);
    known.bytes_up = known.bytes_up.saturating_add(later.bytes_up);
    known.bytes_down = known.bytes_down.saturating_add(later.bytes_down);
    known.first_ns = known.first_ns.min(later.first_ns);
    known.last_ns = known.last_ns.max(later.last_ns);
}

/// Entries of a table, from how many were written and how many removed.
const fn held(written: u64, removed: u64) -> u64 {
    written.saturating_sub(removed)
}

/// Whether a table of this size is more than half full.
fn is_filling(held: u64, size: u32) -> bool {
    held > u64::from(size / 2)
}

/// Processes of the table that need no place in it: those that have ended, and earlier executions of those
/// that run.
fn ended(keys: &[ProcessKey], runs: impl Fn(u32) -> bool) -> Vec<ProcessKey> {
    let mut latest: HashMap<u32, ProcessKey> = HashMap::new();
    for key in keys {
        let known = latest.entry(key.tgid).or_insert(*key);
        if (key.start_ns, key.exec_id) > (known.start_ns, known.exec_id) {
            *known = *key;
        }
    }
    let live: HashSet<ProcessKey> =
        latest.into_values().filter(|latest| runs(latest.tgid)).collect();
    keys.iter().filter(|key| !live.contains(key)).copied().collect()
}

/// Whether a process of this id runs, as this process sees it.
fn runs(tgid: u32) -> bool {
    PathBuf::from(format!("/proc/{tgid}")).exists()
}

impl EnforcedPod {
    /// Whether a table may be more than half full, by the counters of all slots. Does not wait.
    fn wants_sweep(&self, counters: &[PodCounters], limits: PodLimits) -> bool {
        let slot = usize::try_from(self.slot.number()).unwrap_or(usize::MAX);
        let Some(counters) = counters.get(slot) else { return false };
        // Who holds it is settling the pod, or will be done by the next look.
        let Ok(swept) = self.swept.try_lock() else { return false };
        let removed = swept.removed.unwrap_or_default();
        is_filling(held(counters.flows, removed.flows), limits.flows)
            || is_filling(held(counters.processes, removed.processes), limits.processes)
    }

    /// Moves what is settled out of the tables that are more than half full.
    ///
    /// Reads maps and `/proc`; must be called on a thread that may wait.
    pub fn sweep(&self, limits: PodLimits) {
        let Ok(counters) = self.datapath.counters(&self.slot) else { return };
        let mut swept = lock(&self.swept);
        let removed = *swept.removed.get_or_insert_with(|| self.removed_before(&counters));
        if is_filling(held(counters.flows, removed.flows), limits.flows) {
            self.sweep_flows(&mut swept);
        }
        if is_filling(held(counters.processes, removed.processes), limits.processes) {
            self.sweep_processes(&mut swept);
        }
    }

    /// What an earlier agent removed: all that was written and is not there.
    fn removed_before(&self, counters: &PodCounters) -> Removed {
        let there = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Removed {
            flows: counters.flows.saturating_sub(there(self.slot.flows().len())),
            processes: counters.processes.saturating_sub(there(self.slot.process_keys().len())),
        }
    }

    fn sweep_flows(&self, swept: &mut Swept) {
        let now = monotonic_ns();
        let mut live: HashMap<u32, bool> = HashMap::new();
        for (key, flow) in self.slot.flows() {
            let idle = now.saturating_sub(flow.last_ns) > IDLE_NS;
            let settled = idle || !*live.entry(key.tgid).or_insert_with(|| runs(key.tgid));
            if !settled || !swept.has_room(&key) {
                continue;
            }
            match self.slot.take_flow(key) {
                Ok(Some(flow)) => {
                    swept.keep_flow(key, flow);
                    swept.removed.iter_mut().for_each(|removed| removed.flows += 1);
                }
                Ok(None) => {}
                Err(error) => return complain("flow", &error),
            }
        }
    }

    fn sweep_processes(&self, swept: &mut Swept) {
        for key in ended(&self.slot.process_keys(), runs) {
            // One that is not ready is being written this moment.
            let Some(process) = self.slot.process(key) else { continue };
            swept.keep_process(key, &process);
            match self.slot.forget_process(key) {
                Ok(true) => swept.removed.iter_mut().for_each(|removed| removed.processes += 1),
                Ok(false) => {}
                Err(error) => return complain("process", &error),
            }
        }
    }
}

fn complain(what: &str, error: &std::io::Error) {
    tracing::warn!(what, %error, "an entry of a pod's table could not be moved; it stays");
}

/// Sweeps pods for as long as they are held, all from one place: each look is one read for all of them.
#[derive(Debug)]
pub struct Sweeper {
    pods: Arc<Mutex<Vec<Weak<EnforcedPod>>>>,
    task: JoinHandle<()>,
}

impl Sweeper {
    /// Begins to sweep tables of these sizes. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(limits: PodLimits) -> Self {
        let pods: Arc<Mutex<Vec<Weak<EnforcedPod>>>> = Arc::default();
        let task = tokio::spawn(sweep_all(Arc::clone(&pods), limits));
        Self { pods, task }
    }

    /// Sweeps one pod more.
    pub fn add(&self, pod: &Arc<EnforcedPod>) {
        lock(&self.pods).push(Arc::downgrade(pod));
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn sweep_all(pods: Arc<Mutex<Vec<Weak<EnforcedPod>>>>, limits: PodLimits) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let held: Vec<Arc<EnforcedPod>> = {
            let mut pods = lock(&pods);
            pods.retain(|pod| pod.strong_count() > 0);
            pods.iter().filter_map(Weak::upgrade).collect()
        };
        let Some(datapath) = held.first().map(|pod| Arc::clone(&pod.datapath)) else { continue };
        let highest = held.iter().map(|pod| pod.slot.number()).max().unwrap_or(0);
        let counters = match datapath.counters_below(highest + 1) {
            Ok(counters) => counters,
            Err(error) => {
                tracing::error!(%error, "the fill of the pods' tables is not known");
                continue;
            }
        };
        let filling = held.into_iter().filter(|pod| pod.wants_sweep(&counters, limits));
        let sweeps: Vec<_> =
            filling.map(|pod| tokio::task::spawn_blocking(move || pod.sweep(limits))).collect();
        for sweep in sweeps {
            if let Err(error) = sweep.await {
                tracing::error!(%error, "a pod's tables could not be swept");
            }
        }
    }
}

#[cfg(test)]
mod tests;
