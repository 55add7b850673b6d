//! How programs on this machine resolve names: by DNS, which weir catches, or by asking a daemon.

use std::{fs, path::Path};

use super::check::{Check, Subject};
use crate::run::launch::NAME_SERVICE_SOCKETS;

const NAMES: Subject = Subject::new("name_services", "name services");

/// Services of nsswitch.conf(5) that ask no daemon.
const WITHOUT_DAEMON: [&str; 5] = ["files", "dns", "myhostname", "db", "compat"];
/// Services whose daemon `weir run` hides.
const HIDDEN: [&str; 8] =
    ["resolve", "sss", "mdns", "mdns4", "mdns6", "mdns_minimal", "mdns4_minimal", "mdns6_minimal"];

pub(super) fn check() -> Check {
    let configured = fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
    let sockets = NAME_SERVICE_SOCKETS.into_iter().filter(|path| Path::new(path).exists());
    judge(&configured, &sockets.collect::<Vec<_>>())
}

/// `configured` is nsswitch.conf(5); `sockets` are those of daemons that run here.
fn judge(configured: &str, sockets: &[&str]) -> Check {
    let services = services(configured);
    let known = |service: &&str| WITHOUT_DAEMON.contains(service) || HIDDEN.contains(service);
    let unknown: Vec<&str> = services.iter().copied().filter(|one| !known(one)).collect();
    let line = if services.is_empty() {
        "nsswitch.conf names no services for hosts".to_owned()
    } else {
        format!("hosts: {}", services.join(" "))
    };
    let found = if sockets.is_empty() {
        line
    } else {
        format!("{line}; `weir run` hides {}", sockets.join(", "))
    };
    if unknown.is_empty() {
        return NAMES.ok(found);
    }
    NAMES.weaker(
        found,
        format!(
            "{} may ask a daemon past weir: its questions are not decided on, and what it answers is \
             not allowed unless a rule names the address",
            unknown.join(", ")
        ),
        "take them out of the hosts line of /etc/nsswitch.conf, or stop the daemon",
    )
}

/// The services of the hosts line, without what to do when one fails (`[NOTFOUND=return]`).
fn services(configured: &str) -> Vec<&str> {
    let lines = configured.lines().map(|line| line.split('#').next().unwrap_or(line));
    let mut hosts = lines.filter_map(|line| line.trim_start().strip_prefix("hosts:"));
    let mut in_action = false;
    let words = hosts.next_back().unwrap_or_default().split_whitespace();
    words
        .filter(|word| {
            let part_of_one = in_action || word.starts_with('[');
            in_action = part_of_one && !word.ends_with(']');
            !part_of_one
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn the_hosts_line_is_read_as_libc_reads_it() {
        let text = "passwd: files systemd\n\
            hosts:\tfiles mymachines [ NOTFOUND = return ] resolve [!UNAVAIL=return] dns # nis\n";
        assert_eq!(services(text), ["files", "mymachines", "resolve", "dns"]);
        assert_eq!(services("# hosts: files\n"), Vec::<&str>::new());
        assert_eq!(services("hosts: files\nhosts: dns"), ["dns"]);
    }

    #[test]
    fn daemons_that_are_hidden_weaken_nothing() {
        let sockets = ["/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve"];
        let check = judge("hosts: files resolve [!UNAVAIL=return] dns\n", &sockets);
        assert_eq!(check.state, State::Ok);
        assert_eq!(
            check.found,
            "hosts: files resolve dns; `weir run` hides /run/nscd/socket, \
             /run/systemd/resolve/io.systemd.Resolve"
        );
        assert_eq!(judge("hosts: files dns", &[]), NAMES.ok("hosts: files dns"));
        assert_eq!(judge("", &[]).state, State::Ok);
    }

    #[test]
    fn daemons_that_nobody_hides_are_named() {
        let check = judge("hosts: files ldap wins dns", &[]);
        assert_eq!(check.state, State::Weaker);
        assert!(check.consequence.unwrap().starts_with("ldap, wins may ask"));
    }
}
