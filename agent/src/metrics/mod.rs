//! What Prometheus is told, made anew at each scrape.
//!
//! Everything is counted where it happens; here it only gets its name. No label carries a name, a project, a job or a
//! pod, so that the number of series does not depend on what jobs do.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, histogram::Histogram},
    registry::Registry,
};

#[cfg(test)]
mod tests;

/// Begins the name of every metric.
const PREFIX: &str = "weir";

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whoever has something to tell.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// Tells it.
    ///
    /// # Errors
    ///
    /// Those of the writer alone.
    fn tell(&self, page: &mut Page<'_>) -> fmt::Result;
}

/// All metrics of one agent.
#[derive(Debug)]
pub struct Metrics(Registry);

#[derive(Debug)]
struct Told<S>(S);

/// The page that is being written.
#[derive(Debug)]
pub struct Page<'e>(DescriptorEncoder<'e>);

impl Metrics {
    /// The metrics of a source.
    pub fn new(source: impl Source) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(Told(source)));
        Self(registry)
    }

    /// The page, in the text format of `OpenMetrics`.
    ///
    /// # Errors
    ///
    /// Never for the sources of this program.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.0)?;
        Ok(page)
    }
}

impl<S: Source> Collector for Told<S> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.tell(&mut Page(encoder))
    }
}

impl Page<'_> {
    /// A count that only grows; its name gets `_total`.
    ///
    /// # Errors
    ///
    /// Those of the writer alone.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, [([], value)])
    }

    /// Counts that only grow, one for each set of labels.
    ///
    /// # Errors
    ///
    /// Those of the writer alone.
    pub fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'l str, &'l str); N], u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            let counter = ConstCounter::new(value);
            if N == 0 {
                counter.encode(family.encode_family(&NONE)?)?;
            } else {
                counter.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    /// A value of now.
    ///
    /// # Errors
    ///
    /// Those of the writer alone.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.gauges(name, help, [([], value)])
    }

    /// Values of now, one for each set of labels.
    ///
    /// # Errors
    ///
    /// Those of the writer alone.
    pub fn gauges<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'l str, &'l str); N], f64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            let gauge = ConstGauge::new(value);
            if N == 0 {
                gauge.encode(family.encode_family(&NONE)?)?;
            } else {
                gauge.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    /// How often which time, in seconds, was taken.
    ///
    /// # Errors
    ///
    /// Those of the writer alone.
    pub fn seconds(&mut self, name: &str, help: &str, times: &Histogram) -> fmt::Result {
        times.encode(self.0.encode_descriptor(name, help, None, MetricType::Histogram)?)
    }
}

/// No labels.
const NONE: [(&str, &str); 0] = [];
