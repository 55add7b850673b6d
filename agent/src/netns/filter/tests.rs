//! Filters as the kernel tells them, byte by byte.

use super::super::netlink::messages;
use super::*;

/// An attribute as it stands in a nest.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn program_in(options: &[u8]) -> Result<Option<u32>, Malformed> {
    let told = Request::new(44, &[0; HEADER_BYTES]).attribute(TCA_KIND, b"bpf\0").unwrap();
    let bytes = told.attribute(TCA_OPTIONS, options).unwrap().finish(1, 0).unwrap();
    read(&messages(&bytes).next().unwrap().unwrap())
}

#[test]
fn the_program_is_found_among_the_options() {
    let options = [attribute(7, b"weir_wire\0"), attribute(TCA_BPF_ID, &77_u32.to_ne_bytes())];
    assert_eq!(program_in(&options.concat()), Ok(Some(77)));
}

#[test]
fn a_filter_without_a_program_has_none() {
    assert_eq!(program_in(&attribute(7, b"other\0")), Ok(None));
}

#[test]
fn a_number_of_another_length_is_malformed() {
    assert_eq!(program_in(&attribute(TCA_BPF_ID, &[1, 2])), Err(Malformed));
}

#[test]
fn one_filter_is_asked_for() {
    let bytes = request(FilterId { priority: 1, handle: 0x7765 }, 9).unwrap();
    let bytes = bytes.finish(1, libc::NLM_F_REQUEST).unwrap();
    let message = messages(&bytes).next().unwrap().unwrap();
    let (header, _) = message.split(HEADER_BYTES).unwrap();
    let words: Vec<u32> =
        header.as_chunks().0.iter().map(|word| u32::from_ne_bytes(*word)).collect();
    assert_eq!(words, [0, 9, 0x7765, PARENT, (1 << 16) | u32::from(3_u16.to_be())]);
}
