//! HTTP/2 by hand, as no honest client speaks it: frames are written one by one, over mutual TLS.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use evenkeel_runtime::tls::COLLECTOR_NAME;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

/// What every connection begins with, and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Kinds of frames.
pub mod kind {
    /// A part of a body.
    pub const DATA: u8 = 0;
    /// The beginning of a request.
    pub const HEADERS: u8 = 1;
    /// A request taken back.
    pub const RST_STREAM: u8 = 3;
    /// Answered when what came before it was seen.
    pub const PING: u8 = 6;
    /// The connection ends.
    pub const GOAWAY: u8 = 7;
    /// More headers.
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    /// The last of a stream.
    pub const END_STREAM: u8 = 1;
    /// The last of its headers.
    pub const END_HEADERS: u8 = 4;
}

/// A frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its kind.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// A connection.
pub struct Http2 {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Http2 {
    /// Shakes hands, and says nothing more.
    ///
    /// # Panics
    ///
    /// When nobody listens there.
    pub fn quiet(address: SocketAddr, config: ClientConfig) -> Self {
        let name = ServerName::try_from(COLLECTOR_NAME).expect("it is a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("it is a configuration");
        let tcp = TcpStream::connect(address).expect("somebody listens");
        tcp.set_nodelay(true).expect("it is a socket");
        let mut stream = StreamOwned::new(connection, tcp);
        stream.flush().expect("the hands are shaken");
        Self { stream }
    }

    /// Shakes hands, and begins to speak HTTP/2.
    ///
    /// # Panics
    ///
    /// When it is not let in.
    pub fn new(address: SocketAddr, config: ClientConfig) -> Self {
        let mut connection = Self::quiet(address, config);
        connection.send(PREFACE).expect("it is let in");
        connection
    }

    /// Writes these bytes: frames, or not.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// The next frame; `None` when the connection is closed.
    pub fn receive(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }

    /// Every frame until the other side closes.
    pub fn until_closed(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.receive()).collect()
    }
}

/// A frame's bytes.
///
/// # Panics
///
/// When the payload is larger than a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [zero, length @ ..] = u32::try_from(payload.len()).expect("it fits").to_be_bytes();
    assert_eq!(zero, 0, "a frame is smaller");
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a gRPC call of this method, and further ones.
pub fn headers(method: &str, further: &[(&str, &str)]) -> Vec<u8> {
    let own = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", method),
        (":authority", COLLECTOR_NAME),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    own.iter().chain(further).flat_map(|(name, value)| literal(name, value)).collect()
}

/// A gRPC message with its prefix.
///
/// # Panics
///
/// When it is larger than 4 GiB.
pub fn message(is_compressed: bool, length: usize, begin: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).expect("it fits").to_be_bytes();
    [&[u8::from(is_compressed)], &length[..], begin].concat()
}

/// A header as HPACK has it that knows no tables and no Huffman codes.
fn literal(name: &str, value: &str) -> Vec<u8> {
    [vec![0], text(name), text(value)].concat()
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut length = text.len();
    if length < 127 {
        bytes.push(u8::try_from(length).unwrap_or_default());
    } else {
        bytes.push(127);
        length -= 127;
        while length >= 128 {
            bytes.push(u8::try_from(length % 128).unwrap_or_default() | 128);
            length /= 128;
        }
        bytes.push(u8::try_from(length).unwrap_or_default());
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}
