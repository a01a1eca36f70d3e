//! What a person may set about sources: the `[sources]` table of the agent's configuration.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::SOURCES;

/// Settings of all sources. Everything has a default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourcesConfig {
    /// Sources that do not run, by name. Their facts are then "not collected", never "absent".
    #[serde(deserialize_with = "source_names")]
    pub disable: Vec<String>,
    /// Settings of the source `go_programs`.
    pub go_programs: GoProgramsConfig,
    /// Settings of the source `go_toolchain`.
    pub go_toolchain: GoToolchainConfig,
    /// Settings of the source `files`.
    pub files: FilesConfig,
    /// Settings of the source `custom`.
    pub custom: CustomConfig,
}

/// Settings of the source `files`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilesConfig {
    /// Files to take digests of: absolute paths, with a `*` in any name.
    pub paths: Vec<PathBuf>,
    /// Larger files are not read, in bytes.
    pub max_bytes: u64,
}

impl Default for FilesConfig {
    fn default() -> Self {
        Self { paths: Vec::new(), max_bytes: 16 * 1024 * 1024 }
    }
}

/// Settings of the source `custom`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CustomConfig {
    /// The directory of facts of one's own.
    pub directory: PathBuf,
    /// Whether programs in it are run.
    pub execute: bool,
    /// How long one program may take, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for CustomConfig {
    fn default() -> Self {
        Self { directory: "/etc/evenkeel/facts.d".into(), execute: false, timeout_ms: 2_000 }
    }
}

/// Settings of the source `go_programs`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GoProgramsConfig {
    /// Directories to look into besides the usual ones: absolute paths.
    pub directories: Vec<PathBuf>,
}

/// Settings of the source `go_toolchain`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GoToolchainConfig {
    /// Go roots to look at besides the usual ones: absolute paths.
    pub directories: Vec<PathBuf>,
}

fn source_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let known = || SOURCES.iter().map(|source| source.name());
    match names.iter().find(|name| !known().any(|known| known == *name)) {
        None => Ok(names),
        Some(name) => Err(D::Error::custom(format_args!(
            "there is no source {name:?}; the sources are {}",
            known().collect::<Vec<_>>().join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_a_default() {
        assert_eq!(toml::from_str::<SourcesConfig>("").unwrap(), SourcesConfig::default());
    }

    #[test]
    fn an_unknown_source_is_named_with_the_known_ones() {
        let error =
            toml::from_str::<SourcesConfig>("disable = [\"os\", \"sysctls\"]").unwrap_err().to_string();
        assert!(error.contains("there is no source \"sysctls\"; the sources are os, "), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = toml::from_str::<SourcesConfig>("disabled = []").unwrap_err().to_string();
        assert!(error.contains("unknown field `disabled`"), "{error}");
    }
}
