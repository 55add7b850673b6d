//! The attach barrier: an init container that lets the job start only once enforcement is proven.
//!
//! The proof needs the node agent, which this version does not have. Until then the barrier does what
//! it does whenever it has no proof: it fails, and the job does not start.

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!(
        "weir-initc: enforcement is not proven: this version has no node agent; the job must not start"
    );
    ExitCode::FAILURE
}
