//! The configuration file of the agent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use evenkeel_runtime::files::{self, FileError};
use evenkeel_runtime::{config, duration};
use evenkeel_sources::SourcesConfig;
use serde::Deserialize;

use crate::credentials::PkiConfig;
use crate::error::AgentError;
use crate::home::SYSTEM_STATE_DIR;

/// The configuration of the agent. Everything has a default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentConfig {
    /// Where the node's identity and its unacknowledged state live.
    pub state_dir: PathBuf,
    /// The directory to take for the machine's root.
    pub root: PathBuf,
    /// How often to look at everything, besides where something happened.
    #[serde(deserialize_with = "duration::deserialize")]
    pub interval: Duration,
    /// Whether to say who writes the kernel's files: needs CAP_SYS_ADMIN.
    pub authors: bool,
    /// Whether a Go program that starts is looked at when it does, where the kernel tells.
    pub starts: bool,
    /// Settings of sources.
    pub sources: SourcesConfig,
    /// With it, `run` enrols a machine that is not enrolled yet.
    pub enroll: Option<EnrollConfig>,
    /// Certificates of another authority, instead of enrolment.
    pub pki: Option<PkiConfig>,
}

/// How `run` enrols a machine that is not enrolled yet: in an image, in Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollConfig {
    /// Where machines enrol: `https://HOST:7444`.
    pub collector: String,
    /// The file with a token of the collector.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Instead of it: the file with a Kubernetes service account's token, projected for the collector's audience.
    #[serde(default)]
    pub service_account_token_file: Option<PathBuf>,
    /// With a service account's token: the roots (PEM) below which the collector's certificate is believed.
    #[serde(default)]
    pub roots: Option<PathBuf>,
    /// Which nodes should look alike.
    #[serde(default)]
    pub role: String,
    /// What people want to see beside the node's name.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl EnrollConfig {
    fn check(&self) -> Result<(), String> {
        match (&self.token_file, &self.service_account_token_file, &self.roots) {
            (Some(_), None, None) | (None, Some(_), Some(_)) => Ok(()),
            (None, Some(_), None) => {
                Err("enroll: service_account_token_file needs roots: whom to give the token to".to_owned())
            }
            _ => Err("enroll: name either token_file, or service_account_token_file and roots".to_owned()),
        }
    }
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            state_dir: default_state_dir(),
            root: PathBuf::from("/"),
            interval: Duration::from_secs(60),
            authors: false,
            starts: true,
            sources: SourcesConfig::default(),
            enroll: None,
            pki: None,
        }
    }
}

impl AgentConfig {
    /// Reads the file, if there is to be one.
    pub fn load(path: Option<&Path>) -> Result<Self, AgentError> {
        match path {
            Some(path) => {
                let config: Self = config::load(path).map_err(AgentError::Config)?;
                let refuse = |why| AgentError::Config(FileError::content(path, why));
                config.check().map_err(refuse)?;
                Ok(config)
            }
            None => Ok(Self::default()),
        }
    }

    /// Whether an agent can run with it, wherever its values come from. The error is a sentence.
    pub fn check(&self) -> Result<(), String> {
        if self.interval < Duration::from_secs(1) {
            return Err("interval: at least one second is needed".to_owned());
        }
        self.enroll.as_ref().map_or(Ok(()), EnrollConfig::check)
    }
}

/// `/var/lib/evenkeel-agent` for root, else `evenkeel-agent` in the user's state directory.
fn default_state_dir() -> PathBuf {
    files::default_directory(SYSTEM_STATE_DIR, "evenkeel-agent")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: the commented example shows every option with its default.
    #[test]
    fn the_example_is_the_default() {
        let example = include_str!("../../deploy/examples/agent.toml");
        let shown: AgentConfig = config::parse(example).unwrap();
        assert_eq!(shown, AgentConfig { state_dir: SYSTEM_STATE_DIR.into(), ..AgentConfig::default() });
    }
}
