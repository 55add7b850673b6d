//! What the node agent tells Prometheus.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use prometheus_client::metrics::histogram::Histogram;
use weir_ebpf::reason::Reason;

use super::{audit::Repairs, pods::PodsBySlot, roster::Roster};
use crate::{
    datapath::Datapath,
    events::sink::Sink,
    metrics::{Page, Source},
    policy::Mode,
    resolver::Resolver,
};

/// Upper ends of the buckets of attach times, in seconds: from what a prepared pod takes to a node in trouble.
const SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// What the agent's own work has come to.
#[derive(Debug)]
pub(super) struct Work {
    attach: Histogram,
    failures: AtomicU64,
    reconciled: AtomicU64,
    stream_breaks: AtomicU64,
    bundle_errors: AtomicU64,
    bundle: ArcSwap<BundleState>,
}

/// The policies in force.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BundleState {
    /// When they came into force.
    pub(super) loaded: Option<SystemTime>,
    /// The folder holds what is in force.
    pub(super) good: bool,
    pub(super) profiles: usize,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            attach: Histogram::new(SECONDS),
            failures: AtomicU64::default(),
            reconciled: AtomicU64::default(),
            stream_breaks: AtomicU64::default(),
            bundle_errors: AtomicU64::default(),
            bundle: ArcSwap::default(),
        }
    }
}

impl Work {
    /// A pod was enforced, this long after containerd had told of it.
    pub(super) fn enforced(&self, took: Duration) {
        self.attach.observe(took.as_secs_f64());
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reconciled(&self) {
        self.reconciled.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stream_broke(&self) {
        self.stream_breaks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn policies_refused(&self) {
        self.bundle_errors.fetch_add(1, Ordering::Relaxed);
        let state = **self.bundle.load();
        self.bundle.store(Arc::new(BundleState { good: false, ..state }));
    }

    /// Those of an earlier agent stay in force, in the place of what cannot be used.
    pub(super) fn policies_kept(&self, profiles: usize, loaded: Option<SystemTime>) {
        self.bundle_errors.fetch_add(1, Ordering::Relaxed);
        self.bundle.store(Arc::new(BundleState { loaded, good: false, profiles }));
    }

    pub(super) fn policies_taken(&self, profiles: usize) {
        let loaded = Some(SystemTime::now());
        self.bundle.store(Arc::new(BundleState { loaded, good: true, profiles }));
    }
}

/// All that is told.
#[derive(Debug)]
pub(super) struct NodeMetrics {
    pub(super) work: Arc<Work>,
    pub(super) roster: Arc<Roster>,
    pub(super) pods: Arc<PodsBySlot>,
    pub(super) resolver: Arc<Resolver>,
    pub(super) sink: Arc<Sink>,
    /// How often the API server broke off.
    pub(super) api_breaks: Arc<AtomicU64>,
    pub(super) repairs: Arc<Repairs>,
    /// What the kernel has, of what not every kernel has.
    pub(super) features: [(&'static str, bool); 3],
    /// Pods that can be enforced at one time.
    pub(super) slots: usize,
    /// Addresses that one pod may be allowed at one time.
    pub(super) entries: usize,
    pub(super) datapath: Arc<Datapath>,
}

impl Source for NodeMetrics {
    fn tell(&self, page: &mut Page<'_>) -> fmt::Result {
        let version = env!("CARGO_PKG_VERSION");
        page.gauges("build_info", "The agent's version.", [([("version", version)], 1.0)])?;
        page.gauges(
            "kernel_feature",
            "Whether the node's kernel has it (1) or not (0).",
            self.features
                .map(|(feature, has)| ([("feature", feature)], if has { 1.0 } else { 0.0 })),
        )?;
        self.pods(page)?;
        self.verdicts(page)?;
        self.questions(page)?;
        self.policies(page)?;
        page.counters(
            "repairs",
            "What of the pods' enforcement somebody else had changed in the kernel, and was put right.",
            self.repairs.counts().map(|(what, count)| ([("what", what.as_str())], count)),
        )?;
        let (done, broken) = (&self.work.reconciled, &self.work.stream_breaks);
        let results = [("ok", done), ("failed", broken)];
        page.counter(
            "kubernetes_watch_failures",
            "Times that the API server did not tell of pods.",
            self.api_breaks.load(Ordering::Relaxed),
        )?;
        page.counters(
            "reconciles",
            "Times that all that runs was listed (ok), or that the stream of events broke (failed).",
            results.map(|(result, count)| ([("result", result)], count.load(Ordering::Relaxed))),
        )
    }
}

impl NodeMetrics {
    fn pods(&self, page: &mut Page<'_>) -> fmt::Result {
        let phases = self.roster.phases();
        page.gauges(
            "pods",
            "Pods that the agent cares for, by how far it is with them.",
            phases.into_iter().map(|(phase, count)| ([("phase", phase)], float(count))),
        )?;
        let modes = [Mode::Block, Mode::Audit];
        page.gauges(
            "pods_enforced",
            "Pods whose policy is in force, by its mode.",
            modes.map(|mode| ([("mode", mode.as_str())], float(self.pods.in_mode(mode)))),
        )?;
        page.seconds(
            "attach_seconds",
            "From containerd's word of a pod to its policy in force.",
            &self.work.attach,
        )?;
        page.counter(
            "attach_failures",
            "Attempts to enforce a pod that failed; it stays closed meanwhile.",
            self.work.failures.load(Ordering::Relaxed),
        )?;
        let processes = usize::try_from(self.datapath.processes()).unwrap_or(usize::MAX);
        let most = usize::try_from(self.datapath.process_limits().of_all).unwrap_or(usize::MAX);
        let fill = [
            ("allow", self.pods.most_entries(), self.entries),
            // Slot 0 serves nobody.
            ("slots", self.pods.len(), self.slots.saturating_sub(1)),
            ("processes", processes, most),
        ];
        page.gauges(
            "map_fill_ratio",
            "How full the tables are: the fullest pod's allow table, the places for pods, and what pods' processes may take.",
            fill.map(|(map, used, size)| ([("map", map)], float(used) / float(size.max(1)))),
        )
    }

    fn verdicts(&self, page: &mut Page<'_>) -> fmt::Result {
        let totals = self.pods.totals();
        let verdicts = [("block", &totals.refused), ("audit", &totals.audited)];
        let counts = verdicts.into_iter().flat_map(|(verdict, counts)| {
            Reason::ALL.into_iter().map(move |reason| {
                let count = counts.get(reason.place()).copied().unwrap_or_default();
                ([("verdict", verdict), ("reason", reason.as_str())], count)
            })
        });
        page.counters(
            "verdicts",
            "Connects, packets and questions that policy refused (block) or would refuse (audit).",
            counts,
        )?;
        let lost = [
            ("kernel", totals.lost_in_kernel),
            ("agent", totals.lost_in_agent),
            ("processes", totals.lost_processes),
            ("queue", self.sink.overflowed()),
            ("sink", self.sink.failed()),
        ];
        page.counters(
            "events_lost",
            "Events that found no room in the kernel's ring or tables, among what the agent tells apart or in its queue, or that could not be written; and processes of which the kernel did not keep who they are.",
            lost.map(|(place, count)| ([("where", place)], count)),
        )?;
        page.counters(
            "records_written",
            "Records that were handed on, by where to.",
            self.sink.written().map(|(output, count)| ([("output", output)], count)),
        )
    }

    fn questions(&self, page: &mut Page<'_>) -> fmt::Result {
        let statistics = self.resolver.statistics();
        let questions = statistics.questions();
        page.counters(
            "dns_questions",
            "Questions of pods, by what became of them.",
            questions.map(|(outcome, count)| ([("outcome", outcome.as_str())], count)),
        )?;
        page.seconds(
            "dns_upstream_seconds",
            "How long upstream took to answer, failures included.",
            statistics.upstream(),
        )
    }

    fn policies(&self, page: &mut Page<'_>) -> fmt::Result {
        let state = **self.work.bundle.load();
        page.gauge(
            "bundle_ok",
            "Whether the policies in force are what is in the folder.",
            f64::from(u8::from(state.good)),
        )?;
        let loaded = state.loaded.and_then(|loaded| loaded.duration_since(UNIX_EPOCH).ok());
        page.gauge(
            "bundle_loaded_timestamp_seconds",
            "When the policies in force were read; 0 if none could be, and everything is denied.",
            loaded.unwrap_or_default().as_secs_f64(),
        )?;
        page.gauge("bundle_profiles", "Profiles in force.", float(state.profiles))?;
        page.counter(
            "bundle_errors",
            "Times that the policy folder could not be used.",
            self.work.bundle_errors.load(Ordering::Relaxed),
        )
    }
}

/// Counts of what one node holds are far below 2^32.
fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
