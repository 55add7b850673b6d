//! Which expansions are held, settled and recorded.

use super::super::testing::{PROFILE, profile};
use super::*;

fn noise() -> Noise<u16> {
    Noise::new(vec!["ci.example.net".to_owned(), "example.net".to_owned()])
}

fn held(name: &str) -> Held<u16> {
    let (name, profile) = (name.to_owned(), profile(PROFILE));
    Held { client: 1, profile, name, reason: Reason::DomainNotInAllowlist, rule: None }
}

fn names(held: Vec<Held<u16>>) -> Vec<String> {
    held.into_iter().map(|held| held.name).collect()
}

#[test]
fn an_expansion_has_a_bare_name_for_each_suffix_that_fits() {
    let noise = noise();
    let bare = |name| noise.bare_names(name).collect::<Vec<_>>();
    assert_eq!(bare("a.ci.example.net"), ["a", "a.ci"]);
    assert_eq!(bare("a.example.net"), ["a"]);
    assert_eq!(bare("ci.example.net"), ["ci"]);
    for not_one in ["example.net", "aexample.net", "a.example.net.org", ""] {
        assert_eq!(bare(not_one), [""; 0], "{not_one}");
    }
}

#[test]
fn what_is_held_comes_due() {
    let (noise, now) = (noise(), Instant::now());
    noise.hold(held("a.example.net"), now).unwrap();
    noise.hold(held("b.example.net"), now + HOLD / 2).unwrap();
    assert_eq!(names(noise.take(now + HOLD / 2)), [""; 0]);
    assert_eq!(names(noise.take(now + HOLD)), ["a.example.net"]);
    assert_eq!(names(noise.take(now + HOLD)), [""; 0]);
    assert_eq!(names(noise.take(now + HOLD * 2)), ["b.example.net"]);
}

#[test]
fn the_bare_name_settles_what_is_held_of_it_and_nothing_else() {
    let (noise, now) = (noise(), Instant::now());
    for name in ["a.ci.example.net", "a.example.net", "b.example.net"] {
        noise.hold(held(name), now).unwrap();
    }
    assert!(!noise.settle("a", now));
    assert_eq!(names(noise.take_all()), ["b.example.net"]);
}

#[test]
fn a_recent_refusal_speaks_for_its_expansions_for_a_while() {
    let (noise, now) = (noise(), Instant::now());
    assert!(!noise.settle("a", now));
    assert!(noise.settle("a.example.net", now + RECENT / 2));
    assert!(!noise.settle("b.example.net", now + RECENT / 2));
    assert!(!noise.settle("a.ci.example.net", now + RECENT));
}

#[test]
fn what_is_held_is_bounded() {
    let (noise, now) = (noise(), Instant::now());
    for index in 0..MAX_NAMES {
        noise.hold(held(&format!("n{index}.example.net")), now).unwrap();
        noise.settle(&format!("m{index}"), now);
    }
    assert!(noise.hold(held("one.too.many.example.net"), now).is_err());
    noise.settle("one.more", now);
    assert_eq!(lock(&noise.state).recent.len(), MAX_NAMES);
}
