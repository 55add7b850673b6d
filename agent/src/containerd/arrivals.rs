//! Events in their order, each with the record that it tells of.
//!
//! What is stored of a container is asked for as soon as its event has come, and many are asked for at one time.
//! While pods come in a burst, containerd takes 60 ms and more for an answer; no pod's start should wait for
//! another's. So events keep their order for each container, and those that tell of an end their place behind all
//! that came before: a pod is gone only after all that started in it.

use std::{
    collections::{HashSet, VecDeque},
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use containerd_client::services::v1::Container as Record;
use tokio::task::JoinHandle;

use super::{client::ClientError, event::Event};

/// Events that may wait for their records.
const WAITING: usize = 256;

/// The answer to the question for a record; none stored is one.
pub(super) type Answer = Result<Option<Record>, ClientError>;

/// An event that has come.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) event: Event,
    /// When it came.
    pub(super) received: Instant,
    /// What is stored of its container, if that was asked for.
    pub(super) record: Option<Answer>,
}

/// Events that wait for their records, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    waiting: VecDeque<(Arrival, Option<JoinHandle<Answer>>)>,
}

impl Arrivals {
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING
    }

    /// Adds an event that has just come, and the question for its record if that is wanted.
    pub(super) fn push(&mut self, event: Event, asked: Option<JoinHandle<Answer>>) {
        let arrival = Arrival { event, received: Instant::now(), record: None };
        self.waiting.push_back((arrival, asked));
    }

    /// The oldest event that need not wait any more; waits for ever when there is none. Dropped early, it loses
    /// nothing.
    pub(super) async fn next(&mut self) -> Arrival {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Arrival> {
        for (arrival, asked) in &mut self.waiting {
            if let Some(answer) = asked
                && let Poll::Ready(answer) = Pin::new(answer).poll(context)
            {
                // A question that panicked is asked again by whoever takes the event.
                (arrival.record, *asked) = (answer.ok(), None);
            }
        }
        let next = self.first_free().and_then(|index| self.waiting.remove(index));
        next.map_or(Poll::Pending, |(arrival, _)| Poll::Ready(arrival))
    }

    fn first_free(&self) -> Option<usize> {
        let mut held = HashSet::new();
        self.waiting.iter().position(|(Arrival { event, .. }, asked)| {
            let waits =
                asked.is_some() || held.contains(&event.id) || (event.is_end() && !held.is_empty());
            if waits {
                held.insert(&event.id);
            }
            !waits
        })
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        for asked in self.waiting.iter().filter_map(|(_, asked)| asked.as_ref()) {
            asked.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::{super::event::What, *};

    const STARTED: What = What::Started { pid: 7 };
    const ENDED: What = What::Ended { pid: 7 };

    fn event(id: &str, what: What) -> Event {
        Event { id: id.to_owned(), what }
    }

    /// A question that is answered when the sender says so.
    fn question() -> (oneshot::Sender<()>, Option<JoinHandle<Answer>>) {
        let (answer, asked) = oneshot::channel();
        let asked = tokio::spawn(async move {
            asked.await.expect("an answer");
            Ok(None)
        });
        (answer, Some(asked))
    }

    async fn next(arrivals: &mut Arrivals) -> (String, What, bool) {
        let Arrival { event, record, .. } = arrivals.next().await;
        (event.id, event.what, record.is_some())
    }

    /// Whether everything that is left has to wait.
    async fn rests(arrivals: &mut Arrivals) -> bool {
        tokio::task::yield_now().await;
        poll_fn(|context| Poll::Ready(arrivals.poll_next(context).is_pending())).await
    }

    #[tokio::test]
    async fn a_start_waits_for_no_other_container() {
        let mut arrivals = Arrivals::default();
        let (answer, asked) = question();
        arrivals.push(event("slow", What::Created), asked);
        arrivals.push(event("slow", What::Starting), None);
        arrivals.push(event("fast", STARTED), None);
        arrivals.push(event("slow", STARTED), None);
        assert_eq!(next(&mut arrivals).await, ("fast".to_owned(), STARTED, false));
        assert!(rests(&mut arrivals).await);
        answer.send(()).expect("a question");
        assert_eq!(next(&mut arrivals).await, ("slow".to_owned(), What::Created, true));
        assert_eq!(next(&mut arrivals).await, ("slow".to_owned(), What::Starting, false));
        assert_eq!(next(&mut arrivals).await, ("slow".to_owned(), STARTED, false));
    }

    #[tokio::test]
    async fn an_end_waits_for_all_that_came_before_and_holds_up_only_its_own() {
        let mut arrivals = Arrivals::default();
        let (answer, asked) = question();
        arrivals.push(event("build", STARTED), asked);
        arrivals.push(event("sandbox", ENDED), None);
        arrivals.push(event("sandbox", What::Deleted), None);
        arrivals.push(event("other", STARTED), None);
        arrivals.push(event("sandbox", What::Created), None);
        assert_eq!(next(&mut arrivals).await, ("other".to_owned(), STARTED, false));
        assert!(rests(&mut arrivals).await);
        answer.send(()).expect("a question");
        assert_eq!(next(&mut arrivals).await, ("build".to_owned(), STARTED, true));
        for what in [ENDED, What::Deleted, What::Created] {
            assert_eq!(next(&mut arrivals).await, ("sandbox".to_owned(), what, false));
        }
    }

    #[tokio::test]
    async fn a_question_that_panics_is_no_answer() {
        let mut arrivals = Arrivals::default();
        let asked = tokio::spawn(async { panic!("on purpose") });
        arrivals.push(event("a", What::Created), Some(asked));
        assert_eq!(next(&mut arrivals).await, ("a".to_owned(), What::Created, false));
    }
}
