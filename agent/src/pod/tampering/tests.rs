//! Repairs are told at once, then seldom, and each is counted once.

use super::*;

#[test]
fn the_first_repair_is_told_at_once_and_the_next_ones_are_counted() {
    let (mut tampering, now) = (Tampering::default(), Instant::now());
    assert_eq!(tampering.note(Repaired::Hook, 12, now), Some(12));
    assert_eq!(tampering.note(Repaired::Hook, 12, now), None);
    assert_eq!(tampering.note(Repaired::Hook, 1, now + PAUSE / 2), None);
    assert_eq!(tampering.note(Repaired::Hook, 1, now + PAUSE), Some(14));
    assert_eq!(tampering.note(Repaired::Hook, 1, now + PAUSE), None);
}

#[test]
fn one_kind_does_not_hide_another() {
    let (mut tampering, now) = (Tampering::default(), Instant::now());
    assert_eq!(tampering.note(Repaired::Hook, 1, now), Some(1));
    assert_eq!(tampering.note(Repaired::State, 2, now), Some(2));
}

#[test]
fn what_waits_is_told_when_it_is_due_or_when_the_pod_ends() {
    let (mut tampering, now) = (Tampering::default(), Instant::now());
    tampering.note(Repaired::Hook, 1, now);
    assert!(tampering.due(Some(now + PAUSE)).is_empty());
    tampering.note(Repaired::Hook, 3, now);
    assert!(tampering.due(Some(now)).is_empty());
    assert_eq!(tampering.due(Some(now + PAUSE)), [(Repaired::Hook, 3)]);
    tampering.note(Repaired::Hook, 5, now + PAUSE);
    assert_eq!(tampering.due(None), [(Repaired::Hook, 5)]);
    assert!(tampering.due(None).is_empty());
}
