//! Figures in the text format of Prometheus.

use std::fmt;

use metrics::{Histogram, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::{Figure, Kind};

/// The buckets of a latency, in seconds: from what memory does to what a failing disk does.
const LATENCY: [f64; 12] =
    [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// Writes figures for Prometheus. It belongs to one broker or relay: nothing in it is global.
pub struct Exposition {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Exposition {
    /// One without any figure.
    #[must_use]
    pub fn new() -> Self {
        let builder = PrometheusBuilder::new();
        // It refuses an empty list only.
        let builder = builder.set_buckets(&LATENCY).unwrap_or_default();
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        Self { recorder, handle }
    }

    /// A latency, in seconds, that is recorded where it arises.
    pub fn latency(&self, name: &'static str, help: &'static str) -> Histogram {
        self.recorder.describe_histogram(KeyName::from_const_str(name), None, help.into());
        self.recorder.register_histogram(&Key::from_static_name(name), &metadata())
    }

    /// All of it as text; these figures in the place of those of the last time.
    #[must_use]
    pub fn render(&self, figures: &[Figure]) -> String {
        for figure in figures {
            self.set(figure);
        }
        self.handle.run_upkeep();
        self.handle.render()
    }

    fn set(&self, figure: &Figure) {
        let name = KeyName::from_const_str(figure.name);
        let labels: Vec<Label> =
            figure.label.iter().map(|(key, value)| Label::new(*key, value.clone())).collect();
        let key = Key::from_parts(figure.name, labels);
        match figure.kind {
            Kind::Counter => {
                self.recorder.describe_counter(name, None, figure.help.into());
                self.recorder.register_counter(&key, &metadata()).absolute(figure.value);
            }
            Kind::Gauge => {
                self.recorder.describe_gauge(name, None, figure.help.into());
                #[expect(clippy::cast_precision_loss, reason = "nothing is counted beyond 2^53")]
                let value = figure.value as f64;
                self.recorder.register_gauge(&key, &metadata()).set(value);
            }
        }
    }
}

impl Default for Exposition {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Exposition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Exposition(…)")
    }
}

fn metadata() -> Metadata<'static> {
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_prometheus_reads_them() {
        let exposition = Exposition::new();
        let of = |value| {
            vec![
                Figure::gauge("simopen_peers", "Logged-in devices", value),
                Figure::counter("simopen_refused_total", "Refused", 2).labelled("reason", "a\"b"),
            ]
        };
        let _ = exposition.render(&of(7));
        let text = exposition.render(&of(5));
        assert!(text.contains("# HELP simopen_peers Logged-in devices\n"), "{text}");
        assert!(text.contains("# TYPE simopen_peers gauge\nsimopen_peers 5\n"), "{text}");
        assert!(text.contains("simopen_refused_total{reason=\"a\\\"b\"} 2\n"), "{text}");
    }

    #[test]
    fn a_latency_falls_into_buckets() {
        let exposition = Exposition::new();
        exposition.latency("simopen_persist_seconds", "Latency of the store").record(0.002);
        let text = exposition.render(&[]);
        assert!(text.contains("simopen_persist_seconds_bucket{le=\"0.003\"} 1\n"), "{text}");
        assert!(text.contains("simopen_persist_seconds_bucket{le=\"0.001\"} 0\n"), "{text}");
    }
}
