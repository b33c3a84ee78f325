//! Metrics for Prometheus, as text that node_exporter's textfile collector reads. No label and no figure is a value.

mod series;

pub use series::text;
