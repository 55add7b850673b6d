//! The policy file: whatever the bytes are, an answer comes back, and a profile that was accepted
//! answers questions about any name and address in the file without a contradiction.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use weir::policy::{AddressDecision, HostName, NameDecision, Port, Profile, Target, explain};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Profile::from_yaml("fuzz.yaml", text) {
        Ok(profile) => question(&profile, text),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

/// Every word of the file is a name, an address or a destination to ask about.
fn question(profile: &Profile, text: &str) {
    let kernel = profile.networks_for_kernel();
    for word in text.split(|c: char| c.is_whitespace() || "[]{},\"'".contains(c)).take(200) {
        if let Ok(name) = HostName::parse(word) {
            assert_eq!(HostName::parse(name.as_str()), Ok(name.clone()), "parsing is idempotent");
            if let NameDecision::Allowed(grants) = profile.decide_name(&name) {
                assert!(grants.iter().next().is_some(), "no grant for {name}");
            }
        }
        let host = word.split('/').next().unwrap_or(word);
        if let Ok(address) = host.parse::<IpAddr>() {
            let listed = kernel.iter().any(|entry| {
                !entry.ports.is_empty() && entry.net.contains(&address.to_canonical())
            });
            let decision = profile.decide_address(address, Port::HTTPS);
            assert_eq!(listed, decision != AddressDecision::NotListed, "{address}");
        }
        if let Ok(target) = word.parse::<Target>() {
            assert!(!explain(profile, &target).to_string().is_empty());
        }
    }
}
