//! Calls to containerd, each with a deadline.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use containerd_client::services::v1::{
    Container as Record, GetContainerRequest, GetRequest, ListContainersRequest, ListTasksRequest,
    PublishRequest, SubscribeRequest, containers_client::ContainersClient,
    events_client::EventsClient, tasks_client::TasksClient,
};
use containerd_client::types::Envelope;
use containerd_client::types::v1::Process;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

/// How long a connection, and a question about one thing, may take.
const ONE: Duration = Duration::from_secs(5);
/// How long a listing may take. containerd asks every shim for its state, one after the other.
const LISTING: Duration = Duration::from_secs(60);
/// What the event stream may hold unread, and the connection altogether (HTTP/2 windows): however much
/// lies unread in the stream, answers to other calls get through.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// The largest answer taken. One task or container is some tens of KiB at most.
const ANSWER_BYTES: usize = 16 << 20;

/// A call to containerd that failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens at the socket, or there is none.
    #[error("nobody listens at {}", path.display())]
    Absent {
        /// The socket.
        path: PathBuf,
    },
    /// The socket is there, and no connection comes about.
    #[error("connecting to {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// The socket's path or the namespace cannot be used in a call.
    #[error("{what} {text:?} cannot be used in a call to containerd")]
    Unusable {
        /// Which.
        what: &'static str,
        /// As configured.
        text: String,
    },
    /// containerd refused, or the connection broke.
    #[error("asking containerd for {what}")]
    Call {
        /// What was asked.
        what: &'static str,
        /// What was answered.
        #[source]
        source: Box<Status>,
    },
    /// No answer in time.
    #[error("containerd did not answer about {what} within {} s", after.as_secs())]
    Late {
        /// What was asked.
        what: &'static str,
        /// The deadline.
        after: Duration,
    },
}

impl ClientError {
    /// Whether containerd itself refused to answer, over a connection that holds.
    pub(super) fn is_refusal(&self) -> bool {
        // A broken connection leaves its own error behind the status.
        matches!(self, Self::Call { source, .. } if std::error::Error::source(source.as_ref()).is_none())
    }
}

/// A connection to containerd, for one of its namespaces.
#[derive(Clone, Debug)]
pub(super) struct Client {
    channel: Channel,
    namespace: MetadataValue<Ascii>,
}

impl Client {
    pub(super) async fn connect(socket: &Path, namespace: &str) -> Result<Self, ClientError> {
        let unusable = |what, text: &str| ClientError::Unusable { what, text: text.to_owned() };
        let path =
            socket.to_str().ok_or_else(|| unusable("the socket", &socket.to_string_lossy()))?;
        let namespace: MetadataValue<Ascii> =
            namespace.parse().map_err(|_not_ascii| unusable("the namespace", namespace))?;
        let endpoint = Endpoint::try_from(format!("unix://{path}"))
            .map_err(|_no_uri| unusable("the socket", path))?
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let path = || socket.to_owned();
        match tokio::time::timeout(ONE, endpoint.connect()).await {
            Ok(Ok(channel)) => Ok(Self { channel, namespace }),
            Ok(Err(source)) if is_absent(&source) => Err(ClientError::Absent { path: path() }),
            Ok(Err(source)) => Err(ClientError::Connect { path: path(), source }),
            Err(_elapsed) => Err(ClientError::Late { what: "a connection", after: ONE }),
        }
    }

    /// What is stored of a container; `None` if nothing is.
    pub(super) async fn container(&self, id: &str) -> Result<Option<Record>, ClientError> {
        let request = self.request(GetContainerRequest { id: id.to_owned() });
        let mut client = self.containers_client();
        let answer = call("a container", ONE, client.get(request)).await;
        Ok(or_none(answer)?.and_then(|answer| answer.container))
    }

    /// What is stored of the containers that pass one of the filters.
    pub(super) async fn containers(&self, filters: &[&str]) -> Result<Vec<Record>, ClientError> {
        let filters = filters.iter().map(ToString::to_string).collect();
        let request = self.request(ListContainersRequest { filters });
        let mut client = self.containers_client();
        // One message for each: a full node's list is larger than what containerd sends as one.
        let listing = async {
            let mut stream = client.list_stream(request).await?.into_inner();
            let mut records = Vec::new();
            while let Some(message) = stream.message().await? {
                records.extend(message.container);
            }
            Ok(tonic::Response::new(records))
        };
        call("its containers", LISTING, listing).await
    }

    /// The tasks of all containers whose shims answer.
    pub(super) async fn tasks(&self) -> Result<Vec<Process>, ClientError> {
        let request = self.request(ListTasksRequest::default());
        let mut client = self.tasks_client();
        Ok(call("its tasks", LISTING, client.list(request)).await?.tasks)
    }

    /// A container's task; `None` if it has none.
    pub(super) async fn task(&self, id: &str) -> Result<Option<Process>, ClientError> {
        let request =
            self.request(GetRequest { container_id: id.to_owned(), ..GetRequest::default() });
        let mut client = self.tasks_client();
        let answer = call("a task", ONE, client.get(request)).await;
        Ok(or_none(answer)?.and_then(|answer| answer.process))
    }

    /// Publishes an event of weir's own.
    pub(super) async fn publish(&self, topic: &str, value: &[u8]) -> Result<(), ClientError> {
        let mut event = PublishRequest { topic: topic.to_owned(), ..PublishRequest::default() };
        let payload = event.event.get_or_insert_default();
        "weir.dev/probe".clone_into(&mut payload.type_url);
        payload.value = value.to_vec();
        let mut client = EventsClient::new(self.channel.clone());
        call("an echo", ONE, client.publish(self.request(event))).await.map(drop)
    }

    /// The stream of events that pass a filter. It comes with its first event: containerd sends nothing
    /// before.
    pub(super) async fn subscribe(
        &self,
        filter: String,
    ) -> Result<Streaming<Envelope>, ClientError> {
        let request = self.request(SubscribeRequest { filters: vec![filter] });
        let mut client =
            EventsClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES);
        let stream = client.subscribe(request).await;
        stream.map(tonic::Response::into_inner).map_err(|status| failed("its events", status))
    }

    fn containers_client(&self) -> ContainersClient<Channel> {
        ContainersClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    fn tasks_client(&self) -> TasksClient<Channel> {
        TasksClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        request
    }
}

pub(super) fn failed(what: &'static str, status: Status) -> ClientError {
    ClientError::Call { what, source: Box::new(status) }
}

async fn call<T>(
    what: &'static str,
    after: Duration,
    answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, ClientError> {
    match tokio::time::timeout(after, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(failed(what, status)),
        Err(_elapsed) => Err(ClientError::Late { what, after }),
    }
}

fn or_none<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::Call { source, .. }) if source.code() == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an error goes back to a socket that is missing or that nobody listens at.
fn is_absent(error: &tonic::transport::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let kind = error.kind();
            return matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
        }
        cause = error.source();
    }
    false
}
