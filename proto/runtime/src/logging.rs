//! JSON lines on standard error: `timestamp level service host trace_id event`, then the event's own fields. The trace is
//! the caller's, if it said one.
//!
//! Values are JSON strings: a line break or an escape sequence in one cannot forge a line.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use crate::trace;

/// Logs for this service from now on. The filter is `EVENKEEL_LOG` (`info` by default; `debug`, `evenkeel_agent=trace`).
pub fn init(service: &'static str) {
    let asked = std::env::var("EVENKEEL_LOG").ok().and_then(|filter| filter.parse().ok());
    let filter = asked.unwrap_or_else(|| Targets::new().with_default(Level::INFO));
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(std::io::stderr)
        .event_format(JsonLines { service, host })
        .finish()
        .with(filter);
    // An error means that a test in this process has set one already.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

struct JsonLines {
    service: &'static str,
    host: String,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        writeln!(writer, "{}", self.line(Timestamp::now(), event.metadata().level().as_str(), fields.0))
    }
}

impl JsonLines {
    fn line(&self, now: Timestamp, level: &str, mut fields: Map<String, Value>) -> Value {
        let event = fields.remove("message").unwrap_or_default();
        let trace_id = trace::current().map(|trace| trace.to_string().into()).unwrap_or_default();
        let mut line = Map::new();
        line.insert("timestamp".into(), format!("{now:.3}").into());
        line.insert("level".into(), level.to_lowercase().into());
        line.insert("service".into(), self.service.into());
        line.insert("host".into(), self.host.clone().into());
        line.insert("trace_id".into(), trace_id);
        line.insert("event".into(), event);
        for (key, value) in fields {
            line.entry(key).or_insert(value);
        }
        Value::Object(line)
    }
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().into(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_cannot_forge_a_line_or_a_head() {
        let lines = JsonLines { service: "evenkeel-agent", host: "web-1".into() };
        let mut fields = Map::new();
        fields.insert("message".into(), "Node enrolled.".into());
        fields.insert("level".into(), "forged".into());
        fields.insert("node".into(), "a\n{\"level\":\"error\"}\u{1b}[2J".into());
        let line = lines.line("2026-11-22T10:00:00Z".parse().unwrap(), "INFO", fields).to_string();
        assert_eq!(
            line,
            r#"{"timestamp":"2026-11-22T10:00:00.000Z","level":"info","service":"evenkeel-agent","host":"web-1","trace_id":null,"event":"Node enrolled.","node":"a\n{\"level\":\"error\"}\u001b[2J"}"#
        );
    }
}
