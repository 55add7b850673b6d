//! Shares of the event ring, and the place of the page.

use super::*;

const EVENT: u64 = EVENT_BYTES as u64;
const ROOM: u64 = EVENT_RING_BYTES as u64 / EVENT;

/// Writes events of a pod for as long as it has a share, while nobody reads.
fn flood(waiting: &mut u64, all: &mut u64) {
    while has_share(*waiting, *all * EVENT) {
        *waiting += 1;
        *all += 1;
    }
}

#[test]
fn one_pod_alone_takes_half() {
    let (mut own, mut all) = (0, 0);
    flood(&mut own, &mut all);
    assert!(own.abs_diff(ROOM / 2) <= 1, "{own} of {ROOM}");
}

#[test]
fn whoever_comes_after_floods_finds_as_much_as_each_of_them_holds() {
    for floods in 1..SLOTS {
        let mut all = 0;
        // In turns, as pods that flood at once do.
        let mut held = [0; SLOTS];
        let held = &mut held[..floods];
        loop {
            let before = all;
            for own in held.iter_mut() {
                if has_share(*own, all * EVENT) {
                    *own += 1;
                    all += 1;
                }
            }
            if all == before {
                break;
            }
        }
        let least = held.iter().min().unwrap();
        // As much, but for what the last ones rounded.
        assert!(ROOM - all + 2 >= *least, "{floods} floods left {} beside {least}", ROOM - all);
        assert!(has_share(0, all * EVENT), "{floods} floods left nothing");
    }
}

#[test]
fn a_flood_that_goes_on_holds_no_more() {
    let (mut own, mut all) = (0, 0);
    flood(&mut own, &mut all);
    let first = own;
    // Windows of time come and go; nobody has read.
    flood(&mut own, &mut all);
    assert_eq!(own, first);
}

#[test]
fn what_was_read_is_free_again() {
    let (mut own, mut all) = (0, 0);
    flood(&mut own, &mut all);
    assert!(has_share(own - 1, (all - 1) * EVENT));
    assert!(has_share(0, 0));
}

#[test]
fn a_count_that_lags_behind_shuts_nobody_out() {
    // The agent was killed between reading events and saying so.
    assert!(has_share(u64::MAX / EVENT, 0));
    assert!(has_share(10_000, 10 * EVENT));
}

#[test]
fn the_page_is_one_port_of_one_protocol() {
    let endpoint = |ip: &str, number, port| {
        let ip: core::net::IpAddr = ip.parse().unwrap();
        Endpoint::new(ip.into(), number, port)
    };
    for ip in ["192.0.2.80", "2001:db8::192.0.2.80"] {
        assert!(leads_to_page(&endpoint(ip, protocol::TCP, 80)), "{ip}");
        assert!(!leads_to_page(&endpoint(ip, protocol::TCP, 443)), "{ip}");
        assert!(!leads_to_page(&endpoint(ip, protocol::UDP, 80)), "{ip}");
    }
    for ip in ["192.0.2.1", "192.0.2.81", "2001:db8::80", "::192.0.2.80"] {
        assert!(!leads_to_page(&endpoint(ip, protocol::TCP, 80)), "{ip}");
    }
}
