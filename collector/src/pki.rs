//! Certificates of another authority (cert-manager, SPIRE, a company's own): files that are read again when they
//! change, and rules that say who their holders are. A changed file that is of no use changes nothing: what was there
//! stays in service, and it is said.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use evenkeel_facts::Glob;
use evenkeel_runtime::files::{self, FileError};
use evenkeel_runtime::identity::Role;
use evenkeel_runtime::tls::{self, Chain, TlsError};
use evenkeel_runtime::{duration, exit, keys, label};
use evenkeel_store::entry::Enrolled;
use jiff::Timestamp;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::Deserialize;
use uuid::Uuid;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::access::Peer;
use crate::scope::Scope;
use crate::serve::admission::Authenticated;

/// How the names of people begin whom another authority certifies. No name that is given here does.
pub const ELSEWHERE: &str = "pki.";

/// Which files, and who their holders are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PkiConfig {
    /// The collector's certificate and its intermediates (PEM), shown to whoever asks for another name than its own.
    pub certificate: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
    /// The roots (PEM) below which certificates of nodes and people are believed, as the rules say.
    pub roots: Option<PathBuf>,
    /// How often the files are looked at.
    #[serde(deserialize_with = "duration::deserialize")]
    pub reload: Duration,
    /// Who the holder of a certificate is: the first rule that fits. Nobody, without one.
    pub rules: Vec<Rule>,
}

/// Who the holder of a certificate is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A glob over the URIs and DNS names of the certificate.
    pub san: String,
    /// A glob over the name of its issuer, such as `*CN=spire*`.
    #[serde(default = "any")]
    pub issuer: String,
    /// It is a node of this environment. Its identity is derived from the name that fits.
    #[serde(default)]
    pub environment: Option<String>,
    /// It is a person or a tool: `viewer`, `operator` or `admin`.
    #[serde(default)]
    pub user: Option<String>,
    /// The environments that such a user is limited to; none: all.
    #[serde(default)]
    pub environments: Vec<String>,
}

fn any() -> String {
    "*".to_owned()
}

impl Default for PkiConfig {
    fn default() -> Self {
        let reload = Duration::from_secs(10);
        Self { certificate: None, key: None, roots: None, reload, rules: Vec::new() }
    }
}

impl PkiConfig {
    /// Whether it can be used with these environments. The error is a sentence.
    pub fn check(&self, environments: &[String]) -> Result<(), String> {
        let Self { certificate, key, roots, reload, rules } = self;
        if certificate.is_some() != key.is_some() {
            return Err("pki: certificate and key belong together".to_owned());
        }
        if roots.is_some() == rules.is_empty() {
            return Err("pki: roots and rules belong together".to_owned());
        }
        if *reload < Duration::from_secs(1) {
            return Err("pki.reload: at least one second is needed".to_owned());
        }
        let known = |name: &String| environments.contains(name);
        for Rule { san, issuer: _, environment, user, environments: limits } in rules {
            match (environment, user) {
                (Some(environment), None) if !known(environment) => {
                    return Err(format!("pki.rules: {san:?}: there is no environment {environment:?}"));
                }
                (Some(_), None) if limits.is_empty() => {}
                (Some(_), None) => return Err(format!("pki.rules: {san:?}: environments is for users")),
                (None, Some(user)) => {
                    user.parse::<Role>().map_err(|why| format!("pki.rules: {san:?}: {why}"))?;
                    if let Some(unknown) = limits.iter().find(|name| !known(name)) {
                        return Err(format!("pki.rules: {san:?}: there is no environment {unknown:?}"));
                    }
                }
                _ => return Err(format!("pki.rules: {san:?}: name either environment or user")),
            }
        }
        Ok(())
    }
}

/// The files as they were read last, and how they are now.
pub struct Pki {
    config: PkiConfig,
    loaded: ArcSwap<Loaded>,
    last: Mutex<Last>,
}

/// What is in service.
#[derive(Default)]
struct Loaded {
    certified: Option<Arc<CertifiedKey>>,
    roots: Vec<CertificateDer<'static>>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// What was read last, whether or not it is in service.
#[derive(Default)]
struct Last {
    digest: Option<[u8; 32]>,
    failure: Option<String>,
}

/// The files are of no use.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read, or holds something else.
    #[error(transparent)]
    File(#[from] FileError),
    /// They do not make a TLS configuration, or the key is another's.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Pki {
    /// Reads the files. At the start they must be good.
    pub fn open(config: PkiConfig) -> Result<Self, PkiError> {
        let loaded = load(&config)?;
        let last = Last { digest: Some(digest(&config)), failure: None };
        Ok(Self { config, loaded: ArcSwap::from_pointee(loaded), last: Mutex::new(last) })
    }

    /// How often to look.
    pub fn reload(&self) -> Duration {
        self.config.reload
    }

    /// Whether any file is configured.
    pub fn is_configured(&self) -> bool {
        self.config.certificate.is_some() || self.config.roots.is_some()
    }

    /// Reads files that have changed. `Ok(true)`: what is in service has changed; an error is new, and what was in
    /// service stays.
    pub fn look(&self) -> Result<bool, PkiError> {
        let now = digest(&self.config);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.digest == Some(now) {
            return Ok(false);
        }
        last.digest = Some(now);
        match load(&self.config) {
            Ok(loaded) => {
                self.loaded.store(Arc::new(loaded));
                last.failure = None;
                Ok(true)
            }
            Err(error) => {
                last.failure = Some(exit::chain(&error));
                Err(error)
            }
        }
    }

    /// Why the files as they are now are not in service.
    pub fn failure(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).failure.clone()
    }

    /// The collector's certificate of this authority.
    pub fn certified(&self) -> Option<Arc<CertifiedKey>> {
        self.loaded.load().certified.clone()
    }

    /// The roots to believe besides the collector's own.
    pub fn roots(&self) -> Vec<CertificateDer<'static>> {
        self.loaded.load().roots.clone()
    }

    /// Who shows this chain, if it lies below the configured roots and a rule fits. The error is a sentence.
    pub fn authenticate(&self, chain: &[CertificateDer<'static>]) -> Result<Authenticated, String> {
        let loaded = self.loaded.load();
        let (Some(verifier), [leaf, intermediates @ ..]) = (&loaded.verifier, chain) else {
            return Err("it was not issued by an intermediate of this collector".to_owned());
        };
        let now = UnixTime::now();
        verifier.verify_client_cert(leaf, intermediates, now).map_err(|error| error.to_string())?;
        let (begin, end) = keys::validity(leaf).ok_or("the certificate has no end")?;
        let (names, issuer) = names(leaf)?;
        let fits = |rule: &&Rule| {
            let san = Glob::new(&rule.san);
            names.iter().any(|name| san.matches(name)) && Glob::new(&rule.issuer).matches(&issuer)
        };
        let Some(rule) = self.config.rules.iter().find(fits) else {
            return Err(format!("no rule is for {} of issuer {issuer}", names.join(", ")));
        };
        let san = Glob::new(&rule.san);
        let name = names.iter().find(|name| san.matches(name)).expect("the rule fits");
        let given = Timestamp::try_from(begin).map_err(|error| error.to_string())?;
        Ok(known(rule, name, given, end))
    }
}

/// The holder of this name, as the rule says.
fn known(by: &Rule, name: &str, given: Timestamp, end: SystemTime) -> Authenticated {
    let last = name.rsplit('/').next().unwrap_or(name);
    if let Some(environment) = &by.environment {
        let id = node_id(name);
        let peer = Peer::Node { environment: environment.clone(), id };
        let enrolled = Enrolled {
            node: id,
            environment: environment.clone(),
            host: label::from_host_name(last),
            role: String::new(),
            token: format!("pki:{}", by.san),
            labels: std::collections::BTreeMap::new(),
            key: Vec::new(),
        };
        return Authenticated { peer, end: Some(end), newcomer: Some(Box::new(enrolled)) };
    }
    let role = by.user.as_deref().and_then(|word| word.parse().ok()).unwrap_or(Role::Viewer);
    let scope = Scope::of_user(by.environments.clone());
    let peer = Peer::User { name: user_name(name), role, scope, certified: Some(given) };
    Authenticated { peer, end: Some(end), newcomer: None }
}

/// As audit entries show somebody of another authority: begins as nobody of ours does, can be read, and ends with a part
/// of a digest, so that nobody can be taken for somebody else.
fn user_name(name: &str) -> String {
    let whole = name.split_once("://").map_or(name, |(_, rest)| rest);
    let readable: String = label::from_host_name(whole).chars().take(200).collect();
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    format!("{ELSEWHERE}{readable}.{}", data_encoding::HEXLOWER.encode(&digest.as_ref()[..4]))
}

/// The same name is the same node, wherever and whenever its certificate was issued.
fn node_id(name: &str) -> Uuid {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("evenkeel node {name}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// URIs and DNS names of a certificate, and its issuer. Names of our own trust domain are ours to give.
fn names(leaf: &CertificateDer<'_>) -> Result<(Vec<String>, String), String> {
    let refuse = || "the certificate cannot be read".to_owned();
    let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| refuse())?;
    let names = certificate.subject_alternative_name().map_err(|_| refuse())?;
    let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::URI(name) | GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    let ours = format!("spiffe://{}/", evenkeel_runtime::identity::TRUST_DOMAIN);
    let names: Vec<String> = names.filter(|name| !name.starts_with(&ours)).collect();
    if names.is_empty() {
        return Err("the certificate has no URI and no DNS name that another authority may give".to_owned());
    }
    Ok((names, certificate.issuer().to_string()))
}

fn load(config: &PkiConfig) -> Result<Loaded, PkiError> {
    let mut loaded = Loaded::default();
    if let (Some(certificate), Some(key)) = (&config.certificate, &config.key) {
        let certificates = keys::read_certificates(certificate)?;
        let (_, end) = keys::validity(&certificates[0])
            .ok_or_else(|| FileError::content(certificate, "it is not a certificate".to_owned()))?;
        if end <= SystemTime::now() {
            let end = Timestamp::try_from(end).unwrap_or_default();
            return Err(FileError::content(certificate, format!("the certificate ended at {end:.0}")).into());
        }
        let chain = Chain { certificates, key: keys::read_any_key(key)? };
        loaded.certified = Some(Arc::new(tls::certified(chain)?));
    }
    if let Some(roots) = &config.roots {
        loaded.roots = keys::read_certificates(roots)?;
        loaded.verifier = Some(tls::client_verifier(&loaded.roots)?);
    }
    Ok(loaded)
}

/// Of the files' contents; a file that cannot be read has one, too.
fn digest(config: &PkiConfig) -> [u8; 32] {
    let PkiConfig { certificate, key, roots, reload: _, rules: _ } = config;
    let mut all = ring::digest::Context::new(&ring::digest::SHA256);
    for file in [certificate, key, roots].into_iter().flatten() {
        let content = files::read(file).unwrap_or_default();
        all.update(ring::digest::digest(&ring::digest::SHA256, &content).as_ref());
    }
    all.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests;
