//! What is a network namespace and what only looks like one.

use std::os::unix::fs::symlink;

use super::*;

fn refused(path: &Path) {
    let error = Netns::open(path).unwrap_err();
    assert!(matches!(error, NetnsError::NotANamespace(_)), "{error:?}");
}

#[test]
fn the_namespace_of_this_thread_is_one() {
    let here = Netns::current().unwrap();
    let link = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    assert_eq!(here.id().to_string(), link.to_string_lossy());
    assert_eq!(here.id(), Netns::open(Path::new("/proc/self/ns/net")).unwrap().id());
}

#[test]
fn a_namespace_of_another_kind_is_none() {
    refused(Path::new("/proc/self/ns/mnt"));
}

#[test]
fn other_files_are_none() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path());
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused(&fifo);
    let link = folder.path().join("link");
    symlink("/proc/self/ns/uts", &link).unwrap();
    refused(&link);
}

#[test]
fn what_is_not_there_cannot_be_opened() {
    let error = Netns::open(Path::new("/proc/self/ns/none")).unwrap_err();
    assert!(matches!(error, NetnsError::Open { .. }), "{error:?}");
}
