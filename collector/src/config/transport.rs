//! How much peers may ask of the collector, and how long they may take: `[transport]`.

use std::time::Duration;

use evenkeel_runtime::duration;
use serde::Deserialize;

/// Limits of connections and calls. `deploy/examples/collector.toml` shows each with its default and says why.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Transport {
    /// Connections of agents and people at the same time; 0: as many as the limit of descriptors allows.
    pub max_connections: usize,
    /// Of these, connections at the same time that have not yet asked anything: handshakes, above all.
    pub max_handshakes: usize,
    /// Connections of one node at the same time; a newer one ends the oldest.
    pub max_connections_of_node: usize,
    /// How long a TLS handshake may take.
    #[serde(deserialize_with = "duration::deserialize")]
    pub handshake_deadline: Duration,
    /// When the first request must have come in full, after the handshake.
    #[serde(deserialize_with = "duration::deserialize")]
    pub first_request_deadline: Duration,
    /// Whether agents keep their connection between check-ins.
    pub connection_mode: ConnectionMode,
    /// How old a connection may become.
    #[serde(deserialize_with = "duration::deserialize")]
    pub connection_age: Duration,
    /// By how many per cent that varies from one connection to another, up and down.
    pub connection_age_spread: u8,
    /// How long open requests may go on when a connection is to end.
    #[serde(deserialize_with = "duration::deserialize")]
    pub close_deadline: Duration,
    /// How often the other side is asked whether it is still there.
    #[serde(deserialize_with = "duration::deserialize")]
    pub keepalive: Duration,
    /// How long it may take to answer that.
    #[serde(deserialize_with = "duration::deserialize")]
    pub keepalive_deadline: Duration,
    /// Requests at the same time on a connection of a node, or of nobody known.
    pub max_streams: u32,
    /// Requests at the same time on a connection of a person or a tool.
    pub max_streams_of_users: u32,
    /// Bytes of the headers of one request.
    pub max_header_bytes: u32,
    /// Requests of one connection that were taken back before the collector looked at them.
    pub max_pending_resets: usize,
    /// Requests of one connection that the collector had to reset, or that were taken back while it worked on them.
    pub max_resets: usize,
    /// Bytes of a message on the enrolment port.
    pub max_enrolment_bytes: usize,
    /// Bytes of a message of an agent: one content, compressed.
    pub max_message_bytes: usize,
    /// Bytes that a peer may send ahead: in one request, and on one connection.
    pub stream_window: u32,
    /// The same of the whole connection.
    pub connection_window: u32,
    /// Bytes of an answer that wait for the other side to take them.
    pub max_send_buffer: usize,
    /// How long one request may take.
    #[serde(deserialize_with = "duration::deserialize")]
    pub request_deadline: Duration,
    /// Requests of agents, and as many of people, that are worked on at the same time.
    pub max_requests: usize,
    /// Requests that may wait for their turn; more are told to come back later.
    pub max_waiting_requests: usize,
    /// Uploads of contents at the same time.
    pub max_uploads: usize,
    /// When whoever is told so comes back: between half and one and a half of this.
    #[serde(deserialize_with = "duration::deserialize")]
    pub pushback: Duration,
    /// A node may report a change this often; 0s: always.
    #[serde(deserialize_with = "duration::deserialize")]
    pub sync_every: Duration,
    /// So many changes at once after a quiet time.
    pub sync_burst: u32,
    /// Strangers of one address may ask this often; 0s: always.
    #[serde(deserialize_with = "duration::deserialize")]
    pub enroll_every: Duration,
    /// So many at once after a quiet time.
    pub enroll_burst: u32,
    /// Agents that come back within a second after the collector was away.
    pub reconnects_per_second: u32,
    /// Whether connections are resumed by tickets, at half the cost of a handshake.
    pub session_tickets: bool,
}

/// Whether agents keep their connection between check-ins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionMode {
    /// They do, until three quarters of the connections are taken.
    Auto,
    /// They do.
    Keep,
    /// They hang up.
    HangUp,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            max_connections: 0,
            max_handshakes: 1024,
            max_connections_of_node: 4,
            handshake_deadline: Duration::from_secs(5),
            first_request_deadline: Duration::from_secs(10),
            connection_mode: ConnectionMode::Auto,
            connection_age: Duration::from_secs(30 * 60),
            connection_age_spread: 20,
            close_deadline: Duration::from_secs(60),
            keepalive: Duration::from_secs(60),
            keepalive_deadline: Duration::from_secs(20),
            max_streams: 8,
            max_streams_of_users: 64,
            max_header_bytes: 8 * 1024,
            max_pending_resets: 20,
            max_resets: 128,
            max_enrolment_bytes: 64 * 1024,
            max_message_bytes: 4 * 1024 * 1024,
            stream_window: 256 * 1024,
            connection_window: 512 * 1024,
            max_send_buffer: 64 * 1024,
            request_deadline: Duration::from_secs(30),
            max_requests: 1024,
            max_waiting_requests: 4096,
            max_uploads: 64,
            pushback: Duration::from_secs(5),
            sync_every: Duration::from_secs(10),
            sync_burst: 5,
            enroll_every: Duration::from_secs(1),
            enroll_burst: 20,
            reconnects_per_second: 333,
            session_tickets: true,
        }
    }
}

impl Transport {
    /// Whether a collector can serve with it. The error is a sentence.
    pub(super) fn check(&self) -> Result<(), String> {
        let times = [
            ("handshake_deadline", self.handshake_deadline),
            ("first_request_deadline", self.first_request_deadline),
            ("connection_age", self.connection_age),
            ("close_deadline", self.close_deadline),
            ("keepalive", self.keepalive),
            ("keepalive_deadline", self.keepalive_deadline),
            ("request_deadline", self.request_deadline),
            ("pushback", self.pushback),
        ];
        if let Some((name, _)) = times.iter().find(|(_, time)| time.is_zero()) {
            return Err(format!("transport.{name}: a time above 0s is needed"));
        }
        let counts = [
            ("max_handshakes", self.max_handshakes),
            ("max_connections_of_node", self.max_connections_of_node),
            ("max_streams", self.max_streams as usize),
            ("max_streams_of_users", self.max_streams_of_users as usize),
            ("max_requests", self.max_requests),
            ("max_uploads", self.max_uploads),
            ("sync_burst", self.sync_burst as usize),
            ("enroll_burst", self.enroll_burst as usize),
            ("reconnects_per_second", self.reconnects_per_second as usize),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(format!("transport.{name}: at least one is needed"));
        }
        // Below, HTTP/2 or an honest agent could not work at all.
        let sizes = [
            ("max_header_bytes", self.max_header_bytes as usize, 1024, usize::MAX),
            ("max_enrolment_bytes", self.max_enrolment_bytes, 4 * 1024, usize::MAX),
            ("max_message_bytes", self.max_message_bytes, 64 * 1024, 1 << 30),
            ("stream_window", self.stream_window as usize, 64 * 1024 - 1, (1 << 31) - 1),
            ("connection_window", self.connection_window as usize, 64 * 1024 - 1, (1 << 31) - 1),
            ("max_send_buffer", self.max_send_buffer, 16 * 1024, u32::MAX as usize),
            ("connection_age_spread", usize::from(self.connection_age_spread), 0, 90),
        ];
        match sizes.iter().find(|(_, size, least, most)| size < least || size > most) {
            Some((name, size, least, _)) if size < least => {
                Err(format!("transport.{name}: at least {least} is needed"))
            }
            Some((name, _, _, most)) => Err(format!("transport.{name}: at most {most} is possible")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_are_named() {
        let check = |text: &str| evenkeel_runtime::config::parse::<Transport>(text).unwrap().check();
        assert_eq!(check(""), Ok(()));
        for (text, sentence) in [
            ("keepalive = \"0s\"", "transport.keepalive: a time above 0s is needed"),
            ("max_streams = 0", "transport.max_streams: at least one is needed"),
            ("stream_window = 9", "transport.stream_window: at least 65535 is needed"),
            ("stream_window = 2147483648", "transport.stream_window: at most 2147483647 is possible"),
            ("connection_age_spread = 91", "transport.connection_age_spread: at most 90 is possible"),
        ] {
            assert_eq!(check(text), Err(sentence.to_owned()));
        }
    }
}
