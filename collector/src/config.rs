//! The configuration: a TOML file, overridden by arguments.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use evenkeel_runtime::files::{self, FileError};
use evenkeel_runtime::{config, duration, label};
use serde::Deserialize;

use crate::alerts::config::AlertsConfig;
use crate::ca::Lives;
use crate::kubernetes::KubernetesConfig;
use crate::pki::PkiConfig;
use crate::retention::Retention;

mod transport;

pub use transport::{ConnectionMode, Transport};

/// Where the collector keeps its state when nobody says otherwise and it runs as root.
pub const SYSTEM_DATA_DIR: &str = "/var/lib/evenkeel-collector";

/// Everything that can be set. `deploy/examples/collector.toml` shows each with its default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where keys, certificates and the journal live.
    pub data_dir: PathBuf,
    /// Where agents report and people ask, over mutual TLS.
    pub listen: SocketAddr,
    /// Where machines enrol.
    pub enroll_listen: SocketAddr,
    /// Health and metrics, in the clear.
    pub http_listen: SocketAddr,
    /// The environments in their order of promotion; the last is the default reference.
    pub environments: Vec<String>,
    /// Host names and addresses by which others reach this collector, besides its own host name: they are written
    /// into its certificate. The first is the one that enrolment commands show.
    pub names: Vec<String>,
    /// A node that was not heard for so long is stale.
    #[serde(deserialize_with = "duration::deserialize")]
    pub stale_after: Duration,
    /// How long certificates live.
    pub certificates: Certificates,
    /// Who of this host may come by the Unix socket.
    pub access: Access,
    /// Limits of connections and calls.
    pub transport: Transport,
    /// Certificates of another authority.
    pub pki: PkiConfig,
    /// Service accounts that nodes enrol with.
    pub kubernetes: KubernetesConfig,
    /// Who is told of findings.
    pub alerts: AlertsConfig,
    /// How much of the past is kept.
    pub retention: Retention,
}

/// Who of this host may come by the Unix socket, besides root and the collector's own user, who are admins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// The Unix group whose members are viewers; empty: nobody.
    pub viewers_group: String,
    /// The Unix group whose members are operators; empty: nobody.
    pub operators_group: String,
}

/// How long certificates live.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Certificates {
    /// A node's. Its agent renews it when half to 70 % of its life is over.
    #[serde(deserialize_with = "duration::deserialize")]
    pub node_life: Duration,
    /// For so long after its certificate has ended a node that was off may still renew it by itself, and a person may
    /// still log in with it.
    #[serde(deserialize_with = "duration::deserialize")]
    pub recovery: Duration,
    /// The collector's own; made anew each day.
    #[serde(deserialize_with = "duration::deserialize")]
    pub collector_life: Duration,
    /// The root's and its intermediates'. At half of it a new generation is prepared.
    #[serde(deserialize_with = "duration::deserialize")]
    pub authority_life: Duration,
}

impl Default for Certificates {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
        Self { node_life: days(1), recovery: days(30), collector_life: days(90), authority_life: days(3650) }
    }
}

impl Certificates {
    /// For the authority.
    pub fn lives(&self) -> Lives {
        let Self { node_life, recovery: _, collector_life, authority_life } = self;
        Lives { authority: *authority_life, collector: *collector_life, node: *node_life }
    }

    fn check(&self) -> Result<(), String> {
        let Self { node_life, recovery: _, collector_life, authority_life } = self;
        let least = Duration::from_secs(5);
        for (name, life) in [("node_life", node_life), ("collector_life", collector_life)] {
            if *life < least {
                return Err(format!("certificates.{name}: at least 5 seconds are needed"));
            }
            if life >= authority_life {
                return Err(format!("certificates.{name}: it must be shorter than authority_life"));
            }
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
        Self {
            data_dir: default_data_dir(),
            listen: any(7443),
            enroll_listen: any(7444),
            http_listen: SocketAddr::from(([127, 0, 0, 1], 7480)),
            environments: ["dev", "test", "staging", "prod"].map(str::to_owned).to_vec(),
            names: Vec::new(),
            stale_after: Duration::from_secs(180),
            certificates: Certificates::default(),
            access: Access::default(),
            transport: Transport::default(),
            pki: PkiConfig::default(),
            kubernetes: KubernetesConfig::default(),
            alerts: AlertsConfig::default(),
            retention: Retention::default(),
        }
    }
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let config: Self = config::load(path)?;
        config.check().map_err(|why| FileError::content(path, why))?;
        Ok(config)
    }

    /// Whether a collector can run with it, wherever its values come from. The error is a sentence.
    pub fn check(&self) -> Result<(), String> {
        let mut seen = Vec::new();
        for environment in &self.environments {
            if !label::is_label(environment) {
                return Err(format!(
                    "environments: {environment:?} is not a name of a-z, 0-9, '.', '_' and '-'"
                ));
            }
            if seen.contains(&environment) {
                return Err(format!("environments: {environment:?} stands twice"));
            }
            seen.push(environment);
        }
        if seen.is_empty() {
            return Err("environments: at least one is needed".to_owned());
        }
        if let Some(wrong) = self.names.iter().find(|name| !is_host(name)) {
            return Err(format!(
                "names: {wrong:?} is neither a host name nor an address: nodes could not reach the collector by it"
            ));
        }
        if self.stale_after < Duration::from_secs(1) {
            return Err("stale_after: at least one second is needed".to_owned());
        }
        self.certificates.check()?;
        self.pki.check(&self.environments)?;
        self.kubernetes.check(&self.environments)?;
        self.alerts.check(&self.environments)?;
        self.retention.check()?;
        self.transport.check()
    }
}

/// Whether a certificate can say it: an address, or labels of letters, digits, `-` and `_` with dots between.
fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(fits)
    };
    name.parse::<IpAddr>().is_ok()
        || name.len() <= 253 && name.strip_prefix("*.").unwrap_or(name).split('.').all(is_label)
}

/// `/var/lib/evenkeel-collector` for root, else `evenkeel-collector` in the user's state directory.
pub fn default_data_dir() -> PathBuf {
    files::default_directory(SYSTEM_DATA_DIR, "evenkeel-collector")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: the commented example shows every option with its default.
    #[test]
    fn the_example_is_the_default() {
        let example = include_str!("../../deploy/examples/collector.toml");
        let shown: Config = config::parse(example).unwrap();
        assert_eq!(shown, Config { data_dir: SYSTEM_DATA_DIR.into(), ..Config::default() });
    }

    #[test]
    fn wrong_values_are_named() {
        let check = |text: &str| config::parse::<Config>(text).unwrap().check().unwrap_err();
        assert_eq!(
            check("environments = [\"Prod\"]"),
            "environments: \"Prod\" is not a name of a-z, 0-9, '.', '_' and '-'"
        );
        for name in ["x y", "https://x", "", "a..b"] {
            let expected = format!(
                "names: {name:?} is neither a host name nor an address: nodes could not reach the collector by it"
            );
            assert_eq!(check(&format!("names = [{name:?}]")), expected);
        }
        let good = "names = [\"collector.example.org\", \"10.0.0.7\", \"::1\", \"*.example.org\"]";
        assert_eq!(config::parse::<Config>(good).unwrap().check(), Ok(()));
        assert_eq!(check("environments = [\"a\", \"a\"]"), "environments: \"a\" stands twice");
        assert!(
            config::parse::<Config>("stale_afte = \"3m\"")
                .unwrap_err()
                .ends_with("did you mean `stale_after`?")
        );
    }
}
