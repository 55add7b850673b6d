//! Puts both layers in place for one pod, or takes over what an earlier agent has put in place.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use super::{
    audit::Auditor,
    enforced::{Enforced, Wire},
    error::EnforceError,
    pins::{Pins, remove_folder},
    pods::PodsBySlot,
    pool::SlotPool,
    prepare::{Place, Prepared},
    surroundings,
};
use crate::{
    bundle::Choice,
    config::{self, HardBlocks},
    containerd::{Sandbox, SandboxId},
    datapath::{Datapath, guard::Guard, slot::PodLimits, wire::WireAttach},
    events::{
        record::{Kind, Lack, Scope},
        sink::Sink,
    },
    identity::subject,
    netns::{
        listener,
        nftables::{self, Capture},
    },
    pod::{
        EnforcedPod, ListenerAddress, Reach, Surroundings,
        containers::Containers,
        journal::{Journal, Story},
        records::Recorder,
        subject::Subject,
        sweep::Sweeper,
    },
    resolver::{Listener, Resolver, serve},
    system::addresses::{AddressChanges, Groups},
};

/// What all pods are enforced with.
#[derive(Debug)]
pub(super) struct Enforcer {
    pub(super) datapath: Arc<Datapath>,
    pub(super) pool: SlotPool,
    pub(super) resolver: Arc<Resolver>,
    pub(super) pins: Pins,
    /// The folder of the pods' journals.
    pub(super) journals: PathBuf,
    pub(super) sink: Arc<Sink>,
    /// The node's name in records.
    pub(super) node: String,
    pub(super) cgroup_root: PathBuf,
    pub(super) wire_attach: WireAttach,
    pub(super) requires_veth: bool,
    pub(super) requires_modules: bool,
    /// What sees the whole machine.
    pub(super) guard: Guard,
    pub(super) hard_blocks: HardBlocks,
    /// What of GitLab Runner's pods no job could have written.
    pub(super) trust: config::Gitlab,
    /// The API server tells who made pods.
    pub(super) asks_for_pods: bool,
    /// What the page of a job says of how to ask for more.
    pub(super) help: Option<Arc<str>>,
    /// Sizes of a pod's tables.
    pub(super) limits: PodLimits,
    pub(super) sweeper: Sweeper,
    pub(super) pods_by_slot: Arc<PodsBySlot>,
    pub(super) auditor: Auditor,
}

/// What a pod is enforced by.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) choice: Choice,
    pub(super) containers: Arc<Containers>,
}

impl Enforcer {
    /// Puts everything in place for a sandbox. When this fails, what was put in place stays, and holds the pod
    /// closed until another attempt takes it over.
    ///
    /// Waits for the kernel; must be called on a thread that may, within the runtime.
    pub(super) fn enforce(
        &self,
        sandbox: &Sandbox,
        prepared: Option<Prepared>,
        policy: Assigned,
    ) -> Result<Arc<Enforced>, EnforceError> {
        let Assigned { choice: Choice { profile, scope }, containers } = policy;
        let folder = self.pins.of(&sandbox.id);
        let cgroup = sandbox.cgroup.below(&self.cgroup_root);
        let journal_path = self.journals.join(sandbox.id.as_str());
        // From here on the pod is closed, or as open as the policy that an earlier agent left.
        let mut prepared = match prepared {
            Some(prepared) => prepared,
            None => self.close(sandbox)?,
        };
        if prepared.place.is_none() {
            prepared.place = Place::of(sandbox)?;
        }
        self.guard(&mut prepared, &folder)?;
        self.require_modules()?;
        let has_veth = self.require_veth(prepared.place.as_ref())?;
        let Prepared { slot, left, attachment, wires, mut place } = prepared;
        let port = left.as_ref().map_or(0, |state| state.listener_port);
        let (listener, address, captured) = if let Some(place) = &mut place {
            let (listener, address, captured) = place.listen(port)?;
            (listener, address, Some(captured))
        } else {
            let (listener, address) = listen_on_loopback()?;
            (listener, address, None)
        };
        let recorder = self.recorder(sandbox, scope).with_containers(containers);
        let journal = Journal::open(&journal_path)
            .map_err(EnforceError::system("opening the pod's journal"))?;
        let pod = EnforcedPod::new(
            Arc::clone(&self.datapath),
            slot,
            profile,
            address,
            usize::try_from(self.limits.entries).unwrap_or(usize::MAX),
            recorder,
        )
        .with_uid(sandbox.pod.uid.clone())
        .with_search(&sandbox.searches)
        .with_hard_blocks(self.hard_blocks)
        .with_help(self.help.clone())
        .with_lacks(self.lacks(has_veth))
        .with_journal(journal);
        let adopted = left.filter(|left| left.generation != 0);
        if let Some(left) = &adopted {
            let story = Story::read(&journal_path)
                .map_err(EnforceError::system("reading the pod's journal"))?;
            pod.adopt(left, &story);
        }
        let pod = Arc::new(pod);
        self.pods_by_slot.insert(&pod);
        self.sweeper.add(&pod);
        let server = serve(Arc::clone(&self.resolver), Arc::clone(&pod), listener)
            .map_err(EnforceError::system("serving the pod's DNS"))?;
        let (surroundings, netns, news) = if let Some(Place { netns, links, host_side }) = place {
            (surroundings::of_pod(&host_side)?, Some(netns), links.into_news())
        } else {
            // Before the first look, so that no change falls between the two.
            let news = AddressChanges::subscribe()
                .map_err(EnforceError::system("watching the node's addresses"))?;
            let surroundings = Surroundings::of_this_machine()
                .map_err(EnforceError::system("reading the node's addresses"))?;
            (surroundings, None, news)
        };
        pod.prove();
        pod.enforce(surroundings.clone())?;
        self.pins.remove_elsewhere(&sandbox.id);
        if adopted.is_none() {
            pod.record_phase(Kind::Attach);
        }
        let (capture, changes) = captured.map(|seen| (seen.capture, seen.changes)).unzip();
        let wire = netns.zip(capture).map(|(netns, capture)| {
            Wire::new(netns, wires, surroundings, self.wire_attach, capture)
        });
        let enforced = Arc::new(Enforced {
            sandbox: sandbox.clone(),
            pod,
            server: Some(server).into(),
            attachment: Some(attachment).into(),
            cgroup,
            folder,
            journal: journal_path,
            wire,
            watching: Mutex::default(),
        });
        enforced.watch_network(news);
        if let Some(changes) = changes {
            self.auditor.watch_capture(&enforced, changes);
        }
        self.auditor.add(&enforced);
        Ok(enforced)
    }

    /// Whether the second layer sees whatever leaves the pod; an error where the configuration wants that and it does not.
    fn require_veth(&self, place: Option<&Place>) -> Result<bool, EnforceError> {
        match place.map(|place| place.host_side.require_veth()) {
            Some(Err(error)) if self.requires_veth => Err(error.into()),
            Some(Err(error)) => {
                tracing::warn!(%error, "a pod has a way out that the second layer does not guard");
                Ok(false)
            }
            Some(Ok(_)) => Ok(true),
            None => Ok(false),
        }
    }

    /// That the hooks of security modules are in force, where the configuration wants that.
    fn require_modules(&self) -> Result<(), EnforceError> {
        match &self.guard.modules {
            Err(error) if self.requires_modules => Err(EnforceError::NoModules(chain(error))),
            Err(_) | Ok(_) => Ok(()),
        }
    }

    /// What a pod has not that one of another node may have.
    fn lacks(&self, has_veth: bool) -> Vec<Lack> {
        let mut lacks = self.guard.lacks();
        if !has_veth {
            lacks.push(Lack::Veth);
        }
        lacks
    }

    /// Takes away what failed attempts left of a pod that has ended.
    pub(super) fn clear(&self, sandbox: &SandboxId, cgroup: &Path) {
        let slot = self.datapath.slot_of(cgroup);
        self.datapath.forget(cgroup);
        remove_folder(&self.pins.of(sandbox));
        if let Some(slot) = slot {
            self.datapath.release_left(&[slot]);
        }
        // It may not have come to a journal.
        fs::remove_file(self.journals.join(sandbox.as_str())).ok();
    }

    fn recorder(&self, sandbox: &Sandbox, scope: Scope) -> Recorder {
        let info = subject::of_sandbox(sandbox, self.trust);
        let subject = if self.asks_for_pods && subject::is_plain(&info) {
            Subject::awaited(info)
        } else {
            Subject::known(info)
        };
        Recorder::new(Arc::clone(&self.sink), self.node.clone(), scope, subject)
    }
}

impl Place {
    /// Opens the pod's DNS sockets at the addresses that it has now, on the port that they had before, and has all
    /// its questions go there.
    ///
    /// The pod's namespace is entered once for all of it: each time takes two switches of threads, which may wait
    /// for others in a burst of pod starts.
    fn listen(&mut self, port: u16) -> Result<(Listener, ListenerAddress, Captured), EnforceError> {
        let Self { netns, host_side, .. } = self;
        let (listener, address, capture, news) = netns.enter(|| {
            host_side.read_addresses()?;
            let (addresses, entrances) = (host_side.uplink_addresses(), host_side.entrances());
            let listener = listener::open(addresses, port, &entrances)?;
            let port = listener.port();
            // Before the capture is there, so that no change of it is missed.
            let news = AddressChanges::open(Groups::Nftables)
                .map_err(EnforceError::system("watching the pod's nftables"))?;
            let capture = Capture {
                v4: addresses.v4.map(|v4| SocketAddrV4::new(v4, port)),
                v6: addresses.v6.map(|v6| SocketAddrV6::new(v6, port, 0, 0)),
                entrances,
            };
            nftables::install(&capture)?;
            let address = ListenerAddress {
                // Without IPv4 no query over it can leave, and none needs an answer.
                v4: addresses.v4.unwrap_or(Ipv4Addr::LOCALHOST),
                v6: addresses.v6,
                port,
                reach: Reach::Pod,
            };
            Ok::<_, EnforceError>((listener, address, capture, news))
        })??;
        let changes = AddressChanges::register(news)
            .map_err(EnforceError::system("watching the pod's nftables"))?;
        Ok((listener, address, Captured { capture, changes }))
    }
}

/// How a pod's questions are captured, and what tells of changes to that.
struct Captured {
    capture: Capture,
    changes: AddressChanges,
}

/// Opens the DNS sockets of a pod that has the node's network.
fn listen_on_loopback() -> Result<(Listener, ListenerAddress), EnforceError> {
    let listener = Listener::bind_loopback()
        .map_err(EnforceError::system("opening DNS sockets on loopback"))?;
    let address = ListenerAddress {
        v4: Ipv4Addr::LOCALHOST,
        v6: listener.has_v6().then_some(Ipv6Addr::LOCALHOST),
        port: listener.port(),
        reach: Reach::Machine,
    };
    Ok((listener, address))
}

impl Enforced {
    /// Follows the addresses and links of a pod that has a network of its own, or the node's for one that has
    /// not.
    fn watch_network(self: &Arc<Self>, mut changes: AddressChanges) {
        let enforced = Arc::downgrade(self);
        let task = tokio::spawn(async move {
            loop {
                if let Err(error) = changes.changed().await {
                    tracing::warn!(%error, "the addresses of a pod can no longer be watched");
                    return;
                }
                let Some(enforced) = enforced.upgrade() else { return };
                let refreshed =
                    tokio::task::spawn_blocking(move || enforced.refresh_network()).await;
                match refreshed {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(error = %chain(&error), "a pod's network could not be read again");
                    }
                    Err(_panicked_or_cancelled) => return,
                }
            }
        });
        self.watch_by(task);
    }
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    crate::run::summary::chain(error)
}
