//! The certificate authority: a root, one intermediate for each environment, one for users, and the collector's own
//! certificate. Keys are ECDSA P-256, in files of mode 0600 in `DATA_DIR/ca`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use evenkeel_runtime::files::{self, FileError};
use evenkeel_runtime::identity::Identity;
use evenkeel_runtime::keys::{self, Key};
use evenkeel_runtime::pin::Pin;
use evenkeel_runtime::tls::{COLLECTOR_NAME, Chain};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use time::OffsetDateTime;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ROOT_LIFE: Duration = DAY.saturating_mul(10 * 365);
const INTERMEDIATE_LIFE: Duration = DAY.saturating_mul(5 * 365);
const SERVER_LIFE: Duration = DAY.saturating_mul(90);
/// How long a node's certificate lives; agents renew it well before.
pub const NODE_LIFE: Duration = DAY;
/// Clocks differ: a certificate is valid from a little before it was made.
const CLOCK_ALLOWANCE: Duration = Duration::from_secs(5 * 60);

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
}

/// The authority. Its keys never leave it.
pub struct Ca {
    root: Signer,
    environments: BTreeMap<String, Signer>,
    users: Signer,
}

/// A certificate for someone, with its issuer's: leaf first.
pub type Issued = Vec<CertificateDer<'static>>;

struct Signer {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A signing request that its own key has signed.
pub struct SigningRequest(CertificateSigningRequestParams);

impl SigningRequest {
    /// Reads and verifies a request in DER.
    pub fn parse(der: &[u8]) -> Result<Self, CaError> {
        let parsed = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der));
        parsed.map(Self).map_err(|_| CaError::Request)
    }
}

impl Ca {
    /// Reads the authority from this directory; makes what is missing.
    pub fn open(directory: &Path, environments: &[String]) -> Result<Self, CaError> {
        files::own_directory(directory)?;
        let root = Signer::open(directory, "root", None)?;
        let mut signers = BTreeMap::new();
        for environment in environments {
            let signer = Signer::open(directory, &format!("env-{environment}"), Some(&root))?;
            signers.insert(environment.clone(), signer);
        }
        let users = Signer::open(directory, "users", Some(&root))?;
        Ok(Self { root, environments: signers, users })
    }

    /// What agents pin before they know anything else.
    ///
    /// # Panics
    ///
    /// Never: the root was parsed when it was opened.
    pub fn pin(&self) -> Pin {
        Pin::of_certificate(&self.root.certificate).expect("the root was parsed when it was opened")
    }

    /// The roots to trust.
    pub fn roots(&self) -> Vec<CertificateDer<'static>> {
        vec![self.root.certificate.clone()]
    }

    /// Whether this certificate is the intermediate that may speak for this identity.
    pub fn is_issuer_of(&self, identity: &Identity, issuer: &CertificateDer<'_>) -> bool {
        let signer = match identity {
            Identity::Node { environment, .. } => self.environments.get(environment),
            Identity::User { .. } => Some(&self.users),
        };
        signer.is_some_and(|signer| signer.certificate == *issuer)
    }

    /// A certificate for this identity and the key of this request. Of the request only the key is taken.
    pub fn certify(
        &self,
        identity: &Identity,
        request: &SigningRequest,
        life: Duration,
    ) -> Result<Issued, CaError> {
        let signer = match identity {
            Identity::Node { environment, .. } => {
                self.environments.get(environment).ok_or(CaError::Request)?
            }
            Identity::User { .. } => &self.users,
        };
        let mut params = leaf(ExtendedKeyUsagePurpose::ClientAuth, life);
        let uri = identity.to_string().try_into().map_err(|_| CaError::Request)?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        let leaf = signer.sign(params, &request.0.public_key)?;
        Ok(vec![leaf, signer.certificate.clone()])
    }

    /// A new certificate for the collector itself, with the root behind it so that a pin can find it. Names that are
    /// IP addresses are written as such.
    pub fn certify_collector(&self, names: &[String]) -> Result<Chain, CaError> {
        let key = Key::generate();
        let mut params = leaf(ExtendedKeyUsagePurpose::ServerAuth, SERVER_LIFE);
        for name in std::iter::once(COLLECTOR_NAME).chain(names.iter().map(String::as_str)) {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.try_into()?),
            });
        }
        let certificate = self.root.sign(params, key.pair())?;
        Ok(Chain { certificates: vec![certificate, self.root.certificate.clone()], key: key.to_der() })
    }
}

impl Signer {
    fn open(directory: &Path, name: &str, parent: Option<&Self>) -> Result<Self, CaError> {
        let (key_file, certificate_file) = (file(directory, name, "key"), file(directory, name, "crt"));
        // The certificate is written last: without it the key was never used.
        if !there(&certificate_file)? {
            // A root that is made anew would leave every node behind: it must be the first thing that is made.
            if parent.is_none() && has_certificates(directory)? {
                let why = "the root's certificate is missing, others are there: restore it from a backup"
                    .to_owned();
                return Err(FileError::content(&certificate_file, why).into());
            }
            let key = Key::generate();
            let params = authority(name, parent.is_none());
            let certificate = match parent {
                Some(parent) => parent.sign(params, key.pair())?,
                None => params.self_signed(key.pair())?.der().clone(),
            };
            files::replace(&key_file, key.to_pem().as_bytes())?;
            files::replace(&certificate_file, keys::certificates_to_pem([certificate.as_ref()]).as_bytes())?;
        }
        let certificate = keys::read_certificates(&certificate_file)?.remove(0);
        let key = keys::read_key(&key_file)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key.into_pair())?;
        Ok(Self { certificate, issuer })
    }

    fn sign(
        &self,
        params: CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<CertificateDer<'static>, CaError> {
        Ok(params.signed_by(key, &self.issuer)?.der().clone())
    }
}

fn there(file: &Path) -> Result<bool, FileError> {
    file.try_exists().map_err(FileError::io("look for", file))
}

fn has_certificates(directory: &Path) -> Result<bool, FileError> {
    let entries = std::fs::read_dir(directory).map_err(FileError::io("list", directory))?;
    Ok(entries.flatten().any(|entry| entry.path().extension().is_some_and(|extension| extension == "crt")))
}

fn file(directory: &Path, name: &str, kind: &str) -> PathBuf {
    directory.join(format!("{name}.{kind}"))
}

fn authority(name: &str, root: bool) -> CertificateParams {
    let mut params = base(if root { ROOT_LIFE } else { INTERMEDIATE_LIFE });
    params.distinguished_name.push(DnType::CommonName, format!("evenkeel {name}"));
    let constraint = if root { BasicConstraints::Constrained(1) } else { BasicConstraints::Constrained(0) };
    params.is_ca = IsCa::Ca(constraint);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf(purpose: ExtendedKeyUsagePurpose, life: Duration) -> CertificateParams {
    let mut params = base(life);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    params
}

fn base(life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).expect("the system has randomness");
    // A serial number is positive.
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = DistinguishedName::new();
    let now = OffsetDateTime::now_utc();
    params.not_before = now - CLOCK_ALLOWANCE;
    params.not_after = now + life;
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_runtime::exit;
    use evenkeel_runtime::identity::Role;
    use std::os::unix::fs::PermissionsExt as _;

    fn node(environment: &str) -> Identity {
        Identity::Node { environment: environment.into(), id: uuid::Uuid::from_u128(1) }
    }

    #[test]
    fn the_certificate_says_who_and_its_issuer_says_for_whom() {
        let directory = tempfile::tempdir().unwrap();
        let ca = Ca::open(directory.path(), &["dev".into(), "prod".into()]).unwrap();
        let request = SigningRequest::parse(&Key::generate().signing_request()).unwrap();
        let issued = ca.certify(&node("dev"), &request, NODE_LIFE).unwrap();
        assert_eq!(Identity::of_certificate(&issued[0]), Ok(node("dev")));
        assert!(ca.is_issuer_of(&node("dev"), &issued[1]));
        assert!(!ca.is_issuer_of(&node("prod"), &issued[1]));
        let user = Identity::User { name: "a".into(), role: Role::Admin, environments: vec![] };
        assert!(!ca.is_issuer_of(&user, &issued[1]));
        assert!(matches!(SigningRequest::parse(b"nonsense"), Err(CaError::Request)));
    }

    #[test]
    fn a_lost_root_is_not_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        Ca::open(directory.path(), &["dev".into()]).unwrap();
        std::fs::remove_file(directory.path().join("root.crt")).unwrap();
        let error = exit::chain(&Ca::open(directory.path(), &["dev".into()]).err().unwrap());
        assert!(error.ends_with("others are there: restore it from a backup"), "{error}");
    }

    #[test]
    fn it_is_the_same_after_a_restart_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let first = Ca::open(directory.path(), &["dev".into()]).unwrap().pin();
        let again = Ca::open(directory.path(), &["dev".into(), "prod".into()]).unwrap();
        assert_eq!(again.pin(), first);
        for entry in std::fs::read_dir(directory.path()).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
