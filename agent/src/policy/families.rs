//! Address families of sockets that a profile names, beside those that every job may have.

use weir_ebpf::pod::LOCAL_FAMILIES;

/// Their names in profiles and records, and their numbers (`include/linux/socket.h`).
const NAMES: [(&str, u16); 12] = [
    ("alg", 38),
    ("bluetooth", 31),
    ("can", 29),
    ("kcm", 41),
    ("key", 15),
    ("packet", 17),
    ("qipcrtr", 42),
    ("rds", 21),
    ("smc", 43),
    ("tipc", 30),
    ("vsock", 40),
    ("xdp", 44),
];

/// Families whose sockets may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families([u32; 2]);

impl Default for Families {
    fn default() -> Self {
        Self(LOCAL_FAMILIES)
    }
}

impl Families {
    /// The words that a profile may name.
    pub(super) fn words() -> [&'static str; NAMES.len()] {
        NAMES.map(|(name, _)| name)
    }

    /// Adds the family of a word; whether there is one.
    pub(super) fn add(&mut self, word: &str) -> bool {
        let Some((_, number)) = NAMES.iter().find(|(name, _)| *name == word) else { return false };
        let Self([low, high]) = self;
        *(if *number < 32 { low } else { high }) |= 1 << (number & 31);
        true
    }

    /// The set as the kernel programs have it.
    #[must_use]
    pub const fn for_kernel(self) -> [u32; 2] {
        self.0
    }
}

/// The name of a family in records: its word, or its number.
#[must_use]
pub fn family_name(number: u16) -> String {
    let known = NAMES.iter().find(|(_, known)| *known == number);
    known.map_or_else(|| format!("family-{number}"), |(name, _)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use weir_ebpf::pod::may_make;

    use super::*;

    #[test]
    fn what_a_profile_names_may_be_made_and_nothing_else_beside_the_local_ones() {
        let mut families = Families::default();
        assert!(families.add("packet") && families.add("vsock") && !families.add("inet"));
        let may: Vec<u32> =
            (0..100).filter(|family| may_make(families.for_kernel(), *family)).collect();
        assert_eq!(may, [1, 2, 10, 16, 17, 40]);
    }

    #[test]
    fn families_have_the_numbers_of_this_system() {
        for (word, number) in [
            ("alg", libc::AF_ALG),
            ("can", libc::AF_CAN),
            ("packet", libc::AF_PACKET),
            ("rds", libc::AF_RDS),
            ("tipc", libc::AF_TIPC),
            ("vsock", libc::AF_VSOCK),
            ("xdp", libc::AF_XDP),
        ] {
            assert_eq!(family_name(u16::try_from(number).unwrap()), word);
        }
        assert_eq!(family_name(45), "family-45");
    }
}
