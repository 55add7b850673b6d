//! What a collector gets, and when it gets it again.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    common::v1::any_value::Value as Any,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, transport::Server};

use super::*;

/// A gRPC server of the service that says what it is told to, and then that all is well.
#[derive(Clone, Default)]
struct Collector {
    answers: Arc<Mutex<VecDeque<Result<i64, Code>>>>,
    /// Records of each request that was answered well.
    taken: Arc<Mutex<Vec<usize>>>,
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let rejected = match self.answers.lock().unwrap().pop_front().unwrap_or(Ok(0)) {
            Ok(rejected) => rejected,
            Err(code) => return Err(Status::new(code, "as told")),
        };
        let request = request.into_inner();
        let records = request.resource_logs[0].scope_logs[0].log_records.len();
        self.taken.lock().unwrap().push(records);
        let partial = ExportLogsPartialSuccess {
            rejected_log_records: rejected,
            error_message: String::new(),
        };
        Ok(Response::new(ExportLogsServiceResponse { partial_success: Some(partial) }))
    }
}

impl Collector {
    /// Serves on loopback until the runtime is dropped.
    fn serve(&self) -> (Runtime, SocketAddr) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let service = LogsServiceServer::new(self.clone());
        let connections = TcpListenerStream::new(listener);
        runtime.spawn(Server::builder().add_service(service).serve_with_incoming(connections));
        (runtime, address)
    }
}

#[test]
fn what_a_collector_cannot_take_now_it_gets_again() {
    let collector = Collector::default();
    *collector.answers.lock().unwrap() =
        [Err(Code::Unavailable), Err(Code::ResourceExhausted)].into();
    let (_runtime, address) = collector.serve();
    let mut otlp = Otlp::new(&format!("http://{address}"), "ci-7").unwrap();
    otlp.take(&[line("{}\n"), line("{}\n")], &|| false).unwrap();
    assert_eq!(*collector.taken.lock().unwrap(), [2]);
}

#[test]
fn what_a_collector_refuses_for_good_is_counted_and_not_sent_again() {
    let collector = Collector::default();
    *collector.answers.lock().unwrap() = [Err(Code::InvalidArgument), Ok(2), Ok(0)].into();
    let (_runtime, address) = collector.serve();
    let mut otlp = Otlp::new(&format!("http://{address}"), "ci-7").unwrap();
    let mut take = |count| otlp.take(&vec![line("{}\n"); count], &|| false);
    let refused = take(5).unwrap_err();
    assert_eq!(refused.records, 5);
    assert!(refused.error.to_string().contains("as told"), "{}", refused.error);
    assert_eq!(take(4).unwrap_err().records, 2);
    take(1).unwrap();
    assert_eq!(*collector.taken.lock().unwrap(), [4, 1]);
}

fn line(text: &str) -> Line {
    text.as_bytes().into()
}

#[test]
fn a_record_is_a_log_record_with_its_main_facts_as_attributes() {
    let record = line(
        "{\"kind\":\"violation\",\"ts\":\"2026-11-22T09:02:11.412Z\",\"verdict\":\"block\",\"reason\":\"dot\",\
         \"process\":{\"pid\":7,\"comm\":\"node\",\"binary\":null},\"pod\":null,\"count\":18446744073709551615}\n",
    );
    let request = convert::request(&[record], "ci-7");
    let resource = &request.resource_logs[0];
    let node = &resource.resource.as_ref().unwrap().attributes[2];
    assert_eq!(node.key, "k8s.node.name");
    let log = &resource.scope_logs[0].log_records[0];
    assert_eq!(log.time_unix_nano, 1_795_338_131_412_000_000);
    assert_eq!((log.severity_text.as_str(), log.severity_number), ("WARN", 13));
    let attribute = |name: &str| {
        let found = log.attributes.iter().find(|pair| pair.key == name)?;
        found.value.as_ref()?.value.clone()
    };
    assert_eq!(attribute("weir.reason"), Some(Any::StringValue("dot".to_owned())));
    assert_eq!(attribute("process.pid"), Some(Any::IntValue(7)));
    assert_eq!(attribute("process.executable.path"), None);
    let Some(Any::KvlistValue(body)) = log.body.as_ref().unwrap().value.clone() else {
        panic!("the body is no map")
    };
    let count = body.values.iter().find(|pair| pair.key == "count").unwrap();
    // OTLP has no such large number.
    let expected = Some(Any::StringValue("18446744073709551615".to_owned()));
    assert_eq!(count.value.as_ref().unwrap().value, expected);
}

#[test]
fn what_is_no_record_is_told_all_the_same() {
    let request = convert::request(&[line("{half")], "ci-7");
    let log = &request.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!(log.body.as_ref().unwrap().value, Some(Any::StringValue("{half".to_owned())));
    assert_eq!(log.severity_text, "INFO");
}

#[test]
fn a_collector_that_is_not_there_is_waited_for_until_the_agent_ends() {
    // Nobody listens at a port that is taken and closed again.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let mut otlp = Otlp::new(&format!("http://{address}"), "ci-7").unwrap();
    let looks = std::cell::Cell::new(0);
    let is_ending = || {
        looks.set(looks.get() + 1);
        looks.get() > 4
    };
    let refused = otlp.take(&[line("{}\n"), line("{}\n")], &is_ending).unwrap_err();
    assert_eq!((refused.records, looks.get()), (2, 5));
    // What waited behind it is given up without another attempt.
    let refused = otlp.take(&[line("{}\n")], &|| true).unwrap_err();
    assert!(refused.error.to_string().starts_with("given up"), "{}", refused.error);
}

#[test]
fn an_endpoint_that_is_none_is_refused() {
    let error = Otlp::new("http://a b", "ci-7").unwrap_err();
    assert_eq!(error.to_string(), "`http://a b` cannot be used as OTLP endpoint");
}
