//! Answers questions for names that the profile allows.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use weir_ebpf::reason::Reason;

use super::asked::{Asked, Attempt};
use super::{Entry, Session};
use crate::policy::{HostName, Mode, Profile, RuleIndex};
use crate::resolver::guard::{self, Exposure};
use crate::resolver::pod::{Admission, AdmitError, Pod, Refusal};
use crate::resolver::reply::ExtendedError;
use crate::resolver::statistics::Outcome;
use crate::resolver::wire::rcode;

/// Shortest time an allow entry lives: an answer that may not be kept (lifetime zero) still has to
/// be usable by the client that asked for it, also where a profile sets no grace.
const MIN_ADMISSION: Duration = Duration::from_secs(2);

/// An allowed name.
pub(super) struct Granted<'a> {
    pub(super) profile: &'a Arc<Profile>,
    pub(super) name: &'a HostName,
    /// Whether some rule lets the name have private addresses.
    pub(super) private: bool,
    pub(super) rule: Option<RuleIndex>,
}

impl<P: Pod> Session<P> {
    /// Answers a question for an allowed name.
    pub(super) fn granted(
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
            Err(error) => self.admission_failed(asked, granted, &error, out),
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
            return self.admission_failed(asked, granted, &error, out);
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
            return Attempt::Answered(Outcome::Refused);
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

    /// Addresses without allow entries are not told.
    fn admission_failed(
        &self,
        asked: &Asked<'_, P::Client>,
        granted: &Granted<'_>,
        error: &AdmitError,
        out: &mut Vec<u8>,
    ) -> Attempt {
        match error {
            AdmitError::Revoked => return Attempt::Revoked,
            // The job's own doing, as often as it likes: a record, and no line in the log. Audit mode cannot
            // let pass what it cannot admit either.
            AdmitError::Full => self.pod.refuse(&Refusal {
                client: asked.client,
                profile: granted.profile,
                name: granted.name.as_str(),
                reason: Reason::NamesBudget,
                verdict: Mode::Block,
                rule: granted.rule,
                answer: None,
            }),
            AdmitError::Write(_) => tracing::warn!(%error, "an answer is withheld"),
        }
        let extended = ExtendedError::new(ExtendedError::OTHER, format!("weir: {error}"));
        asked.reply(out).empty(rcode::SERVER_FAILURE, Some(&extended));
        Attempt::Answered(Outcome::Failed)
    }
}
