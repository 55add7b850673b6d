//! Ways into the resolver's parsers for the fuzz targets; not part of any other build.
#![expect(clippy::missing_panics_doc, reason = "to panic is how a fuzz target tells what it found")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::op::Message;

use super::answer::{self, Lifetimes};
use super::listener::Versions;
use super::question::Request;
use super::reply::Reply;
use super::session::{Session, Step};
use super::{
    Admission, AdmitError, Pod, Refusal, Resolver, ResolverSettings, Transport, Upstreams, guard,
};
use crate::policy::{HostName, NameDecision, Profile};

/// A pod that believes everybody and keeps nothing.
struct FuzzPod(Arc<Profile>);

impl Pod for FuzzPod {
    type Client = ();

    fn profile(&self) -> Arc<Profile> {
        Arc::clone(&self.0)
    }

    fn client(&self, _peer: SocketAddr, _transport: Transport) -> Option<()> {
        Some(())
    }

    fn admit(&self, admission: &Admission<'_>) -> Result<(), AdmitError> {
        assert!(admission.addresses.iter().all(|a| guard::exposure(*a) == guard::Exposure::Public));
        Ok(())
    }

    fn observe(&self, _name: &HostName, _addresses: &[IpAddr]) {}

    fn refuse(&self, refusal: &Refusal<'_, ()>) {
        assert!(refusal.name.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}

/// One pod's decisions on whatever a client sends.
pub struct Decider {
    session: Session<FuzzPod>,
    profile: Arc<Profile>,
    out: Vec<u8>,
}

impl Decider {
    /// A decider for `profile`, which is in block mode.
    #[must_use]
    pub fn new(profile: Profile) -> Option<Self> {
        let profile = Arc::new(profile);
        let upstreams = Upstreams::from_addrs(&[SocketAddr::from(([127, 0, 0, 1], 53))]).ok()?;
        let upstreams = upstreams.with_search(&["corp.example.net"]);
        let resolver = Resolver::new(upstreams, ResolverSettings::default());
        let pod = Arc::new(FuzzPod(Arc::clone(&profile)));
        let session = Session::new(resolver, pod, Versions { v4: true, v6: true });
        Some(Self { session, profile, out: Vec::new() })
    }

    /// Decides on a client's message: answers are well formed and fit, and only allowed names are
    /// left for upstream.
    pub fn decide(&mut self, message: &[u8]) {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        match self.session.receive(message, peer, Transport::Udp, &mut self.out) {
            Step::Silence => {}
            Step::Answer => {
                assert!(self.out.len() <= 1232);
                let answer = Message::from_vec(&self.out);
                assert!(answer.is_ok_and(
                    |answer| Some(&answer.metadata.id.to_be_bytes()[..]) == message.get(..2)
                ));
            }
            Step::Upstream(_) => {
                let name = Request::parse(message)
                    .ok()
                    .and_then(|request| HostName::from_wire_labels(request.labels()));
                let decision = name.as_ref().map(|name| self.profile.decide_name(name));
                assert!(matches!(decision, Some(NameDecision::Allowed(_))));
            }
        }
    }
}

/// Judges `message` as upstream's answer to an A question; what is kept of it can be told to a client
/// and read by one.
pub fn judge(message: &[u8]) {
    const QUERY: &[u8] =
        b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x08registry\x07example\x03com\0\0\x01\0\x01";
    let Ok(request) = Request::parse(QUERY) else { return };
    for qtype in [1, 28, 5, 16, 65] {
        let limits =
            Lifetimes { max_ttl: Duration::from_secs(3600), max_negative_ttl: Duration::ZERO };
        let now = Instant::now();
        let Ok(entry) = answer::check(message, request.name(), qtype, limits, now) else {
            continue;
        };
        assert!(entry.expires(Duration::MAX) <= now + Duration::from_secs(3600));
        let mut out = Vec::new();
        Reply::new(&request, usize::from(u16::MAX), &mut out).records(&entry, 1, |_| true, None);
        assert!(Message::from_vec(&out).is_ok_and(|told| told.answers.iter().all(|r| r.ttl == 1)));
    }
}
