//! Answers questions for names that the profile refuses: in block mode without upstream, in audit
//! mode with a record and no entry.

use std::sync::Arc;

use weir_ebpf::reason::Reason;

use super::Session;
use super::asked::{Asked, Attempt};
use crate::page;
use crate::policy::{HostName, Mode, NameDecision, Profile, RuleIndex};
use crate::resolver::noise::Held;
use crate::resolver::pod::{Pod, Refusal};
use crate::resolver::question::presentation;
use crate::resolver::reply::ExtendedError;
use crate::resolver::special;
use crate::resolver::statistics::Outcome;
use crate::resolver::wire::rcode;

/// A refused name; `None` if it is not a host name at all.
pub(super) struct Refused {
    pub(super) reason: Reason,
    pub(super) rule: Option<RuleIndex>,
    pub(super) name: Option<HostName>,
}

impl<P: Pod> Session<P> {
    /// Answers a question for a name that the profile refuses.
    pub(super) fn refused(
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
        let is_answered = |bare| bare == page::HOST || is_allowed(profile, bare);
        let expansion_of_answered = || self.noise.bare_names(&name).any(is_answered);
        if special::is_reverse_lookup(asked.request) || expansion_of_answered() {
            asked.reply(out).empty(rcode::NAME_ERROR, None);
            return Attempt::Answered(Outcome::Local);
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
            return Attempt::Answered(Outcome::Refused);
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
        Attempt::Answered(Outcome::Refused)
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
        let Some(entry) = entry else { return Attempt::Answered(Outcome::Audited) };
        if let Some(host) = &refused.name
            && !entry.addresses().is_empty()
        {
            self.pod.observe(host, entry.addresses());
        }
        match asked.tell(profile, &entry, |_| true, None, out) {
            Attempt::Answered(Outcome::Failed) => Attempt::Answered(Outcome::Failed),
            _ => Attempt::Answered(Outcome::Audited),
        }
    }

    pub(super) fn record_held(&self, held: &Held<P::Client>) {
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

fn is_allowed(profile: &Profile, name: &str) -> bool {
    HostName::parse(name)
        .is_ok_and(|name| matches!(profile.decide_name(&name), NameDecision::Allowed(_)))
}
