//! The filter, run as the kernel would run it.

use super::*;

/// What the program returns for a packet that came in by `interface`.
fn verdict(program: &[libc::sock_filter], interface: u32) -> u32 {
    let mut at = 0;
    let mut register = None;
    loop {
        let step = program[at];
        at += 1;
        match u32::from(step.code) {
            0x20 => {
                assert_eq!(step.k, 0xffff_f008);
                register = Some(interface);
            }
            0x15 => {
                let is_equal = register == Some(step.k);
                at += usize::from(if is_equal { step.jt } else { step.jf });
            }
            0x06 => return step.k,
            code => panic!("{code:#x}"),
        }
    }
}

fn set(indexes: &[u32]) -> BTreeSet<u32> {
    indexes.iter().copied().collect()
}

#[test]
fn only_entrances_are_dropped() {
    for entrances in [set(&[]), set(&[4]), set(&[2, 4, 9]), (10..265).collect()] {
        let program = filter(&entrances).unwrap();
        for interface in 0..300 {
            let expected = if entrances.contains(&interface) { 0 } else { u32::MAX };
            assert_eq!(verdict(&program, interface), expected, "{interface} {entrances:?}");
        }
    }
}

#[test]
fn more_than_the_jumps_can_reach_is_refused() {
    assert!(filter(&(0..256).collect()).is_none());
}
