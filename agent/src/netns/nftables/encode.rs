//! The rules as one batch of netlink messages, by libnftnl.

use std::{ffi::CString, net::Ipv4Addr, net::Ipv6Addr, ptr::NonNull};

use nftnl::{
    Batch, ChainType, Hook, MsgType, Policy, ProtoFamily, Table,
    expr::{Bitwise, Cmp, CmpOp, Expression, Immediate, Nat, NatType, Register, ToSlice, Verdict},
    nft_expr,
};

use super::plan::{Action, Chain, Match, Rule, Transport, Version};

pub(super) const TABLE: &std::ffi::CStr = c"weir";

/// Destination NAT of iptables, Docker and kube-proxy is at -100: whoever is first to map a flow wins.
const BEFORE_DNAT: i32 = -101;
/// After conntrack and the mangle tables, before every filter.
const BEFORE_FILTER: i32 = -10;

/// Adds the table so that it can be deleted, deletes it with all that is in it, and makes it anew.
pub(super) fn replace(rules: &[Rule]) -> Vec<u8> {
    let table = Table::new(TABLE, ProtoFamily::Inet);
    let mut batch = without(&table);
    batch.add(&table, MsgType::Add);
    for name in Chain::ALL {
        let chain = base_chain(name, &table);
        batch.add(&chain, MsgType::Add);
        for rule in rules.iter().filter(|rule| rule.chain == name) {
            batch.add(&encode(rule, &chain), MsgType::Add);
        }
    }
    bytes(batch)
}

/// Deletes the table, whether it was there or not.
pub(super) fn remove() -> Vec<u8> {
    bytes(without(&Table::new(TABLE, ProtoFamily::Inet)))
}

fn without(table: &Table) -> Batch {
    let mut batch = Batch::new();
    batch.add(table, MsgType::Add);
    batch.add(table, MsgType::Del);
    batch
}

/// One buffer, because what is sent at once takes effect at once.
fn bytes(batch: Batch) -> Vec<u8> {
    batch.finalize().iter().flatten().copied().collect()
}

fn base_chain(name: Chain, table: &Table) -> nftnl::Chain<'_> {
    let (c_name, kind, hook, priority) = match name {
        Chain::Output => (c"output", ChainType::Nat, Hook::Out, BEFORE_DNAT),
        Chain::Prerouting => (c"prerouting", ChainType::Nat, Hook::PreRouting, BEFORE_DNAT),
        Chain::Input => (c"input", ChainType::Filter, Hook::In, BEFORE_FILTER),
    };
    let mut chain = nftnl::Chain::new(c_name, table);
    chain.set_type(kind);
    chain.set_hook(hook, priority);
    chain.set_policy(Policy::Accept);
    chain
}

fn encode<'a>(rule: &Rule, chain: &'a nftnl::Chain<'a>) -> nftnl::Rule<'a> {
    let mut encoded = nftnl::Rule::new(chain);
    for part in rule.matches.iter().flat_map(|&one| matching(one)).chain(acting(rule.action)) {
        encoded.add_expr(&part);
    }
    // A comment is text without NUL and far below the limit.
    if let Ok(comment) = CString::new(rule.to_string()) {
        encoded.set_comment(comment).ok();
    }
    encoded
}

/// Any expression, as the library wants a sized one.
struct Part(Box<dyn Expression>);

impl Expression for Part {
    fn to_expr(&self, rule: &nftnl::Rule<'_>) -> NonNull<nftnl::nftnl_sys::nftnl_expr> {
        self.0.to_expr(rule)
    }
}

fn part(expression: impl Expression + 'static) -> Part {
    Part(Box::new(expression))
}

fn equals(value: impl ToSlice + 'static) -> Part {
    part(Cmp::new(CmpOp::Eq, value))
}

fn matching(one: Match) -> Vec<Part> {
    match one {
        Match::From(index) => vec![part(nft_expr!(meta iif)), equals(index)],
        Match::Any(version) => family(version),
        Match::Loopback(Version::V4) => {
            let mut parts = destination(Version::V4);
            let mask = Bitwise::new(Ipv4Addr::new(255, 0, 0, 0), Ipv4Addr::UNSPECIFIED);
            parts.extend([part(mask), equals(Ipv4Addr::new(127, 0, 0, 0))]);
            parts
        }
        Match::Loopback(Version::V6) => {
            let mut parts = destination(Version::V6);
            parts.push(equals(Ipv6Addr::LOCALHOST));
            parts
        }
        Match::Address(address) => {
            let mut parts = destination(Version::of(address));
            parts.push(equals(address));
            parts
        }
        Match::Transport(Transport::Tcp) => vec![part(nft_expr!(meta l4proto)), equals(6_u8)],
        Match::Transport(Transport::Udp) => vec![part(nft_expr!(meta l4proto)), equals(17_u8)],
        // TCP and UDP have it at the same place.
        Match::Port(port) => vec![part(nft_expr!(payload tcp dport)), equals(port.to_be())],
    }
}

fn family(version: Version) -> Vec<Part> {
    vec![part(nft_expr!(meta nfproto)), equals(protocol(version) as u8)]
}

fn destination(version: Version) -> Vec<Part> {
    let mut parts = family(version);
    parts.push(match version {
        Version::V4 => part(nft_expr!(payload ipv4 daddr)),
        Version::V6 => part(nft_expr!(payload ipv6 daddr)),
    });
    parts
}

const fn protocol(version: Version) -> ProtoFamily {
    match version {
        Version::V4 => ProtoFamily::Ipv4,
        Version::V6 => ProtoFamily::Ipv6,
    }
}

fn acting(action: Action) -> Vec<Part> {
    match action {
        Action::Leave => vec![part(Verdict::Accept)],
        Action::Drop => vec![part(Verdict::Drop)],
        Action::Send(listener) => {
            let version = Version::of(listener.ip());
            let address = match listener.ip() {
                std::net::IpAddr::V4(v4) => part(Immediate::new(v4.octets(), Register::Reg1)),
                std::net::IpAddr::V6(v6) => part(Immediate::new(v6.octets(), Register::Reg1)),
            };
            let nat = Nat {
                nat_type: NatType::DNat,
                family: protocol(version),
                ip_register: Register::Reg1,
                port_register: Some(Register::Reg2),
            };
            let port = Immediate::new(listener.port().to_be_bytes(), Register::Reg2);
            vec![address, part(port), part(nat)]
        }
    }
}
