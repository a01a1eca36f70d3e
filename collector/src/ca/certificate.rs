//! What stands in the certificates that are made here.

use std::time::Duration;

use evenkeel_runtime::keys;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, PublicKeyData as _, SerialNumber,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use time::OffsetDateTime;

use super::CaError;

/// Clocks differ: a certificate is valid from a little before it was made, at most so much.
const CLOCK_ALLOWANCE: Duration = Duration::from_secs(5 * 60);

/// A signing request that its own key has signed.
pub struct SigningRequest(pub(super) CertificateSigningRequestParams);

impl SigningRequest {
    /// Reads and verifies a request in DER.
    pub fn parse(der: &[u8]) -> Result<Self, CaError> {
        let parsed = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der));
        parsed.map(Self).map_err(|_| CaError::Request)
    }

    /// SHA-256 of the public key (SubjectPublicKeyInfo).
    pub fn key_digest(&self) -> Vec<u8> {
        let key = self.0.public_key.subject_public_key_info();
        ring::digest::digest(&ring::digest::SHA256, &key).as_ref().to_vec()
    }
}

/// Of a root, or of an intermediate below one.
pub(super) fn authority(name: &str, below: u8, end: OffsetDateTime) -> CertificateParams {
    let mut params = base(end);
    params.distinguished_name.push(DnType::CommonName, format!("evenkeel {name}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Of somebody who certifies nobody.
pub(super) fn leaf(purpose: ExtendedKeyUsagePurpose, end: OffsetDateTime) -> CertificateParams {
    let mut params = base(end);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    params
}

/// When a certificate that was made here was given, to the second, and never later than that; `None` if it is not a
/// certificate.
pub fn given_at(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (begin, end) = keys::validity(certificate)?;
    // It begins a twentieth of its life before: a twenty-first of all.
    let allowance = CLOCK_ALLOWANCE.min(end.duration_since(begin).ok()? / 21);
    Timestamp::try_from(begin + Duration::from_secs(allowance.as_secs())).ok()
}

fn base(end: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).expect("the system has randomness");
    // A serial number is positive.
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = DistinguishedName::new();
    let now = OffsetDateTime::now_utc();
    // Less for a short life, of which half must really be half.
    params.not_before = now - CLOCK_ALLOWANCE.min((end - now).unsigned_abs() / 20);
    params.not_after = end;
    params
}
