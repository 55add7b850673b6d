//! Decides and answers the questions of one pod.
//!
//! Everything here is synchronous and the same for UDP and TCP. A question that needs upstream is
//! handed back and decided *again* when the answer is there, because the policy may have changed in
//! between; only the second decision writes entries and records refusals.

mod asked;
mod granted;
mod page;
mod refused;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_ebpf::reason::Reason;

use self::asked::{Asked, Attempt};
use self::granted::Granted;
use self::refused::Refused;
use super::budget::Budget;
use super::entry::Entry;
use super::listener::Versions;
use super::lock;
use super::lookup::Resolver;
use super::noise::Noise;
use super::pod::{Attestation, Pod, Refusal, Transport};
use super::question::{Odd, Request};
use super::reply::{self, ExtendedError, Reply};
use super::special;
use super::statistics::Outcome;
use super::wire::rcode;
use crate::page::Desk;
use crate::policy::{HostName, Mode, NameDecision, Profile, RuleIndex};

/// How often a question is decided anew because the policy changed while it was being answered.
const MAX_DECISIONS: usize = 4;
/// The largest message over TCP.
const TCP_LIMIT: usize = u16::MAX as usize;

/// What to do with a message.
pub(super) enum Step<C> {
    /// Send the buffer.
    Answer,
    /// Send nothing.
    Silence,
    /// Ask upstream, then [`Session::resume`].
    Upstream(Box<Pending<C>>),
}

/// A question that waits for upstream.
pub(super) struct Pending<C> {
    request: Request,
    client: C,
    limit: usize,
    _slot: OwnedSemaphorePermit,
}

/// One pod's resolver.
pub(super) struct Session<P: Pod> {
    resolver: Arc<Resolver>,
    pod: Arc<P>,
    budget: Mutex<Budget>,
    noise: Noise<P::Client>,
    slots: Arc<Semaphore>,
    versions: Versions,
    desk: Desk,
    /// Read while the pod is being called, written once to end that.
    open: RwLock<bool>,
}

/// How a question stands with the profile.
enum Standing {
    Granted { private: bool, rule: Option<RuleIndex> },
    Refused { reason: Reason, rule: Option<RuleIndex> },
}

impl<P: Pod> Session<P> {
    pub(super) fn new(resolver: Arc<Resolver>, pod: Arc<P>, versions: Versions) -> Self {
        Self {
            noise: Noise::new(
                pod.search().unwrap_or_else(|| resolver.upstreams().search().to_vec()),
            ),
            slots: Arc::new(Semaphore::new(resolver.settings().pod_queries)),
            resolver,
            pod,
            budget: Mutex::default(),
            versions,
            desk: Desk::default(),
            open: RwLock::new(true),
        }
    }

    pub(super) fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Whether a connection from `peer` is the pod's.
    pub(super) fn knows(&self, peer: SocketAddr) -> bool {
        self.enter().is_some() && self.pod.client(peer, Transport::Tcp).is_some()
    }

    /// Answers one message into `out`, as far as that is possible without upstream.
    pub(super) fn receive(
        &self,
        message: &[u8],
        peer: SocketAddr,
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> Step<P::Client> {
        let Some(_open) = self.enter() else { return Step::Silence };
        let Some(client) = self.pod.client(peer, transport) else { return Step::Silence };
        let request = match Request::parse(message) {
            Ok(request) => request,
            Err(odd) => {
                self.count(Outcome::Malformed);
                return self.answer_odd(odd, &client, out);
            }
        };
        let limit = match transport {
            Transport::Udp => reply::udp_limit(request.edns),
            Transport::Tcp => TCP_LIMIT,
        };
        let asked =
            Asked { request: &request, client: &client, limit, ready: None, now: Instant::now() };
        if self.answer(&asked, out) {
            return Step::Answer;
        }
        let Some(slot) = self.upstream_slot() else {
            let error = ExtendedError::new(
                ExtendedError::OTHER,
                "weir: too many questions of this pod are waiting for upstream",
            );
            Reply::new(&request, limit, out).empty(rcode::SERVER_FAILURE, Some(&error));
            self.count(Outcome::Failed);
            return Step::Answer;
        };
        Step::Upstream(Box::new(Pending { request, client, limit, _slot: slot }))
    }

    /// Asks upstream and answers into `out`; `false` if the session ended meanwhile.
    pub(super) async fn resume(&self, pending: &Pending<P::Client>, out: &mut Vec<u8>) -> bool {
        let Pending { request, client, limit, .. } = pending;
        let max_ttl = {
            let Some(_open) = self.enter() else { return false };
            self.pod.profile().dns().max_ttl
        };
        let entry = self.resolver.ask(request.name(), request.qtype, request.key(), max_ttl).await;
        let Some(_open) = self.enter() else { return false };
        let ready = Some(&entry);
        self.answer(&Asked { request, client, limit: *limit, ready, now: Instant::now() }, out)
    }

    /// Records what turns out not to be search-list noise, for as long as the session lives.
    pub(super) async fn report_held(&self) {
        loop {
            let due = self.noise.due().await;
            let Some(_open) = self.enter() else { return };
            for held in due {
                self.record_held(&held);
            }
        }
    }

    /// Ends the session: records what is held, and waits until nothing calls the pod any more.
    pub(super) fn close(&self) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        for held in self.noise.take_all() {
            self.record_held(&held);
        }
        *open = false;
    }

    pub(super) fn is_open(&self) -> bool {
        self.enter().is_some()
    }

    /// A place among this pod's questions that wait for upstream. A pod that holds
    /// some may not hold more than are free for all, so that pods that flood leave some to those that do not.
    fn upstream_slot(&self) -> Option<OwnedSemaphorePermit> {
        let held = self.resolver.settings().pod_queries - self.slots.available_permits();
        if held > 0 && held >= self.resolver.free_slots() {
            return None;
        }
        Arc::clone(&self.slots).try_acquire_owned().ok()
    }

    fn count(&self, outcome: Outcome) {
        self.resolver.statistics().count(outcome);
    }

    fn enter(&self) -> Option<RwLockReadGuard<'_, bool>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.then_some(open)
    }

    fn answer_odd(&self, odd: Odd, client: &P::Client, out: &mut Vec<u8>) -> Step<P::Client> {
        let (step, reason) = match odd {
            Odd::NoAnswer => (Step::Silence, Some(Reason::Unparsable)),
            Odd::Answer { id, echoed_flags, rcode } => {
                reply::odd(id, echoed_flags, rcode, out);
                let reason = match rcode {
                    rcode::FORMAT_ERROR => Some(Reason::Unparsable),
                    // A client that is ahead of its time is told so and asks again.
                    rcode::BAD_VERSION => None,
                    _ => Some(Reason::DnsBypass),
                };
                (Step::Answer, reason)
            }
        };
        if let Some(reason) = reason {
            // Audit mode cannot let pass what is no question, so this is blocked in either mode.
            self.pod.refuse(&Refusal {
                client,
                profile: &self.pod.profile(),
                name: "",
                reason,
                verdict: Mode::Block,
                rule: None,
                answer: None,
            });
        }
        step
    }

    /// Answers a question, or returns `false` if that needs upstream.
    fn answer(&self, asked: &Asked<'_, P::Client>, out: &mut Vec<u8>) -> bool {
        for _ in 0..MAX_DECISIONS {
            match self.attempt(asked, out) {
                Attempt::Answered(outcome) => {
                    self.count(outcome);
                    return true;
                }
                Attempt::NeedsUpstream => return false,
                Attempt::Revoked => {}
            }
        }
        let text = "weir: the policy keeps changing";
        let error = ExtendedError::new(ExtendedError::OTHER, text);
        asked.reply(out).empty(rcode::SERVER_FAILURE, Some(&error));
        self.count(Outcome::Failed);
        true
    }

    fn attempt(&self, asked: &Asked<'_, P::Client>, out: &mut Vec<u8>) -> Attempt {
        if special::is_localhost(asked.request) {
            special::answer_localhost(asked.request.qtype, asked.reply(out));
            return Attempt::Answered(Outcome::Local);
        }
        if let Some(nonce) = special::attach_nonce(asked.request) {
            self.attest(asked, nonce, out);
            return Attempt::Answered(Outcome::Local);
        }
        if special::is_page(asked.request) {
            self.answer_page(asked, out);
            return Attempt::Answered(Outcome::Local);
        }
        let profile = self.pod.profile();
        let name = HostName::from_wire_labels(asked.request.labels());
        match (self.standing(&profile, name.as_ref()), name) {
            (Standing::Granted { private, rule }, Some(name)) => {
                let granted = Granted { profile: &profile, name: &name, private, rule };
                self.granted(asked, &granted, out)
            }
            (Standing::Granted { rule, .. }, None) => {
                let refused = Refused { reason: Reason::DomainNotInAllowlist, rule, name: None };
                self.refused(asked, &profile, &refused, out)
            }
            (Standing::Refused { reason, rule }, name) => {
                self.refused(asked, &profile, &Refused { reason, rule, name }, out)
            }
        }
    }

    /// Tells the pod's barrier that enforcement is in place, once it is.
    fn attest(&self, asked: &Asked<'_, P::Client>, nonce: &[u8], out: &mut Vec<u8>) {
        let Some(attestation) = self.pod.attestation() else {
            let text = "weir: enforcement is not in place yet";
            let error = ExtendedError::new(ExtendedError::OTHER, text);
            asked.reply(out).empty(rcode::SERVER_FAILURE, Some(&error));
            return;
        };
        let Attestation { uid, policy, refusal } = attestation;
        let fields: [&[&[u8]]; 4] = [
            &[b"nonce=", nonce],
            &[b"uid=", uid.as_bytes()],
            &[b"policy=", policy.as_bytes()],
            &[b"refusal=", refusal.as_bytes()],
        ];
        let strings = fields.map(<[&[u8]]>::concat);
        let [nonce, uid, policy, refusal] = &strings;
        asked.reply(out).text(&[b"weir=1", nonce, uid, policy, refusal]);
    }

    fn standing(&self, profile: &Arc<Profile>, name: Option<&HostName>) -> Standing {
        let refused = |reason, rule| Standing::Refused { reason, rule };
        let Some(name) = name else { return refused(Reason::DomainNotInAllowlist, None) };
        match profile.decide_name(name) {
            NameDecision::NotListed => refused(Reason::DomainNotInAllowlist, None),
            NameDecision::Denied { rule } => refused(Reason::DomainNotInAllowlist, Some(rule)),
            NameDecision::Allowed(grants) => {
                match lock(&self.budget).charge(profile, name, &grants) {
                    Err(rule) => refused(Reason::NamesBudget, Some(rule)),
                    Ok(()) => Standing::Granted {
                        private: grants.iter().any(|grant| grant.private),
                        rule: grants.iter().next().map(|grant| grant.rule),
                    },
                }
            }
        }
    }

    /// The answer that was waited for, or a cached one that the profile still believes.
    fn entry(&self, asked: &Asked<'_, P::Client>, profile: &Profile) -> Option<Arc<Entry>> {
        let cached = || self.resolver.cached(asked.request.key(), profile.dns().max_ttl, asked.now);
        asked.ready.map(Arc::clone).or_else(cached)
    }
}
