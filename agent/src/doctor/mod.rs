//! `weir doctor`: what this machine can enforce, and what gets weaker for want of what it lacks.
//!
//! Each check looks at one thing and gives one [`Check`]. What it judges is read first and handed over
//! as a value, so that the judgement is tested without the machine. Nothing on the machine is changed,
//! but for a cgroup that the enforcement check makes and removes.

mod cgroups;
mod check;
mod enforcement;
mod features;
mod guard;
mod kernel;
mod names;
mod privileges;
mod release;
mod render;
mod tunables;
mod type_information;

pub use check::{Check, State, exit_code};
pub use render::{to_json, to_text};

use privileges::Privileges;

/// All checks, the ones that others hang on first.
#[must_use]
pub fn examine() -> Vec<Check> {
    let release = release::running();
    let privileges = Privileges::of_this_process();
    let mut checks = vec![
        kernel::release(release.as_ref()),
        privileges::check(&privileges),
        privileges::locked_memory(),
        cgroups::check(release.as_ref().ok()),
        kernel::bpffs(),
    ];
    checks.extend(features::check(&privileges));
    checks.extend([enforcement::check(&privileges), type_information::check(&privileges)]);
    checks.extend(guard::check(&privileges));
    checks.extend([
        kernel::ipv6_loopback(),
        names::check(),
        privileges::no_new_privs(),
        tunables::unprivileged_bpf(),
        tunables::jit(),
    ]);
    checks
}
