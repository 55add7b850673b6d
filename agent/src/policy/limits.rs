//! What a profile may hold at most: a hostile or broken file costs bounded memory and time.

/// Size of a profile file, in bytes.
pub const FILE_BYTES: usize = 8 * 1024 * 1024;
/// Allow rules in a profile.
pub const RULES: usize = 1024;
/// Entries of `domains` in a profile, all rules and `deny` together.
pub const DOMAINS: usize = 131_072;
/// Distinct wildcards among them.
pub const WILDCARDS: usize = 16_384;
/// Entries of `cidrs` in a profile, all rules together.
pub const CIDRS: usize = 4096;
/// Ports of one rule, and of all rules that cover one prefix: the size of the kernel's value.
pub const PORTS: usize = 16;
/// Rules that can cover one name.
pub const RULES_PER_NAME: usize = 32;
/// The most that `dns.namesPerWildcard` may be.
pub const NAMES_PER_WILDCARD: u32 = 10_000;
/// Entries of `inbound`.
pub const INBOUND: usize = 64;
/// Length of a profile's name, in bytes.
pub const PROFILE_NAME_BYTES: usize = 128;
/// Length of a rule's id, in bytes.
pub const RULE_ID_BYTES: usize = 64;
/// Names in `include`.
pub const INCLUDES: usize = 64;
