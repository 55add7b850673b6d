//! Which files are credentials: the paths that a profile watches, in a form that is compared word by word.
//!
//! A path is compared from its file name upwards, a component at a time. A component is one of [`NAME_BYTES`] bytes with
//! zeros behind it, as words under a mask: a mask of ones up to and with the first zero is the whole name, one without
//! the zero a beginning, and none any name.

use crate::{
    address::Address,
    process::{COMPONENT_BYTES, PATH_COMPONENTS},
};

/// Bytes of a file name that are compared, its terminating zero included.
pub const NAME_BYTES: usize = COMPONENT_BYTES;
/// The same in words.
pub const NAME_WORDS: usize = NAME_BYTES / 8;
/// Components of one pattern.
pub const COMPONENTS: usize = 6;
/// Patterns of one profile, those that every profile with patterns has among them.
pub const PATTERNS: usize = 16;

/// A file on this machine, as a pod sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FileKey {
    /// Number of its inode.
    pub inode: u64,
    /// Its file system's device (`super_block::s_dev`).
    pub device: u32,
    /// The pod.
    pub slot: u32,
}

const _: () = assert!(size_of::<FileKey>() == 16);

impl FileKey {
    /// As the address of a flow, which reads of files are counted as.
    #[inline(always)]
    #[must_use]
    pub const fn to_address(self) -> Address {
        let [l0, l1, l2, l3, h0, h1, h2, h3] = self.inode.to_le_bytes();
        let (low, high) =
            (u32::from_le_bytes([l0, l1, l2, l3]), u32::from_le_bytes([h0, h1, h2, h3]));
        Address([self.device, high, low, 0])
    }

    /// From the address of a flow of the pod in `slot`.
    #[must_use]
    pub const fn from_address(address: Address, slot: u32) -> Self {
        let [device, high, low, _] = address.0;
        Self { inode: (high as u64) << 32 | low as u64, device, slot }
    }
}

/// A file that is a credential: by its path when it was first seen as one, whatever it is called now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct WatchedFile {
    /// Components of its path, the file name first, zero terminated.
    pub path: [[u8; COMPONENT_BYTES]; PATH_COMPONENTS],
    /// How many of them are filled.
    pub components: u32,
    /// 1 when the walk ended at the root.
    pub path_complete: u32,
    /// Why it is one: the number of the pattern, or one of [`kind`].
    pub pattern: u32,
    /// Always zero.
    pub padding: u32,
}

const _: () = assert!(size_of::<WatchedFile>() == PATH_COMPONENTS * COMPONENT_BYTES + 16);

/// A folder that had another name, or was elsewhere, when a pattern agreed with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct WatchedFolder {
    /// By how far above a file the folder is: the patterns of which the components from there up agreed with the folder and
    /// with what was above it, one bit of each.
    pub agreed: [u32; COMPONENTS],
}

const _: () = assert!(size_of::<WatchedFolder>() == 4 * COMPONENTS);

/// Files that are credentials whatever they are called, as numbers of patterns.
pub mod kind {
    /// `/proc/*/environ` of another process.
    pub const ENVIRONMENT: u32 = 64;
    /// `/proc/*/mem` of another process.
    pub const MEMORY: u32 = 65;
}

/// A file name as it is compared.
pub type Name = [u64; NAME_WORDS];

/// What a file name is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct NamePattern {
    /// The bytes, zero where the mask is.
    pub value: Name,
    /// Which of them count.
    pub mask: Name,
}

/// A path, the file name first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PathPattern {
    /// Its components, those beyond `count` all zero.
    pub components: [NamePattern; COMPONENTS],
    /// How many there are, never 0.
    pub count: u32,
    /// 1 when nothing may be above them: the path begins at the root.
    pub anchored: u32,
}

/// The paths that a profile watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PathPatterns {
    /// The patterns, those beyond `count` all zero.
    pub patterns: [PathPattern; PATTERNS],
    /// How many there are.
    pub count: u32,
    /// Always zero.
    pub padding: u32,
}

const _: () = assert!(size_of::<NamePattern>() == 2 * NAME_BYTES);
const _: () = assert!(size_of::<PathPattern>() == COMPONENTS * 2 * NAME_BYTES + 8);
const _: () = assert!(size_of::<PathPatterns>() == PATTERNS * size_of::<PathPattern>() + 8);

impl NamePattern {
    /// 0 where the name is one of these.
    #[inline(always)]
    #[must_use]
    pub const fn differs(&self, name: &Name) -> u64 {
        let [v0, v1, v2, v3, v4] = self.value;
        let [m0, m1, m2, m3, m4] = self.mask;
        let [n0, n1, n2, n3, n4] = *name;
        ((n0 & m0) ^ v0) | ((n1 & m1) ^ v1) | ((n2 & m2) ^ v2) | ((n3 & m3) ^ v3) | ((n4 & m4) ^ v4)
    }
}

/// The first `count` patterns, as one bit of each.
#[inline(always)]
#[must_use]
pub const fn first(count: u32) -> u64 {
    (1 << (count & 31)) - 1
}

const _: () = assert!(PATTERNS < 32);

/// A walk up a path by several patterns at once. All is sets of them, one bit of each, so that a walk is one path for the
/// verifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The components so far agree, and more must be looked at.
    open: u64,
    /// The path is one of the pattern's.
    found: u64,
}

impl Walk {
    /// By the patterns whose file name agrees.
    #[inline(always)]
    #[must_use]
    pub const fn new(open: u64) -> Self {
        Self { open, found: 0 }
    }

    /// Looks at what is above the components that agree: `complete` are patterns that have no others, `anywhere` those that
    /// may begin anywhere, and `at_root` is all of them when the root is above.
    #[inline(always)]
    pub const fn rise(&mut self, complete: u64, anywhere: u64, at_root: u64) {
        self.found |= self.open & complete & (anywhere | at_root);
        self.open &= !complete & !at_root;
    }

    /// What is above has been where all further components of these agreed with it.
    #[inline(always)]
    pub const fn arrive(&mut self, agreed: u64) {
        self.found |= self.open & agreed;
    }

    /// The next component agrees with these.
    #[inline(always)]
    pub const fn meet(&mut self, agrees: u64) {
        self.open &= agrees;
    }

    /// The patterns that the path is one of.
    #[inline(always)]
    #[must_use]
    pub const fn found(&self) -> u64 {
        self.found
    }
}

#[cfg(test)]
mod tests;
