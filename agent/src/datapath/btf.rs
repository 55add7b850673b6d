//! Offsets of structure members, from the kernel's own BTF.
//!
//! rustc emits no CO-RE relocations, and offsets baked in at build time would be silently wrong on
//! another kernel. So the agent reads `/sys/kernel/btf/vmlinux` and hands the offsets to the programs.
//! The format is the kernel's `Documentation/bpf/btf.rst`. The reader is a pure function over bytes.

use std::collections::HashMap;

/// Why BTF could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    /// Not BTF, or cut short.
    #[error("malformed BTF at byte {0}")]
    Malformed(usize),
    /// A structure or member that this agent needs is not there.
    #[error("the kernel has no {0}")]
    Missing(String),
}

const MAGIC: u16 = 0xeb9f;

const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_TYPE_TAG: u32 = 18;

/// The types of one BTF blob.
#[derive(Debug)]
pub struct Btf<'a> {
    types: Vec<Type<'a>>,
    structs: HashMap<&'a [u8], usize>,
}

#[derive(Debug)]
enum Type<'a> {
    Composite(Vec<Member<'a>>),
    Alias(u32),
    Other,
}

#[derive(Debug)]
struct Member<'a> {
    name: &'a [u8],
    type_id: u32,
    bit_offset: u32,
}

impl<'a> Btf<'a> {
    /// Parses a BTF blob of this machine's byte order.
    ///
    /// # Errors
    ///
    /// [`BtfError::Malformed`] with the offset at which nothing more could be understood.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        let header = Reader { bytes, at: 0 };
        if header.u16_at(0)? != MAGIC {
            return Err(BtfError::Malformed(0));
        }
        let header_length = header.usize_at(4)?;
        let types_at = add(header_length, header.usize_at(8)?)?;
        let types_end = add(types_at, header.usize_at(12)?)?;
        let strings_at = add(header_length, header.usize_at(16)?)?;
        let strings_end = add(strings_at, header.usize_at(20)?)?;
        let strings = bytes.get(strings_at..strings_end).ok_or(BtfError::Malformed(strings_at))?;
        let section = bytes.get(..types_end).ok_or(BtfError::Malformed(types_end))?;

        let mut reader = Reader { bytes: section, at: types_at };
        // Type 0 is void.
        let mut types = vec![Type::Other];
        let mut structs = HashMap::new();
        while reader.at < types_end {
            let name = string(strings, reader.u32()?)?;
            let info = reader.u32()?;
            let size_or_type = reader.u32()?;
            let kind = (info >> 24) & 0x1f;
            let count = info & 0xffff;
            let has_bitfields = info >> 31 == 1;
            let parsed = match kind {
                KIND_STRUCT | KIND_UNION => {
                    let mut members = Vec::with_capacity(count as usize);
                    for _ in 0..count {
                        let name = string(strings, reader.u32()?)?;
                        let type_id = reader.u32()?;
                        let offset = reader.u32()?;
                        let bit_offset = if has_bitfields { offset & 0x00ff_ffff } else { offset };
                        members.push(Member { name, type_id, bit_offset });
                    }
                    if kind == KIND_STRUCT && !name.is_empty() {
                        structs.entry(name).or_insert(types.len());
                    }
                    Type::Composite(members)
                }
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    Type::Alias(size_or_type)
                }
                _ => {
                    reader
                        .skip(trailing_bytes(kind, count).ok_or(BtfError::Malformed(reader.at))?)?;
                    Type::Other
                }
            };
            types.push(parsed);
        }
        Ok(Self { types, structs })
    }

    /// Byte offset of a member of a structure. `path` may lead into members (`d_name.name`); anonymous
    /// structures and unions on the way are seen through.
    ///
    /// # Errors
    ///
    /// [`BtfError::Missing`] when the structure or the member is not there or is a bit field.
    pub fn offset(&self, structure: &str, path: &str) -> Result<u32, BtfError> {
        let missing = || BtfError::Missing(format!("{structure}::{path}"));
        let mut type_id = self.structs.get(structure.as_bytes()).copied().ok_or_else(missing)?;
        let mut bits = 0_u32;
        for name in path.split('.') {
            let (offset, member_type) =
                self.member(type_id, name.as_bytes(), 0).ok_or_else(missing)?;
            bits = bits.checked_add(offset).ok_or_else(missing)?;
            type_id = member_type;
        }
        if bits.is_multiple_of(8) { Ok(bits / 8) } else { Err(missing()) }
    }

    fn member(&self, type_id: usize, name: &[u8], depth: usize) -> Option<(u32, usize)> {
        // Deeper than any kernel type; ends a loop in hostile input.
        if depth > 16 {
            return None;
        }
        match self.types.get(type_id)? {
            Type::Alias(target) => self.member(*target as usize, name, depth + 1),
            Type::Composite(members) => members.iter().find_map(|member| {
                if member.name == name {
                    return Some((member.bit_offset, member.type_id as usize));
                }
                if !member.name.is_empty() {
                    return None;
                }
                let (offset, found) = self.member(member.type_id as usize, name, depth + 1)?;
                Some((member.bit_offset.checked_add(offset)?, found))
            }),
            Type::Other => None,
        }
    }
}

/// Bytes that follow a type of this kind.
fn trailing_bytes(kind: u32, count: u32) -> Option<usize> {
    let each = match kind {
        // void, pointer, forward, function, float
        0 | 2 | 7 | 12 | 16 => return Some(0),
        // integer, variable, declaration tag
        1 | 14 | 17 => return Some(4),
        3 => return Some(12),
        // enum, function prototype
        6 | 13 => 8,
        // data section, 64-bit enum
        15 | 19 => 12,
        _ => return None,
    };
    usize::try_from(count).ok()?.checked_mul(each)
}

fn add(a: usize, b: usize) -> Result<usize, BtfError> {
    a.checked_add(b).ok_or(BtfError::Malformed(a))
}

fn string(strings: &[u8], at: u32) -> Result<&[u8], BtfError> {
    let at = at as usize;
    let rest = strings.get(at..).ok_or(BtfError::Malformed(at))?;
    rest.split(|byte| *byte == 0).next().ok_or(BtfError::Malformed(at))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn u16_at(&self, at: usize) -> Result<u16, BtfError> {
        let bytes = self.bytes.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map(|bytes| u16::from_ne_bytes(*bytes)).ok_or(BtfError::Malformed(at))
    }

    fn usize_at(&self, at: usize) -> Result<usize, BtfError> {
        let bytes = self.bytes.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map(|bytes| u32::from_ne_bytes(*bytes) as usize).ok_or(BtfError::Malformed(at))
    }

    fn u32(&mut self) -> Result<u32, BtfError> {
        let bytes = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk);
        let value = bytes.map(|bytes| u32::from_ne_bytes(*bytes));
        let value = value.ok_or(BtfError::Malformed(self.at))?;
        self.skip(4)?;
        Ok(value)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), BtfError> {
        self.at = add(self.at, bytes)?;
        if self.at > self.bytes.len() { Err(BtfError::Malformed(self.at)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
