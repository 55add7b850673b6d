//! The stream of containerd's events, from the proof that it brings them.
//!
//! containerd answers a subscription only with its first event, so that there is no telling when it holds.
//! So an event of weir's own is published until the stream brings it back.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use containerd_client::types::Envelope;
use tokio::time::{interval, timeout};
use tonic::Streaming;

use super::client::{Client, failed};
use super::event::payload;
use super::session::SessionError;

/// The topic of weir's own events.
pub(super) const PROBE: &str = "/weir/probe";
/// How long the first echo may take, and how often the probe is sent meanwhile.
const PROOF: Duration = Duration::from_secs(10);
const PROBE_AGAIN: Duration = Duration::from_millis(50);

/// A stream that is proven to bring events, and those that came before the proof.
pub(super) async fn subscribe(
    client: &Client,
    namespace: &str,
    nonce: &[u8],
) -> Result<(Streaming<Envelope>, VecDeque<Envelope>), SessionError> {
    let topics =
        format!("^(/tasks/(create|start|exit|delete)|/containers/(create|update|delete)|{PROBE})$");
    let filter = format!("namespace=={namespace},topic~={topics:?}");
    let proof = async {
        let mut again = interval(PROBE_AGAIN);
        let mut subscribing = pin!(client.subscribe(filter));
        let mut stream = loop {
            tokio::select! {
                stream = &mut subscribing => break stream?,
                _ = again.tick() => client.publish(PROBE, nonce).await?,
            }
        };
        let mut early = VecDeque::new();
        loop {
            tokio::select! {
                envelope = next(&mut stream) => {
                    let envelope = envelope?;
                    if envelope.topic == PROBE && payload(&envelope) == nonce {
                        return Ok((stream, early));
                    }
                    early.push_back(envelope);
                }
                _ = again.tick() => client.publish(PROBE, nonce).await?,
            }
        }
    };
    timeout(PROOF, proof).await.unwrap_or(Err(SessionError::Silent(PROOF)))
}

pub(super) async fn next(stream: &mut Streaming<Envelope>) -> Result<Envelope, SessionError> {
    let envelope = stream.message().await.map_err(|status| failed("its events", status))?;
    envelope.ok_or(SessionError::Closed)
}
