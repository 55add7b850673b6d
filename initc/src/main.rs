//! The attach barrier: an init container that lets the job start only once enforcement is proven.
//!
//! It holds no capability, mounts nothing and talks DNS: weir's listener in the pod answers a fresh
//! name with the pod's identity, and a connect to an address that nobody has must fail with an error
//! that only weir's hook gives. Exit code 0 is proof; everything else holds the job back.
//!
//! **Invariant:** no way to exit code 0 goes around the proof of [`Barrier::hold`].

mod ask;
mod attempt;
mod barrier;
mod claim;
mod environment;
mod message;
mod outcome;
mod pace;
mod random;
mod resolv_conf;
mod sentinel;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use barrier::{Barrier, SetupError};
use environment::Settings;

/// The exit code for a container that is set up wrong, which waiting cannot mend.
const WRONG_ENVIRONMENT: u8 = 2;

fn main() -> ExitCode {
    let barrier = match Settings::from_environment(std::env::var_os)
        .map_err(SetupError::from)
        .and_then(Barrier::set_up)
    {
        Ok(barrier) => barrier,
        Err(error) => {
            say(&mut std::io::stderr(), &error);
            return ExitCode::from(WRONG_ENVIRONMENT);
        }
    };
    match barrier.hold() {
        Ok(proof) => {
            say(&mut std::io::stdout(), &proof);
            ExitCode::SUCCESS
        }
        Err(surrender) => {
            say(&mut std::io::stderr(), &surrender);
            ExitCode::FAILURE
        }
    }
}

/// One line of the pod's log. A log that cannot be written changes no verdict.
fn say(stream: &mut impl Write, what: &dyn Display) {
    writeln!(stream, "weir-initc: {what}").ok();
}
