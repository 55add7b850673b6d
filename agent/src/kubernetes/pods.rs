//! Follows the pods of this node.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Config};
use tokio::sync::mpsc;

use super::facts::PodFacts;

/// Pods that one answer of a listing holds: what is in memory of it at one time.
const PAGE: u32 = 100;

/// How to reach the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// As a pod of the cluster, with its service account.
    ServiceAccount,
    /// As this file says.
    Kubeconfig(PathBuf),
}

/// Why the API server cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There is no service account here, or only a part of it.
    #[error("reading the pod's service account")]
    ServiceAccount(#[from] kube::config::InClusterError),
    /// The file is none, or names nobody to ask.
    #[error("reading the kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// Its certificates or names cannot be used.
    #[error("preparing to ask the API server")]
    Client(#[source] Box<kube::Error>),
}

/// Something changed about a pod of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodChange {
    /// The pod with this uid is there, or says something else.
    Told(String, PodFacts),
    /// It is gone.
    Gone(String),
    /// What was told before counts no more: all that is there is told anew, and what went away meanwhile is not.
    Anew,
}

impl Access {
    async fn client(&self) -> Result<Client, AccessError> {
        let config = match self {
            Self::ServiceAccount => Config::incluster()?,
            Self::Kubeconfig(path) => kubeconfig(path).await?,
        };
        Client::try_from(config).map_err(|error| AccessError::Client(Box::new(error)))
    }
}

async fn kubeconfig(path: &Path) -> Result<Config, AccessError> {
    let failed =
        |source| AccessError::Kubeconfig { path: path.to_owned(), source: Box::new(source) };
    let file = Kubeconfig::read_from(path).map_err(failed)?;
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(failed)
}

/// Follows the pods that are bound to the node, for as long as the receiver lives. Whatever breaks is begun anew, after
/// longer and longer pauses, and counted in `breaks`.
///
/// # Errors
///
/// [`AccessError`]; the API server itself need not be there yet.
pub async fn follow(
    access: &Access,
    node: &str,
    breaks: Arc<AtomicU64>,
) -> Result<mpsc::Receiver<PodChange>, AccessError> {
    // Of this type, so that the metadata alone are asked for.
    let pods: Api<PartialObjectMeta<Pod>> = Api::all(access.client().await?);
    let selected = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    let watch = watcher(pods, selected.page_size(PAGE)).default_backoff();
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut watch = std::pin::pin!(watch);
        let mut is_broken = false;
        loop {
            let next = tokio::select! {
                next = watch.next() => next,
                () = sender.closed() => return,
            };
            let change = match next {
                Some(Ok(event)) => {
                    if std::mem::take(&mut is_broken) {
                        tracing::info!("the API server tells of pods again");
                    }
                    change(event)
                }
                Some(Err(error)) => {
                    breaks.fetch_add(1, Ordering::Relaxed);
                    if !std::mem::replace(&mut is_broken, true) {
                        tracing::warn!(%error, "the API server does not tell of pods; records may lack who made them");
                    }
                    None
                }
                // Never: it begins anew for ever.
                None => return,
            };
            if let Some(change) = change
                && sender.send(change).await.is_err()
            {
                return;
            }
        }
    });
    Ok(receiver)
}

fn change(event: watcher::Event<PartialObjectMeta<Pod>>) -> Option<PodChange> {
    match event {
        watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) => {
            PodFacts::read(pod.metadata).map(|(uid, facts)| PodChange::Told(uid, facts))
        }
        watcher::Event::Delete(pod) => pod.metadata.uid.map(PodChange::Gone),
        watcher::Event::Init => Some(PodChange::Anew),
        watcher::Event::InitDone => None,
    }
}

#[cfg(test)]
mod tests;
