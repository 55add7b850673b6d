//! Forwards what the kernel programs log, in builds that let them: `WEIR_LOG=debug` shows it.

use std::os::fd::AsFd as _;

use aya::Ebpf;
use aya_log::EbpfLogger;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

/// Forwards until the process ends, to the `log` facade. What cannot be forwarded is said once.
pub(super) fn forward(programs: &mut Ebpf) {
    match EbpfLogger::init(programs) {
        Ok(mut logger) => {
            let forwarded =
                std::thread::Builder::new().name("weir-bpf-log".to_owned()).spawn(move || {
                    loop {
                        let mut ring = [PollFd::new(logger.as_fd(), PollFlags::POLLIN)];
                        match poll(&mut ring, PollTimeout::NONE) {
                            Ok(_) | Err(Errno::EINTR) => logger.flush(),
                            Err(error) => {
                                tracing::warn!(%error, "the programs' log cannot be waited for");
                                return;
                            }
                        }
                    }
                });
            if let Err(error) = forwarded {
                tracing::warn!(%error, "the programs' log cannot be forwarded");
            }
        }
        Err(error) => tracing::warn!(%error, "the programs' log cannot be opened"),
    }
}
