//! The metrics that alerts and dashboard ask for.

/// Every metric of the agent with the labels that it gives it; of a histogram, the name without what Prometheus adds.
pub const METRICS: [(&str, &[&str]); 19] = [
    ("weir_attach_failures_total", &[]),
    ("weir_attach_seconds", &["le"]),
    ("weir_build_info", &["version"]),
    ("weir_bundle_errors_total", &[]),
    ("weir_bundle_loaded_timestamp_seconds", &[]),
    ("weir_bundle_ok", &[]),
    ("weir_bundle_profiles", &[]),
    ("weir_dns_questions_total", &["outcome"]),
    ("weir_dns_upstream_seconds", &["le"]),
    ("weir_events_lost_total", &["where"]),
    ("weir_kernel_feature", &["feature"]),
    ("weir_kubernetes_watch_failures_total", &[]),
    ("weir_map_fill_ratio", &["map"]),
    ("weir_pods", &["phase"]),
    ("weir_pods_enforced", &["mode"]),
    ("weir_reconciles_total", &["result"]),
    ("weir_records_written_total", &["output"]),
    ("weir_repairs_total", &["what"]),
    ("weir_verdicts_total", &["verdict", "reason"]),
];

/// A metric with its labels by its name, or by that of a sample of it.
#[must_use]
pub fn metric(name: &str) -> Option<(&'static str, &'static [&'static str])> {
    let is = |name: &str| METRICS.into_iter().find(|(metric, _)| *metric == name);
    let base = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
    let histogram = || base.and_then(is).filter(|(_, labels)| labels.contains(&"le"));
    is(name).or_else(histogram)
}
