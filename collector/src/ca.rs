//! The certificate authority: a root, one intermediate for each environment, one for users, and the collector's own
//! certificate. In `DATA_DIR/ca`, one directory a generation.
//!
//! # Layout
//!
//! - [`generation`]: root and intermediates that belong together
//! - [`register`]: which generations there are
//! - [`rotation`]: one generation takes another's place
//! - [`certificate`]: what stands in certificates

mod certificate;
mod generation;
mod register;
pub mod rotation;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::ArcSwap;
use evenkeel_runtime::files::{self, FileError};
use evenkeel_runtime::identity::Identity;
use evenkeel_runtime::keys::{self, Key};
use evenkeel_runtime::pin::Pin;
use evenkeel_runtime::tls::{self, COLLECTOR_NAME, Chain};
use evenkeel_runtime::trust::Mark;
use jiff::Timestamp;
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use rustls_pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;

pub use certificate::{SigningRequest, given_at};
use generation::{Generation, end_of};
pub use register::State;
use register::{Entry, Register, directory_of};

/// The roots to trust, for whoever needs them in a file.
const ROOTS: &str = "roots.crt";

/// The authority could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file of the authority.
    #[error("the certificate authority is not usable")]
    File(#[from] FileError),
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// A signing request that is none.
    #[error("the signing request is malformed, or not signed by its own key")]
    Request,
    /// Somebody else has taken a step of the rotation meanwhile.
    #[error("the certificate authority has moved meanwhile: see where it stands first")]
    Step,
}

/// How long certificates live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lives {
    /// Of the root and its intermediates.
    pub authority: Duration,
    /// Of the collector's own.
    pub collector: Duration,
    /// Of a node's.
    pub node: Duration,
}

/// The authority. Its keys never leave it. Readers see one set of generations, whole, while a rotation replaces it.
pub struct Ca {
    directory: PathBuf,
    environments: Vec<String>,
    lives: Lives,
    generations: ArcSwap<Vec<Held>>,
    /// One step at a time.
    step: Mutex<()>,
}

/// A generation and what it is for.
struct Held {
    entry: Entry,
    generation: Arc<Generation>,
}

/// A certificate for someone, with its issuer's: leaf first.
pub type Issued = Vec<CertificateDer<'static>>;

impl Ca {
    /// Reads the authority from this directory, and makes intermediates of new environments. When it was never used, one
    /// that is not there is made, and one of which half was made is made anew.
    pub fn open(
        directory: &Path,
        environments: &[String],
        lives: Lives,
        was_used: bool,
    ) -> Result<Self, CaError> {
        files::own_directory(directory)?;
        let (register, life) = match Register::read(directory)? {
            Some(register) => (register, None),
            None if was_used => {
                let why = "it is missing, and nodes trust the authority: restore it from a backup".to_owned();
                return Err(FileError::content(&directory.join("generations.json"), why).into());
            }
            None => {
                Register { generations: Vec::new() }.remove_others(directory);
                (Register::first(Timestamp::now()), Some(lives.authority))
            }
        };
        register.remove_others(directory);
        let mut held: Vec<Held> = Vec::new();
        for entry in &register.generations {
            let before = held.last().map(|held| &held.generation.root);
            let place = directory_of(directory, entry.number);
            let generation = Generation::open(&place, entry.number, environments, life, before)?;
            held.push(Held { entry: entry.clone(), generation: Arc::new(generation) });
        }
        // Written last: an authority of which half was made is made anew.
        register.write(directory)?;
        let ca = Self {
            directory: directory.to_owned(),
            environments: environments.to_vec(),
            lives,
            generations: ArcSwap::from_pointee(held),
            step: Mutex::new(()),
        };
        ca.write_roots()?;
        Ok(ca)
    }

    /// What agents pin before they know anything else: the root that issues.
    pub fn pin(&self) -> Pin {
        self.active().pin()
    }

    /// Whether a token with this pin was made for one of the roots.
    pub fn is_pinned_by(&self, pin: Pin) -> bool {
        self.generations.load().iter().any(|held| held.generation.pin() == pin)
    }

    /// The roots to trust.
    pub fn roots(&self) -> Vec<CertificateDer<'static>> {
        self.generations.load().iter().map(|held| held.generation.root.certificate.clone()).collect()
    }

    /// What a node of this environment holds when it trusts all roots and was certified by the active generation.
    pub fn mark(&self, environment: &str) -> Option<Mark> {
        let identity = Identity::Node { environment: environment.to_owned(), id: uuid::Uuid::nil() };
        let active = self.active();
        Some(Mark::of(&self.roots(), &active.signer(&identity)?.certificate))
    }

    /// Whether this certificate is an intermediate of ours.
    pub fn is_intermediate(&self, certificate: &CertificateDer<'_>) -> bool {
        self.generations.load().iter().any(|held| held.generation.is_intermediate(certificate))
    }

    /// Whether this leaf was issued below one of our roots by this intermediate, as of now or of its end. Where other
    /// roots are believed besides ours, what stands behind a leaf need not be what it was verified with.
    pub fn has_issued(&self, leaf: &CertificateDer<'_>, issuer: &CertificateDer<'_>) -> bool {
        let Ok(verifier) = tls::client_verifier(&self.roots()) else { return false };
        let end = keys::validity(leaf).and_then(|(_, end)| end.duration_since(UNIX_EPOCH).ok());
        let Some(end) = end.map(UnixTime::since_unix_epoch) else { return false };
        let issuer = [issuer.clone().into_owned()];
        verifier.verify_client_cert(leaf, &issuer, end.min(UnixTime::now())).is_ok()
    }

    /// Whether this certificate is an intermediate that may speak for this identity.
    pub fn is_issuer_of(&self, identity: &Identity, issuer: &CertificateDer<'_>) -> bool {
        self.generations
            .load()
            .iter()
            .filter_map(|held| held.generation.signer(identity))
            .any(|signer| signer.certificate == *issuer)
    }

    /// How long a node's certificate lives.
    pub fn node_life(&self) -> Duration {
        self.lives.node
    }

    /// A certificate for this identity and the key of this request. Of the request only the key is taken.
    pub fn certify(
        &self,
        identity: &Identity,
        request: &SigningRequest,
        life: Duration,
    ) -> Result<Issued, CaError> {
        let active = self.active();
        let signer = active.signer(identity).ok_or(CaError::Request)?;
        // Nothing outlives its issuer.
        let end = (OffsetDateTime::now_utc() + life).min(end_of(&signer.certificate)?);
        let mut params = certificate::leaf(ExtendedKeyUsagePurpose::ClientAuth, end);
        let uri = identity.to_string().try_into().map_err(|_| CaError::Request)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        let leaf = signer.sign(params, &request.0.public_key)?;
        Ok(vec![leaf, signer.certificate.clone()])
    }

    /// A new certificate for the collector itself, with every root behind it so that a pin can find its own, and
    /// during a rotation the step from the old root to the new one. Names that are IP addresses are written as such.
    pub fn certify_collector(&self, names: &[String]) -> Result<Chain, CaError> {
        let key = Key::generate();
        let active = self.active();
        let end = (OffsetDateTime::now_utc() + self.lives.collector).min(end_of(&active.root.certificate)?);
        let mut params = certificate::leaf(ExtendedKeyUsagePurpose::ServerAuth, end);
        for name in std::iter::once(COLLECTOR_NAME).chain(names.iter().map(String::as_str)) {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.try_into()?),
            });
        }
        let mut certificates = vec![active.root.sign(params, key.pair())?];
        // It leads to a root that is retired later.
        let is_rotating = self.generations.load().len() > 1;
        certificates.extend(active.crossed.clone().filter(|_| is_rotating));
        certificates.extend(self.roots());
        Ok(Chain { certificates, key: key.to_der() })
    }

    fn active(&self) -> Arc<Generation> {
        let generations = self.generations.load();
        let active = generations.iter().find(|held| held.entry.state == State::Active);
        Arc::clone(&active.expect("one generation is always active").generation)
    }

    fn write_roots(&self) -> Result<(), FileError> {
        let roots = self.roots();
        let pem = keys::certificates_to_pem(roots.iter().map(AsRef::as_ref));
        files::replace(&self.directory.join(ROOTS), pem.as_bytes())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use evenkeel_runtime::exit;
    use evenkeel_runtime::identity::Role;
    use std::os::unix::fs::PermissionsExt as _;

    pub(crate) const LIVES: Lives = Lives {
        authority: Duration::from_secs(10 * 365 * 86_400),
        collector: Duration::from_secs(90 * 86_400),
        node: Duration::from_secs(86_400),
    };

    pub(crate) fn open(directory: &Path, environments: &[&str]) -> Result<Ca, CaError> {
        let environments: Vec<String> = environments.iter().map(ToString::to_string).collect();
        Ca::open(directory, &environments, LIVES, true).or_else(|error| {
            // As when it was never used, unless something is there to be lost.
            if directory.join("1").exists() {
                Err(error)
            } else {
                Ca::open(directory, &environments, LIVES, false)
            }
        })
    }

    pub(crate) fn node(environment: &str) -> Identity {
        Identity::Node { environment: environment.into(), id: uuid::Uuid::from_u128(1) }
    }

    #[test]
    fn the_certificate_says_who_and_its_issuer_says_for_whom() {
        let directory = tempfile::tempdir().unwrap();
        let ca = open(directory.path(), &["dev", "prod"]).unwrap();
        let key = Key::generate();
        let request = SigningRequest::parse(&key.signing_request()).unwrap();
        let issued = ca.certify(&node("dev"), &request, LIVES.node).unwrap();
        assert_eq!(Identity::of_certificate(&issued[0]), Ok(node("dev")));
        let pin = Pin::of_certificate(&issued[0]).unwrap().to_string();
        assert_eq!(data_encoding::HEXLOWER.encode(&request.key_digest()), pin);
        assert!(ca.is_issuer_of(&node("dev"), &issued[1]));
        assert!(!ca.is_issuer_of(&node("prod"), &issued[1]));
        let user = Identity::User { name: "a".into(), role: Role::Admin, environments: vec![] };
        assert!(!ca.is_issuer_of(&user, &issued[1]));
        assert!(matches!(SigningRequest::parse(b"nonsense"), Err(CaError::Request)));
    }

    #[test]
    fn a_lost_root_is_not_made_anew() {
        for lost in ["1/root.crt", "generations.json"] {
            let directory = tempfile::tempdir().unwrap();
            open(directory.path(), &["dev"]).unwrap();
            std::fs::remove_file(directory.path().join(lost)).unwrap();
            let error = exit::chain(&open(directory.path(), &["dev"]).err().unwrap());
            assert!(error.ends_with(": restore it from a backup"), "{error}");
        }
    }

    #[test]
    fn a_key_that_is_anothers_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        open(directory.path(), &["dev", "prod"]).unwrap();
        let file = |name: &str| directory.path().join("1").join(name);
        std::fs::copy(file("env-dev.key"), file("env-prod.key")).unwrap();
        let error = exit::chain(&open(directory.path(), &["dev", "prod"]).err().unwrap());
        assert!(
            error.ends_with("env-prod.key: it is not the key of env-prod.crt: restore both from a backup"),
            "{error}"
        );
    }

    #[test]
    fn it_is_the_same_after_a_restart_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(directory.path(), &["dev"]).unwrap().pin();
        let again = open(directory.path(), &["dev", "prod"]).unwrap();
        assert_eq!(again.pin(), first);
        for place in [directory.path().to_owned(), directory.path().join("1")] {
            for entry in std::fs::read_dir(place).unwrap() {
                let metadata = entry.unwrap().metadata().unwrap();
                let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
                assert_eq!(metadata.permissions().mode() & 0o777, expected);
            }
        }
    }
}
