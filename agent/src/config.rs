//! The configuration file of the agent.

use std::path::Path;

use evenkeel_runtime::config;
use evenkeel_sources::SourcesConfig;
use serde::Deserialize;

use crate::error::AgentError;

/// The configuration of the agent. Everything has a default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentConfig {
    /// Settings of sources.
    pub sources: SourcesConfig,
}

impl AgentConfig {
    /// Reads the file, if there is to be one.
    pub fn load(path: Option<&Path>) -> Result<Self, AgentError> {
        match path {
            Some(path) => config::load(path).map_err(AgentError::Config),
            None => Ok(Self::default()),
        }
    }
}
