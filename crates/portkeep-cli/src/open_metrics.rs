//! The OpenMetrics text format, <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use std::fmt::{Display, Write as _};

/// The text so far.
#[derive(Debug, Default)]
pub struct Metrics(String);

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    /// Its samples are named after the family with `_total` at the end.
    Counter,
}

/// The names and values of a sample's labels.
type Labels = Vec<(&'static str, String)>;

impl Metrics {
    /// A family with one sample and no labels.
    pub fn one(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help, [(Vec::new(), value)]);
    }

    pub fn family<V: Display>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, V)>,
    ) {
        let (word, suffix) = match kind {
            Kind::Gauge => ("gauge", ""),
            Kind::Counter => ("counter", "_total"),
        };
        let text = &mut self.0;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# TYPE {name} {word}");
        let _ = writeln!(text, "# HELP {name} {}", escaped(help));
        for (labels, value) in samples {
            let labels: Vec<_> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
                .collect();
            let labels = match labels.is_empty() {
                true => String::new(),
                false => format!("{{{}}}", labels.join(",")),
            };
            let _ = writeln!(text, "{name}{suffix}{labels} {value}");
        }
    }

    pub fn finish(mut self) -> String {
        self.0.push_str("# EOF\n");
        self.0
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families() {
        let mut metrics = Metrics::default();
        metrics.one("a_one", Kind::Gauge, "A help.", 1);
        let hostile = vec![("user", "a\"b\\c\nd".to_owned()), ("x", "y".to_owned())];
        metrics.family("a_count", Kind::Counter, "B\nC", [(hostile, 7)]);
        assert_eq!(
            metrics.finish(),
            "# TYPE a_one gauge\n# HELP a_one A help.\na_one 1\n\
             # TYPE a_count counter\n# HELP a_count B\\nC\n\
             a_count_total{user=\"a\\\"b\\\\c\\nd\",x=\"y\"} 7\n# EOF\n"
        );
    }
}
