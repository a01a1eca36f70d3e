//! The way to the collector: check-ins, contents that it asks for, certificates before they end.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use evenkeel_proto::enroll::RenewRequest;
use evenkeel_proto::enroll::enrollment_service_client::EnrollmentServiceClient;
use evenkeel_proto::fleet::fleet_service_client::FleetServiceClient;
use evenkeel_proto::fleet::{CheckInRequest, CheckInResponse, SectionContent};
use evenkeel_runtime::backoff::fraction;
use evenkeel_runtime::channel::{self, Address, pushback};
use evenkeel_runtime::files::FileError;
use evenkeel_runtime::keys::validity;
use evenkeel_runtime::tls::{self, Chain, TlsError};
use evenkeel_runtime::trust::Mark;
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use tracing::warn;

use crate::conversation::{Conversation, MAX_ROUNDS, Next};
use crate::credentials::Credentials;
use crate::delivery::Delivery;
use crate::link::Link;

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often files are looked at that somebody else renews.
const RELOAD: Duration = Duration::from_secs(10);

/// The way to the collector.
pub struct Uplink {
    credentials: Credentials,
    config: Arc<ArcSwap<ClientConfig>>,
    link: Link,
    certificate: Certificate,
    /// Made anew at each start, so that a second machine with the same key is noticed.
    instance: [u8; 8],
}

/// What there is to know of the node's certificate.
#[derive(Debug, Clone, Copy)]
struct Certificate {
    renew_at: SystemTime,
    ends: SystemTime,
    life: Duration,
    /// Of the collector's own authority only.
    trust: Option<Mark>,
}

/// A snapshot was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// The collector asks for patience.
    #[error("the collector asks to come back in {} ms", .0.as_millis())]
    RetryAfter(Duration),
    /// The connection was lost: this agent's moment within the time that the collector named is still to come.
    #[error("the connection was lost, and agents come back one after the other: this one in {} ms", .0.as_millis())]
    Spread(Duration),
    /// The collector knows a later boot epoch: this state directory is older than it was.
    #[error("the collector has heard of boot epoch {0}")]
    EpochBehind(u64),
    /// Whoever answers is not the collector that this node trusts.
    #[error(
        "{0}; if its authority moved while this machine was off, enrol it again (evenkeel-agent enroll --again)"
    )]
    Stranger(String),
    /// The call failed, or was refused.
    #[error("the collector did not take the report ({:?}): {}", .0.code(), .0.message())]
    Call(Box<Status>),
    /// The call failed, and the certificate has ended: that is probably why.
    #[error("the collector did not take the report ({:?}): {}; the node's certificate has ended", .0.code(), .0.message())]
    Ended(Box<Status>),
    /// The collector keeps asking.
    #[error("the collector asked {MAX_ROUNDS} times for contents that it was sent")]
    NoProgress,
    /// A section is larger than a message may be.
    #[error("section {0} is too large to be sent")]
    TooLarge(String),
    /// The identity in the state directory.
    #[error("the node's identity is not usable")]
    Identity(#[from] FileError),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl UplinkError {
    /// Whether trying again soon is of no use before somebody does something.
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Call(status) => matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated),
            Self::Ended(_) | Self::Stranger(_) => true,
            _ => false,
        }
    }
}

impl Uplink {
    /// To this collector, with these credentials. Connects when it is first used.
    pub fn new(credentials: Credentials, collector: &Address) -> Result<Self, UplinkError> {
        let config = tls::client(&credentials.roots()?, credentials.chain()?)?;
        let config = Arc::new(ArcSwap::from_pointee(config));
        let link = Link::new(collector.clone(), Arc::clone(&config));
        let mut instance = [0; 8];
        getrandom::fill(&mut instance).expect("the system has randomness");
        let certificate = Certificate::of(&credentials)?;
        Ok(Self { credentials, config, link, certificate, instance })
    }

    /// Reports the newest state. Returns when the collector holds it durably. A collector that has a newer authority is
    /// heeded: the certificate is then due.
    pub async fn report(&mut self, delivery: &Delivery) -> Result<(), UplinkError> {
        if let Some(wait) = self.link.wait(Instant::now()).filter(|_| !delivery.has_news()) {
            return Err(UplinkError::Spread(wait));
        }
        let begun = Conversation::begin(delivery, self.instance, self.certificate.trust);
        let Some(mut conversation) = begun else { return Ok(()) };
        loop {
            let answer = match self.check_in(conversation.request()?).await {
                Err(status) if conversation.refused(delivery, &status) => continue,
                answer => answer.map_err(|status| self.failed(status))?.into_inner(),
            };
            self.link.heed(&answer);
            if answer.renew {
                self.certificate.renew_at = SystemTime::now();
            }
            match conversation.answered(delivery, answer.answer)? {
                Next::Acknowledged => return Ok(()),
                Next::CheckIn => {}
                Next::Put(contents) => match self.put(contents).await {
                    // What did not come is asked for again.
                    Err(status) if self.is_over(&status) => {}
                    sent => sent.map_err(called)?,
                },
            }
        }
    }

    /// A connection that ends just now, at its age or with its certificate, takes the message with it. That is no failure
    /// yet: it is said once more, over the next connection, and means the same however often it is said.
    async fn check_in(&self, request: CheckInRequest) -> Result<Response<CheckInResponse>, Status> {
        match self.fleet().check_in(timed(request.clone())).await {
            Err(status) if self.is_over(&status) => self.fleet().check_in(timed(request)).await,
            answer => answer,
        }
    }

    /// Whether it was the connection that failed, and not the call: the next one may do.
    fn is_over(&self, status: &Status) -> bool {
        // A connection shows the certificate that it began with; by now there is another.
        let is_outlived = status.code() == Code::Unauthenticated && !self.has_ended();
        if is_outlived {
            self.link.hang_up();
        }
        is_outlived || channel::is_cut_off(status)
    }

    /// For how long the certificate need not be renewed; zero when it is due.
    pub fn renewal_in(&self) -> Duration {
        self.certificate.renew_at.duration_since(SystemTime::now()).unwrap_or_default()
    }

    /// Renews the certificate when half to 70 % of its life is over, or the collector asked for it. The connection that
    /// is open stays. A certificate that has ended is shown all the same: it proves possession of the enrolled key, and
    /// the collector decides for how long that is enough.
    pub async fn renew_if_due(&mut self) -> Result<bool, UplinkError> {
        if !self.renewal_in().is_zero() {
            return Ok(false);
        }
        let Credentials::Enrolled(home) = self.credentials.clone() else { return self.read_again() };
        let was_ended = self.has_ended();
        let request = RenewRequest { csr: home.key()?.signing_request() };
        let mut client = EnrollmentServiceClient::new(self.link.channel());
        let renewed = match client.renew(timed(request.clone())).await {
            Err(status) if self.is_over(&status) => {
                EnrollmentServiceClient::new(self.link.channel()).renew(timed(request)).await
            }
            answer => answer,
        };
        let renewed = renewed.map_err(called)?.into_inner();
        // What is of no use must not take the place of what is.
        let der = |list: &[Vec<u8>]| list.iter().cloned().map(CertificateDer::from).collect::<Vec<_>>();
        let chain = Chain { certificates: der(&renewed.certificates), key: home.key()?.to_der() };
        tls::client(&der(&renewed.roots), chain)?;
        home.keep_certificates(&renewed.certificates, &renewed.roots)?;
        if let Some(role) = &renewed.role {
            home.keep_role(role)?;
        }
        self.take_up()?;
        if was_ended {
            // To the collector, that connection is one whose certificate has ended.
            self.link.hang_up();
        }
        Ok(true)
    }

    /// Files that somebody else renews. New ones that are of no use leave those from before in service.
    fn read_again(&mut self) -> Result<bool, UplinkError> {
        let changed = self.credentials.have_changed();
        self.certificate.renew_at = SystemTime::now() + RELOAD;
        if changed {
            self.take_up()?;
        }
        Ok(changed)
    }

    /// From the next connection on, what the credentials are now is shown. An error changes nothing.
    fn take_up(&mut self) -> Result<(), UplinkError> {
        let config = tls::client(&self.credentials.roots()?, self.credentials.chain()?)?;
        self.certificate = Certificate::of(&self.credentials)?;
        // What was given just now is not due: by a clock that is far ahead it would be, again and again.
        let floor = SystemTime::now() + self.certificate.life.mul_f64(0.25);
        self.certificate.renew_at = self.certificate.renew_at.max(floor);
        if self.has_ended() {
            warn!("This machine's clock is ahead of the collector's by more than a certificate's life.");
        }
        self.config.store(Arc::new(config));
        Ok(())
    }

    /// Whether the certificate has ended, by this machine's clock.
    pub fn has_ended(&self) -> bool {
        SystemTime::now() > self.certificate.ends
    }

    async fn put(&self, contents: Vec<SectionContent>) -> Result<(), Status> {
        let mut request = Request::new(tokio_stream::iter(contents));
        request.set_timeout(DEADLINE);
        self.fleet().put_sections(request).await.map(drop)
    }

    /// The clock may be wrong, so an ended certificate is tried all the same, and only named when the call failed.
    fn failed(&self, status: Status) -> UplinkError {
        if let Some(obstacle) = channel::obstacle(&status).filter(|it| it.contains("another collector")) {
            return UplinkError::Stranger(obstacle);
        }
        if self.has_ended() { UplinkError::Ended(Box::new(status)) } else { called(status) }
    }

    /// The longest wait between two tries: the time within which the collector, when it is back, wants to hear of its
    /// agents. It knows how many they are; before its first answer nobody does.
    pub fn longest_wait(&self, interval: Duration) -> Duration {
        self.link.reconnect_within().map_or(Duration::MAX, |within| within.max(interval))
    }

    fn fleet(&self) -> FleetServiceClient<Channel> {
        FleetServiceClient::new(self.link.channel())
    }
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(DEADLINE);
    request
}

fn called(status: Status) -> UplinkError {
    match pushback(&status) {
        Some(wait) => UplinkError::RetryAfter(wait),
        None => UplinkError::Call(Box::new(status)),
    }
}

impl Certificate {
    /// Renewal is due at a random moment between 50 % and 70 % of its life, so that a fleet does not renew as a herd.
    /// Files that somebody else renews are looked at often instead.
    fn of(credentials: &Credentials) -> Result<Self, UplinkError> {
        let Chain { certificates, key: _ } = credentials.chain()?;
        let (begin, ends) =
            validity(&certificates[0]).unwrap_or((SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH));
        if let Credentials::Files { .. } = credentials {
            let (renew_at, life) = (SystemTime::now() + RELOAD, Duration::ZERO);
            return Ok(Self { renew_at, ends, life, trust: None });
        }
        let life = ends.duration_since(begin).unwrap_or_default();
        let issuer = certificates.last().expect("a file of certificates has one at least");
        let trust = Some(Mark::of(&credentials.roots()?, issuer));
        Ok(Self { renew_at: begin + life.mul_f64(0.5 + 0.2 * fraction()), ends, life, trust })
    }
}
