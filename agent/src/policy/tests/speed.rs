//! What a profile of a hundred thousand names costs: bounds with room to spare, so that a change from
//! hashing to scanning fails, and a slow machine does not.

use std::time::{Duration, Instant};

use crate::policy::*;

#[test]
fn a_hundred_thousand_names_are_found_in_constant_time() {
    let table = |count: usize| {
        let names: Vec<_> =
            (0..count).map(|n| format!("host-{n}.zone-{}.example.com", n % 97)).collect();
        let text = super::accepted::with_spec(&format!(
            "allow: [{{ id: a, domains: [{}, '**.wide.example.com'] }}]",
            names.join(",")
        ));
        Profile::from_yaml("big.yaml", &text).unwrap()
    };
    let time = |profile: &Profile| {
        let names: Vec<_> =
            ["host-7.zone-7.example.com", "absent.zone-7.example.com", "a.b.c.wide.example.com"]
                .map(|name| HostName::parse(name).unwrap())
                .into();
        let round = || {
            let start = Instant::now();
            for _ in 0..2000 {
                for name in &names {
                    std::hint::black_box(profile.decide_name(std::hint::black_box(name)));
                }
            }
            start.elapsed()
        };
        (0..9).map(|_| round()).min().unwrap_or(Duration::MAX)
    };
    let (small, big) = (table(100), table(100_000));
    assert_eq!(big.counts().names, 100_000);
    let (small, big) = (time(&small), time(&big));
    assert!(big < small * 20, "100 names: {small:?}, 100,000 names: {big:?}");
}
