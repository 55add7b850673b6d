//! CPU time of a server for each query that it answers from its cache, under dnsperf.
//!
//! The server's own time and not its rate: here the client is what limits the rate.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::servers::{Server, Servers};
use crate::bench::row::median;
use crate::exec;

/// Rounds, in each of which every server has its turn.
const ROUNDS: usize = 5;
const SECONDS: &str = "2";
const LIMIT: Duration = Duration::from_secs(20);

/// Microseconds per query.
#[derive(Debug)]
pub(super) struct Cpu {
    pub(super) weir: f64,
    pub(super) unbound: f64,
    pub(super) dnsmasq: f64,
}

pub(super) fn measure(servers: &Servers) -> Result<Cpu> {
    let all = [&servers.weir, &servers.unbound, &servers.dnsmasq];
    for server in all {
        // Once through the file: from here on every name is cached.
        ask(servers, server, &["-n", "1"])?;
    }
    let [mut weir, mut unbound, mut dnsmasq] = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (server, values) in all.into_iter().zip([&mut weir, &mut unbound, &mut dnsmasq]) {
            let before = used(server)?;
            let queries = ask(servers, server, &["-l", SECONDS])?;
            let spent = used(server)?.checked_sub(before).context("CPU time ran backwards")?;
            values.push(spent.as_secs_f64() * 1e6 / queries);
        }
    }
    Ok(Cpu { weir: median(weir), unbound: median(unbound), dnsmasq: median(dnsmasq) })
}

/// CPU time of a process so far, all threads, user and system.
fn used(server: &Server) -> Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(server.process.pid()))?;
    Ok(clock_gettime(clock)?.into())
}

/// Runs dnsperf to its end; how many queries were answered.
fn ask(servers: &Servers, server: &Server, bound: &[&str]) -> Result<f64> {
    let mut command = servers.host.enter("dnsperf");
    command.args(["-s", "127.0.0.1", "-p", &server.port.to_string(), "-d"]).arg(&servers.questions);
    command.args(["-q", "100"]).args(bound);
    let report = exec::run(command, LIMIT)?.expect_code(0)?.stdout;
    let number = |label: &str| {
        let line = report.lines().find_map(|line| line.trim().strip_prefix(label));
        line?.split_whitespace().next()?.parse::<f64>().ok()
    };
    let completed = number("Queries completed:").context("no count in dnsperf's report")?;
    let lost = number("Queries lost:").unwrap_or_default();
    ensure!(completed > 0.0 && lost < completed / 1000.0, "queries were lost\n{report}");
    ensure!(report.contains("NOERROR") && !report.contains("FAIL"), "wrong answers\n{report}");
    Ok(completed)
}
