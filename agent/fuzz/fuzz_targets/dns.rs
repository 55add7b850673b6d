//! The DNS path: whatever a client sends is decided and whatever upstream answers is judged, without
//! a panic, with nothing but allowed names left for upstream and nothing but well-formed answers.
//!
//! The first byte says which of the two the rest is.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use weir::policy::Profile;
use weir::resolver::fuzzing::{Decider, judge};

const PROFILE: &str = r#"
apiVersion: weir.dev/v1
kind: EgressProfile
metadata: { name: fuzz }
spec:
  mode: block
  allow:
    - id: registry
      domains: [registry.example.com, "*.cdn.example.com", "**.example.net"]
      ports: [443]
  deny: { domains: ["bad.cdn.example.com"] }
  dns: { grace: 30s, maxTtl: 1h, namesPerWildcard: 100 }
"#;

thread_local! {
    static DECIDER: RefCell<Decider> = RefCell::new(
        Profile::from_yaml("fuzz", PROFILE).ok().and_then(Decider::new).expect("a fixed profile"),
    );
}

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        Some((0..=127, message)) => DECIDER.with_borrow_mut(|decider| decider.decide(message)),
        Some((_, message)) => judge(message),
        None => {}
    }
});
