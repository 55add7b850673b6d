//! Which interfaces lead out, by what the kernel says of them.

use super::*;

const HOST: Option<i32> = Some(2);

fn a_link(index: u32, kind: &str, lower: Option<u32>, lower_namespace: Option<i32>) -> Link {
    let kind = Some(kind.to_owned());
    Link { index, name: format!("if{index}"), kind, lower, lower_namespace, ..Link::default() }
}

fn an_address(index: u32, network: &str, flags: u32) -> Address {
    let network: IpNet = network.parse().unwrap();
    let scope = if network.addr().to_string().starts_with("fe80") { 253 } else { 0 };
    let (local, prefix) = (network.addr(), network.prefix_len());
    Address { index, local, network: local, prefix, scope, flags }
}

fn side(links: Vec<Link>, addresses: Vec<Address>) -> HostSide {
    let uplink = Uplink { inside: 4, host: 9, name: "if4".into() };
    HostSide { uplinks: vec![uplink], uncovered: Vec::new(), links, addresses }
}

#[test]
fn a_veth_leads_out_only_to_the_host() {
    assert_eq!(leads_out(&a_link(4, "veth", Some(9), HOST), HOST), Way::Veth(9));
    assert_eq!(leads_out(&a_link(4, "veth", Some(9), Some(3)), HOST), Way::Nowhere);
    assert_eq!(leads_out(&a_link(4, "veth", Some(5), None), HOST), Way::Nowhere);
    // With no id for the host's namespace, nothing of ours can lead there.
    assert_eq!(leads_out(&a_link(4, "veth", Some(5), None), None), Way::Nowhere);
    assert_eq!(leads_out(&a_link(4, "veth", Some(5), Some(0)), None), Way::Nowhere);
}

#[test]
fn what_stands_on_the_host_is_a_way_out_that_is_no_veth() {
    for kind in ["macvlan", "ipvlan", "vlan", "netkit", "vxlan"] {
        assert_eq!(leads_out(&a_link(4, kind, Some(2), HOST), HOST), Way::Other(kind));
        assert_eq!(leads_out(&a_link(4, kind, Some(2), None), HOST), Way::Nowhere);
    }
    for kind in ["bridge", "dummy", "tun", "wireguard", "sit"] {
        assert_eq!(leads_out(&a_link(4, kind, None, None), HOST), Way::Nowhere);
    }
}

#[test]
fn a_device_without_a_kind_is_hardware_unless_it_is_loopback() {
    let mut device = Link { index: 3, ..Link::default() };
    assert_eq!(leads_out(&device, HOST), Way::Other("device"));
    device.is_loopback = true;
    assert_eq!(leads_out(&device, HOST), Way::Nowhere);
}

#[test]
fn entrances_are_followed_up_but_not_through_a_veth() {
    let mut uplink = a_link(4, "veth", Some(9), HOST);
    uplink.master = Some(6);
    let links = vec![
        a_link(3, "macvlan", Some(5), None),
        uplink,
        a_link(5, "vlan", Some(6), None),
        a_link(6, "bridge", None, None),
        a_link(7, "veth", Some(4), None),
        // The same number, in another namespace.
        a_link(8, "macvlan", Some(4), Some(7)),
    ];
    assert_eq!(side(links, Vec::new()).entrances(), BTreeSet::from([3, 4, 5, 6]));
}

#[test]
fn the_pod_is_reached_at_the_first_lasting_global_address() {
    let addresses = vec![
        an_address(2, "172.17.0.1/16", 0),
        an_address(4, "10.1.0.9/24", IFA_F_SECONDARY),
        an_address(4, "10.1.0.7/24", 0),
        an_address(4, "fe80::7/64", 0),
        an_address(4, "2001:db8::5/64", IFA_F_DADFAILED),
        an_address(4, "2001:db8::6/64", IFA_F_DEPRECATED),
        an_address(4, "2001:db8::8/64", IFA_F_SECONDARY),
        an_address(4, "2001:db8::7/64", 0),
    ];
    let found = side(Vec::new(), addresses).uplink_addresses();
    assert_eq!(found.v4, Some(Ipv4Addr::new(10, 1, 0, 7)));
    assert_eq!(found.v6, Some("2001:db8::7".parse().unwrap()));
    assert_eq!(found.iter().count(), 2);
    assert_eq!(side(Vec::new(), Vec::new()).uplink_addresses(), PodAddresses::default());
}

#[test]
fn own_networks_are_private_ones_inside_and_single_addresses() {
    let addresses = vec![
        an_address(1, "127.0.0.1/8", 0),
        an_address(2, "172.17.0.1/16", 0),
        an_address(2, "0.0.0.1/0", 0),
        an_address(2, "10.0.0.1/7", 0),
        an_address(2, "169.254.169.254/16", 0),
        an_address(2, "fd00::1/64", 0),
        an_address(2, "2001:db8::1/32", 0),
        an_address(4, "10.1.0.7/24", 0),
    ];
    let found = side(Vec::new(), addresses).own_networks();
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    let expected = [
        "0.0.0.1/32",
        "10.0.0.1/32",
        "10.1.0.7/32",
        "127.0.0.0/8",
        "127.0.0.1/32",
        "169.254.169.254/32",
        "172.17.0.0/16",
        "172.17.0.1/32",
        "2001:db8::1/128",
        "fd00::/64",
        "fd00::1/128",
    ];
    assert_eq!(found, expected);
}

#[test]
fn ways_out_that_nobody_watches_are_an_error() {
    let mut side = side(Vec::new(), Vec::new());
    assert_eq!(side.require_veth().unwrap().len(), 1);
    side.uncovered = vec![Uncovered { inside: 5, name: "net1".into(), kind: "macvlan".to_owned() }];
    let error = side.require_veth().unwrap_err();
    assert!(matches!(&error, UplinkError::NotVeth { kind, .. } if kind == "macvlan"), "{error}");
    assert!(side.entrances().contains(&5));
    (side.uplinks, side.uncovered) = (Vec::new(), Vec::new());
    assert!(matches!(side.require_veth(), Err(UplinkError::NoUplink)));
}
