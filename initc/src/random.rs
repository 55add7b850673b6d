//! Numbers that nobody can guess, from the kernel.

use std::fs::File;
use std::io::{self, Read};

const DEVICE: &str = "/dev/urandom";

/// The kernel's random numbers.
#[derive(Debug)]
pub(crate) struct Random {
    device: File,
}

impl Random {
    /// Opens the device that every container has (OCI runtime specification, default devices).
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { device: File::open(DEVICE)? })
    }

    /// `N` fresh bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.device.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// What makes one run's name its own: 32 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nonce(String);

impl Nonce {
    /// The nonce of these bytes.
    pub(crate) fn new(bytes: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    /// The digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Nonce, Random};

    #[test]
    fn a_nonce_has_all_its_digits() {
        let nonce = Nonce::new([0, 0xab, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(nonce.as_str(), "00ab0000000000000000000000000001");
    }

    #[test]
    fn numbers_differ() {
        let mut random = Random::open().unwrap();
        assert_ne!(random.bytes::<16>().unwrap(), random.bytes::<16>().unwrap());
    }
}
