//! Lengths that lie.

use proptest::prelude::*;

use super::{message::array, *};

fn request() -> Vec<u8> {
    let request = Request::new(18, &[0; 5]).attribute(3, b"eth0\0").unwrap();
    request.attribute(5, &[]).unwrap().finish(7, 1).unwrap()
}

fn attributes(bytes: &[u8]) -> Result<Vec<(u16, Vec<u8>)>, Malformed> {
    let list = Attributes::nested(bytes);
    list.map(|one| one.map(|(kind, value)| (kind, value.to_vec()))).collect()
}

#[test]
fn what_is_written_is_read_back() {
    let bytes = request();
    let read: Vec<_> = messages(&bytes).collect::<Result<_, _>>().unwrap();
    let [message] = read.as_slice() else { panic!("{read:?}") };
    assert_eq!((message.kind, message.flags, message.sequence), (18, 1, 7));
    let (header, list) = message.split(8).unwrap();
    assert_eq!(header, [0; 8]);
    let list: Vec<_> = list.collect::<Result<_, _>>().unwrap();
    assert_eq!(list, [(3, b"eth0\0".as_slice()), (5, b"".as_slice())]);
}

#[test]
fn two_messages_lie_side_by_side_and_the_last_may_lack_its_padding() {
    let mut bytes = request();
    let mut short = 17_u32.to_ne_bytes().to_vec();
    short.extend([0; 13]);
    bytes.extend(&short);
    let read: Vec<_> = messages(&bytes).collect::<Result<_, _>>().unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(read[1].payload, [0]);
}

#[test]
fn a_length_shorter_than_the_header_ends_the_reading() {
    for length in [0_u32, 15, u32::MAX] {
        let mut bytes = request();
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        let read: Vec<_> = messages(&bytes).collect();
        assert_eq!(read, [Err(Malformed)], "{length}");
    }
    for length in [0_u16, 3, 9, u16::MAX] {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend([0; 6]);
        assert_eq!(attributes(&bytes), Err(Malformed), "{length}");
    }
}

#[test]
fn an_acknowledgement_is_no_refusal_and_an_error_carries_its_number() {
    let answer = |code: i32| {
        let bytes = Request::new(2, &code.to_ne_bytes()).finish(1, 0).unwrap();
        messages(&bytes).next().unwrap().unwrap().refusal()
    };
    assert!(answer(0).is_ok());
    assert_eq!(answer(-libc::EPERM).unwrap_err().refusal(), Some(libc::EPERM));
    assert!(answer(i32::MIN).is_err());
    let empty = Request::new(2, &[]).finish(1, 0).unwrap();
    assert!(messages(&empty).next().unwrap().unwrap().refusal().is_err());
}

#[test]
fn an_attribute_that_is_too_long_is_not_written() {
    let long = vec![0; usize::from(u16::MAX)];
    assert!(Request::new(1, &[]).attribute(1, &long).is_err());
}

#[test]
fn the_kernel_answers_and_refuses() {
    let mut socket = Socket::route().unwrap();
    let links = socket.dump(&Request::new(libc::RTM_GETLINK, &[0; 16]), |message| {
        let (header, _attributes) = message.split(16)?;
        Ok(Some(i32::from_ne_bytes(array(header.get(4..).unwrap_or_default())?)))
    });
    assert!(links.unwrap().contains(&1));
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&i32::MAX.to_ne_bytes());
    let missing = socket.get(Request::new(libc::RTM_GETLINK, &header), |_| Ok(()));
    assert_eq!(missing.unwrap_err().refusal(), Some(libc::ENODEV));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        for message in messages(&bytes).flatten() {
            message.refusal().ok();
            if let Ok((_, list)) = message.split(4) {
                for (_, value) in list.flatten() {
                    attributes(value).ok();
                }
            }
        }
        attributes(&bytes).ok();
    }

    #[test]
    fn no_change_of_one_byte_makes_the_reader_panic(at in 0_usize..44, value: u8) {
        let mut bytes = request();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        for message in messages(&bytes).flatten() {
            if let Ok((_, list)) = message.split(8) {
                prop_assert!(list.count() <= 8);
            }
        }
    }
}
