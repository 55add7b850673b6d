//! What the probes' answers come to.

use super::*;
use crate::doctor::State;

const SUBJECT: Subject = Subject::new("helpers", "helper functions");

#[test]
fn all_there_is_ok() {
    let check = judge(SUBJECT, &MAPS, |_| Support::Yes);
    assert_eq!(check.state, State::Ok);
    assert!(check.found.starts_with("all 8: array, array_of_maps, cgroup_storage"), "{check:?}");
    assert_eq!((check.consequence, check.remedy), (None, None));
}

#[test]
fn what_lacks_is_named_with_its_kernel_and_its_purpose() {
    let check = judge(SUBJECT, &HELPERS, |feature| match feature.probe {
        Probe::Helper(CgroupSkb, SkStorageGet) => Support::No,
        Probe::Helper(CgroupSock, SkStorageGet) => {
            Support::Unknown("Operation not permitted".into())
        }
        _ => Support::Yes,
    });
    assert_eq!(check.state, State::Missing);
    assert_eq!(
        check.found,
        "2 of 14 missing: sk_storage_get in cgroup_skb (expected from Linux 5.2 on), \
         sk_storage_get in cgroup_sock (Operation not permitted)"
    );
    let consequence = check.consequence.unwrap();
    assert!(
        consequence.contains("admission of connected sockets; naming who made"),
        "{consequence}"
    );
}

#[test]
fn no_feature_is_younger_than_the_oldest_kernel_that_was_tried() {
    for feature in PROGRAMS.iter().chain(&MAPS).chain(&HELPERS) {
        assert!(feature.since <= OLDEST_TRIED, "{feature:?}");
    }
}

#[test]
fn without_privileges_nothing_is_probed_and_nothing_is_well() {
    for check in check(&Privileges::none()) {
        assert_eq!(check.state, State::Missing);
        assert!(!check.was_done(), "{check:?}");
    }
}
