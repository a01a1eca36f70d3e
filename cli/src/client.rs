//! The way to the collector.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use evenkeel_proto::admin::admin_service_client::AdminServiceClient;
use evenkeel_proto::enroll::enrollment_service_client::EnrollmentServiceClient;
use evenkeel_proto::report::report_service_client::ReportServiceClient;
use evenkeel_runtime::channel::{self, Address};
use evenkeel_runtime::keys;
use evenkeel_runtime::pin::Pin;
use evenkeel_runtime::tls::{self, Chain};
use jiff::Timestamp;
use tokio::runtime::{self, Runtime};
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};

use crate::args::Connection;
use crate::error::CliError;
use crate::place::Place;

/// How long an answer may take. A report over 100,000 nodes takes a second.
const DEADLINE: Duration = Duration::from_secs(60);
/// The largest answer: a report with all findings of a large fleet.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// A collector to be asked, one question after the other.
pub struct Client {
    runtime: Runtime,
    channel: Channel,
    place: String,
}

impl Client {
    /// Finds the collector. It is reached when it is first asked.
    pub fn new(connection: &Connection) -> Result<Self, CliError> {
        let place = Place::find(connection)?;
        Self::open(place.to_string(), || open(&place, false))
    }

    /// To log in again, also with a certificate that has ended.
    pub fn renewing(place: &Place) -> Result<Self, CliError> {
        Self::open(place.to_string(), || open(place, true))
    }

    /// To log in for the first time: whoever has this pin is trusted, and told nothing before it has shown that.
    pub fn pinned(address: &Address, pin: Pin) -> Result<Self, CliError> {
        let config = tls::pinned_client(pin).map_err(CliError::Tls)?;
        Self::open(address.to_string(), || {
            Ok(channel::over_tls(address, Arc::new(ArcSwap::from_pointee(config))))
        })
    }

    fn open(place: String, channel: impl FnOnce() -> Result<Channel, CliError>) -> Result<Self, CliError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Start)?;
        // A channel begins its work in the runtime that it is made in.
        let inside = runtime.enter();
        let channel = channel()?;
        drop(inside);
        Ok(Self { runtime, channel, place })
    }

    /// To ask what is.
    pub fn reports(&self) -> ReportServiceClient<Channel> {
        ReportServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// To change something.
    pub fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
    }

    /// To become somebody, or to stay who one is.
    pub fn enrolment(&self) -> EnrollmentServiceClient<Channel> {
        EnrollmentServiceClient::new(self.channel.clone())
    }

    /// Waits for the answer.
    pub fn wait<T>(&self, answer: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, CliError> {
        match self.runtime.block_on(async { tokio::time::timeout(DEADLINE, answer).await }) {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(failure(&self.place, &status)),
            Err(_) => Err(CliError::Silent { place: self.place.clone(), seconds: DEADLINE.as_secs() }),
        }
    }

    /// Takes what comes, until nobody wants it any more: `each` says so, or `gone` comes to an end.
    pub fn follow<T>(
        &self,
        stream: &mut Streaming<T>,
        gone: impl Future<Output = ()>,
        mut each: impl FnMut(T) -> Result<bool, CliError>,
    ) -> Result<(), CliError> {
        self.runtime.block_on(async {
            let mut gone = pin!(gone);
            loop {
                let message = tokio::select! {
                    message = stream.message() => message,
                    () = &mut gone => return Ok(()),
                };
                match message {
                    Ok(Some(item)) => {
                        if !each(item)? {
                            return Ok(());
                        }
                    }
                    Ok(None) => {
                        let message = "it ended the watch, as it does when it stops".to_owned();
                        return Err(CliError::Collector { place: self.place.clone(), message });
                    }
                    Err(status) => return Err(failure(&self.place, &status)),
                }
            }
        })
    }

    /// Waits so long. `true`: `gone` came to an end before that.
    pub fn pause(&self, wait: Duration, gone: impl Future<Output = ()>) -> bool {
        self.runtime.block_on(async { tokio::time::timeout(wait, gone).await.is_ok() })
    }
}

fn open(place: &Place, lapsed: bool) -> Result<Channel, CliError> {
    let (address, cert, key, ca, context) = match place {
        Place::Socket(socket) => return Ok(channel::over_unix(socket.clone())),
        Place::Remote { address, cert, key, ca, context } => (address, cert, key, ca, context),
    };
    let chain = Chain { certificates: keys::read_certificates(cert)?, key: keys::read_key(key)?.to_der() };
    let end = keys::validity(&chain.certificates[0]).and_then(|(_, end)| Timestamp::try_from(end).ok());
    if let Some(at) = end.filter(|end| !lapsed && *end <= Timestamp::now()) {
        return Err(CliError::Ended { cert: cert.clone(), at, context: context.clone() });
    }
    let config = tls::client(&keys::read_certificates(ca)?, chain).map_err(|source| CliError::Identity {
        cert: cert.clone(),
        key: key.clone(),
        source,
    })?;
    Ok(channel::over_tls(address, Arc::new(ArcSwap::from_pointee(config))))
}

/// What a refusal means to a person.
fn failure(place: &str, status: &Status) -> CliError {
    let (place, message) = (place.to_owned(), status.message().to_owned());
    if let Some(obstacle) = channel::obstacle(status) {
        return CliError::Unreachable { place, source: obstacle.into() };
    }
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => CliError::Forbidden { place, message },
        Code::NotFound
        | Code::AlreadyExists
        | Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::OutOfRange => CliError::Asked { message },
        // With TLS 1.3 a refused certificate shows only now, and as a connection that ends.
        Code::Cancelled | Code::Unknown => CliError::Unreachable { place, source: message.into() },
        _ => CliError::Collector { place, message },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use evenkeel_proto::report::GetValuesRequest;
    use evenkeel_runtime::exit;

    use super::*;

    fn ask(connection: &Connection) -> CliError {
        let client = Client::new(connection).unwrap();
        client.wait(client.reports().get_values(GetValuesRequest::default())).unwrap_err()
    }

    #[test]
    fn a_socket_that_nobody_serves() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("collector.sock");
        drop(UnixListener::bind(&socket).unwrap());
        let error = ask(&Connection { data_dir: Some(directory.path().into()), ..Connection::default() });
        assert_eq!(
            exit::chain(&error),
            format!("cannot reach the collector at {}: Connection refused (os error 111)", socket.display())
        );
    }

    #[test]
    fn what_the_collector_says_is_told_as_it_is() {
        let told = |code, message: &str| failure("here", &Status::new(code, message)).to_string();
        assert_eq!(told(Code::NotFound, "there is no node \"x\""), "there is no node \"x\"");
        assert_eq!(told(Code::AlreadyExists, "there is one already"), "there is one already");
        assert_eq!(
            told(Code::PermissionDenied, "a viewer may not"),
            "the collector at here refuses: a viewer may not"
        );
        assert_eq!(told(Code::Internal, "disk full"), "the collector at here failed: disk full");
    }
}
