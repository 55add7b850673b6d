//! What is written is what is read, and a torn end costs one line.

use std::io::Write as _;

use super::*;

fn name(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

#[test]
fn the_latest_name_of_an_address_comes_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pod");
    let journal = Journal::open(&path).unwrap();
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    for text in ["a.example.com", "b.example.com", "a.example.com"] {
        journal.name(&name(text), &[address]);
    }
    journal.profile(7, "sha256:00");
    let story = Story::read(&path).unwrap();
    assert_eq!(story.names[&address], [name("b.example.com"), name("a.example.com")]);
    assert_eq!(story.profiles[&7], "sha256:00");
}

#[test]
fn a_torn_line_is_skipped_and_the_next_agent_writes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pod");
    Journal::open(&path).unwrap().profile(1, "sha256:01");
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"profile\":{\"gener").unwrap();
    Journal::open(&path).unwrap().profile(2, "sha256:02");
    Journal::open(&path).unwrap().profile(3, "sha256:03");
    let story = Story::read(&path).unwrap();
    assert_eq!(story.profiles.get(&1).map(String::as_str), Some("sha256:01"));
    assert_eq!(story.profiles.get(&3).map(String::as_str), Some("sha256:03"));
}

#[test]
fn no_journal_tells_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let story = Story::read(&folder.path().join("none")).unwrap();
    assert!(story.names.is_empty() && story.profiles.is_empty());
}

#[test]
fn names_that_take_turns_for_ever_fill_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pod");
    let journal = Journal::open(&path).unwrap();
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    for round in 0..60_000 {
        journal.name(&name(["a.example.com", "b.example.com"][round % 2]), &[address]);
    }
    let long = path.metadata().unwrap().len();
    assert!(long < u64::try_from(FREELY).unwrap() + 1000, "{long} bytes");
    journal.name(&name("new.example.com"), &[address]);
    let story = Story::read(&path).unwrap();
    assert_eq!(story.names[&address].last(), Some(&name("new.example.com")));
}

#[test]
fn refused_names_are_kept_as_far_as_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pod");
    let journal = Journal::open(&path).unwrap();
    for number in 0..20_000 {
        journal.refused(KeptName::example(&format!("{number}.example.net")));
    }
    // What else is written is written on.
    journal.profile(7, "sha256:00");
    let long = path.metadata().unwrap().len();
    assert!(long < u64::try_from(REFUSED).unwrap() + 1000, "{long} bytes");
    let story = Story::read(&path).unwrap();
    assert_eq!(story.refused[1], KeptName::example("1.example.net"));
    assert!(story.refused.len() > 1000 && story.profiles.contains_key(&7));
}
