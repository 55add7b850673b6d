//! OTLP: records as log records, over gRPC, to an OpenTelemetry collector.
//!
//! Records are sent in batches. What the collector cannot take now is sent again, after longer and longer pauses; meanwhile
//! the queue fills, and what finds no room there is counted. What it refuses for good is counted at once
//! (OpenTelemetry Protocol Specification, "OTLP/gRPC Response").

use std::{io, time::Duration};

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, logs_service_client::LogsServiceClient,
};
use tokio::runtime::Runtime;
use tonic::{
    Code, Status,
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use super::{Line, Output, Refused};

mod convert;
#[cfg(test)]
mod tests;

/// Records that are sent together: some 300 KiB, far below the 4 MiB that gRPC servers take by default.
const BATCH: usize = 512;
/// How long one attempt may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after an attempt that failed, doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// How often somebody who waits in a pause looks whether the agent ends.
const LOOK: Duration = Duration::from_millis(100);

/// A collector.
#[derive(Debug)]
pub(in crate::events) struct Otlp {
    runtime: Runtime,
    client: LogsServiceClient<Channel>,
    /// The node's name.
    node: String,
    troubled: bool,
}

/// Why records cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The runtime.
    #[error("starting the runtime of the OTLP exporter")]
    Runtime(#[source] io::Error),
    /// The address or the system's certificates.
    #[error("`{0}` cannot be used as OTLP endpoint")]
    Endpoint(String, #[source] tonic::transport::Error),
}

impl Otlp {
    /// Prepares a connection, which is made when there is something to send: a collector that is not there yet stops
    /// nobody. `endpoint` is `http://HOST:PORT` or `https://HOST:PORT`; the latter trusts the system's certificates.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub(in crate::events) fn new(endpoint: &str, node: &str) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(StartError::Runtime)?;
        let failed = |error| StartError::Endpoint(endpoint.to_owned(), error);
        let mut channel = Endpoint::from_shared(endpoint.to_owned())
            .map_err(failed)?
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT);
        if endpoint.starts_with("https://") {
            let tls = ClientTlsConfig::new().with_native_roots();
            channel = channel.tls_config(tls).map_err(failed)?;
        }
        let channel = {
            let _runtime = runtime.enter();
            channel.connect_lazy()
        };
        let client = LogsServiceClient::new(channel);
        Ok(Self { runtime, client, node: node.to_owned(), troubled: false })
    }

    /// Sends a request once; how many records the collector refused for good.
    fn export(&mut self, request: ExportLogsServiceRequest) -> Result<u64, Status> {
        let response = self.runtime.block_on(self.client.export(request))?;
        let partial = response.into_inner().partial_success.unwrap_or_default();
        let rejected = u64::try_from(partial.rejected_log_records).unwrap_or_default();
        if rejected > 0 {
            tracing::warn!(
                rejected,
                message = partial.error_message,
                "the collector refused records"
            );
        }
        Ok(rejected)
    }

    /// Waits, and says whether to go on.
    fn pause(time: Duration, is_ending: &dyn Fn() -> bool) -> bool {
        let mut left = time;
        while !left.is_zero() {
            if is_ending() {
                return false;
            }
            let step = left.min(LOOK);
            std::thread::sleep(step);
            left -= step;
        }
        true
    }

    fn tell(&mut self, status: Option<&Status>) {
        match status {
            Some(status) if !self.troubled => {
                tracing::warn!(code = ?status.code(), message = status.message(), "the OTLP collector takes no records; trying again");
            }
            None if self.troubled => tracing::info!("the OTLP collector takes records again"),
            _ => {}
        }
        self.troubled = status.is_some();
    }
}

/// Whether the collector may take the same request later.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            | Code::ResourceExhausted
            // What tonic says of connections that break.
            | Code::Unknown
    )
}

impl Output for Otlp {
    fn batch(&self) -> usize {
        BATCH
    }

    fn take(&mut self, records: &[Line], is_ending: &dyn Fn() -> bool) -> Result<(), Refused> {
        let request = convert::request(records, &self.node);
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let refused = |records, error: &dyn std::fmt::Display| Refused {
            records,
            error: io::Error::other(error.to_string()),
        };
        if self.troubled && is_ending() {
            // One more time-out for each batch that waits would be minutes.
            return Err(refused(
                count,
                &"given up: the collector took nothing, and the agent ends",
            ));
        }
        let mut pause = FIRST_PAUSE;
        loop {
            match self.export(request.clone()) {
                Ok(0) => {
                    self.tell(None);
                    return Ok(());
                }
                Ok(rejected) => return Err(refused(rejected, &"refused by the collector")),
                Err(status) => {
                    self.tell(Some(&status));
                    if !is_passing(status.code()) || !Self::pause(pause, is_ending) {
                        return Err(refused(count, &status));
                    }
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }
}
