//! Any RPC by its name, with any bytes: the matrix asks for what generated clients do not offer.

use evenkeel_runtime::channel;
use prost::bytes::{Buf as _, BufMut as _};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Whoever asked did not get past the handshake.
    NoConnection,
    /// Whoever asked may not.
    Refused,
    /// Whoever asked may, but what was asked for is not there, or cannot be done now.
    NotThere,
    /// It was answered.
    Done,
}

/// The answer to one message, as a stream.
pub(super) async fn stream(
    channel: &Channel,
    method: &str,
    message: Vec<u8>,
) -> Result<Streaming<Vec<u8>>, Status> {
    let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(64 * 1024 * 1024);
    let not_ready = |error: tonic::transport::Error| Status::from_error(error.into());
    grpc.ready().await.map_err(not_ready)?;
    let path = PathAndQuery::try_from(method).expect("a method is a path");
    // On the wire, a single message is a stream of one.
    let request = Request::new(tokio_stream::once(message));
    Ok(grpc.streaming(request, path, Raw).await?.into_inner())
}

/// The first message of the answer to one message.
pub(super) async fn answer(channel: &Channel, method: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    stream(channel, method, message).await?.message().await.map(Option::unwrap_or_default)
}

/// What becomes of it, and what was said.
pub(super) async fn call(channel: &Channel, method: &str, message: Vec<u8>) -> (Outcome, String) {
    // Whether it is refused is known before its first message: some have none until something happens.
    match stream(channel, method, message).await {
        Ok(_) => (Outcome::Done, String::new()),
        Err(status) if channel::obstacle(&status).is_some() => (Outcome::NoConnection, status.to_string()),
        Err(status) => {
            let outcome = match status.code() {
                Code::Unauthenticated | Code::PermissionDenied => Outcome::Refused,
                Code::NotFound
                | Code::InvalidArgument
                | Code::FailedPrecondition
                | Code::AlreadyExists
                | Code::ResourceExhausted => Outcome::NotThere,
                code => panic!("{method}: {code:?} is no answer of this matrix: {status}"),
            };
            (outcome, status.message().to_owned())
        }
    }
}

/// Messages as bytes.
#[derive(Debug, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}
