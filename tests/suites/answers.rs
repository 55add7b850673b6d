//! Answers that lie or lead astray: none opens an address that the profile did not mean.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};
use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record};
use weir_tests::dns::Records;
use weir_tests::lab::{Lab, addresses};
use weir_tests::profile::Profile;
use weir_tests::programs::Program;
use weir_tests::weir::Outcome;

/// What weir answers for a name that is not allowed (Extended DNS Error 15, RFC 8914).
const REFUSAL: &str = "EDE: 15 (Blocked)";

fn profile() -> Profile {
    Profile::deny_all().domains_at(&["files.example.com", "www.example.com"], &["80", "4000"])
}

/// Looks `name` up both ways, then tries the attacker's port directly, and watches it.
fn look_up_and_try(lab: &Lab, profile: &Profile, name: &str) -> Result<Outcome> {
    lab.attacker.listen(4000)?;
    let watch = lab.watch(lab.attacker.host())?;
    let probe = Program::Probe.path()?;
    let [v4, v6] = addresses::ATTACKER.both();
    let script = format!(
        "dig {name} A; dig {name} AAAA; dig {name} HTTPS; {probe} tcp {v4} 4000; {probe} tcp {v6} 4000"
    );
    let outcome = lab.weir().profile(&profile.text())?.run(&["sh", "-c", &script])?;
    let arrived = watch.take()?;
    ensure!(arrived.is_empty(), "{arrived:?} arrived: {}", outcome.describe());
    Ok(outcome)
}

#[test]
fn answers_in_private_ranges_are_refused() -> Result<()> {
    let addresses: [IpAddr; 7] = [
        Ipv4Addr::new(10, 1, 2, 3).into(),
        Ipv4Addr::new(192, 168, 1, 1).into(),
        Ipv4Addr::new(169, 254, 169, 254).into(),
        Ipv4Addr::LOCALHOST.into(),
        Ipv6Addr::LOCALHOST.into(),
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254).into(),
        Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0x0a01, 0x0203).into(),
    ];
    let lab = Lab::new()?;
    for address in addresses {
        lab.zone().set("files.example.com", Records::ttl(0).ip(address))?;
        let kind = if address.is_ipv4() { "A" } else { "AAAA" };
        let argv = ["dig", "+short", "files.example.com", kind];
        let plain = lab.client.run(&argv)?.expect_code(0)?;
        ensure!(!plain.stdout.trim().is_empty(), "without weir no answer: {}", plain.describe());
        let outcome = lab.weir().profile(&profile().text())?.run(&argv)?;
        ensure!(outcome.output.stdout.trim().is_empty(), "{}", outcome.describe());
        outcome.violation("of the answer", |event| event.reason() == "private_answer")?;
        let private =
            profile().text().replace("    - id: rule-0", "    - id: rule-0\n      private: true");
        let metadata = addresses::METADATA.both().contains(&address);
        let loopback = address.is_loopback();
        if !metadata && !loopback {
            let outcome = lab.weir().profile(&private)?.run(&argv)?.expect_code(0)?;
            ensure!(!outcome.output.stdout.trim().is_empty(), "{}", outcome.describe());
        }
    }
    Ok(())
}

#[test]
fn hints_of_https_records_open_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let records = Records::ttl(60).pair(addresses::WEB[0]).https(addresses::ATTACKER);
    lab.zone().set("files.example.com", records)?;
    look_up_and_try(&lab, &profile(), "files.example.com")?;
    Ok(())
}

#[test]
fn records_off_the_chain_open_nothing() -> Result<()> {
    let lab = Lab::new()?;
    lab.zone().custom("files.example.com", |request| {
        let query = request.queries.first()?;
        let mut reply = Message::response(request.metadata.id, OpCode::Query);
        reply.metadata.authoritative = true;
        reply.add_query(query.clone());
        let good = RData::A(A(addresses::WEB[0].v4));
        let stray = RData::A(A(addresses::ATTACKER.v4));
        reply.add_answer(Record::from_rdata(query.name().clone(), 60, good));
        let other = Name::from_ascii("other.example.com.").ok()?;
        reply.add_answer(Record::from_rdata(other.clone(), 60, stray.clone()));
        reply.add_additional(Record::from_rdata(other, 60, stray));
        reply.to_vec().ok()
    })?;
    // Asked without the lab's resolver between, which would clean the answer itself.
    let upstream = addresses::AUTHORITY.v4.to_string();
    lab.attacker.listen(4000)?;
    let watch = lab.watch(lab.attacker.host())?;
    let probe = Program::Probe.path()?;
    let script = format!("dig files.example.com; {probe} tcp {} 4000", addresses::ATTACKER.v4);
    let weir = lab.weir().profile(&profile().text())?.option("--upstream").option(&upstream);
    let outcome = weir.run(&["sh", "-c", &script])?;
    ensure!(outcome.output.stdout.contains("EPERM"), "{}", outcome.describe());
    ensure!(watch.take()?.is_empty(), "{}", outcome.describe());
    Ok(())
}

#[test]
fn aliases_lead_on_but_are_no_rule() -> Result<()> {
    let lab = Lab::new()?;
    let argv = ["curl", "-sS", "http://www.example.com/"];
    lab.weir().profile(&profile().text())?.run(&argv)?.expect_code(0)?;
    // The target of the alias is not on the list by itself.
    let argv = ["curl", "-sS", "http://edge.example.net/"];
    let outcome = lab.weir().profile(&profile().text())?.run(&argv)?;
    ensure!(outcome.output.code != 0, "{}", outcome.describe());
    outcome.violation("of the target", |event| event.host() == "edge.example.net")?;
    Ok(())
}

#[test]
fn large_answers_come_over_tcp() -> Result<()> {
    let lab = Lab::new()?;
    let mut records = Records::ttl(60);
    for last in 0..200 {
        records = records.ip(Ipv4Addr::new(203, 0, 113, last));
    }
    lab.zone().set("files.example.com", records)?;
    let argv = ["dig", "+short", "+bufsize=512", "files.example.com", "A"];
    let outcome = lab.weir().profile(&profile().text())?.run(&argv)?.expect_code(0)?;
    let count = outcome.output.stdout.lines().filter(|line| line.starts_with("203.")).count();
    ensure!(count > 0, "{}", outcome.describe());
    let cut = ["dig", "+ignore", "+notcp", "+noedns", "files.example.com", "A"];
    let outcome = lab.weir().profile(&profile().text())?.run(&cut)?.expect_code(0)?;
    ensure!(outcome.output.stdout.contains(" tc "), "not truncated: {}", outcome.describe());
    Ok(())
}

#[test]
fn search_list_expansions_are_no_violations() -> Result<()> {
    let lab = Lab::new()?;
    // The lab's resolv.conf searches ci.example.org, so libc asks for more than was typed.
    let argv = ["getent", "ahosts", "files"];
    lab.authority.forget();
    let outcome = lab.weir().profile(&profile().text())?.run(&argv)?;
    ensure!(outcome.output.code != 0, "{}", outcome.describe());
    let argv = ["getent", "ahosts", "files.example.com"];
    let outcome = lab.weir().profile(&profile().text())?.run(&argv)?.expect_code(0)?;
    ensure!(outcome.violations().count() == 0, "{}", outcome.describe());
    ensure!(lab.authority.count("files.example.com.ci.example.org") == 0);
    Ok(())
}

#[test]
fn names_are_compared_as_dns_does() -> Result<()> {
    let lab = Lab::new()?;
    for name in ["FILES.Example.COM", "files.example.com."] {
        let argv = ["dig", "+short", name, "A"];
        let outcome = lab.weir().profile(&profile().text())?.run(&argv)?.expect_code(0)?;
        ensure!(outcome.output.stdout.trim() == "203.0.113.10", "{name}: {}", outcome.describe());
    }
    for name in ["xfiles.example.com", "files.example.com.example.net", "a.files.example.com"] {
        lab.authority.forget();
        let outcome = lab.weir().profile(&profile().text())?.run(&["dig", name])?;
        ensure!(outcome.output.stdout.contains(REFUSAL), "{name}: {}", outcome.describe());
        ensure!(lab.authority.count(name) == 0, "{name} was asked upstream");
    }
    Ok(())
}

/// Asks `server` for `files.example.com` on a socket that is not connected and prints who seems to have
/// answered; then who the peer of a connected socket seems to be, over UDP and over TCP.
const WHO_ANSWERS: &str = "
import socket, sys
server = sys.argv[1]
family = socket.AF_INET6 if ':' in server else socket.AF_INET
query = bytes.fromhex('00010100000100000000000005') + b'files' + b'\\x07example\\x03com\\x00' + bytes([0, 1, 0, 1])
s = socket.socket(family, socket.SOCK_DGRAM)
s.settimeout(5)
s.sendto(query, (server, 53))
print(s.recvfrom(512)[1][0])
for kind in socket.SOCK_DGRAM, socket.SOCK_STREAM:
    s = socket.socket(family, kind)
    s.settimeout(5)
    s.connect((server, 53))
    print(s.getpeername()[0])
";

#[test]
fn the_server_that_was_asked_seems_to_answer() -> Result<()> {
    let lab = Lab::new()?;
    let weir = lab.weir().profile(&Profile::deny_all().domains(&["files.example.com"]).text())?;
    for server in addresses::FOREIGN.both() {
        let server = server.to_string();
        let outcome =
            weir.run(&["/usr/bin/python3", "-c", WHO_ANSWERS, &server])?.expect_code(0)?;
        let answered: Vec<&str> = outcome.output.stdout.lines().collect();
        ensure!(answered == [server.as_str(); 3], "{}", outcome.describe());
    }
    Ok(())
}
