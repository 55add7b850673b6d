//! Which rules make up the capture, before they are bytes.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use super::Capture;
use crate::page;

/// A chain of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Chain {
    /// NAT of what the pod's own processes send.
    Output,
    /// NAT of what the pod's bridges and tunnels bring.
    Prerouting,
    /// What has reached the pod itself.
    Input,
}

impl Chain {
    pub(super) const ALL: [Self; 3] = [Self::Output, Self::Prerouting, Self::Input];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Prerouting => "prerouting",
            Self::Input => "input",
        }
    }
}

/// What a rule asks of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// It came in by the interface with this index.
    From(u32),
    /// It is of this IP version and goes to a loopback address.
    Loopback(Version),
    /// It is of this transport protocol.
    Transport(Transport),
    /// It is of this IP version, whatever its address.
    Any(Version),
    /// It goes to this address.
    Address(IpAddr),
    /// It goes to this port.
    Port(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// This table leaves it alone.
    Leave,
    /// It goes here instead.
    Send(SocketAddr),
    Drop,
}

/// One rule: all matches, then the action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) chain: Chain,
    pub(super) matches: Vec<Match>,
    pub(super) action: Action,
}

/// The port of questions (RFC 1035, section 4.2).
const DNS: u16 = 53;

/// Every rule, chain by chain, in order.
pub(super) fn plan(capture: &Capture) -> Vec<Rule> {
    let mut rules = Vec::new();
    for chain in Chain::ALL {
        match chain {
            Chain::Output => requests(chain, capture, &mut rules),
            Chain::Prerouting => {
                for &index in &capture.entrances {
                    rules.push(Rule {
                        chain,
                        matches: vec![Match::From(index)],
                        action: Action::Leave,
                    });
                }
                requests(chain, capture, &mut rules);
            }
            Chain::Input => outsiders(chain, capture, &mut rules),
        }
    }
    rules
}

/// What the listener answers: questions, whoever was asked, and requests for the page. A listener on port 53 itself
/// is sent what it would have got anyway.
fn requests(chain: Chain, capture: &Capture, rules: &mut Vec<Rule>) {
    for version in [Version::V4, Version::V6] {
        let matches = vec![Match::Loopback(version)];
        rules.push(Rule { chain, matches, action: Action::Leave });
    }
    for listener in capture.listeners() {
        for transport in [Transport::Udp, Transport::Tcp] {
            let matches = vec![
                Match::Any(Version::of(listener.ip())),
                Match::Transport(transport),
                Match::Port(DNS),
            ];
            rules.push(Rule { chain, matches, action: Action::Send(listener) });
        }
        let matches = vec![
            Match::Address(page::address_like(listener.ip())),
            Match::Transport(Transport::Tcp),
            Match::Port(page::PORT),
        ];
        rules.push(Rule { chain, matches, action: Action::Send(listener) });
    }
}

fn outsiders(chain: Chain, capture: &Capture, rules: &mut Vec<Rule>) {
    for listener in capture.listeners() {
        for &index in &capture.entrances {
            for transport in [Transport::Udp, Transport::Tcp] {
                let matches = vec![
                    Match::From(index),
                    Match::Address(listener.ip()),
                    Match::Transport(transport),
                    Match::Port(listener.port()),
                ];
                rules.push(Rule { chain, matches, action: Action::Drop });
            }
        }
    }
}

impl Version {
    pub(super) const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Rule {
    /// The comment by which the rule is known again; at most 128 bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in &self.matches {
            match one {
                Match::From(index) => write!(f, "from {index} ")?,
                Match::Loopback(Version::V4) => write!(f, "loopback v4 ")?,
                Match::Loopback(Version::V6) => write!(f, "loopback v6 ")?,
                Match::Transport(Transport::Tcp) => write!(f, "tcp ")?,
                Match::Transport(Transport::Udp) => write!(f, "udp ")?,
                Match::Any(_) => {}
                Match::Address(address) => write!(f, "to {address} ")?,
                Match::Port(port) => write!(f, "port {port} ")?,
            }
        }
        match self.action {
            Action::Leave => write!(f, "is left alone"),
            Action::Send(listener) => write!(f, "goes to {listener}"),
            Action::Drop => write!(f, "is dropped"),
        }
    }
}
