//! The agent from start to end.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::unistd::geteuid;
use tokio::sync::mpsc;

use super::{
    enforce::{Enforcer, chain},
    enforced::Enforced,
    error::{EnforceError, NodeError},
    leftovers,
    lifecycle::{Phase, Transitions},
    lock,
    pins::Pins,
    pods::{Known, Pods, PodsBySlot, Stage},
    pool::SlotPool,
    signals::{Signals, Wanted},
};
use crate::{
    bundle::Bundle,
    config::Config,
    containerd::{Change, Listing, Sandbox, SandboxId, WatchSettings, watch},
    datapath::{Datapath, events::EventRing, slot::PodLimits},
    events::{record::Scope, sink::Sink},
    resolver::{Resolver, ResolverSettings, Upstreams},
};

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The pause before another attempt to enforce a pod, doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// How an attempt to enforce a pod, or to clear one away, ended.
enum Done {
    Enforced(SandboxId, Result<Arc<Enforced>, EnforceError>, Duration),
    Again(SandboxId),
    Released(SandboxId),
}

/// Runs the agent until it is told to end. What it enforces stays enforced.
///
/// # Errors
///
/// [`NodeError`]; nothing that was enforced is weakened.
pub fn run(config: &Config) -> Result<(), NodeError> {
    if !geteuid().is_root() {
        return Err(NodeError::NotRoot);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("weir")
        .enable_all()
        .build()
        .map_err(NodeError::system("starting the runtime"))?;
    runtime.block_on(Agent::run(config))
}

struct Agent {
    config: Config,
    bundle: Bundle,
    enforcer: Arc<Enforcer>,
    pods: Pods,
    transitions: Transitions,
    done: mpsc::UnboundedSender<Done>,
    /// Slots that an earlier agent left in use; looked through once everything that runs is known.
    left: Option<Vec<u32>>,
}

impl Agent {
    async fn run(config: &Config) -> Result<(), NodeError> {
        // Everything that a person can get wrong, before anything is touched.
        let bundle = Bundle::load(&config.policy)?;
        let upstreams = upstreams(config)?;
        let sink = Arc::new(Sink::open_all(config.events.stdout, config.events.file.as_deref())?);
        let cgroup_root = config.cgroup_root()?;
        let node = config
            .node_name(std::env::var_os("NODE_NAME").as_deref())
            .map_err(NodeError::system("asking for the machine's name"))?;
        let mut signals = Signals::new().map_err(NodeError::system("watching signals"))?;

        let state = state_folder(config)?;
        let _lock = lock::take(&state.join("agent.lock"))?;
        let journals = state.join("pods");
        fs::create_dir_all(&journals).map_err(NodeError::path("making the folder", &journals))?;
        let pins = Pins::make(&config.bpffs)?;

        let (datapath, ring) = Datapath::load_pinned(&pins.tables())?;
        let datapath = Arc::new(datapath);
        let left = datapath.slots_in_use();
        let entries = config.limits.entries_per_pod.get();
        let limits = PodLimits { entries, ..PodLimits::default() };
        let pool = SlotPool::start(&datapath, limits)
            .map_err(NodeError::system("starting the thread that prepares slots"))?;
        let pods_by_slot = Arc::new(PodsBySlot::default());
        follow_events(EventRing::new(ring)?, Arc::clone(&pods_by_slot));

        let settings = ResolverSettings {
            cache_entries: usize::try_from(config.dns.cache_entries.get()).unwrap_or(usize::MAX),
            ..ResolverSettings::default()
        };
        let enforcer = Enforcer {
            wire_attach: datapath.wire_attach(),
            datapath,
            pool,
            resolver: Resolver::new(upstreams, settings),
            pins,
            journals,
            sink: Arc::clone(&sink),
            node,
            cgroup_root,
            requires_veth: config.require.veth,
            hard_blocks: config.hard_blocks,
            limits,
            pods_by_slot,
        };
        let (done, mut finished) = mpsc::unbounded_channel();
        let mut agent = Self {
            config: config.clone(),
            bundle,
            enforcer: Arc::new(enforcer),
            pods: Pods::new(),
            transitions: Transitions::default(),
            done,
            left: Some(left),
        };
        let containerd = &config.containerd;
        let mut watcher =
            watch(WatchSettings::new(containerd.socket.clone(), containerd.namespace.clone()));
        tracing::info!("the programs are loaded");
        loop {
            tokio::select! {
                change = watcher.changes.recv() => match change {
                    Some(change) => agent.on_change(change),
                    None => return Ok(()),
                },
                Some(done) = finished.recv() => agent.on_done(done),
                wanted = signals.next() => match wanted {
                    Wanted::Reload => agent.reload(),
                    Wanted::End => break,
                },
            }
        }
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

    fn on_change(&mut self, change: Change) {
        match change {
            Change::Relisted(listing) => self.reconcile(&listing),
            Change::Started { sandbox, received } => self.see(*sandbox, received),
            Change::Gone(sandbox) => self.end(&sandbox),
            Change::Unreadable(unreadable) => tracing::error!(
                sandbox = unreadable.id,
                error = %chain(&unreadable.error),
                "a sandbox cannot be read; its barrier, if it has one, holds it"
            ),
            Change::ContainerStarted(_) | Change::ContainerGone(_) => {}
        }
    }

    /// Brings what is enforced in line with all that runs.
    fn reconcile(&mut self, listing: &Listing) {
        let now = Instant::now();
        if let Some(left) = self.left.take() {
            leftovers::clear(&self.enforcer, listing, &left);
        }
        let unreadable: BTreeSet<&str> =
            listing.unreadable.iter().map(|unreadable| unreadable.id.as_str()).collect();
        let running: BTreeSet<&SandboxId> =
            listing.sandboxes.iter().map(|sandbox| &sandbox.id).collect();
        let gone: Vec<SandboxId> = self
            .pods
            .keys()
            .filter(|id| !running.contains(id) && !unreadable.contains(id.as_str()))
            .cloned()
            .collect();
        for sandbox in gone {
            self.end(&sandbox);
        }
        for sandbox in &listing.sandboxes {
            self.see(sandbox.clone(), now);
        }
        tracing::info!(running = running.len(), known = self.pods.len(), "reconciled");
    }

    /// Begins to enforce a sandbox that is selected and new.
    fn see(&mut self, sandbox: Sandbox, received: Instant) {
        // What an earlier agent enforced is never let go, whatever is selected now.
        let pinned = self.enforcer.pins.of(&sandbox.id).exists();
        if self.pods.contains_key(&sandbox.id) || !(pinned || self.config.select.matches(&sandbox))
        {
            return;
        }
        self.transitions.enter(&sandbox, Phase::Seen);
        let id = sandbox.id.clone();
        let stage = Stage::Attaching { failures: 0, ended: false };
        self.pods.insert(id.clone(), Known { sandbox, stage });
        self.attach(&id, received);
    }

    fn attach(&self, id: &SandboxId, received: Instant) {
        let Some(known) = self.pods.get(id) else { return };
        self.transitions.enter(&known.sandbox, Phase::Attaching);
        let (sandbox, profile) = (known.sandbox.clone(), self.bundle.profile_for(&known.sandbox));
        let scope = if self.config.policy.namespaces.contains_key(&sandbox.pod.namespace) {
            Scope::Namespace
        } else {
            Scope::Default
        };
        let (enforcer, done) = (Arc::clone(&self.enforcer), self.done.clone());
        tokio::task::spawn_blocking(move || {
            let result = enforcer.enforce(&sandbox, profile, scope);
            // The receiver is gone only when the agent ends.
            let _ended = done.send(Done::Enforced(sandbox.id, result, received.elapsed()));
        });
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Enforced(id, Ok(enforced), took) => self.enforced(&id, enforced, took),
            Done::Enforced(id, Err(error), _) => self.failed(&id, &error),
            Done::Again(id) => match self.pods.get(&id).map(|known| &known.stage) {
                Some(Stage::Attaching { ended: true, .. }) => self.clear_unfinished(&id),
                Some(Stage::Attaching { .. }) => self.attach(&id, Instant::now()),
                _ => {}
            },
            Done::Released(id) => {
                if let Some(known) = self.pods.remove(&id) {
                    self.transitions.enter(&known.sandbox, Phase::Gone);
                }
            }
        }
    }

    fn enforced(&mut self, id: &SandboxId, enforced: Arc<Enforced>, took: Duration) {
        let Some(known) = self.pods.get_mut(id) else { return };
        let ended = matches!(known.stage, Stage::Attaching { ended: true, .. });
        known.stage = Stage::Enforcing(Arc::clone(&enforced));
        self.transitions.enter(&known.sandbox, Phase::Enforcing);
        tracing::info!(
            sandbox = %id,
            took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            profile = enforced.pod.current_profile().name(),
            "enforced"
        );
        // The policies may have been read again meanwhile.
        let profile = self.bundle.profile_for(&known.sandbox);
        if !Arc::ptr_eq(&profile, &enforced.pod.current_profile()) {
            enforced.replace(&profile);
        }
        if ended {
            self.end(id);
        }
    }

    fn failed(&mut self, id: &SandboxId, error: &EnforceError) {
        let Some(known) = self.pods.get_mut(id) else { return };
        let Stage::Attaching { failures, ended } = &mut known.stage else { return };
        *failures = failures.saturating_add(1);
        if *ended {
            self.clear_unfinished(id);
            return;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << (*failures).min(16)).min(LAST_PAUSE);
        tracing::error!(
            sandbox = %id,
            pod = known.sandbox.pod.name,
            failures,
            error = %chain(error),
            "a pod is not enforced: it stays closed, and its barrier holds it; trying again"
        );
        let (done, id) = (self.done.clone(), id.clone());
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let _ended = done.send(Done::Again(id));
        });
    }

    /// Clears away a pod whose sandbox has ended.
    fn end(&mut self, id: &SandboxId) {
        let Some(known) = self.pods.get_mut(id) else { return };
        match &mut known.stage {
            Stage::Attaching { ended, .. } => *ended = true,
            Stage::Draining => {}
            Stage::Enforcing(enforced) => {
                let enforced = Arc::clone(enforced);
                known.stage = Stage::Draining;
                self.transitions.enter(&known.sandbox, Phase::Draining);
                let (enforcer, done) = (Arc::clone(&self.enforcer), self.done.clone());
                let id = id.clone();
                tokio::task::spawn_blocking(move || {
                    enforced.release(&enforcer.pods_by_slot);
                    let _ended = done.send(Done::Released(id));
                });
            }
        }
    }

    /// Clears away what failed attempts left of a pod that has ended.
    fn clear_unfinished(&mut self, id: &SandboxId) {
        let Some(known) = self.pods.get_mut(id) else { return };
        known.stage = Stage::Draining;
        self.transitions.enter(&known.sandbox, Phase::Draining);
        let cgroup = known.sandbox.cgroup.below(&self.enforcer.cgroup_root);
        let (enforcer, done, id) = (Arc::clone(&self.enforcer), self.done.clone(), id.clone());
        tokio::task::spawn_blocking(move || {
            enforcer.clear(&id, &cgroup);
            let _ended = done.send(Done::Released(id));
        });
    }

    /// Reads the policies again. Ones that cannot be used change nothing.
    fn reload(&mut self) {
        let bundle = match Bundle::load(&self.config.policy) {
            Ok(bundle) => bundle,
            Err(error) => {
                tracing::error!(error = %chain(&error), "the policies stay as they were");
                return;
            }
        };
        self.bundle = bundle;
        for known in self.pods.values() {
            if let Stage::Enforcing(enforced) = &known.stage {
                enforced.replace(&self.bundle.profile_for(&known.sandbox));
            }
        }
        tracing::info!(
            bundle = self.bundle.digest(),
            "the policies were read again and are in force"
        );
    }

    /// Waits for what is half done. Everything that is enforced stays so.
    async fn finish(&mut self, finished: &mut mpsc::UnboundedReceiver<Done>) {
        let half_done = |known: &Known| match known.stage {
            Stage::Attaching { failures, .. } => failures == 0,
            Stage::Draining => true,
            Stage::Enforcing(_) => false,
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
