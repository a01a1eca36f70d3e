//! The state directory: who this node is, and what the collector has not acknowledged yet.
//!
//! ```text
//! node.json      the node's id, environment and collector
//! node.key       its private key, made here, never sent
//! node.crt       its certificate and the environment's intermediate
//! roots.crt      the roots that it trusts
//! boot_epoch     how often the agent was started
//! status.json    how the daemon is, for `check`
//! pending.json   the newest snapshot that was not acknowledged, if there is one
//! ```

use std::fs::File;
use std::path::{Path, PathBuf};

use evenkeel_facts::{Snapshot, snapshot_file};
use evenkeel_runtime::exit;
use evenkeel_runtime::files::{self, FileError};
use evenkeel_runtime::keys::{self, Key};
use evenkeel_runtime::tls::Chain;
use nix::fcntl::{Flock, FlockArg};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

/// Where root's agent keeps its state when nobody says otherwise.
pub const SYSTEM_STATE_DIR: &str = "/var/lib/evenkeel-agent";

/// The state directory.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

/// What enrolment told this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// The UUID in the certificate.
    pub node: String,
    /// The environment in the certificate.
    pub environment: String,
    /// Where it reports: `https://HOST:PORT`.
    pub collector: String,
    /// The role that it reports for.
    pub role: String,
    /// The name that it reports under, if it is another than its host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Home {
    /// The directory, made if it is not there.
    pub fn open(directory: &Path) -> Result<Self, FileError> {
        files::own_directory(directory)?;
        Ok(Self(directory.to_owned()))
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes the directory for as long as the lock is held: two agents with one identity would undo each other's work.
    pub fn lock(&self) -> Result<Flock<File>, FileError> {
        let file = File::open(&self.0).map_err(FileError::io("open", &self.0))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| FileError::content(&self.0, "another evenkeel-agent uses it".to_owned()))
    }

    /// Keeps a new identity: the enrolment is written last, so that half of one is never taken for a whole.
    pub fn keep_identity(
        &self,
        enrolment: &Enrolment,
        key: &Key,
        certificates: &[Vec<u8>],
        roots: &[Vec<u8>],
    ) -> Result<(), FileError> {
        self.forget_pending()?;
        files::remove(&self.file("node.json"))?;
        files::replace(&self.file("node.key"), key.to_pem().as_bytes())?;
        self.keep_certificates(certificates, roots)?;
        let json = serde_json::to_vec_pretty(enrolment).expect("an enrolment is plain text");
        files::replace(&self.file("node.json"), &json)
    }

    /// Keeps a renewed certificate for the same key.
    pub fn keep_certificates(&self, certificates: &[Vec<u8>], roots: &[Vec<u8>]) -> Result<(), FileError> {
        let pem =
            |certificates: &[Vec<u8>]| keys::certificates_to_pem(certificates.iter().map(Vec::as_slice));
        files::replace(&self.file("roots.crt"), pem(roots).as_bytes())?;
        files::replace(&self.file("node.crt"), pem(certificates).as_bytes())
    }

    /// Keeps another role, where somebody else decides it. Whether it is another.
    pub fn keep_role(&self, role: &str) -> Result<bool, FileError> {
        let Some(mut enrolment) = self.enrolment()?.filter(|enrolment| enrolment.role != role) else {
            return Ok(false);
        };
        role.clone_into(&mut enrolment.role);
        let json = serde_json::to_vec_pretty(&enrolment).expect("an enrolment is plain text");
        files::replace(&self.file("node.json"), &json).map(|()| true)
    }

    /// What enrolment told this node; `None` before it was enrolled.
    pub fn enrolment(&self) -> Result<Option<Enrolment>, FileError> {
        let path = self.file("node.json");
        match files::read(&path) {
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
            Ok(json) => serde_json::from_slice(&json).map(Some).map_err(|error| {
                FileError::content(&path, format!("it is not what enrolment wrote: {error}"))
            }),
        }
    }

    /// The node's certificate chain and key.
    pub fn chain(&self) -> Result<Chain, FileError> {
        let certificates = keys::read_certificates(&self.file("node.crt"))?;
        Ok(Chain { certificates, key: self.key()?.to_der() })
    }

    /// The node's key.
    pub fn key(&self) -> Result<Key, FileError> {
        keys::read_key(&self.file("node.key"))
    }

    /// The roots that it trusts.
    pub fn roots(&self) -> Result<Vec<CertificateDer<'static>>, FileError> {
        keys::read_certificates(&self.file("roots.crt"))
    }

    /// Counts this start, or goes on above what the collector has heard of. Durable before it is used.
    pub fn next_boot_epoch(&self, above: u64) -> Result<u64, FileError> {
        let path = self.file("boot_epoch");
        let last = match files::read(&path) {
            Err(error) if error.is_not_found() => 0,
            Err(error) => return Err(error),
            Ok(text) => std::str::from_utf8(&text)
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .ok_or_else(|| FileError::content(&path, "it is not a number".to_owned()))?,
        };
        let next = above.max(last).saturating_add(1);
        files::replace(&path, format!("{next}\n").as_bytes())?;
        Ok(next)
    }

    /// Keeps a snapshot until it is acknowledged. It replaces an older one: the newest state is what counts.
    pub fn keep_pending(&self, snapshot: &Snapshot) -> Result<(), FileError> {
        files::replace(&self.file("pending.json"), snapshot_file::to_json(snapshot).as_bytes())
    }

    /// The snapshot that was not acknowledged, if there is one.
    pub fn pending(&self) -> Result<Option<Snapshot>, FileError> {
        let path = self.file("pending.json");
        match files::read(&path) {
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
            Ok(json) => snapshot_file::from_json(&json)
                .map(Some)
                .map_err(|error| FileError::content(&path, exit::chain(&error))),
        }
    }

    /// It is acknowledged: the collector has it durably.
    pub fn forget_pending(&self) -> Result<(), FileError> {
        files::remove(&self.file("pending.json"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: a sequence never goes back, also when the directory was restored from a backup.
    #[test]
    fn boot_epochs_only_grow() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        assert_eq!(home.next_boot_epoch(0).unwrap(), 1);
        assert_eq!(home.next_boot_epoch(0).unwrap(), 2);
        assert_eq!(home.next_boot_epoch(40).unwrap(), 41);
        std::fs::write(directory.path().join("boot_epoch"), "x").unwrap();
        assert!(home.next_boot_epoch(0).unwrap_err().to_string().ends_with("it is not a number"));
    }

    #[test]
    fn an_identity_is_whole_or_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path()).unwrap();
        assert_eq!(home.enrolment().unwrap(), None);
        let enrolment = Enrolment {
            node: "n".into(),
            environment: "dev".into(),
            collector: "https://c:7443".into(),
            role: String::new(),
            name: None,
        };
        home.keep_identity(&enrolment, &Key::generate(), &[vec![1]], &[vec![2]]).unwrap();
        assert_eq!(home.enrolment().unwrap(), Some(enrolment.clone()));
        assert!(home.keep_role("web").unwrap());
        assert!(!home.keep_role("web").unwrap());
        assert_eq!(home.enrolment().unwrap(), Some(Enrolment { role: "web".into(), ..enrolment }));
        std::fs::write(directory.path().join("node.json"), "{").unwrap();
        assert!(home.enrolment().unwrap_err().to_string().contains("it is not what enrolment wrote"));
    }
}
