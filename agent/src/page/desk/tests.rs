//! What asking costs.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::page::testing::nothing;

/// A reading that says how many there were, and takes a while.
fn reading(count: &Arc<AtomicUsize>) -> impl FnOnce() -> Option<Report> + Send + 'static {
    let count = Arc::clone(count);
    move || {
        let refused = u64::try_from(count.fetch_add(1, Ordering::SeqCst)).unwrap() + 1;
        std::thread::sleep(Duration::from_millis(20));
        Some(Report { refused, ..nothing() })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_never_older_than_its_request() {
    let (desk, count) = (Desk::default(), Arc::default());
    for expected in 1..4 {
        let report = desk.report(reading(&count)).await.unwrap();
        assert_eq!(report.refused, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_wait_share_the_next_report() {
    let (desk, count) = (Arc::new(Desk::default()), Arc::new(AtomicUsize::new(0)));
    let first = desk.report(reading(&count));
    let waiting = async {
        // Asked while the first one is made.
        while count.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let all: Vec<_> = (0..20)
            .map(|_| {
                let (desk, read) = (Arc::clone(&desk), reading(&count));
                tokio::spawn(async move { desk.report(read).await.unwrap().refused })
            })
            .collect();
        for one in all {
            assert_eq!(one.await.unwrap(), 2, "a report that was begun before its request");
        }
    };
    tokio::join!(first, waiting);
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_asks_and_asks_has_a_tenth_of_a_processor() {
    let (desk, count) = (Desk::default(), Arc::new(AtomicUsize::new(0)));
    let begun = Instant::now();
    for _ in 0..4 {
        desk.report(reading(&count)).await.unwrap();
    }
    // Four readings of 20 ms and the three pauses between them.
    assert!(begun.elapsed() >= Duration::from_millis(4 * 20 + 3 * 180), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_away_has_paid_all_the_same() {
    let (desk, count) = (Arc::new(Desk::default()), Arc::new(AtomicUsize::new(0)));
    let gone = tokio::spawn({
        let (desk, read) = (Arc::clone(&desk), reading(&count));
        async move { desk.report(read).await }
    });
    while count.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    gone.abort();
    desk.report(reading(&count)).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(180), "{:?}", begun.elapsed());
}

#[test]
fn few_are_admitted_at_a_time() {
    let desk = Desk::default();
    let seats: Vec<_> = (0..SEATS).map(|_| desk.seat().unwrap()).collect();
    assert!(desk.seat().is_none());
    drop(seats);
    assert!(desk.seat().is_some());
}
