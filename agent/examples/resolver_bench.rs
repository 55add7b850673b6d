//! Serves one synthetic pod, for measuring the resolver against other servers.
//!
//! `resolver_bench LISTEN UPSTREAM [SEARCH…]` listens on the address and port `LISTEN`, asks
//! `UPSTREAM`, and allows every name below `bench.example.com`. It prints `ready` once it serves. For
//! each line on its standard input it prints one JSON line with what it has used up so far, and it
//! ends with its input.

use std::collections::HashMap;
use std::io::{BufRead as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Context as _;
use nix::time::{ClockId, clock_gettime};
use weir::policy::{HostName, Profile};
use weir::resolver::{
    Admission, AdmitError, Listener, Pod, Refusal, Resolver, ResolverSettings, Transport,
    Upstreams, serve,
};

const PROFILE: &str = r#"
apiVersion: weir.dev/v1
kind: EgressProfile
metadata: { name: bench }
spec:
  mode: block
  allow:
    - id: registry
      domains: [registry.example.com, "*.cdn.example.com"]
      ports: [443]
    - id: bench
      domains: ["**.bench.example.com"]
      ports: [443]
  deny: { domains: ["**.workers.dev"] }
  dns: { grace: 30s, maxTtl: 1h, namesPerWildcard: 10000 }
"#;

/// Costs what a real pod costs: a system call for each client, a table for what is admitted.
struct BenchPod {
    profile: Arc<Profile>,
    questions: AtomicU64,
    refusals: AtomicU64,
    admitted: Mutex<HashMap<IpAddr, Instant>>,
}

impl Pod for BenchPod {
    type Client = i32;

    fn profile(&self) -> Arc<Profile> {
        Arc::clone(&self.profile)
    }

    fn client(&self, _peer: SocketAddr, _transport: Transport) -> Option<i32> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        Some(nix::unistd::getppid().as_raw())
    }

    fn admit(&self, admission: &Admission<'_>) -> Result<(), AdmitError> {
        let mut admitted = self.admitted.lock().map_err(|_poisoned| AdmitError::Full)?;
        for &address in admission.addresses {
            let known = admitted.get(&address);
            if known.is_none_or(|&until| until < admission.expires) {
                admitted.insert(address, admission.expires);
            }
        }
        Ok(())
    }

    fn observe(&self, _name: &HostName, _addresses: &[IpAddr]) {}

    fn refuse(&self, _refusal: &Refusal<'_, i32>) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut address = |what: &str| -> anyhow::Result<SocketAddr> {
        let text = arguments.next().with_context(|| format!("{what} is missing"))?;
        text.parse().with_context(|| format!("reading {what} `{text}`"))
    };
    let (listen, upstream) = (address("LISTEN")?, address("UPSTREAM")?);
    let search: Vec<String> = arguments.collect();
    let search: Vec<&str> = search.iter().map(String::as_str).collect();

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let upstreams = Upstreams::from_addrs(&[upstream])?.with_search(&search);
    let resolver = Resolver::new(upstreams, ResolverSettings::default());
    let pod = Arc::new(BenchPod {
        profile: Arc::new(Profile::from_yaml("bench", PROFILE)?),
        questions: AtomicU64::new(0),
        refusals: AtomicU64::new(0),
        admitted: Mutex::default(),
    });
    let listener = Listener::bind(&[listen.ip()], listen.port())?;
    let server = serve(resolver, Arc::clone(&pod), listener)?;

    let mut out = std::io::stdout().lock();
    writeln!(out, "ready")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let cpu = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
        let cpu_ns = cpu.tv_sec() * 1_000_000_000 + cpu.tv_nsec();
        let status = std::fs::read_to_string("/proc/self/status")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|rest| rest.split_ascii_whitespace().next());
        writeln!(
            out,
            r#"{{"cpu_ns":{cpu_ns},"questions":{},"refusals":{},"resident_kib":{}}}"#,
            pod.questions.load(Ordering::Relaxed),
            pod.refusals.load(Ordering::Relaxed),
            resident.unwrap_or("null"),
        )?;
        out.flush()?;
    }
    server.shutdown();
    Ok(())
}
