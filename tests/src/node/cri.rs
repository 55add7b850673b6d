//! The connection to a node's containerd: CRI as a kubelet uses it, and the task service beside it.

use std::fmt::Debug;
use std::future::Future;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::tasks_client::TasksClient;
use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{ImageSpec, ImageStatusRequest, StatusRequest};
use tokio::runtime::{Builder, Runtime};
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::looks::Looks;
use crate::vm::patient;

/// Most time for one call.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(60);
/// Most time for containerd to become ready.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// A client of one containerd.
#[derive(Debug)]
pub(super) struct Cri {
    runtime: Runtime,
    channel: Mutex<Option<Channel>>,
}

impl Cri {
    /// A client without a connection.
    pub(super) fn new() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, channel: Mutex::new(None) })
    }

    /// Connects to `socket` and waits until containerd can run pods. `alive` fails once containerd has ended.
    pub(super) fn connect(&self, socket: &Path, alive: impl Fn() -> Result<()>) -> Result<()> {
        let looks = Looks::within(READY_LIMIT);
        loop {
            let problem = match self.try_connect(socket) {
                Ok(()) => return Ok(()),
                Err(problem) => problem,
            };
            alive()?;
            if !looks.again() {
                return Err(problem.context(format!("not ready within {READY_LIMIT:?}")));
            }
        }
    }

    /// CRI refuses calls for a moment after the socket is there, and only a call tells.
    fn try_connect(&self, socket: &Path) -> Result<()> {
        let channel = self.runtime.block_on(containerd_client::connect(socket))?;
        let mut service = RuntimeServiceClient::new(channel.clone());
        let status = service.status(StatusRequest { verbose: false });
        let status = self.call("asking for the runtime's status", status)?;
        for condition in status.status.context("no status")?.conditions {
            ensure!(
                condition.status,
                "{}: {} {}",
                condition.r#type,
                condition.reason,
                condition.message
            );
        }
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = Some(channel);
        Ok(())
    }

    /// Forgets the connection: containerd is about to end.
    pub(super) fn disconnect(&self) {
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn channel(&self) -> Result<Channel> {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        channel.clone().context("containerd is stopped")
    }

    /// The service of pods and containers.
    pub(super) fn pods(&self) -> Result<RuntimeServiceClient<Channel>> {
        Ok(RuntimeServiceClient::new(self.channel()?))
    }

    /// containerd's own service of tasks.
    pub(super) fn tasks(&self) -> Result<TasksClient<Channel>> {
        Ok(TasksClient::new(self.channel()?))
    }

    /// containerd's own service of what is stored of containers.
    pub(super) fn containers(&self) -> Result<ContainersClient<Channel>> {
        Ok(ContainersClient::new(self.channel()?))
    }

    /// containerd's own service of root file systems.
    pub(super) fn snapshots(&self) -> Result<SnapshotsClient<Channel>> {
        Ok(SnapshotsClient::new(self.channel()?))
    }

    /// Waits until CRI knows the image: it learns of an import by an event.
    pub(super) fn wait_for_image(&self, reference: &str) -> Result<()> {
        let mut service = ImageServiceClient::new(self.channel()?);
        let looks = Looks::within(CALL_LIMIT);
        loop {
            let spec = ImageSpec { image: reference.to_owned(), ..ImageSpec::default() };
            let request = ImageStatusRequest { image: Some(spec), verbose: false };
            if self.call("asking for an image", service.image_status(request))?.image.is_some() {
                return Ok(());
            }
            ensure!(looks.again(), "{reference} does not reach CRI");
        }
    }

    /// Makes one call, at most [`CALL_LIMIT`] long.
    pub(super) fn call<T: Debug>(
        &self,
        what: &str,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T> {
        match self.attempt(patient(CALL_LIMIT), call)? {
            Ok(value) => Ok(value),
            Err(status) => bail!("{what}: {:?}: {}", status.code(), status.message()),
        }
    }

    /// As [`Self::call`], with containerd's refusal as a value; the error is that `limit` has passed.
    pub(super) fn attempt<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Result<T, Box<Status>>> {
        let bounded = async { tokio::time::timeout(limit, call).await };
        let answer = self.runtime.block_on(bounded);
        let answer = answer.with_context(|| format!("containerd gave no answer in {limit:?}"))?;
        Ok(answer.map(Response::into_inner).map_err(Box::new))
    }
}
