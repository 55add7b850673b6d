//! Decides and answers the questions of one pod.
//!
//! Everything here is synchronous and the same for UDP and TCP. A question that needs upstream is
//! handed back and decided *again* when the answer is there, because the policy may have changed in
//! between; only the second decision writes entries and records refusals.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_ebpf::reason::Reason;

use super::budget::Budget;
use super::entry::Entry;
use super::guard::{self, Exposure};
use super::lock;
use super::lookup::Resolver;
use super::noise::{Held, Noise};
use super::pod::{Admission, AdmitError, Pod, Refusal, Transport};
use super::question::{Odd, Request, presentation};
use super::reply::{self, ExtendedError, Reply};
use super::special;
use super::wire::{rcode, rtype};
use crate::policy::{HostName, Mode, NameDecision, Profile, RuleIndex};

/// How often a question is decided anew because the policy changed while it was being answered.
const MAX_DECISIONS: usize = 4;
/// Shortest time an allow entry lives: an answer that may not be kept (lifetime zero) still has to
/// be usable by the client that asked for it, also where a profile sets no grace.
const MIN_ADMISSION: Duration = Duration::from_secs(2);
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
    /// Read while the pod is being called, written once to end that.
    open: RwLock<bool>,
}

/// One question and what is known about it.
struct Asked<'a, C> {
    request: &'a Request,
    client: &'a C,
    limit: usize,
    /// The answer that was waited for.
    ready: Option<&'a Arc<Entry>>,
    now: Instant,
}

/// How a question stands with the profile.
enum Standing {
    Granted { private: bool, rule: Option<RuleIndex> },
    Refused { reason: Reason, rule: Option<RuleIndex> },
}

/// What becomes of an attempt to answer.
enum Attempt {
    Answered,
    NeedsUpstream,
    /// The policy changed: decide again.
    Revoked,
}

impl<P: Pod> Session<P> {
    pub(super) fn new(resolver: Arc<Resolver>, pod: Arc<P>) -> Self {
        Self {
            noise: Noise::new(resolver.upstreams().search()),
            slots: Arc::new(Semaphore::new(resolver.settings().pod_queries)),
            resolver,
            pod,
            budget: Mutex::default(),
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
            Err(odd) => return self.answer_odd(odd, &client, out),
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
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            let error = ExtendedError::new(
                ExtendedError::OTHER,
                "weir: too many questions of this pod are waiting for upstream",
            );
            Reply::new(&request, limit, out).empty(rcode::SERVER_FAILURE, Some(&error));
            return Step::Answer;
        };
        Step::Upstream(Box::new(Pending { request, client, limit, _slot: slot }))
    }

    /// Asks upstream and answers into `out`; `false` if the session ended meanwhile.
    pub(super) async fn resume(&self, pending: &Pending<P::Client>, out: &mut Vec<u8>) -> bool {
        let Pending { request, client, limit, .. } = pending;
        let entry = self.resolver.ask(request.name(), request.qtype, request.key()).await;
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
        if let Some(_open) = self.enter() {
            for held in self.noise.take_all() {
                self.record_held(&held);
            }
        }
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = false;
    }

    pub(super) fn is_open(&self) -> bool {
        self.enter().is_some()
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
                Attempt::Answered => return true,
                Attempt::NeedsUpstream => return false,
                Attempt::Revoked => {}
            }
        }
        let text = "weir: the policy keeps changing";
        let error = ExtendedError::new(ExtendedError::OTHER, text);
        asked.reply(out).empty(rcode::SERVER_FAILURE, Some(&error));
        true
    }

    fn attempt(&self, asked: &Asked<'_, P::Client>, out: &mut Vec<u8>) -> Attempt {
        if special::is_localhost(asked.request) {
            special::answer_localhost(asked.request.qtype, asked.reply(out));
            return Attempt::Answered;
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

    /// Answers a question for an allowed name.
    fn granted(
        &self,
        asked: &Asked<'_, P::Client>,
        granted: &Granted<'_>,
        out: &mut Vec<u8>,
    ) -> Attempt {
        if let Some(attempt) = asked.without_upstream(out) {
            return attempt;
        }
        let Some(entry) = self.entry(asked, granted.profile) else {
            return Attempt::NeedsUpstream;
        };
        let ceiling = if granted.private { Exposure::Private } else { Exposure::Public };
        if entry.exposure() > ceiling {
            return self.guarded(asked, granted, &entry, ceiling, out);
        }
        match self.admit(asked, granted, &entry, entry.addresses()) {
            Ok(()) => asked.tell(granted.profile, &entry, |_| true, None, out),
            Err(error) => admission_failed(asked, &error, out),
        }
    }

    /// Answers with the addresses that an allowed name may have, and records that it has others.
    fn guarded(
        &self,
        asked: &Asked<'_, P::Client>,
        granted: &Granted<'_>,
        entry: &Entry,
        ceiling: Exposure,
        out: &mut Vec<u8>,
    ) -> Attempt {
        let passes = |address: &IpAddr| guard::exposure(*address) <= ceiling;
        let all = entry.addresses();
        let (good, bad): (Vec<IpAddr>, Vec<IpAddr>) = all.iter().partition(|a| passes(a));
        if !good.is_empty()
            && let Err(error) = self.admit(asked, granted, entry, &good)
        {
            return admission_failed(asked, &error, out);
        }
        let Granted { profile, name, rule, .. } = *granted;
        self.pod.refuse(&Refusal {
            client: asked.client,
            profile,
            name: name.as_str(),
            reason: Reason::PrivateAnswer,
            verdict: profile.mode(),
            rule,
            answer: bad.first().copied(),
        });
        if profile.mode() == Mode::Audit {
            self.pod.observe(name, &bad);
            return asked.tell(profile, entry, |_| true, None, out);
        }
        let text = format!(
            "weir: profile {} does not allow private addresses for this name",
            profile.name()
        );
        let error = ExtendedError::new(ExtendedError::FILTERED, text);
        let keep = |index: usize| all.get(index).is_some_and(passes);
        if good.is_empty() {
            // The name exists, so NXDOMAIN would also deny the addresses of the other family.
            asked.reply(out).empty(rcode::NO_ERROR, Some(&error));
            return Attempt::Answered;
        }
        asked.tell(profile, entry, keep, Some(&error), out)
    }

    fn admit(
        &self,
        asked: &Asked<'_, P::Client>,
        granted: &Granted<'_>,
        entry: &Entry,
        addresses: &[IpAddr],
    ) -> Result<(), AdmitError> {
        if addresses.is_empty() {
            return Ok(());
        }
        let Granted { profile, name, .. } = *granted;
        let dns = profile.dns();
        let expires = (entry.expires(dns.max_ttl) + dns.grace).max(asked.now + MIN_ADMISSION);
        self.pod.admit(&Admission { profile, name, addresses, expires })
    }

    /// Answers a question for a name that the profile refuses.
    fn refused(
        &self,
        asked: &Asked<'_, P::Client>,
        profile: &Arc<Profile>,
        refused: &Refused,
        out: &mut Vec<u8>,
    ) -> Attempt {
        let name = refused
            .name
            .as_ref()
            .map_or_else(|| presentation(asked.request.labels()), |name| name.as_str().to_owned());
        let expansion_of_allowed =
            || self.noise.bare_names(&name).any(|bare| is_allowed(profile, bare));
        if special::is_reverse_lookup(asked.request) || expansion_of_allowed() {
            asked.reply(out).empty(rcode::NAME_ERROR, None);
            return Attempt::Answered;
        }
        match profile.mode() {
            Mode::Block => self.block(asked, profile, refused, name, out),
            Mode::Audit => self.audit(asked, profile, refused, &name, out),
        }
    }

    /// Refuses a name without a word to upstream.
    ///
    /// The code is NXDOMAIN, not REFUSED: for REFUSED musl waits out its 5 s and glibc tries every
    /// server again and reports a *temporary* failure, which package clients retry. NXDOMAIN fails at
    /// once everywhere, and the Extended DNS Error says that it was policy (RFC 8914 §4.16).
    fn block(
        &self,
        asked: &Asked<'_, P::Client>,
        profile: &Arc<Profile>,
        refused: &Refused,
        name: String,
        out: &mut Vec<u8>,
    ) -> Attempt {
        let text = match refused.reason {
            Reason::NamesBudget => "weir: names below this wildcard are used up, profile",
            _ => "weir: name not allowed by profile",
        };
        let error =
            ExtendedError::new(ExtendedError::BLOCKED, format!("{text} {}", profile.name()));
        asked.reply(out).empty(rcode::NAME_ERROR, Some(&error));

        let spoken_for = self.noise.settle(&name, asked.now);
        let expansion = self.noise.bare_names(&name).next().is_some();
        if spoken_for {
            return Attempt::Answered;
        }
        let held = Held {
            client: asked.client.clone(),
            profile: Arc::clone(profile),
            name,
            reason: refused.reason,
            rule: refused.rule,
        };
        let to_record = if expansion { self.noise.hold(held, asked.now).err() } else { Some(held) };
        if let Some(held) = to_record {
            self.record_held(&held);
        }
        Attempt::Answered
    }

    /// Lets a refused name pass, and records it. What its addresses are is remembered for records.
    fn audit(
        &self,
        asked: &Asked<'_, P::Client>,
        profile: &Arc<Profile>,
        refused: &Refused,
        name: &str,
        out: &mut Vec<u8>,
    ) -> Attempt {
        let local = asked.without_upstream(out);
        let entry = match &local {
            Some(_) => None,
            None => match self.entry(asked, profile) {
                Some(entry) => Some(entry),
                None => return Attempt::NeedsUpstream,
            },
        };
        let exists = entry.as_ref().is_none_or(|entry| entry.name_exists());
        // An expansion that leads nowhere is noise; one that exists is what was meant.
        if exists || self.noise.bare_names(name).next().is_none() {
            self.pod.refuse(&Refusal {
                client: asked.client,
                profile,
                name,
                reason: refused.reason,
                verdict: Mode::Audit,
                rule: refused.rule,
                answer: None,
            });
        }
        let Some(entry) = entry else { return Attempt::Answered };
        if let Some(host) = &refused.name
            && !entry.addresses().is_empty()
        {
            self.pod.observe(host, entry.addresses());
        }
        asked.tell(profile, &entry, |_| true, None, out)
    }

    /// The answer that was waited for, or a cached one that the profile still believes.
    fn entry(&self, asked: &Asked<'_, P::Client>, profile: &Profile) -> Option<Arc<Entry>> {
        let cached = || self.resolver.cached(asked.request.key(), profile.dns().max_ttl, asked.now);
        asked.ready.map(Arc::clone).or_else(cached)
    }

    fn record_held(&self, held: &Held<P::Client>) {
        self.pod.refuse(&Refusal {
            client: &held.client,
            profile: &held.profile,
            name: &held.name,
            reason: held.reason,
            verdict: Mode::Block,
            rule: held.rule,
            answer: None,
        });
    }
}

/// An allowed name.
struct Granted<'a> {
    profile: &'a Arc<Profile>,
    name: &'a HostName,
    /// Whether some rule lets the name have private addresses.
    private: bool,
    rule: Option<RuleIndex>,
}

/// A refused name; `None` if it is not a host name at all.
struct Refused {
    reason: Reason,
    rule: Option<RuleIndex>,
    name: Option<HostName>,
}

impl<C> Asked<'_, C> {
    fn reply<'s>(&'s self, out: &'s mut Vec<u8>) -> Reply<'s> {
        Reply::new(self.request, self.limit, out)
    }

    /// Answers the types that are not asked upstream for any name.
    fn without_upstream(&self, out: &mut Vec<u8>) -> Option<Attempt> {
        match self.request.qtype {
            rtype::ANY => self.reply(out).minimal_any(),
            // Asked by real clients, and understood well enough to be checked.
            rtype::A
            | rtype::AAAA
            | rtype::CAA
            | rtype::CNAME
            | rtype::HTTPS
            | rtype::MX
            | rtype::NAPTR
            | rtype::NS
            | rtype::PTR
            | rtype::SOA
            | rtype::SRV
            | rtype::SSHFP
            | rtype::SVCB
            | rtype::TLSA
            | rtype::TXT => return None,
            // Tunnels like types that carry anything (NULL, private use), and a type is two bytes
            // out with every question: the rest does not exist here.
            _ => {
                let text = "weir: questions of this type are not asked";
                let error = ExtendedError::new(ExtendedError::FILTERED, text);
                self.reply(out).empty(rcode::NO_ERROR, Some(&error));
            }
        }
        Some(Attempt::Answered)
    }

    /// Writes the records of `entry`, with the lifetime that is left of it.
    fn tell(
        &self,
        profile: &Profile,
        entry: &Entry,
        keep: impl Fn(usize) -> bool,
        error: Option<&ExtendedError>,
        out: &mut Vec<u8>,
    ) -> Attempt {
        if let Some(failure) = &entry.failure {
            self.reply(out).empty(rcode::SERVER_FAILURE, Some(failure));
            return Attempt::Answered;
        }
        let left = entry.expires(profile.dns().max_ttl).saturating_duration_since(self.now);
        let ttl_s = u32::try_from(left.as_secs()).unwrap_or(u32::MAX >> 1);
        self.reply(out).records(entry, ttl_s, keep, error);
        Attempt::Answered
    }
}

/// Addresses without allow entries are not told.
fn admission_failed<C>(asked: &Asked<'_, C>, error: &AdmitError, out: &mut Vec<u8>) -> Attempt {
    if matches!(error, AdmitError::Revoked) {
        return Attempt::Revoked;
    }
    tracing::warn!(%error, "an answer is withheld");
    let extended = ExtendedError::new(ExtendedError::OTHER, format!("weir: {error}"));
    asked.reply(out).empty(rcode::SERVER_FAILURE, Some(&extended));
    Attempt::Answered
}

fn is_allowed(profile: &Profile, name: &str) -> bool {
    HostName::parse(name)
        .is_ok_and(|name| matches!(profile.decide_name(&name), NameDecision::Allowed(_)))
}
