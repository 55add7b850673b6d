//! How the compiler laid out the programs' loops: not every way is one that all kernels take.

use aya_obj::{Object, generated::bpf_insn};

use crate::datapath::object::OBJECT;

/// The classes and operations of instructions that may lead elsewhere than to the next one (RFC 9669 §4.3).
const CLASS: u8 = 0x07;
const OPERATION: u8 = 0xf0;
const JMP: u8 = 0x05;
const JMP32: u8 = 0x06;
const JA: u8 = 0x00;
const CALL: u8 = 0x80;
const EXIT: u8 = 0x90;
const EQUAL: u8 = 0x10;
/// `r0 = 0`.
const MOVE: u8 = 0xb7;

/// What decides where an instruction leads.
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    offset: i16,
}

impl Instruction {
    /// Whether it says where to go on, if at all. A call comes back, to the next instruction.
    fn is_jump(self) -> bool {
        [JMP, JMP32].contains(&(self.code & CLASS)) && self.code & OPERATION != CALL
    }

    /// What may follow it, in the order in which the kernel goes there.
    fn followers(self, at: usize) -> Vec<usize> {
        let (next, there) = (at + 1, (at + 1).checked_add_signed(self.offset.into()));
        match self.code & OPERATION {
            EXIT if self.is_jump() => vec![],
            JA if self.is_jump() => vec![there.unwrap()],
            _ if self.is_jump() => vec![next, there.unwrap()],
            // What is called is a function of its own.
            _ => vec![next],
        }
    }
}

/// An instruction that goes on to the next one, though the kernel is on its way from there: a `back-edge`, which Linux 6.1
/// and before take from jumps alone (`check_cfg` and `push_insn` of kernel/bpf/verifier.c).
fn straight_into_a_loop(function: &[Instruction]) -> Option<usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        OnTheWay,
        Done,
    }
    let mut states = vec![State::New; function.len()];
    let mut way = vec![(0, function[0].followers(0).into_iter())];
    states[0] = State::OnTheWay;
    while let Some((at, followers)) = way.last_mut() {
        let at = *at;
        let Some(next) = followers.next() else {
            states[at] = State::Done;
            way.pop();
            continue;
        };
        match states[next] {
            State::OnTheWay if !function[at].is_jump() => return Some(at),
            State::New => {
                states[next] = State::OnTheWay;
                way.push((next, function[next].followers(next).into_iter()));
            }
            _ => {}
        }
    }
    None
}

#[test]
fn nothing_but_jumps_leads_back_in_the_programs() {
    let object = Object::parse(OBJECT).unwrap();
    let mut loops = 0;
    for function in object.functions.values() {
        let read = |from: &bpf_insn| Instruction { code: from.code, offset: from.off };
        let instructions: Vec<_> = function.instructions.iter().map(read).collect();
        let found = straight_into_a_loop(&instructions);
        assert_eq!(found, None, "{}: lay its loop out with the test at the top", function.name);
        loops += instructions.iter().filter(|one| one.is_jump() && one.offset < 0).count();
    }
    assert!(loops > 0, "no loop was looked at");
}

#[test]
fn a_loop_is_known_by_what_leads_back() {
    let instruction = |code, offset| Instruction { code, offset };
    let (exit, straight) = (instruction(JMP | EXIT, 0), instruction(MOVE, 0));
    let (test, jump) = (|to| instruction(JMP | EQUAL, to), |to| instruction(JMP | JA, to));
    let call = Instruction { code: JMP | CALL, ..straight };
    let test_below = [straight, test(-2), exit];
    assert_eq!(straight_into_a_loop(&test_below), None);
    let test_above = [test(2), straight, jump(-3), exit];
    assert_eq!(straight_into_a_loop(&test_above), None);
    for last in [straight, call] {
        let into_its_head = [jump(1), last, test(-2), exit];
        assert_eq!(straight_into_a_loop(&into_its_head), Some(1));
    }
}
