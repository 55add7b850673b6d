//! Whom the pods' records are of, as the API server tells it.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    agent::Agent,
    enforce::chain,
    enforced::Enforced,
    pods::{Known, Stage},
};
use crate::{
    config::{Kubernetes, Switch},
    identity::subject,
    kubernetes::{self, Access, PodChange, PodFacts},
};

/// How long a pod's first records wait to be completed.
const WAIT: Duration = Duration::from_secs(2);
/// Pods of one node that are remembered: several times what a kubelet runs at most.
const PODS: usize = 4096;
/// Where a pod of the cluster finds its service account (`rest.InClusterConfig` of client-go).
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// What the API server has told of pods, by their uids.
#[derive(Debug, Default)]
pub(super) struct Identities {
    known: HashMap<String, PodFacts>,
    /// How often the API server broke off.
    pub(super) breaks: Arc<AtomicU64>,
}

/// What is told of pods; nothing ever where the API server is not asked.
#[derive(Debug)]
pub(super) struct Told(Option<mpsc::Receiver<PodChange>>);

impl Told {
    /// Begins to ask, if the configuration or the surroundings want that.
    pub(super) async fn follow(
        kubernetes: &Kubernetes,
        node: &str,
        breaks: &Arc<AtomicU64>,
    ) -> Self {
        let Some(access) = access(kubernetes) else { return Self(None) };
        match kubernetes::follow(&access, node, Arc::clone(breaks)).await {
            Ok(changes) => Self(Some(changes)),
            // Records lack who made a pod, and nothing else does.
            Err(error) => {
                breaks.fetch_add(1, Ordering::Relaxed);
                tracing::error!(error = %chain(&error), "the API server cannot be asked; records may lack who made a pod");
                Self(None)
            }
        }
    }

    pub(super) const fn is_asked(&self) -> bool {
        self.0.is_some()
    }

    pub(super) async fn next(&mut self) -> PodChange {
        let told = match &mut self.0 {
            Some(changes) => changes.recv().await,
            None => None,
        };
        match told {
            Some(change) => change,
            None => std::future::pending().await,
        }
    }
}

fn access(kubernetes: &Kubernetes) -> Option<Access> {
    let of_the_pod = || match &kubernetes.kubeconfig {
        Some(path) => Access::Kubeconfig(path.clone()),
        None => Access::ServiceAccount,
    };
    match kubernetes.enabled {
        Switch::Off => None,
        Switch::On => Some(of_the_pod()),
        Switch::Auto => {
            let is_wanted = kubernetes.kubeconfig.is_some() || Path::new(SERVICE_ACCOUNT).exists();
            is_wanted.then(of_the_pod)
        }
    }
}

impl Agent {
    /// The API server told of a pod: its records are completed, also those that waited.
    pub(super) fn on_pod(&mut self, change: PodChange) {
        match change {
            PodChange::Told(uid, facts) => {
                for known in self.pods.values().filter(|known| known.sandbox.pod.uid == uid) {
                    if let Some(enforced) = enforced(known) {
                        complete(enforced, &facts);
                    }
                }
                if self.identities.known.len() < PODS || self.identities.known.contains_key(&uid) {
                    self.identities.known.insert(uid, facts);
                }
            }
            PodChange::Gone(uid) => {
                self.identities.known.remove(&uid);
            }
            PodChange::Anew => self.identities.known.clear(),
        }
    }

    /// Completes the records of a pod that is enforced now by what is known of it, or soon will be.
    pub(super) fn identify(&self, enforced: &Arc<Enforced>) {
        if let Some(facts) = self.identities.known.get(&enforced.sandbox.pod.uid) {
            complete(enforced, facts);
        } else if enforced.pod.recorder().awaits_subject() {
            let enforced = Arc::downgrade(enforced);
            tokio::spawn(async move {
                tokio::time::sleep(WAIT).await;
                let waits = enforced.upgrade();
                // Waiting for room among the records must not keep a thread of the runtime.
                tokio::task::spawn_blocking(move || {
                    if let Some(enforced) = waits {
                        enforced.pod.recorder().wait_no_longer();
                    }
                });
            });
        }
    }
}

fn complete(enforced: &Arc<Enforced>, facts: &PodFacts) {
    let (enforced, facts) = (Arc::clone(enforced), facts.clone());
    tokio::task::spawn_blocking(move || {
        let recorder = enforced.pod.recorder();
        recorder.complete_subject(|info| subject::complete(info, &facts));
    });
}

const fn enforced(known: &Known) -> Option<&Arc<Enforced>> {
    match &known.stage {
        Stage::Enforcing(enforced) | Stage::Lingering(enforced) => Some(enforced),
        _ => None,
    }
}
