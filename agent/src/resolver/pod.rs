//! What the resolver needs of the pod (or process tree) that it serves.
//!
//! The datapath implements [`Pod`]; the resolver never learns how an allow entry reaches the kernel
//! or how a process is named, and the datapath never sees a DNS message.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use weir_ebpf::reason::Reason;

use super::guard::{self, Exposure};
use crate::page::report::Report;
use crate::policy::{HostName, Mode, NameDecision, Port, Profile, RuleIndex};

/// The transport that a question came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A datagram.
    Udp,
    /// A stream, each message behind its length (RFC 7766).
    Tcp,
}

/// The pod that one listener serves.
///
/// Every method is called from the thread that receives the pod's datagrams as well as from tasks,
/// so none may wait for anything slower than a system call, apart from [`Pod::report`].
pub trait Pod: Send + Sync + 'static {
    /// Who asked: opaque here, carried from [`Pod::client`] to [`Pod::refuse`].
    type Client: Clone + Send + Sync + 'static;

    /// The policy in force now. A reload may change it between two calls.
    fn profile(&self) -> Arc<Profile>;

    /// Who sent a message from `peer`; `None` when it does not come from the pod, and then it is
    /// dropped without an answer.
    fn client(&self, peer: SocketAddr, transport: Transport) -> Option<Self::Client>;

    /// Writes the allow entries of an answer and returns once the kernel's map holds them.
    ///
    /// Called before every answer with addresses, so it must be cheap when nothing changes.
    fn admit(&self, admission: &Admission<'_>) -> Result<(), AdmitError>;

    /// Remembers which name led to these addresses, for records only: never an allow entry.
    fn observe(&self, name: &HostName, addresses: &[IpAddr]);

    /// The search list of the pod's clients ([`super::search_list`]); `None` is that of the resolver's own
    /// upstreams, where both read one resolv.conf.
    fn search(&self) -> Option<Vec<String>> {
        None
    }

    /// What the pod's barrier is to be told, once every layer that the pod is to have is in place.
    fn attestation(&self) -> Option<Attestation> {
        None
    }

    /// What the pod was refused so far, for its page; `None` where that is not known. Called from threads that may
    /// wait.
    fn report(&self) -> Option<Report> {
        None
    }

    /// Records a refusal. Called once for each refused question; the sink counts repeats.
    fn refuse(&self, refusal: &Refusal<'_, Self::Client>);
}

/// That a pod is enforced, for its barrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// The pod's uid.
    pub uid: String,
    /// Digest of the policy in force.
    pub policy: String,
    /// The errno by which the sentinel's connect is refused, by its name.
    pub refusal: &'static str,
}

/// Addresses that an allowed name was found to have.
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    /// The profile that allowed the name.
    pub profile: &'a Arc<Profile>,
    /// The question's name.
    pub name: &'a HostName,
    /// The addresses, in the answer's order; never empty.
    pub addresses: &'a [IpAddr],
    /// When the entries end: the answer's lifetime, clamped, plus the profile's grace.
    pub expires: Instant,
}

impl Admission<'_> {
    /// Each entry to write: an address, a port on it and the rule that grants it.
    ///
    /// A private address is granted only by rules that say `private: true`, so a second rule for
    /// the same name does not open its ports there. Nothing when the profile no longer allows it.
    pub fn entries(&self) -> impl Iterator<Item = (IpAddr, Port, RuleIndex)> + '_ {
        let grants: Vec<_> = match self.profile.decide_name(self.name) {
            NameDecision::Allowed(grants) => grants.iter().collect(),
            NameDecision::Denied { .. } | NameDecision::NotListed => Vec::new(),
        };
        self.addresses.iter().flat_map(move |&address| {
            let exposure = guard::exposure(address);
            let reaches = move |private: bool| match exposure {
                Exposure::Public => true,
                Exposure::Private => private,
                Exposure::Never => false,
            };
            grants.clone().into_iter().filter(move |grant| reaches(grant.private)).flat_map(
                move |grant| grant.ports.iter().map(move |&port| (address, port, grant.rule)),
            )
        })
    }
}

/// Why allow entries could not be written.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// The policy changed since it was read: the question is decided again.
    #[error("the policy changed while allow entries were being written")]
    Revoked,
    /// The pod has as many entries as it may have.
    #[error("the pod's allow entries are used up")]
    Full,
    /// The kernel's map refused the write.
    #[error("writing allow entries to the kernel's map failed")]
    Write(#[source] std::io::Error),
}

/// One refused question, or one that audit mode let pass.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a, C> {
    /// Who asked.
    pub client: &'a C,
    /// The profile that decided; `rule` is an index into it.
    pub profile: &'a Arc<Profile>,
    /// The name in presentation form (RFC 1035 §5.1), odd bytes escaped; empty if there was none.
    pub name: &'a str,
    /// Why.
    pub reason: Reason,
    /// [`Mode::Block`]: refused. [`Mode::Audit`]: let pass.
    pub verdict: Mode,
    /// The rule that denied the name or whose budget is used up.
    pub rule: Option<RuleIndex>,
    /// The address that an allowed name must not lead to.
    pub answer: Option<IpAddr>,
}
