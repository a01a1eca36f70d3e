//! The text format 0.0.4, for whoever does not ask for OpenMetrics: `promtool check metrics`, scripts, older readers. There
//! the whole name of a counter stands in its description, too, and units and the end are not marked.

use std::fmt::Write as _;

/// What the header `Accept` has to name for OpenMetrics.
pub const OPEN_METRICS: &str = "application/openmetrics-text";
/// The type of what `Metrics::text` writes.
pub const OPEN_METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The type of what [`classic`] writes.
pub const CLASSIC_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// OpenMetrics as the format 0.0.4.
pub fn classic(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            help = said.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|said| said.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take().filter(|(described, _)| *described == name) {
                let _ = writeln!(text, "# HELP {name}{suffix} {help}");
            }
            let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with("# UNIT ") && line != "# EOF" {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_described_by_their_whole_name() {
        let open = "# HELP a_b Some.\n# TYPE a_b counter\na_b_total{x=\"# EOF\"} 1\n# HELP g_bytes Size.\n\
                    # TYPE g_bytes gauge\n# UNIT g_bytes bytes\ng_bytes 2\n# EOF\n";
        let expected = "# HELP a_b_total Some.\n# TYPE a_b_total counter\na_b_total{x=\"# EOF\"} 1\n\
                        # HELP g_bytes Size.\n# TYPE g_bytes gauge\ng_bytes 2\n";
        assert_eq!(classic(open), expected);
    }
}
