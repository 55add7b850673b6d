//! BTF: the kernel's description of its own types, which binary and ancestry of a process are read by.

use std::{fs, io};

use super::check::{Check, Subject};
use crate::datapath::{btf, object::KERNEL_BTF};

const TYPES: Subject = Subject::new("btf", "kernel type information");

pub(super) fn check() -> Check {
    judge(fs::read(KERNEL_BTF))
}

fn judge(bytes: io::Result<Vec<u8>>) -> Check {
    let found = bytes
        .map_err(|error| error.to_string())
        .and_then(|bytes| btf::kernel_offsets(&bytes).map_err(|error| error.to_string()));
    match found {
        Ok(_) => TYPES.ok(format!("{KERNEL_BTF}, with every member that weir reads")),
        Err(why) => TYPES.weaker(
            format!("{KERNEL_BTF}: {why}"),
            "records name a process by its pid and short name, without binary and ancestry",
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
        let check = judge(Err(io::ErrorKind::NotFound.into()));
        assert_eq!(check.state, State::Weaker);
        let check = judge(Ok(b"no types".to_vec()));
        assert_eq!(check.state, State::Weaker);
        assert!(check.found.ends_with("malformed BTF at byte 0"), "{check:?}");
    }
}
