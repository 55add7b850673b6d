//! One longest-prefix match tells what all rules together say.

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::prelude::*;
use weir_ebpf::pod::Network;

use super::{NetworkEntry, add_flag};

fn longest(entries: &[NetworkEntry], ip: IpAddr) -> Option<&NetworkEntry> {
    entries
        .iter()
        .filter(|entry| entry.net.contains(&ip))
        .max_by_key(|entry| entry.net.prefix_len())
}

prop_compose! {
    fn net()(bits in 0_u32..16, prefix in 0_u8..=32) -> IpNet {
        // A few high and low bits only, so that prefixes nest and clash.
        let address = (bits & 3) << 30 | (bits >> 2);
        IpNet::new(IpAddr::from(address.to_be_bytes()), prefix).unwrap().trunc()
    }
}

proptest! {
    #[test]
    fn flags_of_the_longest_match_are_those_of_all_that_cover(
        marks in prop::collection::vec((net(), 1_u32..4), 0..8),
        base in prop::collection::vec(net(), 0..4),
        probe: u32,
    ) {
        let mut entries: Vec<NetworkEntry> = Vec::new();
        for net in base {
            if !entries.iter().any(|entry| entry.net == net) {
                entries.push(NetworkEntry { net, network: Network::default() });
            }
        }
        for (net, flag) in &marks {
            add_flag(&mut entries, *net, *flag);
        }
        for ip in [IpAddr::from(probe.to_be_bytes())].into_iter().chain(marks.iter().map(|(net, _)| net.network())) {
            let expected = marks.iter().filter(|(net, _)| net.contains(&ip)).fold(0, |all, (_, flag)| all | flag);
            let found = longest(&entries, ip).map_or(0, |entry| entry.network.flags);
            prop_assert_eq!(found, expected, "{}", ip);
        }
    }
}
