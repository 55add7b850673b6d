//! containerd's events, as far as they tell of pods.

use containerd_client::events::{
    ContainerCreate, ContainerDelete, ContainerUpdate, TaskCreate, TaskDelete, TaskExit, TaskStart,
};
use containerd_client::types::Envelope;

use super::session::SessionError;

/// What happened to the container of this id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) what: What,
}

/// What happened to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A record of it is stored.
    Created,
    /// Its record was changed.
    Updated,
    /// Its process is about to start.
    Starting,
    /// Its first process has started.
    Started {
        /// In the agent's pid namespace.
        pid: u32,
    },
    /// Its first process has ended, or was buried: containerd tells both.
    Ended {
        /// 0 where a dead shim left no other.
        pid: u32,
    },
    /// Its record is gone.
    Deleted,
}

impl Event {
    /// Reads an event; none if it tells of nothing that matters here.
    pub(super) fn read(envelope: &Envelope) -> Result<Option<Self>, SessionError> {
        let (id, what) = match envelope.topic.as_str() {
            "/containers/create" => (decode::<ContainerCreate>(envelope)?.id, What::Created),
            "/containers/update" => (decode::<ContainerUpdate>(envelope)?.id, What::Updated),
            "/containers/delete" => (decode::<ContainerDelete>(envelope)?.id, What::Deleted),
            "/tasks/create" => (decode::<TaskCreate>(envelope)?.container_id, What::Starting),
            "/tasks/start" => {
                let TaskStart { container_id, pid } = decode(envelope)?;
                (container_id, What::Started { pid })
            }
            "/tasks/exit" => {
                let TaskExit { container_id, id, pid, .. } = decode(envelope)?;
                // Processes that were put into the container end under ids of their own.
                if id != container_id {
                    return Ok(None);
                }
                (container_id, What::Ended { pid })
            }
            "/tasks/delete" => {
                let TaskDelete { container_id, id, pid, .. } = decode(envelope)?;
                if !id.is_empty() && id != container_id {
                    return Ok(None);
                }
                (container_id, What::Ended { pid })
            }
            _ => return Ok(None),
        };
        Ok(Some(Self { id, what }))
    }

    pub(super) const fn is_end(&self) -> bool {
        matches!(self.what, What::Ended { .. } | What::Deleted)
    }
}

/// An event's bytes. containerd's type URLs have no slash, and the topic says the type as well.
pub(super) fn payload(envelope: &Envelope) -> &[u8] {
    envelope.event.as_ref().map_or(&[], |event| event.value.as_slice())
}

fn decode<M: prost::Message + Default>(envelope: &Envelope) -> Result<M, SessionError> {
    M::decode(payload(envelope))
        .map_err(|source| SessionError::Event { topic: envelope.topic.clone(), source })
}
