//! What weir's resolver adds to the latency of a name that it does not know.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::servers::{DOMAIN, Servers};
use crate::dns::question;

/// Below the number of names that the profile's wildcard may lead to.
const NAMES: usize = 4000;
/// Names that are asked before the clock counts.
const WARM_UP: usize = 200;
const TIMEOUT: Duration = Duration::from_secs(2);
/// In the answer's second flag byte: the response code (RFC 1035 §4.1.1).
const RCODE: u8 = 0x0f;

/// Microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// What asking the upstream takes, and what asking weir takes beyond that.
pub(super) fn measure(servers: &Servers) -> Result<(Latency, Latency)> {
    let (upstream, weir) = (servers.upstream.address(), servers.weir.address());
    let (direct, through) = servers.host.run(async move { ask_both(upstream, weir) })??;
    let (direct, through) = (Latency::of(direct)?, Latency::of(through)?);
    let added = Latency { p50: through.p50 - direct.p50, p99: through.p99 - direct.p99 };
    Ok((direct, added))
}

impl Latency {
    fn of(mut times: Vec<Duration>) -> Result<Self> {
        times.sort();
        let at = |percent: usize| {
            let time = times.get(times.len() * percent / 100).context("nothing was measured")?;
            anyhow::Ok(time.as_secs_f64() * 1e6)
        };
        Ok(Self { p50: at(50)?, p99: at(99)? })
    }
}

/// One name after the other, each asked at both in turn, so that drift hits both.
fn ask_both(upstream: SocketAddr, weir: SocketAddr) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let (upstream, weir) = (connect(upstream)?, connect(weir)?);
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + NAMES {
        let name = format!("new{number}.{DOMAIN}");
        let times = (ask(&upstream, &name)?, ask(&weir, &name)?);
        if number >= WARM_UP {
            direct.push(times.0);
            through.push(times.1);
        }
    }
    Ok((direct, through))
}

fn connect(server: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    Ok(socket)
}

fn ask(server: &UdpSocket, name: &str) -> Result<Duration> {
    let question = question(name)?;
    let mut answer = [0_u8; 1500];
    let started = Instant::now();
    server.send(&question)?;
    let length = server.recv(&mut answer).with_context(|| format!("waiting for {name}"))?;
    let elapsed = started.elapsed();
    let [id_high, id_low, _, flags, _, _, _, answers, ..] = answer;
    ensure!(length > question.len() && question.starts_with(&[id_high, id_low]), "a stray answer");
    ensure!(flags & RCODE == 0 && answers > 0, "{name} was not answered");
    Ok(elapsed)
}
