//! Whole maps, read in as few system calls as the kernel allows.

use std::{io, os::fd::BorrowedFd};

use aya_obj::generated::bpf_cmd;

use super::syscall::{ENOTSUPP, bpf, lookup, next_key, number};

/// `BPF_MAP_LOOKUP_BATCH`.
#[derive(Debug, Default)]
#[repr(C)]
struct BatchRequest {
    first: u64,
    last: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

// As `union bpf_attr` has it, whose 64-bit members are aligned to 8 on every machine.
const _: () = assert!(size_of::<BatchRequest>() == 56);

/// Reads an array from its beginning, as many values as there is room for, in one call (Linux 5.6).
pub(super) fn read_array<V: aya::Pod>(array: BorrowedFd<'_>, values: &mut [V]) -> io::Result<()> {
    let mut keys = vec![0_u32; values.len()];
    let mut last = 0_u32;
    let mut request = BatchRequest {
        last: std::ptr::from_mut(&mut last) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count: u32::try_from(values.len()).map_err(io::Error::other)?,
        map: number(array)?,
        ..BatchRequest::default()
    };
    // SAFETY: the request's type is the command's; keys and values have room for `count`, and outlive the call.
    match unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut request) } {
        // There is nothing behind the last value.
        Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
        _ => Ok(()),
    }
}

/// How often a map is read again that changes while it is read.
const ATTEMPTS: usize = 4;
/// Room for what a batch leaves to know where the next begins: a number, or a key.
const TOKEN_BYTES: usize = 64;
/// Entries of one batch.
const ENTRIES: usize = 512;

/// What was read of a map, and room for the next reading.
#[derive(Debug)]
pub(super) struct Entries<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
    /// Those that were read, one batch after another.
    read: Vec<(K, V)>,
}

impl<K, V> Default for Entries<K, V> {
    fn default() -> Self {
        Self { keys: Vec::new(), values: Vec::new(), read: Vec::new() }
    }
}

impl<K: aya::Pod, V: aya::Pod> Entries<K, V> {
    /// Reads every entry of a hash or trie: in batches where the kernel has them for this kind of map (hashes from
    /// Linux 5.6, tries from 5.13), else one by one. An entry that comes or goes meanwhile is read or not. Reads no
    /// more than `limit` entries.
    pub(super) fn read(&mut self, map: BorrowedFd<'_>, limit: usize) -> io::Result<&[(K, V)]> {
        if !self.read_batched(map, limit)? {
            self.read.clear();
            self.read_singly(map, limit)?;
        }
        Ok(&self.read)
    }

    /// Whether the kernel has batches for this kind of map.
    fn read_batched(&mut self, map: BorrowedFd<'_>, limit: usize) -> io::Result<bool> {
        let mut attempts = 1..=ATTEMPTS;
        loop {
            self.read.clear();
            let last = attempts.next().is_none_or(|attempt| attempt == ATTEMPTS);
            match self.read_batches(map, limit) {
                Ok(()) => return Ok(true),
                Err(error) => match error.raw_os_error() {
                    Some(ENOTSUPP | libc::EINVAL) => return Ok(false),
                    Some(libc::EINTR | libc::EAGAIN) if !last => {}
                    _ => return Err(error),
                },
            }
        }
    }

    fn read_batches(&mut self, map: BorrowedFd<'_>, limit: usize) -> io::Result<()> {
        let (mut place, mut next) = ([0_u8; TOKEN_BYTES], [0_u8; TOKEN_BYTES]);
        let mut is_first = true;
        let mut room = ENTRIES;
        while self.read.len() < limit {
            self.make_room(room);
            let mut request = BatchRequest {
                first: if is_first { 0 } else { place.as_mut_ptr() as u64 },
                last: next.as_mut_ptr() as u64,
                keys: self.keys.as_mut_ptr() as u64,
                values: self.values.as_mut_ptr() as u64,
                count: u32::try_from(room.min(limit - self.read.len()))
                    .map_err(io::Error::other)?,
                map: number(map)?,
                ..BatchRequest::default()
            };
            // SAFETY: the request's type is the command's; keys and values have room for `count`, the places for
            // either kind, and all outlive the call.
            let done = match unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut request) } {
                Ok(_) => false,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                // More entries share a bucket than there is room for.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && room < limit => {
                    room = room.saturating_mul(2);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let count = usize::try_from(request.count).map_err(io::Error::other)?;
            let entries = self.keys.iter().zip(&self.values).take(count);
            self.read.extend(entries.map(|(key, value)| (*key, *value)));
            if done {
                break;
            }
            (place, is_first) = (next, false);
        }
        Ok(())
    }

    fn read_singly(&mut self, map: BorrowedFd<'_>, limit: usize) -> io::Result<()> {
        let mut last = None;
        while self.read.len() < limit {
            let Some(key) = next_key::<K>(map, last.as_ref())? else { break };
            if let Some(value) = lookup(map, &key)? {
                self.read.push((key, value));
            }
            last = Some(key);
        }
        Ok(())
    }

    fn make_room(&mut self, entries: usize) {
        if self.keys.len() < entries {
            // SAFETY: every bit pattern of a `Pod` is valid, zeros among them.
            self.keys.resize(entries, unsafe { std::mem::zeroed() });
            // SAFETY: as above.
            self.values.resize(entries, unsafe { std::mem::zeroed() });
        }
    }
}
