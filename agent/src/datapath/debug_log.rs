//! Forwards what the kernel programs log, in builds that let them.

use aya::Ebpf;
use aya_log::EbpfLogger;

/// Forwards until the process ends, to the `log` facade. What cannot be forwarded is said once.
pub(super) fn forward(programs: &mut Ebpf) {
    match EbpfLogger::init(programs) {
        Ok(mut logger) => {
            let forwarded =
                std::thread::Builder::new().name("weir-bpf-log".to_owned()).spawn(move || {
                    loop {
                        logger.flush();
                        std::thread::park_timeout(std::time::Duration::from_millis(50));
                    }
                });
            if let Err(error) = forwarded {
                tracing::warn!(%error, "the programs' log cannot be forwarded");
            }
        }
        Err(error) => tracing::warn!(%error, "the programs' log cannot be opened"),
    }
}
