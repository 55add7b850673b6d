//! Settings of the kernel that bear on BPF (the kernel's Documentation/admin-guide/sysctl).

use std::{fs, io};

use super::check::{Check, Subject};

const UNPRIVILEGED_BPF: Subject = Subject::new("unprivileged_bpf", "unprivileged BPF");
const JIT: Subject = Subject::new("jit", "BPF compiler");

pub(super) fn unprivileged_bpf() -> Check {
    judge_unprivileged_bpf(read("/proc/sys/kernel/unprivileged_bpf_disabled").as_deref())
}

fn judge_unprivileged_bpf(value: Result<&str, &io::Error>) -> Check {
    let found = match value {
        Ok("1") => return UNPRIVILEGED_BPF.ok("off until the next boot"),
        Ok("2") => return UNPRIVILEGED_BPF.ok("off"),
        Ok(value) => format!("on (kernel.unprivileged_bpf_disabled is {value})"),
        Err(error) => format!("not known: {error}"),
    };
    UNPRIVILEGED_BPF.weaker(
        found,
        "a command without capabilities can load socket filters: they reach none of weir's programs \
         and tables, but attack the kernel that enforces",
        "set kernel.unprivileged_bpf_disabled=2",
    )
}

pub(super) fn jit() -> Check {
    judge_jit(read("/proc/sys/net/core/bpf_jit_enable").as_deref())
}

fn judge_jit(value: Result<&str, &io::Error>) -> Check {
    let found = match value {
        Ok("1") => return JIT.ok("on"),
        Ok("2") => "on, and writes all programs to the kernel log".to_owned(),
        Ok(value) => format!("off (net.core.bpf_jit_enable is {value})"),
        // The setting belongs to the first network namespace and to root.
        Err(error) => return JIT.ok(format!("not known: {error}")),
    };
    JIT.weaker(found, "verdicts are as strict, and slower", "set net.core.bpf_jit_enable=1")
}

fn read(path: &str) -> io::Result<String> {
    fs::read_to_string(path).map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn unprivileged_bpf_is_to_be_off() {
        assert_eq!(judge_unprivileged_bpf(Ok("0")).state, State::Weaker);
        assert_eq!(judge_unprivileged_bpf(Ok("1")).state, State::Ok);
        assert_eq!(judge_unprivileged_bpf(Ok("2")).state, State::Ok);
        assert_eq!(
            judge_unprivileged_bpf(Err(&io::ErrorKind::NotFound.into())).state,
            State::Weaker
        );
    }

    #[test]
    fn the_compiler_is_to_be_on() {
        assert_eq!(judge_jit(Ok("0")).state, State::Weaker);
        assert_eq!(judge_jit(Ok("1")).state, State::Ok);
        assert_eq!(judge_jit(Ok("2")).state, State::Weaker);
        assert_eq!(judge_jit(Err(&io::ErrorKind::PermissionDenied.into())).state, State::Ok);
    }
}
