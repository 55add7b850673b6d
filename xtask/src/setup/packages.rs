//! The Debian packages that building and testing need, each with the sign that it is there.

use std::path::Path;

use super::apt;
use crate::shell;

/// How a package shows that it, or something as good, is installed.
#[derive(Clone, Copy, Debug)]
enum Sign {
    /// A program in one of the usual folders.
    Program(&'static str),
    /// A file.
    File(&'static str),
}

use Sign::{File, Program};

/// Package, sign. A tool that somebody installed in another way is good enough.
const NEEDED: [(&str, Sign); 38] = [
    // Building: C for ring and the test programs, C++ for libFuzzer.
    ("gcc", Program("cc")),
    ("g++", Program("c++")),
    ("libc6-dev", File("/usr/include/stdio.h")),
    ("linux-libc-dev", File("/usr/include/linux/bpf.h")),
    ("ca-certificates", File("/etc/ssl/certs/ca-certificates.crt")),
    // The interfaces of containerd and CRI, and nftables by netlink.
    ("protobuf-compiler", Program("protoc")),
    ("libnftnl-dev", File("/usr/include/libnftnl/table.h")),
    ("libmnl-dev", File("/usr/include/libmnl/libmnl.h")),
    ("pkg-config", Program("pkg-config")),
    // The lab.
    ("iproute2", Program("ip")),
    ("util-linux", Program("nsenter")),
    ("procps", Program("ps")),
    ("nftables", Program("nft")),
    ("unbound", Program("unbound")),
    ("containerd", Program("containerd")),
    ("runc", Program("runc")),
    ("crun", Program("crun")),
    ("containernetworking-plugins", File("/usr/lib/cni/bridge")),
    ("busybox-static", Program("busybox")),
    // Virtual machines of other kernels.
    ("qemu-system-x86", Program("qemu-system-x86_64")),
    ("kmod", Program("depmod")),
    // Real clients.
    ("curl", Program("curl")),
    ("git", Program("git")),
    ("bind9-dnsutils", Program("dig")),
    ("netcat-openbsd", Program("nc")),
    ("iputils-ping", Program("ping")),
    ("python3", File("/usr/bin/python3")),
    ("python3-pip", File("/usr/bin/pip3")),
    ("npm", Program("npm")),
    ("nscd", Program("nscd")),
    // Where people open reports.
    ("chromium", Program("chromium")),
    // Looking and measuring.
    ("libcap2-bin", Program("capsh")),
    ("bpftool", Program("bpftool")),
    ("strace", Program("strace")),
    ("tcpdump", Program("tcpdump")),
    ("iperf3", Program("iperf3")),
    ("dnsperf", Program("dnsperf")),
    ("dnsmasq-base", Program("dnsmasq")),
];

/// What serves a virtual machine this machine's files, as Debian 12 has it in a package of QEMU and Debian 13
/// in one of its own.
const FILE_SERVER: [&str; 2] = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"];
const FILE_SERVER_PACKAGE: &str = "virtiofsd";

/// The packages of the list that are not there, in its order.
pub(super) fn missing() -> Vec<String> {
    let mut missing: Vec<String> = NEEDED
        .iter()
        .filter(|(_, sign)| !is_there(*sign))
        .map(|(package, _)| (*package).to_owned())
        .collect();
    if !FILE_SERVER.into_iter().any(|path| is_there(File(path)))
        && apt::candidate(FILE_SERVER_PACKAGE).is_some()
    {
        missing.push(FILE_SERVER_PACKAGE.to_owned());
    }
    missing
}

fn is_there(sign: Sign) -> bool {
    match sign {
        Program(name) => shell::has(name),
        File(path) => Path::new(path).exists(),
    }
}
