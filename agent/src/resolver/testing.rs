//! What the tests share: a pod that writes down what happens to it, an upstream server that says what
//! a test wants, and clients. All on loopback, all with real sockets.

mod lab;
mod pod;
mod upstream;

pub(super) use lab::{
    Lab, LabBuilder, PATIENCE, ask, exchange, question, receive, receive_tcp, send_tcp,
};
pub(super) use pod::TestPod;
pub(super) use upstream::{Via, answer_to, no_such_name, with_soa};

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, Record};

use crate::policy::Profile;

/// The profile of most tests.
pub(super) const PROFILE: &str = r#"
apiVersion: weir.dev/v1
kind: EgressProfile
metadata: { name: build/test }
spec:
  mode: block
  allow:
    - id: registry
      domains: [registry.example.com, "*.cdn.example.com"]
      ports: [443]
    - id: inside
      domains: ["inside.example.com"]
      ports: [443]
      private: true
  deny: { domains: ["bad.cdn.example.com"] }
  dns: { grace: 30s, maxTtl: 1h, namesPerWildcard: 3 }
"#;

pub(super) fn profile(text: &str) -> Arc<Profile> {
    Arc::new(Profile::from_yaml("test", text).unwrap())
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// A record from its type's presentation form.
pub(super) fn record(owner: &str, ttl: u32, rtype: &str, data: &str) -> Record {
    let data = RData::try_from_str(rtype.parse().unwrap(), data).unwrap();
    Record::from_rdata(name(owner), ttl, data)
}

/// The addresses in an answer.
pub(super) fn addresses(message: &Message) -> Vec<IpAddr> {
    message.answers.iter().filter_map(|record| record.data.ip_addr()).collect()
}

/// Code and text of the Extended DNS Error in an answer.
pub(super) fn extended_error(message: &Message) -> Option<(u16, String)> {
    use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};

    let edns = message.edns.as_ref()?;
    match edns.option(EdnsCode::from(15))? {
        EdnsOption::Unknown(_, data) => {
            let (code, text) = data.split_at_checked(2)?;
            let code = u16::from_be_bytes(code.try_into().ok()?);
            Some((code, String::from_utf8(text.to_vec()).ok()?))
        }
        _ => None,
    }
}
