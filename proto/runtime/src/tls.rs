//! Client and server configurations: TLS 1.3, ring, session tickets; client certificates where they are asked for.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use crate::keys;
use crate::tickets::Tickets;

/// The name that every collector certificate carries, and that every client of ours asks for: what is trusted is the
/// root, so it does not matter by which address the collector was reached.
pub const COLLECTOR_NAME: &str = "evenkeel-collector";

/// The negotiated protocol: HTTP/2 only.
const ALPN: &[u8] = b"h2";

/// A certificate chain (leaf first) and its key.
pub struct Chain {
    /// Leaf, then intermediates.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

/// Certificates and keys that do not make a configuration.
#[derive(Debug, thiserror::Error)]
#[error("the certificates cannot be used for TLS")]
pub struct TlsError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl TlsError {
    pub(crate) fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// For agents, and for people elsewhere: trusts these roots, shows this certificate.
pub fn client(roots: &[CertificateDer<'static>], chain: Chain) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::new)?
        .with_root_certificates(root_store(roots)?)
        .with_client_auth_cert(chain.certificates, chain.key)
        .map_err(TlsError::new)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// For the fleet port: only holders of a certificate below these roots get past the handshake. A certificate that has
/// ended gets past it, too, so that its holder can prove who it is and renew: what it may still do is decided for each
/// call. With `other`, that certificate is shown to whoever asks for another name than the collector's own.
pub fn mutual_server(
    roots: &[CertificateDer<'static>],
    chain: Chain,
    other: Option<Arc<CertifiedKey>>,
    tickets: &Arc<Tickets>,
) -> Result<ServerConfig, TlsError> {
    let builder = server_builder()?.with_client_cert_verifier(Arc::new(Lapsed(client_verifier(roots)?)));
    let ours = Arc::new(certified(chain)?);
    Ok(finish(builder.with_cert_resolver(Arc::new(ByName { ours, other })), tickets))
}

/// For the enrolment port: the server shows its certificate, the client none. Without session tickets: one that was given
/// to somebody who showed nothing must not be good where a certificate is asked for.
pub fn enrolment_server(chain: Chain) -> Result<ServerConfig, TlsError> {
    let builder = server_builder()?.with_no_client_auth();
    let config = builder.with_single_cert(chain.certificates, chain.key).map_err(TlsError::new)?;
    Ok(finish(config, &Arc::new(Tickets::new(false)?)))
}

/// For enrolling with a token that is not ours: trusts these roots, shows nothing.
pub fn anonymous_client(roots: &[CertificateDer<'static>]) -> Result<ClientConfig, TlsError> {
    let mut config = anonymous_client_http1(roots)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// The same for a server that is not a collector, over HTTP/1.1.
pub fn anonymous_client_http1(roots: &[CertificateDer<'static>]) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::new)?;
    Ok(builder.with_root_certificates(root_store(roots)?).with_no_client_auth())
}

/// A client that trusts whatever root has a public key with this pin.
pub fn pinned_client(pin: crate::pin::Pin) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::new)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(crate::pin::PinVerifier::new(pin, provider())))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Verifies that a client's certificate lies below these roots, and is valid at a time.
pub fn client_verifier(roots: &[CertificateDer<'static>]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = Arc::new(root_store(roots)?);
    WebPkiClientVerifier::builder_with_provider(roots, provider()).build().map_err(TlsError::new)
}

/// A chain and its key, when they belong together.
pub fn certified(Chain { certificates, key }: Chain) -> Result<CertifiedKey, TlsError> {
    CertifiedKey::from_der(certificates, key, &provider()).map_err(TlsError::new)
}

/// Shows the collector's own certificate to whoever asks for its own name, and the other to everybody else.
#[derive(Debug)]
struct ByName {
    ours: Arc<CertifiedKey>,
    other: Option<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let other = self.other.as_ref().filter(|_| hello.server_name() != Some(COLLECTOR_NAME));
        Some(Arc::clone(other.unwrap_or(&self.ours)))
    }
}

/// Verifies a certificate that has ended as of its last second.
#[derive(Debug)]
struct Lapsed(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Lapsed {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let end = keys::validity(end_entity).and_then(|(_, end)| end.duration_since(UNIX_EPOCH).ok());
        let as_of = end.map(UnixTime::since_unix_epoch).filter(|end| *end < now).unwrap_or(now);
        self.0.verify_client_cert(end_entity, intermediates, as_of)
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

fn server_builder() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, TlsError> {
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::new)
}

fn finish(mut config: ServerConfig, tickets: &Arc<Tickets>) -> ServerConfig {
    config.alpn_protocols = vec![ALPN.to_vec()];
    if tickets.is_enabled() {
        config.ticketer = Arc::<Tickets>::clone(tickets);
    } else {
        // Without a ticketer rustls would keep sessions itself.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    // Half a round trip saved, and 0-RTT stays off: a check-in is not worth a replay.
    config.max_early_data_size = 0;
    config
}

fn root_store(roots: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).map_err(TlsError::new)?;
    }
    Ok(store)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
