//! Patterns over paths, compared as the programs do.

extern crate std;

use super::*;

/// A name as the programs read it.
fn name(text: &str) -> Name {
    let mut bytes = [0; NAME_BYTES];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    let words = bytes.as_chunks::<8>().0;
    core::array::from_fn(|at| u64::from_ne_bytes(words[at]))
}

fn component(text: &str) -> NamePattern {
    let (text, terminated) = text.strip_suffix('*').map_or((text, 1), |start| (start, 0));
    let mut mask = [0; NAME_BYTES];
    mask[..text.len() + terminated].fill(0xff);
    let words = mask.as_chunks::<8>().0;
    NamePattern {
        value: name(text),
        mask: core::array::from_fn(|at| u64::from_ne_bytes(words[at])),
    }
}

fn pattern(text: &str) -> PathPattern {
    let (rest, anchored) = text.strip_prefix("**/").map_or((&text[1..], 1), |rest| (rest, 0));
    let mut pattern = PathPattern { anchored, ..PathPattern::default() };
    for part in rest.rsplit('/') {
        pattern.components[pattern.count as usize] = component(part);
        pattern.count += 1;
    }
    pattern
}

fn matches(text: &str, path: &str) -> bool {
    let pattern = pattern(text);
    let parts: std::vec::Vec<&str> = path[1..].rsplit('/').collect();
    let mask = |yes: bool| if yes { u64::MAX } else { 0 };
    let (file_name, folders) = parts.split_first().unwrap();
    let mut walk = Walk::new(1);
    walk.meet(mask(pattern.components[0].differs(&name(file_name)) == 0));
    for depth in 1..=COMPONENTS {
        let complete = mask(depth == pattern.count as usize);
        walk.rise(complete, mask(pattern.anchored == 0), mask(depth == parts.len()));
        let Some((folder, component)) = folders.get(depth - 1).zip(pattern.components.get(depth))
        else {
            break;
        };
        walk.meet(mask(component.differs(&name(folder)) == 0));
    }
    walk.found() != 0
}

#[test]
fn a_path_from_the_root_is_that_path_alone() {
    assert!(matches("/root/.npmrc", "/root/.npmrc"));
    for other in ["/.npmrc", "/x/root/.npmrc", "/root/.npmrc/x", "/root/.npmrcx", "/root/.npmr"] {
        assert!(!matches("/root/.npmrc", other), "{other}");
    }
}

#[test]
fn a_path_from_anywhere_is_a_path_at_any_depth() {
    for path in ["/.aws/credentials", "/root/.aws/credentials", "/a/b/c/d/e/f/.aws/credentials"] {
        assert!(matches("**/.aws/credentials", path), "{path}");
    }
    assert!(!matches("**/.aws/credentials", "/root/.aws/credentials.bak"));
    assert!(!matches("**/.aws/credentials", "/credentials"));
}

#[test]
fn a_star_is_one_component_or_the_rest_of_one() {
    assert!(matches("/home/*/.netrc", "/home/ci/.netrc"));
    assert!(!matches("/home/*/.netrc", "/home/.netrc"));
    assert!(!matches("/home/*/.netrc", "/home/a/b/.netrc"));
    assert!(matches("**/.ssh/id_*", "/root/.ssh/id_ed25519"));
    assert!(matches("**/.ssh/id_*", "/root/.ssh/id_"));
    assert!(!matches("**/.ssh/id_*", "/root/.ssh/identity"));
}

#[test]
fn the_longest_name_that_is_compared_whole_has_room_for_its_zero() {
    let longest = "x".repeat(NAME_BYTES - 1);
    assert!(matches(&std::format!("**/{longest}"), &std::format!("/a/{longest}")));
    assert!(!matches(&std::format!("**/{longest}"), &std::format!("/a/{}", &longest[1..])));
}

#[test]
fn a_file_is_the_same_when_it_comes_back_as_an_address() {
    let key = FileKey { inode: 0x0123_4567_89ab_cdef, device: 42, slot: 7 };
    assert_eq!(FileKey::from_address(key.to_address(), 7), key);
}

#[test]
fn a_file_below_a_folder_that_was_elsewhere_is_found_by_where_that_was() {
    // Two patterns of two components and more; the file name agrees with both, and the folder was the first one's.
    let mut walk = Walk::new(0b11);
    walk.rise(0, 0b11, 0);
    walk.arrive(0b101);
    walk.meet(0);
    assert_eq!(walk.found(), 0b01);
    // One that has all of its components is not asked for what is above.
    let mut walk = Walk::new(0b1);
    walk.rise(0b1, 0, 0);
    walk.arrive(0b1);
    assert_eq!(walk.found(), 0);
}
