//! An upstream server that says what a test wants, over UDP and TCP on one port.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::Record;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::super::listener::Listener;
use super::super::pod::Transport;
use super::record;

/// The query that a script answers.
pub(in super::super) struct Via {
    pub(in super::super) query: Message,
    pub(in super::super) bytes: Vec<u8>,
    pub(in super::super) transport: Transport,
}

impl Via {
    /// The question's name, as it stood in the query.
    pub(in super::super) fn name(&self) -> String {
        self.query.queries[0].name.to_ascii()
    }
}

/// What to send for a query: any number of messages, each as bytes.
pub(in super::super) type Script = Arc<dyn Fn(&Via) -> Vec<Vec<u8>> + Send + Sync>;

/// A running server; ends when dropped.
pub(in super::super) struct Upstream {
    pub(in super::super) address: SocketAddr,
    /// Every query that arrived.
    pub(in super::super) queries: Arc<Mutex<Vec<Via>>>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    pub(in super::super) fn start(script: Script) -> Self {
        let mut sockets = Listener::bind_loopback().unwrap();
        let udp = sockets.udp.remove(0);
        udp.set_nonblocking(true).unwrap();
        let udp = UdpSocket::from_std(udp).unwrap();
        let tcp = TcpListener::from_std(sockets.tcp.remove(0)).unwrap();
        let address = udp.local_addr().unwrap();
        let queries = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&script), Arc::clone(&queries)));
        tasks.spawn(serve_tcp(tcp, script, Arc::clone(&queries)));
        Self { address, queries, _tasks: tasks }
    }
}

fn run(
    script: &Script,
    queries: &Mutex<Vec<Via>>,
    bytes: &[u8],
    transport: Transport,
) -> Vec<Vec<u8>> {
    let query = Message::from_vec(bytes).expect("weir sends well-formed queries");
    let via = Via { query, bytes: bytes.to_vec(), transport };
    let messages = script(&via);
    queries.lock().unwrap().push(via);
    messages
}

async fn serve_udp(socket: UdpSocket, script: Script, queries: Arc<Mutex<Vec<Via>>>) {
    let mut buffer = vec![0; 4096];
    loop {
        let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
        for message in run(&script, &queries, &buffer[..len], Transport::Udp) {
            socket.send_to(&message, from).await.unwrap();
        }
    }
}

async fn serve_tcp(listener: TcpListener, script: Script, queries: Arc<Mutex<Vec<Via>>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        // A client that goes away ends its own connection only.
        drop(serve_connection(stream, &script, &queries).await);
    }
}

async fn serve_connection(
    mut stream: TcpStream,
    script: &Script,
    queries: &Mutex<Vec<Via>>,
) -> std::io::Result<()> {
    let len = stream.read_u16().await?;
    let mut bytes = vec![0; len.into()];
    stream.read_exact(&mut bytes).await?;
    for message in run(script, queries, &bytes, Transport::Tcp) {
        stream.write_u16(message.len().try_into().unwrap()).await?;
        stream.write_all(&message).await?;
    }
    Ok(())
}

/// An answer to a query with these records.
pub(in super::super) fn answer_to(query: &Message, records: Vec<Record>) -> Message {
    let mut message = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    message.metadata.recursion_available = true;
    message.metadata.authoritative = true;
    message.queries.clone_from(&query.queries);
    message.answers = records;
    message
}

/// NXDOMAIN, without an SOA.
pub(in super::super) fn no_such_name(query: &Message) -> Message {
    let mut message = answer_to(query, Vec::new());
    message.metadata.response_code = ResponseCode::NXDomain;
    message
}

/// Adds the SOA of example.com with this lifetime and MINIMUM.
pub(in super::super) fn with_soa(mut message: Message, ttl: u32, minimum: u32) -> Message {
    let data = format!("ns.example.com. admin.example.com. 1 3600 600 86400 {minimum}");
    message.authorities.push(record("example.com.", ttl, "SOA", &data));
    message
}
