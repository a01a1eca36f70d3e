//! Key pairs (ECDSA P-256), signing requests and PEM files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tracing::warn;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::files;

/// A private key that never shows itself.
pub struct Key(KeyPair);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(redacted)")
    }
}

impl Key {
    /// A new key.
    ///
    /// # Panics
    ///
    /// If the system has no randomness.
    pub fn generate() -> Self {
        Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("the system has randomness"))
    }

    /// The key in a PEM text (PKCS#8).
    pub fn from_pem(pem: &str) -> Result<Self, rcgen::Error> {
        KeyPair::from_pem(pem).map(Self)
    }

    /// The key as PEM (PKCS#8). To be written to a file of mode 0600, nowhere else.
    pub fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// For rustls.
    pub fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.0.serialize_der()).into()
    }

    /// A signing request (DER) with no names in it: the collector writes every name.
    ///
    /// # Panics
    ///
    /// Never: a fresh request without names can always be signed.
    pub fn signing_request(&self) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.0).expect("an empty request can be signed");
        request.der().to_vec()
    }

    /// For rcgen.
    pub fn pair(&self) -> &KeyPair {
        &self.0
    }

    /// For rcgen, by value.
    pub fn into_pair(self) -> KeyPair {
        self.0
    }
}

/// Certificates as PEM.
pub fn certificates_to_pem<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> String {
    certificates.into_iter().map(certificate_to_pem).collect()
}

/// Base64 in lines of 64, as RFC 7468 asks.
fn certificate_to_pem(der: &[u8]) -> String {
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in der.chunks(48) {
        pem += &data_encoding::BASE64.encode(line);
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

/// From when until when a certificate (DER) is valid; `None` if it is not one.
pub fn validity(certificate: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let moment =
        |seconds: i64| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?));
    let validity = certificate.validity();
    Some((moment(validity.not_before.timestamp())?, moment(validity.not_after.timestamp())?))
}

/// Every certificate in a PEM file. An empty list is an error.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, files::FileError> {
    let refuse = |why: String| files::FileError::content(path, why);
    let pem = files::read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| refuse(format!("it is not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(refuse("there is no certificate in it".to_owned()));
    }
    Ok(certificates)
}

/// The private key in a PEM file.
pub fn read_key(path: &Path) -> Result<Key, files::FileError> {
    warn_of_others(path);
    let pem = files::read(path)?;
    let text = std::str::from_utf8(&pem)
        .map_err(|_| files::FileError::content(path, "it is not text".to_owned()))?;
    Key::from_pem(text)
        .map_err(|_| files::FileError::content(path, "there is no private key in it".to_owned()))
}

/// A key that others may read is said, and used: whoever opened it has had it already.
fn warn_of_others(path: &Path) {
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        warn!(file = %path.display(), mode = format!("{mode:o}"), "Others may read this key: chmod 600.");
    }
}

/// The private key in a PEM file, of any kind that TLS can use.
pub fn read_any_key(path: &Path) -> Result<PrivateKeyDer<'static>, files::FileError> {
    let pem = files::read(path)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| files::FileError::content(path, "there is no private key in it".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_shows_itself() {
        assert_eq!(format!("{:?}", Key::generate()), "Key(redacted)");
    }

    #[test]
    fn pem_round_trips() {
        let directory = tempfile::tempdir().unwrap();
        let key = Key::generate();
        let certificate = CertificateParams::default().self_signed(key.pair()).unwrap();
        let file = directory.path().join("c.pem");
        std::fs::write(&file, certificates_to_pem([certificate.der().as_ref(), certificate.der().as_ref()]))
            .unwrap();
        assert_eq!(read_certificates(&file).unwrap(), vec![certificate.der().clone(); 2]);
        std::fs::write(&file, "nothing").unwrap();
        assert!(read_certificates(&file).unwrap_err().to_string().ends_with("there is no certificate in it"));
    }
}
