//! A served pod, its upstream and clients of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::Record;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::super::{Listener, Resolver, ResolverSettings, Server, Upstreams, serve};
use super::pod::TestPod;
use super::upstream::{Script, Upstream, Via, answer_to};
use super::{PROFILE, name, profile};

/// Longest that anything is waited for.
pub(in super::super) const PATIENCE: Duration = Duration::from_secs(10);

/// How a lab is set up.
pub(in super::super) struct LabBuilder {
    pub(in super::super) profile: String,
    pub(in super::super) settings: ResolverSettings,
    pub(in super::super) search: Vec<&'static str>,
    pub(in super::super) script: Script,
    /// Servers that are asked before the scripted one.
    pub(in super::super) before: Vec<SocketAddr>,
}

impl LabBuilder {
    pub(in super::super) fn new(
        script: impl Fn(&Via) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            profile: PROFILE.to_owned(),
            settings: ResolverSettings::default(),
            search: Vec::new(),
            script: Arc::new(script),
            before: Vec::new(),
        }
    }

    /// Answers every question with these records.
    pub(in super::super) fn answering(records: Vec<Record>) -> Self {
        Self::new(move |via| vec![answer_to(&via.query, records.clone()).to_vec().unwrap()])
    }

    pub(in super::super) fn audit(mut self) -> Self {
        self.profile = self.profile.replace("mode: block", "mode: audit");
        self
    }

    pub(in super::super) fn start(self) -> Lab {
        let upstream = Upstream::start(self.script);
        let mut servers = self.before;
        servers.push(upstream.address);
        let upstreams = Upstreams::from_addrs(&servers).unwrap().with_search(&self.search);
        let resolver = Resolver::new(upstreams, self.settings);
        let pod = TestPod::new(profile(&self.profile));
        let listener = Listener::bind_loopback().unwrap();
        let address = listener.udp[0].local_addr().unwrap();
        let address_v6 = listener.udp.get(1).map(|socket| socket.local_addr().unwrap());
        let server = serve(Arc::clone(&resolver), Arc::clone(&pod), listener).unwrap();
        Lab { address, address_v6, pod, resolver, upstream, server }
    }
}

/// A served pod.
pub(in super::super) struct Lab {
    pub(in super::super) address: SocketAddr,
    pub(in super::super) address_v6: Option<SocketAddr>,
    pub(in super::super) pod: Arc<TestPod>,
    pub(in super::super) resolver: Arc<Resolver>,
    pub(in super::super) upstream: Upstream,
    pub(in super::super) server: Server,
}

/// A query with EDNS, as `dig` sends it.
pub(in super::super) fn question(text: &str, rtype: &str) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name(text), rtype.parse().unwrap()));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    message.set_edns(edns);
    message
}

impl Lab {
    /// Another pod with the same resolver.
    pub(in super::super) fn neighbour(&self, text: &str) -> (Arc<TestPod>, SocketAddr, Server) {
        let pod = TestPod::new(profile(text));
        let listener = Listener::bind_loopback().unwrap();
        let address = listener.udp[0].local_addr().unwrap();
        let server = serve(Arc::clone(&self.resolver), Arc::clone(&pod), listener).unwrap();
        (pod, address, server)
    }

    /// Asks over UDP with EDNS.
    pub(in super::super) async fn ask(&self, text: &str, rtype: &str) -> Message {
        ask(self.address, &question(text, rtype)).await
    }

    /// Asks over TCP.
    pub(in super::super) async fn ask_tcp(&self, text: &str, rtype: &str) -> Message {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        send_tcp(&mut stream, &question(text, rtype).to_vec().unwrap()).await;
        Message::from_vec(&receive_tcp(&mut stream).await).unwrap()
    }

    /// The names that reached upstream.
    pub(in super::super) fn asked_upstream(&self) -> Vec<String> {
        self.upstream.queries.lock().unwrap().iter().map(Via::name).collect()
    }
}

/// Asks `server` over UDP.
pub(in super::super) async fn ask(server: SocketAddr, query: &Message) -> Message {
    Message::from_vec(&exchange(server, &query.to_vec().unwrap()).await).unwrap()
}

/// Sends bytes over UDP and returns the bytes that come back.
pub(in super::super) async fn exchange(server: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let local: SocketAddr =
        if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }.parse().unwrap();
    let socket = UdpSocket::bind(local).await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(bytes).await.unwrap();
    receive(&socket).await
}

pub(in super::super) async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65536];
    let len = timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("an answer").unwrap();
    buffer.truncate(len);
    buffer
}

pub(in super::super) async fn send_tcp(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
}

pub(in super::super) async fn receive_tcp(stream: &mut TcpStream) -> Vec<u8> {
    let read = async {
        let len = stream.read_u16().await.unwrap();
        let mut bytes = vec![0; len.into()];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes
    };
    timeout(PATIENCE, read).await.expect("an answer")
}
