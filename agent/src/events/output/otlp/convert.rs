//! Records as OTLP log records.
//!
//! The body is the whole record as a map. What collectors route and group by is an attribute too, under the names of
//! OpenTelemetry's semantic conventions where there are some.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    resource::v1::Resource,
};
use serde_json::Value;

use super::Line;

/// Attributes, and where in a record they stand (RFC 6901).
const ATTRIBUTES: [(&str, &str); 17] = [
    ("weir.kind", "/kind"),
    ("weir.verdict", "/verdict"),
    ("weir.reason", "/reason"),
    ("weir.profile", "/policy/profile"),
    ("weir.rule", "/policy/rule_id"),
    ("process.pid", "/process/pid"),
    ("process.executable.path", "/process/binary"),
    ("process.executable.name", "/process/comm"),
    ("destination.address", "/destination/ip"),
    ("destination.domain", "/destination/host"),
    ("destination.port", "/destination/port"),
    ("network.transport", "/destination/proto"),
    ("k8s.namespace.name", "/pod/namespace"),
    ("k8s.pod.name", "/pod/name"),
    ("k8s.pod.uid", "/pod/uid"),
    ("k8s.container.name", "/container"),
    ("cicd.pipeline.task.run.url.full", "/gitlab/job_url"),
];

/// A request with all records, of one node.
pub(super) fn request(records: &[Line], node: &str) -> ExportLogsServiceRequest {
    let resource = Resource {
        attributes: vec![
            pair("service.name", text("weir")),
            pair("service.version", text(env!("CARGO_PKG_VERSION"))),
            pair("k8s.node.name", text(node)),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: "weir".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let log_records = records.iter().map(|line| record(line)).collect();
    let scope_logs = ScopeLogs { scope: Some(scope), log_records, ..ScopeLogs::default() };
    let resource_logs = ResourceLogs {
        resource: Some(resource),
        scope_logs: vec![scope_logs],
        ..ResourceLogs::default()
    };
    ExportLogsServiceRequest { resource_logs: vec![resource_logs] }
}

fn record(line: &[u8]) -> LogRecord {
    // Made by this program a moment ago; were it not JSON, it would still be told.
    let record = serde_json::from_slice(line)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(line).into_owned()));
    let at = record
        .get("ts")
        .and_then(Value::as_str)
        .and_then(|ts| humantime::parse_rfc3339(ts).ok())
        .unwrap_or_else(SystemTime::now);
    let is_alarm = match record.get("kind").and_then(Value::as_str) {
        Some("violation" | "lost" | "tamper") => true,
        Some("policy") => record.get("error").is_some(),
        _ => false,
    };
    let severity = if is_alarm { SeverityNumber::Warn } else { SeverityNumber::Info };
    let attributes = ATTRIBUTES.iter().filter_map(|(name, place)| {
        let found = record.pointer(place).filter(|found| !found.is_null())?;
        Some(pair(name, value(found)))
    });
    LogRecord {
        time_unix_nano: nanoseconds(at),
        observed_time_unix_nano: nanoseconds(SystemTime::now()),
        severity_number: severity.into(),
        severity_text: if is_alarm { "WARN" } else { "INFO" }.to_owned(),
        attributes: attributes.collect(),
        body: Some(value(&record)),
        ..LogRecord::default()
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).as_ref().map_or(0, Duration::as_nanos);
    u64::try_from(since).unwrap_or(u64::MAX)
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) }
}

fn value(json: &Value) -> AnyValue {
    let value = match json {
        Value::Null => None,
        Value::Bool(flag) => Some(any_value::Value::BoolValue(*flag)),
        Value::Number(number) => Some(number.as_i64().map_or_else(
            || any_value::Value::StringValue(number.to_string()),
            any_value::Value::IntValue,
        )),
        Value::String(text) => Some(any_value::Value::StringValue(text.clone())),
        Value::Array(items) => {
            let values = items.iter().map(value).collect();
            Some(any_value::Value::ArrayValue(ArrayValue { values }))
        }
        Value::Object(fields) => {
            let values = fields.iter().map(|(key, field)| pair(key, value(field))).collect();
            Some(any_value::Value::KvlistValue(KeyValueList { values }))
        }
    };
    AnyValue { value }
}
