//! A download that a job keeps up, to see whether a connection stays.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::jobs::Jobs;
use crate::node::{Container, Pod};
use crate::vm::patient;

/// A download that never ends by itself, and how far it is.
#[derive(Debug)]
pub struct Download {
    container: Container,
    file: PathBuf,
}

impl Download {
    /// Begins it in a container of its own, through an allowed name.
    pub fn begin(jobs: &Jobs, pod: &Pod, name: &str) -> Result<Self> {
        let script = format!("exec curl -sSN -o /tmp/taken http://{name}/drip/16384");
        let container = format!("download-{}", name.replace('.', "-"));
        let container = pod.start(jobs.container(&container).shell(&script))?;
        let file = format!("/proc/{}/root/tmp/taken", container.pid()?).into();
        let download = Self { container, file };
        download.flows()?;
        Ok(download)
    }

    fn length(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |file| file.len())
    }

    /// Waits until more has come; the server sends ten times a second.
    pub fn flows(&self) -> Result<()> {
        let (before, deadline) = (self.length(), Instant::now() + patient(Duration::from_secs(10)));
        while self.length() <= before {
            ensure!(Instant::now() < deadline, "stalled:\n{}", self.container.logs()?);
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether nothing comes any more, for ten times as long as the server pauses.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        // Without acknowledgements the server stops after its first window.
        std::thread::sleep(Duration::from_millis(500));
        let before = self.length();
        std::thread::sleep(Duration::from_secs(1));
        self.length() == before
    }
}
