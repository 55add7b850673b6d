//! Records of reads of credential files.

use weir_ebpf::{
    credential::FileKey,
    flow::{Event, Outcome},
};

use super::EnforcedPod;
use crate::{
    attribution,
    events::record::{CredentialInfo, Kind},
    policy::RuleIndex,
    system::clock::wall_clock,
};

impl EnforcedPod {
    /// Records the first read of a credential file by a process.
    pub(super) fn tell_of_read(&self, event: &Event, outcome: Outcome) {
        let profile = self.current_profile();
        let key = FileKey::from_address(event.flow.peer.address, event.slot);
        let file = self.datapath.watched_file(key);
        let path = file.and_then(|file| {
            attribution::path(&file.path, file.components, file.path_complete == 1)
        });
        let pattern = u32::from(event.flow.peer.port);
        let mut record = self.recorder.record(
            Kind::CredentialRead,
            wall_clock(event.at_ns),
            profile.provenance(),
            RuleIndex::DEFAULT_DENY,
        );
        record.verdict = Some(outcome.into());
        record.credential = Some(CredentialInfo {
            path,
            // The profile may have changed since.
            watched: profile.processes().credwatch.text(pattern).unwrap_or_default().to_owned(),
        });
        record.count = 1;
        let process = self.identify(event.process, event.comm);
        self.recorder.name_process(&mut record, process, event.known);
        // It is this read that others come after.
        record.after_credential_read = false;
        self.recorder.write(record);
    }
}
