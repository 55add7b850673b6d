//! The pod's name servers, from resolv.conf(5).

use std::net::IpAddr;

/// Most name servers that are asked. The kubelet writes at most three.
const MOST: usize = 8;

/// The addresses of the `nameserver` lines in their order, each once. The scope of a link-local
/// address is left out, and so is a line that names no address, as libc does.
pub(crate) fn name_servers(text: &str) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        let Some(word) = words.next() else { continue };
        let address = word.split_once('%').map_or(word, |(address, _scope)| address);
        let Ok(server) = address.parse() else { continue };
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers.truncate(MOST);
    servers
}

#[cfg(test)]
mod tests {
    use super::name_servers;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = name_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn every_nameserver_line_counts() {
        check(
            "search ci.svc.cluster.local\nnameserver 10.96.0.10\nnameserver\t2001:db8::53 # second\n\
             options ndots:5\n",
            &["10.96.0.10", "2001:db8::53"],
        );
    }

    #[test]
    fn scopes_are_left_out() {
        check("nameserver fe80::1%eth0\n", &["fe80::1"]);
    }

    #[test]
    fn one_server_is_asked_once() {
        check("nameserver 10.0.0.1\nnameserver 10.0.0.1\n", &["10.0.0.1"]);
    }

    #[test]
    fn what_is_no_address_is_left_out() {
        check("", &[]);
        check("#nameserver 10.0.0.1\n;nameserver 10.0.0.1\nnameserver\nnameserver dns\n", &[]);
        check("nameservers 10.0.0.1\r\nnameserver 10.0.0.2\r\n", &["10.0.0.2"]);
    }

    #[test]
    fn a_long_list_is_cut() {
        let lines: Vec<String> = (1..=20).map(|last| format!("nameserver 10.0.0.{last}")).collect();
        assert_eq!(name_servers(&lines.join("\n")).len(), super::MOST);
    }
}
