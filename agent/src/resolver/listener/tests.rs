//! One port for everything.

use super::*;

#[test]
fn every_socket_has_the_same_port() {
    let listener = Listener::bind_loopback().unwrap();
    let port = listener.port();
    assert_ne!(port, 0);
    for socket in &listener.udp {
        assert_eq!(socket.local_addr().unwrap().port(), port);
    }
    for socket in &listener.tcp {
        assert_eq!(socket.local_addr().unwrap().port(), port);
    }
    assert_eq!(listener.udp.len(), listener.tcp.len());
    assert_eq!(listener.has_v6(), listener.udp.len() == 2);
}

#[test]
fn a_port_that_is_taken_is_an_error_when_it_was_asked_for() {
    let listener = Listener::bind_loopback().unwrap();
    let again = Listener::bind(&[IpAddr::V4(Ipv4Addr::LOCALHOST)], listener.port());
    assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn many_listeners_find_ports_side_by_side() {
    let all: Vec<_> = (0..64).map(|_| Listener::bind_loopback().unwrap()).collect();
    let mut ports: Vec<_> = all.iter().map(Listener::port).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), all.len());
}
