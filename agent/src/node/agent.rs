//! The agent from start to end.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use nix::unistd::geteuid;
use tokio::sync::{Notify, mpsc};

use super::{
    audit::Auditor,
    capabilities,
    enforce::{Enforcer, chain},
    error::NodeError,
    identities::{Identities, Told},
    lock,
    metrics::{NodeMetrics, Work},
    pins::Pins,
    pods::{Known, Pods, PodsBySlot, Stage},
    policies::{Cause, Policies},
    pool::SlotPool,
    ready::Ready,
    reconcile::Done,
    roster::Roster,
    signals::{Signals, Wanted},
};
use crate::{
    bundle::watch::FolderWatch,
    config::Config,
    containerd::{Sandbox, SandboxId, WatchSettings, Watcher, watch},
    control::{ControlSocket, PodsSource},
    datapath::{Datapath, events::EventRing, guard::Guard, slot::PodLimits, wire::WireAttach},
    events::sink::Sink,
    health::{HealthServer, Readiness},
    metrics::Metrics,
    pod::sweep::Sweeper,
    resolver::{Resolver, ResolverSettings, Upstreams},
};

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Runs the agent until it is told to end. What it enforces stays enforced.
///
/// # Errors
///
/// [`NodeError`]; nothing that was enforced is weakened.
pub fn run(config: &Config) -> Result<(), NodeError> {
    if !geteuid().is_root() {
        return Err(NodeError::NotRoot);
    }
    capabilities::complain();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("weir")
        .enable_all()
        .build()
        .map_err(NodeError::system("starting the runtime"))?;
    runtime.block_on(Agent::run(config))
}

pub(super) struct Agent {
    pub(super) config: Config,
    pub(super) policies: Policies,
    pub(super) enforcer: Arc<Enforcer>,
    pub(super) pods: Pods,
    /// Sandboxes that nobody selected; their barrier may yet ask for enforcement.
    pub(super) passed_over: BTreeMap<SandboxId, Sandbox>,
    pub(super) identities: Identities,
    pub(super) roster: Arc<Roster>,
    pub(super) ready: Ready,
    pub(super) work: Arc<Work>,
    pub(super) done: mpsc::UnboundedSender<Done>,
    /// Slots that an earlier agent left in use; looked through once everything that runs is known.
    pub(super) left: Option<Vec<u32>>,
}

/// What the agent acts on.
struct Sources {
    watcher: Watcher,
    finished: mpsc::UnboundedReceiver<Done>,
    folder: Arc<Notify>,
    told: Told,
    signals: Signals,
}

impl Agent {
    async fn run(config: &Config) -> Result<(), NodeError> {
        // Everything that a person can get wrong, before anything is touched.
        let upstreams = upstreams(config)?;
        let cgroup_root = config.cgroup_root()?;
        let node = config
            .node_name(std::env::var_os("NODE_NAME").as_deref())
            .map_err(NodeError::system("asking for the machine's name"))?;
        let sink = Arc::new(Sink::open_all(&config.events, &node)?);
        let signals = Signals::new().map_err(NodeError::system("watching signals"))?;
        let folder = FolderWatch::new(&config.policy.dir)
            .map_err(NodeError::path("watching the policy folder", &config.policy.dir))?;

        // From here on things are touched, and nobody else may.
        let state = state_folder(config)?;
        let _lock = lock::take(&state.join("agent.lock"))?;
        let journals = state.join("pods");
        fs::create_dir_all(&journals).map_err(NodeError::path("making the folder", &journals))?;
        let pins = Pins::make(&config.bpffs)?;
        let roster = Arc::new(Roster::default());
        let control = ControlSocket::bind(&config.control)?;
        let source: Arc<dyn PodsSource> = Arc::<Roster>::clone(&roster);
        tokio::spawn(control.serve(source));
        let readiness = Readiness::default();
        let metrics = Arc::<OnceLock<Metrics>>::default();
        let ready = Ready::new(&readiness);
        if let Some(address) = config.http {
            let server = HealthServer::bind(address, readiness).await?;
            tokio::spawn(server.with_metrics(Arc::clone(&metrics)).serve());
        }

        let identities = Identities::default();
        let told = Told::follow(&config.kubernetes, &node, &identities.breaks).await;
        let processes = config.limits.processes.get();
        let (datapath, ring) = Datapath::load_pinned(&pins.tables(), processes)?;
        let slots = usize::try_from(config.limits.pod_slots.get()).unwrap_or(usize::MAX);
        let datapath = Arc::new(datapath.with_slots(slots));
        let left = datapath.slots_in_use();
        let guard = datapath.guard(Some(&pins.hooks()));
        tell_of(&guard);
        let entries = config.limits.entries_per_pod.get();
        let limits = PodLimits { entries, ..PodLimits::default() };
        let pool = SlotPool::start(&datapath, limits)
            .map_err(NodeError::system("starting the thread that prepares slots"))?;
        let pods_by_slot = Arc::new(PodsBySlot::default());
        follow_events(EventRing::new(ring)?, Arc::clone(&pods_by_slot));

        let enforcer = Enforcer {
            wire_attach: datapath.wire_attach(),
            datapath,
            pool,
            resolver: Resolver::new(upstreams, resolver_settings(config)),
            pins,
            journals,
            sink: Arc::clone(&sink),
            node,
            cgroup_root,
            requires_veth: config.require.veth,
            requires_modules: config.require.lsm,
            guard,
            hard_blocks: config.hard_blocks,
            trust: config.gitlab,
            asks_for_pods: told.is_asked(),
            help: config.job_page.help.as_deref().map(Arc::from),
            limits,
            sweeper: Sweeper::start(limits),
            pods_by_slot,
            auditor: Auditor::start(),
        };
        let work = Arc::<Work>::default();
        // Set once: here.
        let _first = metrics.set(Metrics::new(enforcer.metrics(&work, &roster, &identities)));
        let (done, finished) = mpsc::unbounded_channel();
        let mut agent = Self {
            config: config.clone(),
            policies: Policies::read(config, &state),
            enforcer: Arc::new(enforcer),
            pods: Pods::new(),
            passed_over: BTreeMap::new(),
            identities,
            roster: Arc::clone(&roster),
            ready,
            work: Arc::clone(&work),
            done,
            left: Some(left),
        };
        let containerd = &config.containerd;
        let watcher =
            watch(WatchSettings::new(containerd.socket.clone(), containerd.namespace.clone()));
        agent.ready.programs.holds();
        tracing::info!("the programs are loaded");
        agent.tell_first_policies();
        let mut sources = Sources { watcher, finished, folder: folder.follow(), told, signals };
        agent.act(&mut sources).await;
        let Sources { watcher, mut finished, .. } = sources;
        drop(watcher);
        agent.finish(&mut finished).await;
        drop(agent);
        if let Some(sink) = Arc::into_inner(sink) {
            let report = sink.finish();
            if report.dropped > 0 {
                tracing::warn!(records = report.dropped, "records could not be written");
            }
        }
        Ok(())
    }

    /// Does what containerd, its own work, the policy folder and signals ask for, until it is told to end.
    async fn act(&mut self, sources: &mut Sources) {
        let Sources { watcher, finished, folder, told, signals } = sources;
        let mut containerd_state = watcher.state.clone();
        loop {
            tokio::select! {
                Ok(()) = containerd_state.changed() => {
                    if self.ready.follow(&containerd_state.borrow_and_update()) {
                        self.work.stream_broke();
                    }
                }
                change = watcher.changes.recv() => match change {
                    Some(change) => self.on_change(change),
                    None => return,
                },
                Some(done) = finished.recv() => self.on_done(done),
                change = told.next() => self.on_pod(change),
                () = folder.notified() => self.read_policies(Cause::Noticed),
                wanted = signals.next() => match wanted {
                    Wanted::Reload => self.read_policies(Cause::Asked),
                    Wanted::End => return,
                },
            }
        }
    }

    /// Waits for what is half done. Everything that is enforced stays so.
    async fn finish(&mut self, finished: &mut mpsc::UnboundedReceiver<Done>) {
        let half_done = |known: &Known| match known.stage {
            Stage::Attaching { failures, .. } => failures == 0,
            Stage::Draining => true,
            Stage::Waiting
            | Stage::Preparing { .. }
            | Stage::Prepared(_)
            | Stage::Enforcing(_)
            | Stage::Lingering(_) => false,
        };
        while self.pods.values().any(half_done) {
            match finished.recv().await {
                Some(done) => self.on_done(done),
                None => return,
            }
        }
        tracing::info!(enforcing = self.pods.len(), "ending; what is enforced stays enforced");
    }
}

impl Enforcer {
    /// What is told of this and of the agent's own work.
    fn metrics(
        &self,
        work: &Arc<Work>,
        roster: &Arc<Roster>,
        identities: &Identities,
    ) -> NodeMetrics {
        NodeMetrics {
            work: Arc::clone(work),
            roster: Arc::clone(roster),
            pods: Arc::clone(&self.pods_by_slot),
            resolver: Arc::clone(&self.resolver),
            sink: Arc::clone(&self.sink),
            api_breaks: Arc::clone(&identities.breaks),
            repairs: Arc::clone(self.auditor.repairs()),
            features: [
                ("lsm", self.guard.has_modules()),
                ("processes", self.guard.has_processes()),
                ("tcx", self.wire_attach == WireAttach::Tcx),
            ],
            datapath: Arc::clone(&self.datapath),
            slots: self.datapath.slots(),
            entries: usize::try_from(self.limits.entries).unwrap_or(usize::MAX),
        }
    }
}

/// Says what this kernel has not.
fn tell_of(guard: &Guard) {
    match (&guard.processes, &guard.modules) {
        (Ok(_), Ok(_)) => tracing::info!("security modules call weir's programs"),
        (Ok(_), Err(error)) => tracing::warn!(
            error = %chain(error),
            "sockets past IP, bpf() calls, leaving the cgroup and reads of credential files are not seen where they happen"
        ),
        (Err(error), _) => tracing::warn!(
            error = %chain(error),
            "processes are not followed, and security modules call none of weir's programs"
        ),
    }
}

/// Records what the kernel reports, for as long as the agent runs.
fn follow_events(mut ring: EventRing, pods: Arc<PodsBySlot>) {
    tokio::spawn(async move {
        loop {
            match ring.next_batch().await {
                Ok(events) => events.iter().for_each(|event| pods.record(event)),
                Err(error) => {
                    tracing::error!(error = %chain(&error), "events can no longer be read");
                    return;
                }
            }
        }
    });
}

fn resolver_settings(config: &Config) -> ResolverSettings {
    let entries = usize::try_from(config.dns.cache_entries.get()).unwrap_or(usize::MAX);
    ResolverSettings { cache_entries: entries, ..ResolverSettings::default() }
}

fn upstreams(config: &Config) -> Result<Upstreams, NodeError> {
    if !config.dns.upstreams.is_empty() {
        return Ok(Upstreams::from_addrs(&config.dns.upstreams)?);
    }
    let path = Path::new(RESOLV_CONF);
    let text = fs::read_to_string(path).map_err(NodeError::path("reading", path))?;
    Ok(Upstreams::from_resolv_conf(&text)?)
}

/// The folder of the control socket, which holds the rest of the agent's state too; nobody else's business.
fn state_folder(config: &Config) -> Result<PathBuf, NodeError> {
    let folder = config.control.parent().unwrap_or(Path::new("/")).to_owned();
    fs::create_dir_all(&folder).map_err(NodeError::path("making the folder", &folder))?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))
        .map_err(NodeError::path("closing the folder", &folder))?;
    Ok(folder)
}
