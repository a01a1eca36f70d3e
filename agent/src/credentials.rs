//! What the agent shows the collector: the certificate that it enrolled for, or files of another authority
//! (cert-manager, SPIRE, a company's own) that somebody else renews.

use std::path::PathBuf;

use evenkeel_runtime::files::{self, FileError};
use evenkeel_runtime::keys;
use evenkeel_runtime::tls::Chain;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;

use crate::home::Home;

/// Files of another authority, and the collector that believes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PkiConfig {
    /// Where to report: `https://HOST:7443`.
    pub collector: String,
    /// The node's certificate and its intermediates (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
    /// The roots (PEM) below which the collector's certificate is believed.
    pub roots: PathBuf,
    /// The name that the collector's certificate says, if it is another than the host in `collector`.
    #[serde(default)]
    pub name: Option<String>,
    /// Which nodes should look alike.
    #[serde(default)]
    pub role: String,
}

/// What the agent shows.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// What it enrolled for, in its state directory. It renews it itself.
    Enrolled(Home),
    /// Files that somebody else renews.
    Files {
        /// Which.
        pki: PkiConfig,
        /// What they held when they were last read.
        read: [u8; 32],
    },
}

impl Credentials {
    /// Files that somebody else renews.
    pub fn of_files(pki: PkiConfig) -> Self {
        let read = digest(&pki);
        Self::Files { pki, read }
    }

    /// The chain and its key.
    pub fn chain(&self) -> Result<Chain, FileError> {
        match self {
            Self::Enrolled(home) => home.chain(),
            Self::Files { pki, .. } => Ok(Chain {
                certificates: keys::read_certificates(&pki.certificate)?,
                key: keys::read_any_key(&pki.key)?,
            }),
        }
    }

    /// The roots to trust.
    pub fn roots(&self) -> Result<Vec<CertificateDer<'static>>, FileError> {
        match self {
            Self::Enrolled(home) => home.roots(),
            Self::Files { pki, .. } => keys::read_certificates(&pki.roots),
        }
    }

    /// Whether files hold something else than when this was asked last.
    pub fn have_changed(&mut self) -> bool {
        let Self::Files { pki, read } = self else { return false };
        let now = digest(pki);
        std::mem::replace(read, now) != now
    }
}

/// Of what the files hold; one that cannot be read counts, too.
fn digest(pki: &PkiConfig) -> [u8; 32] {
    let mut all = evenkeel_facts::Digest::of(b"").as_bytes().to_vec();
    for file in [&pki.certificate, &pki.key, &pki.roots] {
        let content = files::read(file).unwrap_or_default();
        all.extend_from_slice(evenkeel_facts::Digest::of(&content).as_bytes());
    }
    *evenkeel_facts::Digest::of(&all).as_bytes()
}
