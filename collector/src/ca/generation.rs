//! One generation of the authority: a root, an intermediate for each environment, one for users. Keys are ECDSA P-256,
//! in files of mode 0600.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use evenkeel_runtime::files::{self, FileError};
use evenkeel_runtime::identity::Identity;
use evenkeel_runtime::keys::{self, Key};
use evenkeel_runtime::pin::Pin;
use rcgen::{CertificateParams, Issuer, KeyPair, PublicKeyData};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use super::CaError;
use super::certificate::authority;

/// Root and intermediates that belong together.
pub(super) struct Generation {
    pub(super) root: Signer,
    environments: BTreeMap<String, Signer>,
    users: Signer,
    /// The root's key, certified by the root of the generation before: whoever trusts only that one trusts it, too.
    pub(super) crossed: Option<CertificateDer<'static>>,
}

pub(super) struct Signer {
    pub(super) certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Generation {
    /// Reads it from this directory; makes what is missing. Whole generations are missing only when `life` is given:
    /// else a root that is not there was lost.
    pub(super) fn open(
        directory: &Path,
        number: u32,
        environments: &[String],
        life: Option<Duration>,
        before: Option<&Signer>,
    ) -> Result<Self, CaError> {
        files::own_directory(directory)?;
        let root_name = format!("root {number}");
        let root = Signer::open(directory, "root", life, |key, end| {
            Ok(authority(&root_name, 1, end).self_signed(key)?.der().clone())
        })?;
        // Intermediates end with their root: what one of them signed is good for as long as the other.
        let left = (end_of(&root.certificate)? - OffsetDateTime::now_utc()).unsigned_abs();
        let below = |file: &str, name: &str| {
            Signer::open(directory, file, Some(left), |key, end| {
                root.sign(authority(&format!("{name} {number}"), 0, end), key)
            })
        };
        let mut signers = BTreeMap::new();
        for environment in environments {
            let signer = below(&format!("env-{environment}"), &format!("env-{environment}"))?;
            signers.insert(environment.clone(), signer);
        }
        let users = below("users", "users")?;
        let crossed_file = file(directory, "crossed", "crt");
        if let Some(before) = before
            && !there(&crossed_file)?
        {
            let end = end_of(&before.certificate)?;
            // The name must be the root's own, and the key is: a path to either root can be built over it.
            let params = authority(&root_name, 0, end);
            let crossed = params.signed_by(root.issuer.key(), &before.issuer)?.der().clone();
            files::replace(&crossed_file, keys::certificates_to_pem([crossed.as_ref()]).as_bytes())?;
        }
        let crossed = there(&crossed_file)?.then(|| keys::read_certificates(&crossed_file));
        let crossed = crossed.transpose()?.map(|mut certificates| certificates.remove(0));
        Ok(Self { root, environments: signers, users, crossed })
    }

    /// Who may speak for this identity; `None` for an environment that is not configured.
    pub(super) fn signer(&self, identity: &Identity) -> Option<&Signer> {
        match identity {
            Identity::Node { environment, .. } => self.environments.get(environment),
            Identity::User { .. } => Some(&self.users),
        }
    }

    /// Whether this certificate is one of its intermediates.
    pub(super) fn is_intermediate(&self, certificate: &CertificateDer<'_>) -> bool {
        let mut all = self.environments.values().chain([&self.users]);
        all.any(|signer| signer.certificate == *certificate)
    }

    /// By which the root is pinned.
    pub(super) fn pin(&self) -> Pin {
        Pin::of_certificate(&self.root.certificate).expect("the root was parsed when it was opened")
    }
}

impl Signer {
    fn open(
        directory: &Path,
        name: &str,
        life: Option<Duration>,
        certify: impl FnOnce(&KeyPair, OffsetDateTime) -> Result<CertificateDer<'static>, CaError>,
    ) -> Result<Self, CaError> {
        let (key_file, certificate_file) = (file(directory, name, "key"), file(directory, name, "crt"));
        // The certificate is written last: without it the key was never used.
        if !there(&certificate_file)? {
            let Some(life) = life else {
                // A root that is made anew would leave every node behind.
                let why = "the root's certificate is missing: restore it from a backup".to_owned();
                return Err(FileError::content(&certificate_file, why).into());
            };
            let key = Key::generate();
            let certificate = certify(key.pair(), OffsetDateTime::now_utc() + life)?;
            files::replace(&key_file, key.to_pem().as_bytes())?;
            files::replace(&certificate_file, keys::certificates_to_pem([certificate.as_ref()]).as_bytes())?;
        }
        let certificate = keys::read_certificates(&certificate_file)?.remove(0);
        let key = keys::read_key(&key_file)?;
        let public = ring::digest::digest(&ring::digest::SHA256, &key.pair().subject_public_key_info());
        let is_its_own = Pin::of_certificate(&certificate).map(|pin| pin.to_string())
            == Some(data_encoding::HEXLOWER.encode(public.as_ref()));
        if !is_its_own {
            let why = format!("it is not the key of {name}.crt: restore both from a backup");
            return Err(FileError::content(&key_file, why).into());
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key.into_pair())?;
        Ok(Self { certificate, issuer })
    }

    pub(super) fn sign(
        &self,
        params: CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<CertificateDer<'static>, CaError> {
        Ok(params.signed_by(key, &self.issuer)?.der().clone())
    }
}

/// When a certificate ends.
pub(super) fn end_of(certificate: &CertificateDer<'_>) -> Result<OffsetDateTime, CaError> {
    keys::validity(certificate).map(|(_, end)| end.into()).ok_or(CaError::Request)
}

fn there(file: &Path) -> Result<bool, FileError> {
    file.try_exists().map_err(FileError::io("look for", file))
}

fn file(directory: &Path, name: &str, kind: &str) -> PathBuf {
    directory.join(format!("{name}.{kind}"))
}
