//! Room, prolongation and retention.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use weir_ebpf::address::{Endpoint, protocol};

use super::{AllowTable, Allowed, Full};
use crate::{datapath::slot::address, policy::HostName};

fn endpoint(last: u8) -> Endpoint {
    Endpoint::new(address(ip(last)), protocol::TCP, 443)
}

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn allowed(last: u8, expires: Instant) -> Allowed {
    let name = Arc::new(HostName::parse("registry.example.com").unwrap());
    Allowed { name, address: ip(last), rule: 0, expires }
}

#[test]
fn a_live_entry_never_makes_way() {
    let now = Instant::now();
    let mut table = AllowTable::new(2);
    table.insert(endpoint(1), allowed(1, now + Duration::from_secs(9)));
    table.insert(endpoint(2), allowed(2, now + Duration::from_secs(9)));
    assert_eq!(table.make_room(1, now), Err(Full));
    assert_eq!(table.entries.len(), 2);
}

#[test]
fn the_longest_expired_makes_way_first() {
    let now = Instant::now();
    let mut table = AllowTable::new(3);
    table.insert(endpoint(1), allowed(1, now.checked_sub(Duration::from_secs(1)).unwrap()));
    table.insert(endpoint(2), allowed(2, now.checked_sub(Duration::from_secs(2)).unwrap()));
    table.insert(endpoint(3), allowed(3, now + Duration::from_secs(9)));
    assert_eq!(table.make_room(1, now), Ok(vec![endpoint(2)]));
    assert_eq!(table.entries.len(), 2);
}

#[test]
fn an_answer_that_adds_nothing_is_covered() {
    let now = Instant::now();
    let mut table = AllowTable::new(2);
    table.insert(endpoint(1), allowed(1, now));
    assert!(table.covers(&endpoint(1), 0, now));
    assert!(!table.covers(&endpoint(1), 0, now + Duration::from_secs(1)));
    assert!(!table.covers(&endpoint(1), 1, now));
    assert!(!table.covers(&endpoint(2), 0, now));
}
