//! Who finds room in a queue that another fills.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{FairQueue, Share};

fn owner() -> Arc<Share> {
    Arc::default()
}

fn fill(queue: &FairQueue<u32>, owner: &Arc<Share>) -> usize {
    (0..1000).take_while(|number| queue.push(owner, *number, None)).count()
}

#[test]
fn one_owner_alone_gets_half() {
    let queue = FairQueue::new(100, 0);
    assert_eq!(fill(&queue, &owner()), 50);
}

#[test]
fn floods_leave_room_for_whoever_comes_after() {
    let queue = FairQueue::new(100, 0);
    // In turns, as those do who flood at once.
    let loud: Vec<_> = (0..9).map(|_| owner()).collect();
    let mut more = true;
    while more {
        more = false;
        for owner in &loud {
            more |= queue.push(owner, 0, None);
        }
    }
    assert!(fill(&queue, &owner()) >= 5);
}

#[test]
fn what_is_taken_out_is_free_again_for_its_owner() {
    let queue = FairQueue::new(4, 0);
    let owner = owner();
    assert_eq!(fill(&queue, &owner), 2);
    assert_eq!(queue.pop(), Some(0));
    assert!(queue.push(&owner, 7, None));
    assert!(!queue.push(&owner, 8, None));
}

#[test]
fn the_reader_ends_after_the_last_item() {
    let queue = FairQueue::new(4, 0);
    assert!(queue.push(&owner(), 1, None));
    queue.close();
    assert_eq!((queue.pop(), queue.pop()), (Some(1), None));
}

#[test]
fn one_who_waits_gets_the_place_that_comes_free_and_none_after_its_time() {
    let queue = FairQueue::new(4, 0);
    let owner = owner();
    fill(&queue, &owner);
    assert!(!queue.push(&owner, 9, Some(Instant::now() + Duration::from_millis(20))));
    thread::scope(|scope| {
        let waiting =
            scope.spawn(|| queue.push(&owner, 9, Some(Instant::now() + Duration::from_secs(20))));
        assert_eq!(queue.pop(), Some(0));
        assert!(waiting.join().unwrap());
    });
}

#[test]
fn what_one_queue_holds_is_no_part_of_another() {
    let (first, second) = (FairQueue::new(4, 0), FairQueue::new(4, 1));
    let owner = owner();
    assert_eq!((fill(&first, &owner), fill(&second, &owner)), (2, 2));
}

#[test]
fn a_reader_in_a_hurry_does_not_wait_longer_than_it_wants() {
    let queue = FairQueue::new(4, 0);
    assert!(queue.push(&owner(), 1, None));
    let soon = || Instant::now() + Duration::from_millis(20);
    assert_eq!((queue.pop_until(soon()), queue.pop_until(soon())), (Some(1), None));
    queue.close();
    assert_eq!(queue.pop_until(Instant::now() + Duration::from_secs(60)), None);
}
