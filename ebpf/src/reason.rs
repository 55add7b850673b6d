//! Why a packet, a connect or a name was refused: one closed set for kernel, events and people.

/// Places for counts by reason: a power of two, so that a masked number is always one of them, and its own.
pub const REASONS: usize = 16;
const _: () = assert!(REASONS.is_power_of_two() && Reason::ALL.len() <= REASONS);

/// The closed set of reasons; the numbers cross the kernel boundary, the names are what events carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// The name is on no allow list of the profile, or a deny rule names it.
    DomainNotInAllowlist = 1,
    /// An address that no answer of the resolver led to.
    DirectIpNoDns = 2,
    /// The address is allowed, this port or protocol on it is not.
    PortNotAllowed = 3,
    /// The address was allowed until its answer's lifetime and grace ran out.
    Expired = 4,
    /// The instance metadata service of a cloud.
    MetadataService = 5,
    /// Port 53 to anything but the pod's own listener.
    DnsBypass = 6,
    /// DNS over TLS or QUIC (port 853).
    Dot = 7,
    /// An answer in a private, loopback, link-local or metadata range for a public name.
    PrivateAnswer = 8,
    /// A packet of a raw socket, or a socket of a family that leads past IP.
    RawSocket = 9,
    /// Headers that could not be parsed, fragments without an admitted socket among them.
    Unparsable = 10,
    /// A protocol that no rule can name, ICMP echo without a rule among them.
    ProtocolNotAllowed = 11,
    /// More distinct names below one wildcard than the profile grants, or more addresses than the pod's table of
    /// allow entries holds.
    NamesBudget = 12,
    /// A `bpf()` call that could have reached the enforcement itself.
    BpfDenied = 13,
    /// A read of a file that the profile watches as a credential.
    CredentialRead = 14,
    /// A process that left the pod's cgroup, or tried to.
    CgroupLeft = 15,
    /// A process more than a pod may have, since no more can be followed.
    ProcessLimit = 16,
}

impl Reason {
    /// Every reason, in numeric order.
    pub const ALL: [Self; 16] = [
        Self::DomainNotInAllowlist,
        Self::DirectIpNoDns,
        Self::PortNotAllowed,
        Self::Expired,
        Self::MetadataService,
        Self::DnsBypass,
        Self::Dot,
        Self::PrivateAnswer,
        Self::RawSocket,
        Self::Unparsable,
        Self::ProtocolNotAllowed,
        Self::NamesBudget,
        Self::BpfDenied,
        Self::CredentialRead,
        Self::CgroupLeft,
        Self::ProcessLimit,
    ];

    /// The name that event records carry.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DomainNotInAllowlist => "domain_not_in_allowlist",
            Self::DirectIpNoDns => "direct_ip_no_dns",
            Self::PortNotAllowed => "port_not_allowed",
            Self::Expired => "expired",
            Self::MetadataService => "metadata_service",
            Self::DnsBypass => "dns_bypass",
            Self::Dot => "dot",
            Self::PrivateAnswer => "private_answer",
            Self::RawSocket => "raw_socket",
            Self::Unparsable => "unparsable",
            Self::ProtocolNotAllowed => "protocol_not_allowed",
            Self::NamesBudget => "names_budget",
            Self::BpfDenied => "bpf_denied",
            Self::CredentialRead => "credential_read",
            Self::CgroupLeft => "cgroup_left",
            Self::ProcessLimit => "process_limit",
        }
    }

    /// Where it stands in counts by reason ([`REASONS`]).
    #[inline(always)]
    #[must_use]
    pub const fn place(self) -> usize {
        self as usize & (REASONS - 1)
    }

    /// The reason with this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == code)
    }
}
