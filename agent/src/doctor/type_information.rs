//! BTF: the kernel's description of its own types, which binary and ancestry of a process are read by.

use std::{fs, io};

use super::{
    check::{Check, Subject},
    privileges::Privileges,
};
use crate::datapath::{
    offsets::{self, KERNEL_BTF, may_read_kernel},
    probe::Support,
};

const TYPES: Subject = Subject::new("btf", "kernel type information");

/// What gets weaker.
const UNNAMED: &str = "records name a process by its pid and short name, its binary only while it runs, and no ancestors";

pub(super) fn check(privileges: &Privileges) -> Check {
    // Whoever may load nothing cannot ask.
    let may_read = if privileges.may_load() { may_read_kernel() } else { Support::Yes };
    judge(fs::read(KERNEL_BTF), &may_read)
}

fn judge(bytes: io::Result<Vec<u8>>, may_read: &Support) -> Check {
    if *may_read != Support::Yes {
        return TYPES.weaker(
            "the kernel lets no program read it",
            UNNAMED,
            "boot without lockdown=confidentiality; lockdown=integrity is no hindrance",
        );
    }
    let found = bytes
        .map_err(|error| error.to_string())
        .and_then(|bytes| offsets::read(&bytes).map_err(|error| error.to_string()));
    match found {
        Ok(_) => TYPES.ok(format!("{KERNEL_BTF}, with every member that weir reads")),
        Err(why) => TYPES.weaker(
            format!("{KERNEL_BTF}: {why}"),
            UNNAMED,
            "use a kernel with CONFIG_DEBUG_INFO_BTF",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn what_cannot_be_read_weakens_the_records() {
        let check = judge(Err(io::ErrorKind::NotFound.into()), &Support::Yes);
        assert_eq!(check.state, State::Weaker);
        let check = judge(Ok(b"no types".to_vec()), &Support::Yes);
        assert_eq!(check.state, State::Weaker);
        assert!(check.found.ends_with("malformed BTF at byte 0"), "{check:?}");
        let check = judge(Ok(Vec::new()), &Support::No);
        assert!(check.remedy.is_some_and(|remedy| remedy.contains("lockdown")));
    }
}
