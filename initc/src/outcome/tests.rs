//! Lines as people read them.

use std::io::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::{Limit, Proof, Surrender};
use crate::attempt::{Attached, Setback};
use crate::claim::{Claim, Expected};
use crate::random::Nonce;
use crate::sentinel::Outcome;

const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10));

fn claim(refusal: &str, policy: &str) -> Claim {
    let nonce = Nonce::new([1; 16]);
    let strings = [
        "weir=1".to_owned(),
        format!("nonce={}", nonce.as_str()),
        "uid=u-1".to_owned(),
        format!("policy={policy}"),
        format!("refusal={refusal}"),
    ];
    let strings: Vec<Vec<u8>> = strings.into_iter().map(String::into_bytes).collect();
    Claim::read(&strings, &Expected { nonce, uid: None }).unwrap()
}

fn proof(refusal: &str, uid_was_known: bool) -> String {
    let attached = Attached { server: SERVER, claim: claim(refusal, "sha256:ab") };
    let waited = Duration::from_micros(3900);
    Proof { attached, uid_was_known, waited, attempts: 1 }.to_string()
}

fn surrender(last: Option<Setback>) -> String {
    let waited = Duration::from_secs(120);
    Surrender { waited, attempts: 244, limit: Limit::Deadline, last }.to_string()
}

#[test]
fn a_proof_says_what_proved_it() {
    assert_eq!(
        proof("ENOANO", true),
        "enforcement is proven after 3 ms and 1 attempt, the job may start: weir answered in the place of \
         10.96.0.10 for pod u-1 under policy sha256:ab, and refused the sentinel connect to 192.0.2.1:9 \
         with ENOANO"
    );
}

#[test]
fn a_weaker_proof_says_so() {
    assert!(proof("EPERM", true).contains("the weaker proof"));
    assert!(!proof("ENOANO", true).contains("weaker"));
    assert!(proof("ENOANO", false).contains("the uid was not compared"));
}

#[test]
fn a_surrender_says_why_and_what_to_do() {
    assert_eq!(
        surrender(Some(Setback::Code { server: SERVER, code: 3 })),
        "enforcement is not proven after 120 s and 244 attempts (the deadline), the job must not start: \
         waited for weir's answer and a refused sentinel connect; last, 10.96.0.10 answered NXDOMAIN, so \
         it is not weir that answers; is weir's agent running on this node, and does the pod's namespace \
         belong to its `select`?"
    );
    assert!(surrender(None).contains("longer WEIR_DEADLINE"));
}

#[test]
fn every_surrender_is_one_line() {
    let policy = "x\n\u{7}exit 0";
    let outcome = Outcome::Failed(Error::from_raw_os_error(111));
    let line = surrender(Some(Setback::Unenforced { claim: claim("ENOANO", policy), outcome }));
    assert!(line.contains("names are answered by weir (policy x\\n\\x07exit 0)"), "{line}");
    assert!(line.contains("was not refused with ENOANO: Connection refused"), "{line}");
    assert!(!line.contains(char::is_control), "{line}");
}
