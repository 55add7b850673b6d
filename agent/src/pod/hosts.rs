//! Which names led to an address: for records and suggestions, never for a verdict.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
};

use crate::policy::HostName;

/// Addresses that are remembered; the oldest are forgotten first.
const ADDRESSES: usize = 8192;
/// Names that are remembered for one address.
const NAMES_PER_ADDRESS: usize = 16;

/// Names by address.
#[derive(Debug, Default)]
pub(super) struct HostMemory {
    names: HashMap<IpAddr, Vec<String>>,
    order: VecDeque<IpAddr>,
}

impl HostMemory {
    /// Remembers that the name was answered with the addresses.
    pub(super) fn learn(&mut self, name: &HostName, addresses: &[IpAddr]) {
        for address in addresses.iter().map(IpAddr::to_canonical) {
            let names = self.names.entry(address).or_insert_with(|| {
                self.order.push_back(address);
                Vec::new()
            });
            if names.last().is_some_and(|last| last == name.as_str()) {
                continue;
            }
            names.retain(|known| known != name.as_str());
            names.push(name.as_str().to_owned());
            if names.len() > NAMES_PER_ADDRESS {
                names.remove(0);
            }
        }
        while self.order.len() > ADDRESSES {
            if let Some(oldest) = self.order.pop_front() {
                self.names.remove(&oldest);
            }
        }
    }

    /// The names of an address, the latest last.
    pub(super) fn names(&self, address: IpAddr) -> &[String] {
        self.names.get(&address.to_canonical()).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_name_comes_last_and_none_twice() {
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut hosts = HostMemory::default();
        for name in ["a.example.com", "b.example.com", "a.example.com"] {
            hosts.learn(&HostName::parse(name).unwrap(), &[address]);
        }
        assert_eq!(hosts.names(address), ["b.example.com", "a.example.com"]);
        assert_eq!(hosts.names("::ffff:192.0.2.1".parse().unwrap()).len(), 2);
    }

    #[test]
    fn memory_is_bounded() {
        let mut hosts = HostMemory::default();
        let name = HostName::parse("a.example.com").unwrap();
        for index in 0..10_000_u32 {
            hosts.learn(&name, &[IpAddr::from(index.to_be_bytes())]);
        }
        assert_eq!(hosts.names.len(), ADDRESSES);
        assert!(hosts.names(IpAddr::from(0_u32.to_be_bytes())).is_empty());
    }
}
