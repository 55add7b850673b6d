//! One connection's life: subscribe, list, follow.
//!
//! The event that proved the subscription, published again when the stream has been silent for long, tells a quiet
//! machine from a dead stream.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::{Duration, Instant as StdInstant};

use containerd_client::services::v1::Container as Record;
use containerd_client::types::Envelope;
use containerd_client::types::v1::{Process, Status};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::arrivals::{Answer, Arrival, Arrivals};
use super::change::{Change, Idle, Listing, Unreadable};
use super::client::{Client, ClientError};
use super::container::Container;
use super::event::{Event, What};
use super::id::{ContainerId, SandboxId};
use super::known::{Ended, Known};
use super::sandbox::Sandbox;
use super::state::{ContainerdState, Phase};
use super::stream::{PROBE, next, subscribe};
use super::watch::WatchSettings;

/// The label by which the CRI plug-in tells sandboxes from containers.
const KIND: &str = "io.cri-containerd.kind";

/// Why a connection was given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("containerd closed the event stream")]
    Closed,
    #[error("the event stream brought nothing back within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("reading an event of containerd's, topic {topic:?}")]
    Event {
        topic: String,
        #[source]
        source: prost::DecodeError,
    },
    #[error("making a nonce")]
    Nonce(#[source] getrandom::Error),
    /// Nobody wants changes any more.
    #[error("the receiver of changes is gone")]
    Unwanted,
}

/// Follows containerd over one connection until it breaks.
pub(super) async fn follow(
    settings: &WatchSettings,
    changes: &mpsc::Sender<Change>,
    state: &watch::Sender<ContainerdState>,
) -> Result<Infallible, SessionError> {
    let client = Client::connect(&settings.socket, &settings.namespace).await?;
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(SessionError::Nonce)?;
    let (mut stream, early) = subscribe(&client, &settings.namespace, &nonce).await?;
    state.send_modify(|state| state.enter(Phase::Listing));

    let (known, created) = (Known::default(), HashMap::new());
    let mut arrivals = Arrivals::default();
    let mut session = Session { client, changes, known, created };
    let listing = session.list().await?;
    session.send(Change::Relisted(listing)).await?;
    state.send_modify(|state| state.enter(Phase::Following));
    for envelope in early {
        session.queue(&envelope, &mut arrivals)?;
    }

    let mut probed = false;
    let mut deadline = Instant::now() + settings.silence;
    loop {
        // Events first: while they come the stream lives, however late they are read.
        tokio::select! {
            biased;
            arrival = arrivals.next() => session.take(arrival).await?,
            envelope = next(&mut stream), if arrivals.has_room() => {
                session.queue(&envelope?, &mut arrivals)?;
                (probed, deadline) = (false, Instant::now() + settings.silence);
            }
            () = sleep_until(deadline) => {
                if probed {
                    return Err(SessionError::Silent(settings.echo));
                }
                session.client.publish(PROBE, &nonce).await?;
                (probed, deadline) = (true, Instant::now() + settings.echo);
            }
        }
    }
}

/// What is known over one connection.
struct Session<'a> {
    client: Client,
    changes: &'a mpsc::Sender<Change>,
    known: Known,
    /// Sandboxes that have not started; none while too little is stored of one to tell of it.
    created: HashMap<String, Option<Sandbox>>,
}

impl Session<'_> {
    async fn list(&mut self) -> Result<Listing, SessionError> {
        // Containers first: one that starts between the two answers is told by its event.
        let filters = ["sandbox", "container"].map(|kind| format!("labels.{KIND:?}=={kind}"));
        let records = self.client.containers(&filters.each_ref().map(String::as_str)).await?;
        let tasks = self.client.tasks().await?;
        let tasks: HashMap<String, Process> =
            tasks.into_iter().map(|task| (owner(&task).to_owned(), task)).collect();
        let mut listing = Listing::default();
        let mut without_pause = Vec::new();
        for record in &records {
            let Some(kind) = kind(record) else { continue };
            let pid = match tasks.get(&record.id) {
                Some(task) => running(task),
                // containerd leaves out tasks whose shim it cannot reach; these are not gone.
                None => self.process_of(&record.id).await?,
            };
            match (kind, pid) {
                (Kind::Sandbox, Some(pid)) => listing.add(self.sandbox(record, pid)),
                (Kind::Sandbox, None) => without_pause.push(record),
                (Kind::Container, Some(pid)) => {
                    listing.containers.extend(self.container(record, pid));
                }
                (Kind::Container, None) => {}
            }
        }
        for record in without_pause {
            if let Some(pid) = self.known.container_of(&record.id) {
                listing.add(self.sandbox_without_pause(record, pid));
            } else {
                // It may start any moment; what never starts is gone when it is deleted.
                self.created.insert(record.id.clone(), None);
                let sandbox = Sandbox::read_created(record).ok();
                listing.idle.push(Idle { id: record.id.clone(), sandbox });
            }
        }
        Ok(listing)
    }

    /// Has an event wait for the record that it makes worth asking for.
    fn queue(&self, envelope: &Envelope, arrivals: &mut Arrivals) -> Result<(), SessionError> {
        let Some(event) = Event::read(envelope)? else { return Ok(()) };
        let wants = match event.what {
            What::Created | What::Updated => true,
            What::Started { pid } => {
                !self.known.is_old(&event.id, pid)
                    && !matches!(self.created.get(&event.id), Some(Some(_)))
            }
            What::Starting | What::Ended { .. } | What::Deleted => false,
        };
        let asked = wants.then(|| {
            let (client, id) = (self.client.clone(), event.id.clone());
            tokio::spawn(async move { client.container(&id).await })
        });
        arrivals.push(event, asked);
        Ok(())
    }

    async fn take(&mut self, arrival: Arrival) -> Result<(), SessionError> {
        let Arrival { event: Event { id, what }, received, record } = arrival;
        match what {
            What::Created => self.created(&id, received, record).await,
            What::Updated => self.completed(&id, received, record).await,
            What::Starting => self.about_to_start(&id, received).await,
            What::Started { pid } => self.started(&id, pid, received, record).await,
            What::Ended { pid } => {
                let ended = self.known.end(&id, pid);
                self.tell_ends(ended).await
            }
            What::Deleted => {
                let idle = self.created.remove(&id).map(|_| Ended::Sandbox(id.clone()));
                let ended = self.known.delete(&id).or(idle);
                self.tell_ends(ended).await
            }
        }
    }

    /// What is stored of a container, if it was not asked for before.
    async fn record(
        &self,
        id: &str,
        asked: Option<Answer>,
    ) -> Result<Option<Record>, SessionError> {
        Ok(match asked {
            Some(answer) => answer?,
            None => self.client.container(id).await?,
        })
    }

    async fn created(
        &mut self,
        id: &str,
        received: StdInstant,
        record: Option<Answer>,
    ) -> Result<(), SessionError> {
        let Some(record) = self.record(id, record).await? else { return Ok(()) };
        match kind(&record) {
            Some(Kind::Sandbox) => {
                let Ok(sandbox) = Sandbox::read_created(&record) else {
                    self.created.insert(id.to_owned(), None);
                    return Ok(());
                };
                if self.known.has_sandbox(&sandbox.id) {
                    // A listing was faster than the event.
                    return Ok(());
                }
                self.known.tell_sandbox(id, None);
                self.created.insert(id.to_owned(), Some(sandbox.clone()));
                self.send(Change::Created { sandbox: Box::new(sandbox), received }).await
            }
            Some(Kind::Container) => match readable(&record, 0) {
                Some(container) => self.send(Change::ContainerCreated(container)).await,
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// More is stored of a sandbox, perhaps now all that is needed.
    async fn completed(
        &mut self,
        id: &str,
        received: StdInstant,
        record: Option<Answer>,
    ) -> Result<(), SessionError> {
        match self.created.get(id) {
            Some(None) => self.created(id, received, record).await,
            Some(Some(_)) | None => Ok(()),
        }
    }

    /// containerd makes the task of a sandbox when CNI is done.
    async fn about_to_start(&mut self, id: &str, received: StdInstant) -> Result<(), SessionError> {
        self.completed(id, received, None).await?;
        let Some(Some(sandbox)) = self.created.get(id) else { return Ok(()) };
        let ready = Change::Ready(sandbox.id.clone());
        self.send(ready).await
    }

    async fn started(
        &mut self,
        id: &str,
        pid: u32,
        received: StdInstant,
        record: Option<Answer>,
    ) -> Result<(), SessionError> {
        if self.known.is_old(id, pid) {
            return Ok(());
        }
        if let Some(Some(created)) = self.created.remove(id) {
            self.known.tell_sandbox(id, Some(pid));
            return self.send(started(Ok(Sandbox { pid, ..created }), received)).await;
        }
        // Nothing is stored of a container that is gone by now; its end follows.
        let Some(record) = self.record(id, record).await? else { return Ok(()) };
        match kind(&record) {
            Some(Kind::Sandbox) => {
                let sandbox = self.sandbox(&record, pid);
                self.send(started(sandbox, received)).await
            }
            Some(Kind::Container) => {
                let container = self.container(&record, pid);
                if let Ok(sandbox) = Container::sandbox_of(&record) {
                    self.find_sandbox(&sandbox, pid, received).await?;
                }
                match container {
                    Some(container) => self.send(Change::ContainerStarted(container)).await,
                    None => Ok(()),
                }
            }
            None => {
                self.known.set_aside(id);
                Ok(())
            }
        }
    }

    /// Tells of the sandbox of a process that was not told yet, or was told as gone: its pause process ended
    /// while the container was being started.
    async fn find_sandbox(
        &mut self,
        id: &SandboxId,
        pid: u32,
        received: StdInstant,
    ) -> Result<(), SessionError> {
        if self.known.has_sandbox(id) {
            return Ok(());
        }
        let Some(record) = self.client.container(id.as_str()).await? else { return Ok(()) };
        let sandbox = match self.process_of(id.as_str()).await? {
            Some(pause) => self.sandbox(&record, pause),
            None => self.sandbox_without_pause(&record, pid),
        };
        self.send(started(sandbox, received)).await
    }

    /// The first process of a container if it runs; 0 if it may, and its shim does not answer.
    async fn process_of(&self, id: &str) -> Result<Option<u32>, SessionError> {
        match self.client.task(id).await {
            Err(error) if error.is_refusal() => Ok(Some(0)),
            answer => Ok(answer?.as_ref().and_then(running)),
        }
    }

    async fn tell_ends(
        &mut self,
        ends: impl IntoIterator<Item = Ended>,
    ) -> Result<(), SessionError> {
        for ended in ends {
            let change = match ended {
                Ended::Sandbox(id) => SandboxId::new(&id).map(Change::Gone),
                Ended::Container(id) => ContainerId::new(&id).map(Change::ContainerGone),
            };
            match change {
                Ok(change) => self.send(change).await?,
                // An unreadable one, told by its bare id; nobody could have kept anything of it.
                Err(_no_id) => {}
            }
        }
        Ok(())
    }

    fn sandbox(&mut self, record: &Record, pause: u32) -> Result<Sandbox, Unreadable> {
        self.known.tell_sandbox(&record.id, Some(pause));
        read(record, pause)
    }

    /// A sandbox whose pause process is dead, by the first process of a container that runs in it.
    fn sandbox_without_pause(&mut self, record: &Record, pid: u32) -> Result<Sandbox, Unreadable> {
        self.known.tell_sandbox(&record.id, None);
        read(record, pid)
    }

    fn container(&mut self, record: &Record, pid: u32) -> Option<Container> {
        self.known.tell_container(&record.id, pid, Container::sandbox_of(record).ok());
        readable(record, pid)
    }

    async fn send(&self, change: Change) -> Result<(), SessionError> {
        self.changes.send(change).await.map_err(|_closed| SessionError::Unwanted)
    }
}

fn started(sandbox: Result<Sandbox, Unreadable>, received: StdInstant) -> Change {
    match sandbox {
        Ok(sandbox) => Change::Started { sandbox: Box::new(sandbox), received },
        Err(unreadable) => Change::Unreadable(unreadable),
    }
}

fn read(record: &Record, pid: u32) -> Result<Sandbox, Unreadable> {
    Sandbox::read(record, pid).map_err(|error| {
        let id = record.id.clone();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(sandbox = ?id, %error, ?cause, "a pod cannot be read and is not enforced");
        Unreadable { id, error }
    })
}

fn readable(record: &Record, pid: u32) -> Option<Container> {
    Container::read(record, pid)
        .inspect_err(|error| {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(container = ?record.id, %error, ?cause, "records will not name a container");
        })
        .ok()
}

/// What a container of containerd's is to a pod.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Sandbox,
    Container,
}

/// The first process of a task that has started and not ended; 0 when containerd does not know.
fn running(task: &Process) -> Option<u32> {
    match task.status() {
        Status::Created | Status::Stopped => None,
        Status::Unknown => Some(0),
        _runs => Some(task.pid),
    }
}

/// Whose task it is; containerd names it in one field or the other.
fn owner(task: &Process) -> &str {
    if task.container_id.is_empty() { &task.id } else { &task.container_id }
}

fn kind(record: &Record) -> Option<Kind> {
    match record.labels.get(KIND).map(String::as_str) {
        Some("sandbox") => Some(Kind::Sandbox),
        Some("container") => Some(Kind::Container),
        _ => None,
    }
}
