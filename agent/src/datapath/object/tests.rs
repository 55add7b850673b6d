//! What the programs cost those who load them.

use std::fs;

use super::*;

mod loops;

/// Instructions that the verifier may go through for one program, each counted as often as it comes by. The kernel
/// allows a million (`BPF_COMPLEXITY_LIMIT_INSNS`); a start of `weir run` waits for all of them.
const VERIFIED_AT_MOST: u64 = 40_000;

#[test]
fn the_verifier_is_soon_done_with_each_program() {
    let (_datapath, _ring) = Datapath::load().unwrap();
    let mut verified = Vec::new();
    for descriptor in fs::read_dir("/proc/self/fdinfo").unwrap() {
        // Some are closed meanwhile, by tests beside this one.
        let text = fs::read_to_string(descriptor.unwrap().path()).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("verified_insns:"));
        verified.extend(count.map(|count| count.trim().parse::<u64>().unwrap()));
    }
    let most = verified.iter().max();
    assert!(most.is_some_and(|most| (1_000..=VERIFIED_AT_MOST).contains(most)), "{verified:?}");
}
