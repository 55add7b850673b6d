//! Events in their order, each with the record that it tells of.
//!
//! What is stored of a new container is asked for as soon as its event has come, and many are asked for at one
//! time: one answer after the other would hold up the starts that follow, when pods come in a burst and
//! containerd has much to do.

use std::collections::VecDeque;
use std::future::pending;

use containerd_client::services::v1::Container as Record;
use containerd_client::types::Envelope;
use tokio::task::JoinHandle;

use super::client::{Client, ClientError};

/// Events that may wait for their records.
const WAITING: usize = 256;

/// The answer to the question for a record; none stored is one.
pub(super) type Answer = Result<Option<Record>, ClientError>;

/// Events that wait for their records, the oldest first.
#[derive(Debug)]
pub(super) struct Arrivals {
    client: Client,
    waiting: VecDeque<(Envelope, Option<JoinHandle<Answer>>)>,
}

impl Arrivals {
    pub(super) const fn new(client: Client) -> Self {
        Self { client, waiting: VecDeque::new() }
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING
    }

    /// Adds an event; with the id of the container whose record is wanted.
    pub(super) fn push(&mut self, envelope: Envelope, wanted: Option<String>) {
        let client = self.client.clone();
        let answer = wanted.map(|id| tokio::spawn(async move { client.container(&id).await }));
        self.waiting.push_back((envelope, answer));
    }

    /// The oldest event, when its record is there; waits for ever when there is none. Dropped early, it loses
    /// nothing.
    pub(super) async fn next(&mut self) -> (Envelope, Option<Answer>) {
        let answer = match self.waiting.front_mut() {
            Some((_, Some(answer))) => answer.await.ok(),
            Some((_, None)) => None,
            None => pending().await,
        };
        match self.waiting.pop_front() {
            Some((envelope, _)) => (envelope, answer),
            None => pending().await,
        }
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        for (_, answer) in &self.waiting {
            if let Some(answer) = answer {
                answer.abort();
            }
        }
    }
}
