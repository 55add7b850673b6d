//! The wait: attempt after attempt until one proves enforcement, or time or attempts run out.

use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use crate::ask::Inquiry;
use crate::attempt::{Setback, attempt};
use crate::claim::Expected;
use crate::environment::{EnvironmentError, Settings};
use crate::message::Question;
use crate::outcome::{Limit, Proof, Surrender};
use crate::pace::Pace;
use crate::random::{Nonce, Random};
use crate::resolv_conf::name_servers;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What no waiting mends.
#[derive(Debug)]
pub(crate) enum SetupError {
    /// A variable that cannot be used.
    Environment(EnvironmentError),
    /// resolv.conf cannot be read.
    ResolvConf(io::Error),
    /// It names nobody to ask.
    NoNameServer,
    /// There are no random numbers.
    Random(io::Error),
}

impl From<EnvironmentError> for SetupError {
    fn from(error: EnvironmentError) -> Self {
        Self::Environment(error)
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(error) => error.fmt(formatter),
            Self::ResolvConf(error) => write!(formatter, "reading {RESOLV_CONF}: {error}"),
            Self::NoNameServer => write!(
                formatter,
                "{RESOLV_CONF} names no name server: give the pod a dnsPolicy or dnsConfig that does"
            ),
            Self::Random(error) => write!(formatter, "reading random numbers: {error}"),
        }
    }
}

/// Ready to wait.
#[derive(Debug)]
pub(crate) struct Barrier {
    started: Instant,
    settings: Settings,
    servers: Vec<IpAddr>,
    inquiry: Arc<Inquiry>,
    random: Random,
}

impl Barrier {
    /// Finds whom to ask, and makes this run's nonce.
    pub(crate) fn set_up(settings: Settings) -> Result<Self, SetupError> {
        let started = Instant::now();
        let text = fs::read(RESOLV_CONF).map_err(SetupError::ResolvConf)?;
        let servers = name_servers(&String::from_utf8_lossy(&text));
        if servers.is_empty() {
            return Err(SetupError::NoNameServer);
        }
        let mut random = Random::open().map_err(SetupError::Random)?;
        let nonce = Nonce::new(random.bytes().map_err(SetupError::Random)?);
        let question = Question::new(&nonce);
        let expected = Expected { nonce, uid: settings.pod_uid.clone() };
        let inquiry = Arc::new(Inquiry { question, expected });
        Ok(Self { started, settings, servers, inquiry, random })
    }

    /// Waits for the proof.
    pub(crate) fn hold(mut self) -> Result<Proof, Surrender> {
        let deadline = self.started + self.settings.deadline;
        let mut pace = Pace::new();
        let mut attempts = 0_u32;
        let mut last = None;
        let limit = loop {
            let began = Instant::now();
            let left = deadline.saturating_duration_since(began);
            if left.is_zero() {
                break Limit::Deadline;
            }
            if self.settings.attempts.is_some_and(|most| attempts >= most.get()) {
                break Limit::Attempts;
            }
            attempts = attempts.saturating_add(1);
            let slot = pace.slot().min(left);
            match attempt(&self.servers, &self.inquiry, &mut self.random, slot, deadline) {
                Ok(attached) => {
                    let uid_was_known = self.settings.pod_uid.is_some();
                    let waited = self.started.elapsed();
                    return Ok(Proof { attached, uid_was_known, waited, attempts });
                }
                // The deadline cuts the last wait short: its silence tells less than what was before.
                Err(Setback::Silence) if slot == left && last.is_some() => {}
                Err(setback) => last = Some(setback),
            }
            // There is no event to wait for where the answer was a plain no.
            let rest = slot.saturating_sub(began.elapsed());
            thread::sleep(rest.min(deadline.saturating_duration_since(Instant::now())));
        };
        Err(Surrender { waited: self.started.elapsed(), attempts, limit, last })
    }
}
