//! News as the kernel tells them, and how little of them is believed.

use super::{super::netlink::Request, *};

const UNSPECIFIED: u8 = 0;
const BRIDGE: u8 = 7;

const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;

/// One datagram of news of the link `index`, which belongs to `master`.
fn news(kind: u16, family: u8, index: u8, master: u32) -> Vec<u8> {
    told(kind, family, index, &[(IFLA_MASTER, &master.to_ne_bytes())])
}

fn told(kind: u16, family: u8, index: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let header = [family, 0, 0, 0, index, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let request =
        attributes.iter().try_fold(Request::new(kind, &header), |request, (kind, value)| {
            request.attribute(*kind, value)
        });
    let bytes = request.and_then(|request| request.finish(0, 0));
    bytes.expect("a short message")
}

#[test]
fn the_last_news_of_a_link_count() {
    let mut links = BTreeMap::new();
    let heard = [
        news(libc::RTM_NEWLINK, UNSPECIFIED, 7, 1),
        news(libc::RTM_NEWLINK, UNSPECIFIED, 8, 1),
        [news(libc::RTM_NEWADDR, 2, 9, 1), news(libc::RTM_NEWLINK, UNSPECIFIED, 7, 3)].concat(),
    ];
    assert_eq!(learn(&mut links, &heard), Ok(()));
    let masters: Vec<_> = links.values().map(|link| (link.index, link.master)).collect();
    assert_eq!(masters, [(7, Some(3)), (8, Some(1))]);
}

#[test]
fn what_a_bridge_tells_of_its_ports_is_nothing_of_the_link() {
    let mut links = BTreeMap::new();
    learn(&mut links, &[news(libc::RTM_NEWLINK, UNSPECIFIED, 7, 1)]).expect("told");
    let before = links.clone();
    for kind in [libc::RTM_NEWLINK, libc::RTM_DELLINK] {
        assert_eq!(learn(&mut links, &[news(kind, BRIDGE, 7, 2)]), Ok(()));
    }
    assert_eq!(links, before);
}

#[test]
fn the_kernel_is_asked_when_a_link_is_gone_or_news_cannot_be_read() {
    let gone = news(libc::RTM_DELLINK, UNSPECIFIED, 7, 1);
    assert_eq!(learn(&mut BTreeMap::new(), &[gone]), Err(Untold::Gone));
    let mut cut = news(libc::RTM_NEWLINK, UNSPECIFIED, 7, 1);
    cut.pop();
    assert_eq!(learn(&mut BTreeMap::new(), &[cut]), Err(Untold::Malformed(Malformed)));
}

#[test]
fn the_kernel_is_asked_for_the_other_end_of_a_veth_that_was_told_without() {
    // IFLA_INFO_KIND: nine bytes, and what they are padded to.
    let veth = [9_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat();
    let veth = [veth.as_slice(), b"veth\0\0\0\0"].concat();
    let told = |end: u32| {
        let attributes = [(IFLA_LINK, end.to_ne_bytes().to_vec()), (IFLA_LINKINFO, veth.clone())];
        let attributes: Vec<_> = attributes.iter().map(|(kind, value)| (*kind, &**value)).collect();
        told(libc::RTM_NEWLINK, UNSPECIFIED, 7, &attributes)
    };
    let mut links = BTreeMap::new();
    assert_eq!(learn(&mut links, &[told(0)]), Err(Untold::Unpaired));
    assert_eq!(learn(&mut links, &[told(0), told(9)]), Ok(()));
    let seven = &links[&7];
    assert_eq!((seven.kind.as_deref(), seven.lower), (Some("veth"), Some(9)));
}

#[test]
fn only_loopback_is_what_every_namespace_has() {
    const TITLES: &str = "Inter-|   Receive\n face |bytes    packets\n";
    let only = |devices: &str| is_only_loopback(&format!("{TITLES}{devices}"));
    assert!(only("    lo:       0       0\n"));
    assert!(!only("    lo:       0       0\n  eth0:       0       0\n"));
    assert!(!only(" tunl0:       0       0\n    lo:       0       0\n"));
    assert!(!only(""));
    assert!(!is_only_loopback(""));
}
