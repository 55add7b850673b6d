//! The reader over a small blob made by hand, over hostile bytes, and over this kernel's own.

#![expect(clippy::cast_possible_truncation, reason = "small test data")]

use proptest::prelude::*;

use super::{Btf, BtfError};
use crate::datapath::offsets::{self, Offsets};

struct Blob {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Blob {
    fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0] }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(name.bytes().chain([0]));
        at
    }

    fn words(&mut self, words: &[u32]) {
        self.types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    }

    fn composite(&mut self, kind: u32, name: &str, members: &[(&str, u32, u32)]) {
        let name = self.name(name);
        self.words(&[name, kind << 24 | members.len() as u32, 64]);
        for (member, type_id, bits) in members {
            let member = self.name(member);
            self.words(&[member, *type_id, *bits]);
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let header: [u32; 6] = [
            0xeb9f | 1 << 16,
            24,
            0,
            self.types.len() as u32,
            self.types.len() as u32,
            self.strings.len() as u32,
        ];
        let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }
}

fn sample() -> Vec<u8> {
    let mut blob = Blob::new();
    // 1: int, with its four trailing bytes
    let int = blob.name("int");
    blob.words(&[int, 1 << 24, 4, 32]);
    // 2: struct qstr { union { int hash }; int name }
    blob.composite(4, "qstr", &[("", 3, 0), ("name", 1, 64)]);
    // 3: the anonymous union
    blob.composite(5, "", &[("hash", 1, 32)]);
    // 4: const qstr
    blob.words(&[0, 10 << 24, 2]);
    // 5: struct dentry { int flags; union { qstr __d_name; const qstr d_name } }
    blob.composite(4, "dentry", &[("flags", 1, 0), ("", 6, 256)]);
    // 6: that union
    blob.composite(5, "", &[("__d_name", 2, 0), ("d_name", 4, 0)]);
    blob.bytes()
}

#[test]
fn members_are_found_through_unions_and_qualifiers() {
    let bytes = sample();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.offset("dentry", "flags"), Ok(0));
    assert_eq!(btf.offset("dentry", "d_name.name"), Ok(40));
    assert_eq!(btf.offset("dentry", "d_name.hash"), Ok(36));
}

#[test]
fn what_is_not_there_is_named() {
    let bytes = sample();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.offset("inode", "x"), Err(BtfError::Missing("inode::x".into())));
    assert_eq!(btf.offset("dentry", "d_iname"), Err(BtfError::Missing("dentry::d_iname".into())));
}

#[test]
fn this_kernel_has_every_member() {
    let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        panic!("this test needs a kernel with BTF");
    };
    let Offsets { all, guard, map_id } = offsets::read(&bytes).unwrap();
    assert_eq!(all.usable, 1);
    assert_ne!(all.task_comm, all.task_tgid);
    assert!(guard.is_ok() && map_id > Some(0), "{guard:?}, {map_id:?}");
}

#[test]
fn every_truncation_is_an_error_or_fewer_types() {
    let bytes = sample();
    for end in 0..bytes.len() {
        assert!(Btf::parse(&bytes[..end]).is_err(), "{end}");
    }
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(flips in prop::collection::vec((0_usize..400, any::<u8>()), 1..12)) {
        let mut bytes = sample();
        for (at, value) in flips {
            let length = bytes.len();
            bytes[at % length] = value;
        }
        if let Ok(btf) = Btf::parse(&bytes) {
            let _found = btf.offset("dentry", "d_name.name");
        }
    }
}
