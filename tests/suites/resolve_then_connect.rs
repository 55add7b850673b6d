//! Write before answer: whoever has an answer may connect, ten thousand times out of ten thousand.

use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::rdata::AAAA;
use hickory_proto::rr::{RData, Record, RecordType};
use weir_tests::lab::Lab;
use weir_tests::profile::Profile;

const ROUNDS: u32 = 10_000;
/// The network in which every round has an address of its own.
const POOL: [u16; 4] = [0x2001, 0xdb8, 0, 0xf00];

/// Resolves and connects at once, each round to an address that was never allowed before.
const LOOP: &str = "
import socket, sys
failed = 0
for n in range(int(sys.argv[1])):
    try:
        peer = socket.getaddrinfo(f'n{n}.pool.example.com', 8080, socket.AF_INET6, socket.SOCK_STREAM)[0][4]
        client = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        # Reset on close: no port is left waiting.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\\1\\0\\0\\0\\0\\0\\0\\0')
        client.settimeout(5)
        client.connect(peer)
        client.close()
    except OSError as error:
        failed += 1
        if failed < 5:
            print(n, repr(error))
print('failed', failed)
";

#[test]
fn ten_thousand_rounds_without_one_false_refusal() -> Result<()> {
    let lab = Lab::new()?;
    let [a, b, c, d] = POOL;
    let base = Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0);
    // The web host answers for the whole network, not for one address after the other.
    lab.web.host().netns().links(&format!("route add local {base}/64 dev lo\n"))?;
    lab.web.listen_everywhere(8080)?;
    lab.route_to_web(&format!("{base}/64"))?;
    lab.zone().custom("*.pool.example.com", move |request| answer(request, base))?;

    let profile = Profile::deny_all()
        .domains_at(&["*.pool.example.com"], &["8080"])
        .spec("  dns: { namesPerWildcard: 10000, grace: 1s }");
    let weir = lab.weir().profile(&profile.text())?.limit(Duration::from_secs(200));
    let argv = ["/usr/bin/python3", "-c", LOOP, &ROUNDS.to_string()];
    let outcome = weir.run(&argv)?.expect_code(0)?;
    ensure!(outcome.output.stdout.trim() == "failed 0", "{}", outcome.output.describe());
    ensure!(outcome.violations().count() == 0, "{} violations", outcome.violations().count());
    ensure!(lab.web.connections() == u64::from(ROUNDS), "{} arrived", lab.web.connections());
    Ok(())
}

/// `nN.pool.example.com` has the Nth address of the pool. Every round is to write an entry of its own, so
/// they live for a few seconds only: 10,000 at once are more than a tree may hold.
fn answer(request: &Message, base: Ipv6Addr) -> Option<Vec<u8>> {
    let query = request.queries.first()?;
    let number: u32 = query.name().iter().next().and_then(|label| {
        std::str::from_utf8(label).ok()?.strip_prefix(['n', 'N'])?.parse().ok()
    })?;
    let mut reply = Message::response(request.metadata.id, OpCode::Query);
    reply.metadata.authoritative = true;
    reply.add_query(query.clone());
    if query.query_type() == RecordType::AAAA {
        let address = Ipv6Addr::from(u128::from(base) + u128::from(number) + 1);
        reply.add_answer(Record::from_rdata(query.name().clone(), 1, RData::AAAA(AAAA(address))));
    }
    reply.to_vec().ok()
}
