//! Which trace a piece of work belongs to, so that log lines of several programs can be put together: the trace id of W3C Trace
//! Context, as the header `traceparent` carries it.

use std::fmt;

/// The header that carries it, in HTTP and in gRPC's metadata.
pub const HEADER: &str = "traceparent";

tokio::task_local! {
    static CURRENT: TraceId;
}

/// One trace. Shown as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl TraceId {
    /// Reads `00-TRACE-PARENT-FLAGS`. What is not exactly that is no trace, as W3C wants it; later versions may have more
    /// behind it.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if is_hex { u128::from_str_radix(part, 16).ok() } else { None }
        };
        let (version, trace, parent, _flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let is_known = version == 0 && parts.next().is_none();
        let is_later = version > 0 && version < 0xff;
        ((is_known || is_later) && trace != 0 && parent != 0).then_some(Self(trace))
    }
}

/// Does this work as part of this trace: what is logged meanwhile carries its id.
pub async fn within<F: Future>(trace: Option<TraceId>, work: F) -> F::Output {
    match trace {
        Some(trace) => CURRENT.scope(trace, work).await,
        None => work.await,
    }
}

/// The trace that this work belongs to.
pub fn current() -> Option<TraceId> {
    CURRENT.try_with(|trace| *trace).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn only_what_w3c_calls_a_traceparent() {
        let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(TraceId::parse(&good).unwrap().to_string(), TRACE);
        let later = format!("{}-and-more", good.replacen("00", "cc", 1));
        assert_eq!(TraceId::parse(&later).unwrap().to_string(), TRACE);
        for bad in [
            String::new(),
            TRACE.to_owned(),
            good.replacen("00", "ff", 1),
            good.replace("4bf", "4BF"),
            good.replace(TRACE, &"0".repeat(32)),
            good.replace("00f067aa0ba902b7", &"0".repeat(16)),
            good.replace("4bf92f", "+bf92f"),
            format!("{good}-more"),
            good.replace("-01", ""),
        ] {
            assert_eq!(TraceId::parse(&bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn work_knows_its_trace() {
        let trace = TraceId::parse(&format!("00-{TRACE}-00f067aa0ba902b7-01"));
        assert_eq!(within(trace, async { current() }).await, trace);
        assert_eq!(within(None, async { current() }).await, None);
    }
}
