//! `weir run` and the launcher behind it.

use std::{
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use crate::run::{
    self, RunSettings, complain,
    launch::{self, LAUNCH_FAILED, LaunchSpec},
    summary::chain,
};

/// Exit code when the command succeeded but something was refused, with `--fail-on-violation`.
const VIOLATION: u8 = 125;
/// Exit code of weir's own failures, before the command was started.
const NOT_STARTED: u8 = 2;

/// Run a command, and all that it starts, under default-deny egress.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: that of the command (128 and the signal's number when a signal ended it); \
2 when weir could not start it; 125 with --fail-on-violation when only weir has something to object.\n\
SIGHUP reads the profile again."
)]
pub struct RunArgs {
    /// Profile to enforce; without one, everything is denied.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Let pass and report what the profile does not allow (metadata services, DNS over TLS and foreign
    /// name servers stay refused).
    #[arg(long)]
    audit: bool,
    /// Append one JSON record a line to FILE; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Write a profile to FILE that allows what was seen, for review.
    #[arg(long, value_name = "FILE")]
    suggest: Option<PathBuf>,
    /// Exit with 125 when the command succeeds but something was refused or audited.
    #[arg(long)]
    fail_on_violation: bool,
    /// Name server to ask, instead of those in resolv.conf; port 53 unless given. May be repeated.
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = upstream)]
    upstream: Vec<SocketAddr>,
    /// Leave the command its capabilities; it can then undo the enforcement.
    #[arg(long)]
    keep_caps: bool,
    /// The command and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    command: Vec<OsString>,
}

/// Runs the command; the code to exit with.
#[must_use]
pub fn run(args: RunArgs) -> ExitCode {
    let fail_on_violation = args.fail_on_violation;
    let settings = RunSettings {
        profile: args.profile,
        audit: args.audit,
        events: args.events,
        suggest: args.suggest,
        upstreams: args.upstream,
        keep_capabilities: args.keep_caps,
        command: args.command,
    };
    match run::run(&settings) {
        Ok(outcome) if outcome.code == 0 && fail_on_violation && outcome.violations > 0 => {
            ExitCode::from(VIOLATION)
        }
        Ok(outcome) => ExitCode::from(outcome.code),
        Err(error) => {
            complain(&chain(&error));
            ExitCode::from(NOT_STARTED)
        }
    }
}

/// What `weir run` tells the launcher.
#[derive(Debug, Args)]
pub struct LaunchArgs {
    #[arg(long)]
    cgroup: PathBuf,
    #[arg(long)]
    keep_caps: bool,
    #[arg(long)]
    hide: Vec<PathBuf>,
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Becomes the command.
#[must_use]
pub fn launch(args: LaunchArgs) -> ExitCode {
    let spec = LaunchSpec {
        cgroup: args.cgroup,
        keep_capabilities: args.keep_caps,
        hidden: args.hide,
        command: args.command,
    };
    launch::launch(&spec).unwrap_or_else(|error| {
        complain(&chain(&error));
        ExitCode::from(LAUNCH_FAILED)
    })
}

fn upstream(text: &str) -> Result<SocketAddr, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    text.parse::<SocketAddr>()
        .or_else(|_error| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)))
        .map_err(|_error| "expected an IP address, or ADDR:PORT ([ADDR]:PORT for IPv6)".to_owned())
}
