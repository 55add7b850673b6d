//! The state machine of each pod: what containerd tells and what attempts come to moves it on.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    agent::Agent,
    enforce::{Assigned, chain},
    enforced::Enforced,
    error::EnforceError,
    leftovers,
    pods::{Known, Stage},
    policies::Cause,
    prepare::{self, Prepared},
    roster::Phase,
};
use crate::{
    bundle::{Bundle, BundleError},
    config::Select,
    containerd::{CgroupPath, Change, Container, Listing, Sandbox, SandboxId},
    system::cgroup,
};

/// The pause before another attempt to enforce a pod, doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// How an attempt to enforce a pod, or to clear one away, ended.
pub(super) enum Done {
    Prepared(SandboxId, Box<Result<Prepared, EnforceError>>),
    Enforced(SandboxId, Result<Arc<Enforced>, EnforceError>, Duration),
    Again(SandboxId),
    /// The policies were read.
    Policies(Cause, Box<Result<Bundle, BundleError>>),
    /// Nothing is left in the cgroup of a pod that has ended, or that cannot be told.
    Emptied(SandboxId),
    Released(SandboxId),
}

impl Agent {
    pub(super) fn on_change(&mut self, change: Change) {
        match change {
            Change::Relisted(listing) => self.reconcile(listing),
            Change::Created { sandbox, received } => self.see(*sandbox, received, false),
            Change::Ready(sandbox) => self.ready(&sandbox, Instant::now()),
            Change::Started { sandbox, received } => self.see(*sandbox, received, true),
            Change::Gone(sandbox) => {
                self.passed_over.remove(&sandbox);
                self.end(&sandbox);
            }
            Change::Unreadable(unreadable) => tracing::error!(
                sandbox = unreadable.id,
                error = %chain(&unreadable.error),
                "a sandbox cannot be read; its barrier, if it has one, holds it"
            ),
            Change::ContainerCreated(container) | Change::ContainerStarted(container) => {
                self.see_container(&container);
            }
            Change::ContainerGone(_) => {}
        }
    }

    /// Brings what is enforced in line with all that runs.
    fn reconcile(&mut self, mut listing: Listing) {
        let now = Instant::now();
        self.keep_populated(&mut listing);
        if let Some(left) = self.left.take() {
            leftovers::clear(&self.enforcer, &listing, &left);
        }
        let unreadable: BTreeSet<&str> =
            listing.unreadable.iter().map(|unreadable| unreadable.id.as_str()).collect();
        let running: BTreeSet<&SandboxId> =
            listing.sandboxes.iter().map(|sandbox| &sandbox.id).collect();
        let idle: BTreeSet<&str> = listing.idle.iter().map(|idle| idle.id.as_str()).collect();
        let gone: Vec<SandboxId> = self
            .pods
            .iter()
            .filter(|(id, _)| !running.contains(id) && !unreadable.contains(id.as_str()))
            // One that had not started when it was listed may have started since, and its barrier have passed.
            .filter(|(id, known)| known.started.is_some() || !idle.contains(id.as_str()))
            .map(|(id, _)| id.clone())
            .collect();
        for sandbox in gone {
            self.end(&sandbox);
        }
        self.passed_over.clear();
        for sandbox in &listing.sandboxes {
            self.see(sandbox.clone(), now, true);
        }
        for container in &listing.containers {
            self.see_container(container);
        }
        self.ready.reconciled.holds();
        self.work.reconciled();
        tracing::info!(running = running.len(), known = self.pods.len(), "reconciled");
    }

    /// Counts a pod that an earlier agent has enforced as one that runs if its cgroup has processes: a container may
    /// be made and about to start when all others of the pod have ended.
    fn keep_populated(&self, listing: &mut Listing) {
        let Listing { sandboxes, idle, .. } = listing;
        for sandbox in idle.iter().filter_map(|idle| idle.sandbox.as_ref()) {
            let is_left =
                !self.pods.contains_key(&sandbox.id) && self.enforcer.pins.of(&sandbox.id).exists();
            // They may be those of the pod's next sandbox.
            let is_taken = sandboxes.iter().any(|other| other.cgroup == sandbox.cgroup);
            let cgroup = sandbox.cgroup.below(&self.enforcer.cgroup_root);
            if is_left && !is_taken && cgroup::is_populated(&cgroup).unwrap_or(false) {
                sandboxes.push(sandbox.clone());
            }
        }
    }

    /// Begins to enforce a sandbox if it is selected and new, and else notes that it has started.
    fn see(&mut self, sandbox: Sandbox, received: Instant, started: bool) {
        if self.pods.contains_key(&sandbox.id) {
            if started {
                self.start(&sandbox.id, received);
            }
            return;
        }
        // What an earlier agent enforced is never let go, whatever is selected now.
        let pinned = self.enforcer.pins.of(&sandbox.id).exists();
        if pinned || self.config.select.matches(&sandbox) {
            self.take_on(sandbox, received, started);
        } else {
            self.passed_over.insert(sandbox.id.clone(), sandbox);
        }
    }

    /// A sandbox that is known has started.
    fn start(&mut self, id: &SandboxId, received: Instant) {
        let Some(known) = self.pods.get_mut(id) else { return };
        known.returned |= known.is_ending();
        if let Stage::Lingering(enforced) = &known.stage {
            known.stage = Stage::Enforcing(Arc::clone(enforced));
        }
        if known.started.replace(received).is_some() {
            return;
        }
        if let Stage::Enforcing(_) = known.stage {
            waited(id, Duration::ZERO);
        }
        self.ready(id, received);
    }

    /// The network of a sandbox is complete: nothing stands in the way of its enforcement.
    fn ready(&mut self, id: &SandboxId, received: Instant) {
        let Some(known) = self.pods.get_mut(id) else { return };
        known.ready = true;
        match &known.stage {
            Stage::Preparing { hurry, .. } => hurry.notify_one(),
            Stage::Prepared(_) => self.attach(id, received),
            Stage::Waiting
            | Stage::Attaching { .. }
            | Stage::Enforcing(_)
            | Stage::Lingering(_)
            | Stage::Draining => {}
        }
    }

    /// Notes a container by its name. A pod that is not selected is enforced all the same when it has the barrier,
    /// before which nothing of it runs.
    fn see_container(&mut self, container: &Container) {
        if Select::is_barrier(container)
            && let Some(sandbox) = self.passed_over.remove(&container.sandbox)
        {
            self.take_on(sandbox, Instant::now(), true);
        }
        if let Some(known) = self.pods.get(&container.sandbox) {
            let cgroup = container.cgroup.below(&self.enforcer.cgroup_root);
            known.containers.add(&container.name, cgroup);
        }
    }

    /// Begins to enforce a sandbox.
    fn take_on(&mut self, sandbox: Sandbox, received: Instant, started: bool) {
        self.roster.enter(&sandbox, Phase::Seen, None);
        let id = sandbox.id.clone();
        let last = self.pods.iter().find(|(_, other)| other.sandbox.cgroup == sandbox.cgroup);
        let last = last.map(|(id, _)| id.clone());
        let known = Known {
            sandbox,
            stage: Stage::Waiting,
            ready: started,
            started: started.then_some(received),
            returned: false,
            containers: Arc::default(),
        };
        self.pods.insert(id.clone(), known);
        match last {
            // Processes of the new sandbox would keep it for ever.
            Some(last) => self.drain_lingering(&last),
            None => self.begin(&id, received),
        }
    }

    /// Begins to enforce the sandbox that waited for one in the same cgroup to be cleared away.
    fn succeed(&mut self, last: &Sandbox) {
        if let Some(id) = self.waits_for(&last.cgroup) {
            self.begin(&id, Instant::now());
        }
    }

    /// The sandbox that waits for a cgroup.
    fn waits_for(&self, cgroup: &CgroupPath) -> Option<SandboxId> {
        let waits = |known: &Known| {
            matches!(known.stage, Stage::Waiting) && known.sandbox.cgroup == *cgroup
        };
        self.pods.iter().find(|(_, known)| waits(known)).map(|(id, _)| id.clone())
    }

    /// Enforces a sandbox whose network is complete, and else prepares it.
    fn begin(&mut self, id: &SandboxId, received: Instant) {
        let Some(known) = self.pods.get_mut(id) else { return };
        if known.ready {
            self.attach(id, received);
            return;
        }
        let hurry = Arc::new(Notify::new());
        known.stage = Stage::Preparing { hurry: Arc::clone(&hurry), ended: false };
        let (enforcer, done) = (Arc::clone(&self.enforcer), self.done.clone());
        let (id, sandbox) = (id.clone(), known.sandbox.clone());
        tokio::spawn(async move {
            let result = prepare::ahead(enforcer, sandbox, hurry).await;
            // The receiver is gone only when the agent ends.
            let _ended = done.send(Done::Prepared(id, Box::new(result)));
        });
    }

    fn attach(&mut self, id: &SandboxId, received: Instant) {
        let Some(known) = self.pods.get_mut(id) else { return };
        self.roster.enter(&known.sandbox, Phase::Attaching, None);
        let stage = match known.stage {
            Stage::Attaching { .. } => None,
            _ => Some(Stage::Attaching { failures: 0, ended: false }),
        };
        let prepared = match stage.map(|stage| std::mem::replace(&mut known.stage, stage)) {
            Some(Stage::Prepared(prepared)) => prepared.map(|prepared| *prepared),
            _ => None,
        };
        let sandbox = known.sandbox.clone();
        let policy = Assigned {
            choice: self.policies.choose(&sandbox, &self.config),
            containers: Arc::clone(&known.containers),
        };
        let (enforcer, done) = (Arc::clone(&self.enforcer), self.done.clone());
        tokio::task::spawn_blocking(move || {
            let result = enforcer.enforce(&sandbox, prepared, policy);
            let _ended = done.send(Done::Enforced(sandbox.id, result, received.elapsed()));
        });
    }

    pub(super) fn on_done(&mut self, done: Done) {
        match done {
            Done::Prepared(id, result) => self.prepared(&id, *result),
            Done::Enforced(id, Ok(enforced), took) => self.enforced(&id, &enforced, took),
            Done::Enforced(id, Err(error), _) => self.failed(&id, &error),
            Done::Again(id) => match self.pods.get(&id).map(|known| &known.stage) {
                Some(Stage::Attaching { ended: true, .. }) => self.clear_unfinished(&id),
                Some(Stage::Attaching { .. }) => self.attach(&id, Instant::now()),
                _ => {}
            },
            Done::Emptied(id) => self.emptied(&id),
            Done::Policies(cause, read) => self.policies_read(cause, *read),
            Done::Released(id) => {
                if let Some(known) = self.pods.remove(&id) {
                    self.roster.enter(&known.sandbox, Phase::Gone, None);
                    if known.returned {
                        self.take_on(known.sandbox, Instant::now(), true);
                    } else {
                        self.succeed(&known.sandbox);
                    }
                }
            }
        }
    }

    /// What could not be prepared is put in place by the first attempt to enforce the sandbox.
    fn prepared(&mut self, id: &SandboxId, result: Result<Prepared, EnforceError>) {
        let Some(known) = self.pods.get_mut(id) else { return };
        let Stage::Preparing { ended, .. } = known.stage else { return };
        match &result {
            Ok(_) => self.roster.enter(&known.sandbox, Phase::Prepared, None),
            Err(error) => {
                tracing::debug!(sandbox = %id, error = %chain(error), "not prepared");
            }
        }
        known.stage = Stage::Prepared(result.ok().map(Box::new));
        if ended {
            self.end(id);
        } else if known.ready {
            self.attach(id, Instant::now());
        }
    }

    fn enforced(&mut self, id: &SandboxId, enforced: &Arc<Enforced>, took: Duration) {
        let Some(known) = self.pods.get_mut(id) else { return };
        let ended = matches!(known.stage, Stage::Attaching { ended: true, .. });
        known.stage = Stage::Enforcing(Arc::clone(enforced));
        self.roster.enter(&known.sandbox, Phase::Enforcing, Some(enforced));
        tracing::info!(
            sandbox = %id,
            took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            profile = enforced.pod.current_profile().name(),
            "enforced"
        );
        self.work.enforced(took);
        // The policies may have been read again meanwhile.
        enforced.assign(&self.policies.choose(&known.sandbox, &self.config));
        if let Some(started) = known.started {
            waited(id, started.elapsed());
        }
        self.identify(enforced);
        if ended {
            self.end(id);
        }
    }

    fn failed(&mut self, id: &SandboxId, error: &EnforceError) {
        let Some(known) = self.pods.get_mut(id) else { return };
        let Stage::Attaching { failures, ended } = &mut known.stage else { return };
        *failures = failures.saturating_add(1);
        self.work.failed();
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
        self.roster.enter(&known.sandbox, Phase::Failed, None);
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
            Stage::Lingering(_) | Stage::Draining => {}
            Stage::Preparing { hurry, ended } => {
                *ended = true;
                hurry.notify_one();
            }
            Stage::Prepared(_) => self.clear_unfinished(id),
            // Nothing was put in place.
            Stage::Waiting => {
                self.roster.enter(&known.sandbox, Phase::Gone, None);
                self.pods.remove(id);
            }
            Stage::Enforcing(enforced) => {
                let (pod, cgroup) = (Arc::clone(enforced), known.sandbox.cgroup.clone());
                known.stage = Stage::Lingering(Arc::clone(enforced));
                // What is left may be processes of the next sandbox, which waits for this one to go.
                if self.waits_for(&cgroup).is_none() && pod.is_populated() {
                    let (done, id) = (self.done.clone(), id.clone());
                    tokio::spawn(async move {
                        pod.emptied().await;
                        let _ended = done.send(Done::Emptied(id));
                    });
                } else {
                    self.drain_lingering(id);
                }
            }
        }
    }

    /// The last process of a pod that had ended has ended, unless the pod has come back and ended again.
    fn emptied(&mut self, id: &SandboxId) {
        match self.pods.get(id).map(|known| &known.stage) {
            Some(Stage::Lingering(enforced)) if !enforced.is_populated() => {
                self.drain_lingering(id);
            }
            _ => {}
        }
    }

    /// Takes away what a pod that has ended is enforced by.
    fn drain_lingering(&mut self, id: &SandboxId) {
        let Some(known) = self.pods.get_mut(id) else { return };
        let Stage::Lingering(enforced) = &known.stage else { return };
        let pod = Arc::clone(enforced);
        known.stage = Stage::Draining;
        self.roster.enter(&known.sandbox, Phase::Draining, Some(&pod));
        let (shared, done, id) = (Arc::clone(&self.enforcer), self.done.clone(), id.clone());
        tokio::task::spawn_blocking(move || {
            pod.release(&shared.pods_by_slot);
            let _ended = done.send(Done::Released(id));
        });
    }

    /// Clears away what failed attempts left of a pod that has ended.
    fn clear_unfinished(&mut self, id: &SandboxId) {
        let Some(known) = self.pods.get_mut(id) else { return };
        known.stage = Stage::Draining;
        self.roster.enter(&known.sandbox, Phase::Draining, None);
        let cgroup = known.sandbox.cgroup.below(&self.enforcer.cgroup_root);
        let (enforcer, done, id) = (Arc::clone(&self.enforcer), self.done.clone(), id.clone());
        tokio::task::spawn_blocking(move || {
            enforcer.clear(&id, &cgroup);
            let _ended = done.send(Done::Released(id));
        });
    }
}

/// How long a pod that has started waited for its enforcement.
fn waited(id: &SandboxId, time: Duration) {
    let waited_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(sandbox = %id, waited_us, "started under enforcement");
}
