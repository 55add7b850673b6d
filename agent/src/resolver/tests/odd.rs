//! Messages that are no question: never a panic, never a query upstream.

use hickory_proto::op::{Message, OpCode, ResponseCode};
use tokio::net::UdpSocket;
use weir_ebpf::reason::Reason;

use super::super::testing::*;

const NAME: &str = "registry.example.com.";

fn lab() -> Lab {
    LabBuilder::answering(vec![record(NAME, 300, "A", "192.0.2.7")]).start()
}

async fn check(bytes: &[u8], rcode: ResponseCode, reason: Option<Reason>) {
    let lab = lab();
    let answer = Message::from_vec(&exchange(lab.address, bytes).await).unwrap();
    assert_eq!(u16::from(answer.metadata.response_code), u16::from(rcode));
    assert_eq!(answer.metadata.id, 0x1234);
    assert!(answer.answers.is_empty());
    let reasons: Vec<_> = lab.pod.refusals().into_iter().map(|seen| seen.reason).collect();
    assert_eq!(reasons, reason.into_iter().collect::<Vec<_>>());
    assert_eq!(lab.asked_upstream(), [""; 0]);
}

fn edited(edit: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = question(NAME, "A");
    edit(&mut message);
    message.to_vec().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn several_questions_or_none_are_a_format_error() {
    let two = edited(|message| {
        let again = message.queries[0].clone();
        message.add_query(again);
    });
    check(&two, ResponseCode::FormErr, Some(Reason::Unparsable)).await;
    let none = edited(|message| message.queries.clear());
    check(&none, ResponseCode::FormErr, Some(Reason::Unparsable)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_opcodes_are_not_implemented() {
    let notify = edited(|message| message.metadata.op_code = OpCode::Notify);
    check(&notify, ResponseCode::NotImp, Some(Reason::DnsBypass)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_classes_and_transfers_are_refused() {
    let mut chaos = edited(|_| {});
    let class_at = 12 + 22 + 2;
    chaos[class_at + 1] = 3;
    check(&chaos, ResponseCode::Refused, Some(Reason::DnsBypass)).await;
    let transfer = edited(|message| message.queries[0].query_type = "AXFR".parse().unwrap());
    check(&transfer, ResponseCode::Refused, Some(Reason::DnsBypass)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn left_over_bytes_are_a_format_error() {
    let mut bytes = edited(|_| {});
    bytes.push(0);
    check(&bytes, ResponseCode::FormErr, Some(Reason::Unparsable)).await;
    let long = [edited(|_| {}), vec![b'x'; 8000]].concat();
    check(&long, ResponseCode::FormErr, Some(Reason::Unparsable)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_question_is_a_format_error() {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend([0xc0, 12, 0, 1, 0, 1]);
    check(&bytes, ResponseCode::FormErr, Some(Reason::Unparsable)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_edns_version_is_named() {
    let future = edited(|message| {
        message.edns.as_mut().unwrap().set_version(1);
    });
    check(&future, ResponseCode::BADVERS, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_opt_records_are_a_format_error() {
    let mut bytes = edited(|_| {});
    let opt = bytes[bytes.len() - 11..].to_vec();
    bytes.extend(opt);
    bytes[11] = 2;
    check(&bytes, ResponseCode::FormErr, Some(Reason::Unparsable)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_and_strangers_get_silence() {
    let lab = lab();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(lab.address).await.unwrap();
    let mut response = edited(|_| {});
    response[2] |= 0x80;
    for silent in [&response[..], b"short", b""] {
        socket.send(silent).await.unwrap();
    }
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = stranger.local_addr().unwrap().port();
    lab.pod.stranger.store(port.into(), std::sync::atomic::Ordering::SeqCst);
    stranger.connect(lab.address).await.unwrap();
    stranger.send(&edited(|_| {})).await.unwrap();
    // Datagrams are answered in order, so the first that comes back shows that none came before.
    socket.send(&edited(|message| message.metadata.id = 7)).await.unwrap();
    let first = Message::from_vec(&receive(&socket).await).unwrap();
    assert_eq!(first.metadata.id, 7);
    assert!(stranger.try_recv(&mut [0; 512]).is_err());
    let clients: Vec<_> = lab.pod.refusals().into_iter().map(|seen| seen.client).collect();
    assert_eq!(clients.len(), 3, "responses and scraps are recorded");
    assert!(!clients.contains(&port));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_only_look_allowed_are_refused() {
    let raw = |labels: &[&[u8]]| {
        let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in labels {
            bytes.push(label.len().try_into().unwrap());
            bytes.extend(*label);
        }
        bytes.extend([0, 0, 1, 0, 1]);
        bytes
    };
    let cases: [(&[&[u8]], &str); 5] = [
        (&[b"registry.example.com"], "registry\\.example\\.com"),
        (&[b"registry.example", b"com"], "registry\\.example.com"),
        (&[b"registry\0", b"example", b"com"], "registry\\000.example.com"),
        (&[b"registry", b"example", b"com "], "registry.example.com\\032"),
        (&[b"registry", b"example", b"com", b"\xff"], "registry.example.com.\\255"),
    ];
    for (labels, shown) in cases {
        let lab = lab();
        let answer = Message::from_vec(&exchange(lab.address, &raw(labels)).await).unwrap();
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{shown}");
        let names: Vec<_> = lab.pod.refusals().into_iter().map(|seen| seen.name).collect();
        assert_eq!(names, [shown]);
        assert_eq!(lab.asked_upstream(), [""; 0]);
    }
}
