//! What an operator can set about the resolver.

use std::time::Duration;

/// Limits and timeouts of a [`super::Resolver`] and of the listeners it serves.
#[derive(Clone, Debug)]
pub struct ResolverSettings {
    /// Answers that the shared cache holds at most.
    pub cache_entries: usize,
    /// Bytes that the shared cache holds at most, its own bookkeeping estimated in.
    pub cache_bytes: usize,
    /// Longest time an answer is kept, whatever its records say.
    pub max_ttl: Duration,
    /// Longest time the absence of a name or record is believed (RFC 2308 §5).
    pub max_negative_ttl: Duration,
    /// How long a failure to get an answer is remembered (RFC 9520 §3.2), so that a flood of
    /// questions that fail is not a flood upstream.
    pub failure_ttl: Duration,
    /// How long one upstream is waited for before the next one is asked.
    pub upstream_timeout: Duration,
    /// How long a question may take in all. Stub resolvers give up after 5 s.
    pub query_timeout: Duration,
    /// Questions that are being asked upstream at one time, over all pods.
    pub upstream_queries: usize,
    /// Questions of one pod that are being asked upstream at one time; beyond it SERVFAIL.
    pub pod_queries: usize,
    /// Connections that one pod may hold open.
    pub pod_connections: usize,
    /// How long a connection may be idle, or a message on it incomplete.
    pub tcp_idle: Duration,
}

impl Default for ResolverSettings {
    fn default() -> Self {
        Self {
            cache_entries: 65_536,
            cache_bytes: 8 << 20,
            max_ttl: Duration::from_secs(86_400),
            max_negative_ttl: Duration::from_secs(300),
            failure_ttl: Duration::from_secs(1),
            upstream_timeout: Duration::from_millis(1500),
            query_timeout: Duration::from_millis(4500),
            upstream_queries: 1024,
            pod_queries: 256,
            pod_connections: 32,
            tcp_idle: Duration::from_secs(10),
        }
    }
}
