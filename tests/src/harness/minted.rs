//! Certificates that a test makes itself, with the keys of a collector's own authority or of one that nobody trusts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use evenkeel_runtime::channel::{self, Address};
use evenkeel_runtime::keys::{self, Key};
use evenkeel_runtime::tls::{self, Chain};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use tonic::transport::Channel;

use super::{Agent, Collector};

/// A certificate, leaf first with its issuer's behind it, and its key.
#[derive(Debug)]
pub struct Minted {
    /// Leaf, then issuer.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: Key,
}

/// A file of the first generation of a collector's authority, such as `env-dev.crt` or `root.key`.
pub fn authority_file(collector: &Collector, name: &str) -> PathBuf {
    collector.data_dir().join("ca/1").join(name)
}

/// Makes the collector's authority so much older, with the keys that it has, as if it had been made then. The collector
/// must not run.
///
/// # Panics
///
/// When there is none.
pub fn age_authority(collector: &Collector, by: Duration) {
    let read = |name: &str, kind: &str| {
        let file = authority_file(collector, &format!("{name}.{kind}"));
        std::fs::read_to_string(&file).expect("it is there")
    };
    let issuer = |name: &str| {
        let key = KeyPair::from_pem(&read(name, "key")).expect("it is a key");
        Issuer::from_ca_cert_pem(&read(name, "crt"), key).expect("it is an authority")
    };
    let entries = std::fs::read_dir(authority_file(collector, "")).expect("it is there");
    let names = entries.filter_map(|entry| {
        let name = entry.expect("it can be listed").file_name().into_string().expect("a name of ours");
        name.strip_suffix(".crt").map(str::to_owned)
    });
    for name in names {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("evenkeel {name} 1"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(u8::from(name == "root")));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = OffsetDateTime::now_utc() - by;
        params.not_after = OffsetDateTime::now_utc() + 100 * by;
        let key = KeyPair::from_pem(&read(&name, "key")).expect("it is a key");
        let made =
            if name == "root" { params.self_signed(&key) } else { params.signed_by(&key, &issuer("root")) };
        let pem = keys::certificates_to_pem([made.expect("it can be signed").der().as_ref()]);
        std::fs::write(authority_file(collector, &format!("{name}.crt")), pem).expect("it is ours");
    }
}

impl Minted {
    /// Issued by this authority of the collector (`env-dev`, `users`), for this name, with a new key.
    pub fn by(collector: &Collector, issuer: &str, uri: &str) -> Self {
        Self::with_key(collector, issuer, uri, Key::generate(), None)
    }

    /// The same for this key. With `ended`, its life ended so long ago.
    ///
    /// # Panics
    ///
    /// When the collector has no such authority.
    pub fn with_key(
        collector: &Collector,
        issuer: &str,
        uri: &str,
        key: Key,
        ended: Option<Duration>,
    ) -> Self {
        let file = |kind: &str| authority_file(collector, &format!("{issuer}.{kind}"));
        let certificate = keys::read_certificates(&file("crt")).expect("it is there").remove(0);
        let issuer_key = keys::read_key(&file("key")).expect("it is there").into_pair();
        let issuer = Issuer::from_ca_cert_der(&certificate, issuer_key).expect("it is an authority");
        let mut params = leaf(uri);
        if let Some(ended) = ended {
            params.not_after = OffsetDateTime::now_utc() - ended;
            params.not_before = params.not_after - Duration::from_secs(24 * 60 * 60);
        }
        Self { certificates: vec![signed(params, &key, &issuer), certificate], key }
    }

    /// From an authority that nobody trusts.
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn by_nobody(uri: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = Key::generate();
        let root = params.self_signed(key.pair()).expect("it can be signed").der().clone();
        let issuer = Issuer::from_ca_cert_der(&root, key.into_pair()).expect("it is an authority");
        let key = Key::generate();
        Self { certificates: vec![signed(leaf(uri), &key, &issuer), root], key }
    }

    /// The identity that an agent holds now.
    ///
    /// # Panics
    ///
    /// When it is not enrolled.
    pub fn of_agent(agent: &Agent) -> Self {
        let state = agent.state_dir();
        Self {
            certificates: keys::read_certificates(&state.join("node.crt")).expect("it is enrolled"),
            key: keys::read_key(&state.join("node.key")).expect("it is enrolled"),
        }
    }

    /// Its certificates as PEM.
    pub fn pem(&self) -> String {
        keys::certificates_to_pem(self.certificates.iter().map(AsRef::as_ref))
    }

    /// A channel to the collector's fleet port that shows it.
    ///
    /// # Panics
    ///
    /// When it cannot be used for TLS.
    pub fn channel(&self, collector: &Collector) -> Channel {
        Self::channel_of(collector, self.config(collector))
    }

    /// The configuration of a client that shows it. Its clones share the session tickets that they are given.
    ///
    /// # Panics
    ///
    /// When it cannot be used for TLS.
    pub fn config(&self, collector: &Collector) -> ClientConfig {
        let roots = keys::read_certificates(&collector.data_dir().join("ca/roots.crt")).expect("it is there");
        let chain = Chain { certificates: self.certificates.clone(), key: self.key.to_der() };
        tls::client(&roots, chain).expect("it is a certificate and its key")
    }

    /// A channel to the collector's fleet port with this configuration.
    ///
    /// # Panics
    ///
    /// Never: the collector has an address.
    pub fn channel_of(collector: &Collector, config: ClientConfig) -> Channel {
        let address = Address::parse(&collector.url(), 0).expect("it is an address");
        channel::over_tls(&address, Arc::new(ArcSwap::from_pointee(config)))
    }
}

fn leaf(uri: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("a URI is ASCII"))];
    params
}

fn signed(params: CertificateParams, key: &Key, issuer: &Issuer<'_, KeyPair>) -> CertificateDer<'static> {
    params.signed_by(key.pair(), issuer).expect("it can be signed").der().clone()
}
