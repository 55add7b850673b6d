//! The page as Prometheus reads it.

use super::*;

#[derive(Debug)]
struct Some3;

impl Source for Some3 {
    fn tell(&self, page: &mut Page<'_>) -> fmt::Result {
        page.counter("events", "Some events.", 7)?;
        page.gauges("pods", "Pods.", [([("phase", "seen")], 1.0), ([("phase", "gone")], 2.5)])?;
        page.counters("v", "V.", [([("a", "\"x\"\n"), ("b", "")], u64::MAX)])?;
        page.seconds("took_seconds", "Time.", &Histogram::new([0.5]))
    }
}

#[test]
fn each_metric_has_its_help_its_kind_and_its_values() {
    assert_eq!(
        Metrics::new(Some3).text().unwrap(),
        "# HELP weir_events Some events.
# TYPE weir_events counter
weir_events_total 7
# HELP weir_pods Pods.
# TYPE weir_pods gauge
weir_pods{phase=\"seen\"} 1.0
weir_pods{phase=\"gone\"} 2.5
# HELP weir_v V.
# TYPE weir_v counter
weir_v_total{a=\"\\\"x\\\"\\n\",b=\"\"} 18446744073709551615
# HELP weir_took_seconds Time.
# TYPE weir_took_seconds histogram
weir_took_seconds_sum 0.0
weir_took_seconds_count 0
weir_took_seconds_bucket{le=\"0.5\"} 0
weir_took_seconds_bucket{le=\"+Inf\"} 0
# EOF
"
    );
}
