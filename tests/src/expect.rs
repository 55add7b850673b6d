//! The three things that every refusal has to show: without weir the act gets through, in block mode
//! nothing arrives and one record names it, in audit mode it gets through and is recorded.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};

use crate::lab::{Host, Lab};
use crate::profile::Profile;
use crate::weir::{Event, Outcome};

/// Something that a program does and that a profile does not allow.
#[derive(Clone, Debug)]
pub struct Act<'a> {
    argv: Vec<String>,
    witness: &'a Host,
    reasons: Vec<&'static str>,
    comm: Option<String>,
    destination: Option<(String, u16)>,
    host: Option<String>,
    hard: bool,
    exits_zero: bool,
    silent_off: bool,
}

impl<'a> Act<'a> {
    /// `argv` sends to `witness`, and is refused for one of `reasons`.
    #[must_use]
    pub fn new<S: AsRef<str>>(argv: &[S], witness: &'a Host, reasons: &[&'static str]) -> Self {
        Self {
            argv: argv.iter().map(|word| word.as_ref().to_owned()).collect(),
            witness,
            reasons: reasons.to_vec(),
            comm: None,
            destination: None,
            host: None,
            hard: false,
            exits_zero: false,
            silent_off: false,
        }
    }

    /// The record names this process.
    #[must_use]
    pub fn by(mut self, comm: &str) -> Self {
        // The kernel keeps 15 bytes of a name.
        self.comm = Some(comm.chars().take(15).collect());
        self
    }

    /// The record names this address and port.
    #[must_use]
    pub fn to(mut self, ip: IpAddr, port: u16) -> Self {
        self.destination = Some((ip.to_string(), port));
        self
    }

    /// The record names this host.
    #[must_use]
    pub fn named(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// Refused in audit mode too.
    #[must_use]
    pub const fn hard(mut self) -> Self {
        self.hard = true;
        self
    }

    /// The program does not tell by its exit code that it was refused.
    #[must_use]
    pub const fn exits_zero(mut self) -> Self {
        self.exits_zero = true;
        self
    }

    /// The program's exit code says nothing even where it gets through.
    #[must_use]
    pub const fn silent_off(mut self) -> Self {
        self.silent_off = true;
        self.exits_zero = true;
        self
    }

    fn matches(&self, event: &Event) -> bool {
        let comm = self.comm.as_ref().is_none_or(|comm| event.comm() == comm);
        let host = self.host.as_ref().is_none_or(|host| event.host() == host);
        let destination = self
            .destination
            .as_ref()
            .is_none_or(|(ip, port)| event.ip() == ip && event.port() == u64::from(*port));
        self.reasons.contains(&event.reason()) && comm && host && destination
    }
}

/// Tries `act` without weir, in block mode and in audit mode.
pub fn refused(lab: &Lab, profile: &Profile, act: &Act<'_>) -> Result<()> {
    refused_inner(lab, profile, act).with_context(|| format!("the act `{}`", act.argv.join(" ")))
}

fn refused_inner(lab: &Lab, profile: &Profile, act: &Act<'_>) -> Result<()> {
    let watch = lab.watch(act.witness)?;

    let off = lab.client.run(&act.argv)?;
    lab.client.end_connections()?;
    ensure!(act.silent_off || off.code == 0, "without weir: {}", off.describe());
    ensure!(!watch.take()?.is_empty(), "without weir nothing arrived: {}", off.describe());

    let block = lab.weir().profile(&profile.text())?.run(&act.argv)?;
    let arrived = watch.take()?;
    ensure!(arrived.is_empty(), "in block mode {arrived:?} arrived: {}", block.describe());
    ensure!(act.exits_zero || block.output.code != 0, "in block mode: {}", block.describe());
    recorded(act, &block, "block")?;

    let audit = lab.weir().profile(&profile.text())?.audit().run(&act.argv)?;
    lab.client.end_connections()?;
    let arrived = watch.take()?;
    if act.hard {
        ensure!(arrived.is_empty(), "a hard block let {arrived:?} pass: {}", audit.describe());
        return recorded(act, &audit, "block");
    }
    ensure!(!arrived.is_empty(), "in audit mode nothing arrived: {}", audit.describe());
    ensure!(act.silent_off || audit.output.code == 0, "in audit mode: {}", audit.describe());
    recorded(act, &audit, "audit")
}

/// Whether exactly one violation of one destination tells of `act` with `verdict`.
fn recorded(act: &Act<'_>, outcome: &Outcome, verdict: &str) -> Result<()> {
    let what = format!("{verdict} {:?} by {:?} to {:?}", act.reasons, act.comm, act.destination);
    let found =
        outcome.violation(&what, |event| act.matches(event) && event.verdict() == verdict)?;
    let same = outcome.violations().filter(|event| {
        (event.reason(), event.ip(), event.port(), event.proto(), event.host(), event.comm())
            == (found.reason(), found.ip(), found.port(), found.proto(), found.host(), found.comm())
            && event.number("/process/pid") == found.number("/process/pid")
    });
    ensure!(same.count() == 1, "the same violation was written twice: {}", outcome.describe());
    Ok(())
}

/// `argv` succeeds under `profile` in block mode, and no violation is recorded.
pub fn allowed<S: AsRef<str>>(lab: &Lab, profile: &Profile, argv: &[S]) -> Result<Outcome> {
    let outcome = lab.weir().profile(&profile.text())?.run(argv)?.expect_code(0)?;
    ensure!(outcome.violations().count() == 0, "violations in {}", outcome.describe());
    Ok(outcome)
}
