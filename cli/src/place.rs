//! Where the collector is. Raw arguments and environment in, one place out.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use evenkeel_runtime::channel::Address;

use crate::args::Connection;
use crate::contexts::{Context, Contexts};
use crate::error::CliError;

/// The collector's Unix socket in its data directory.
const SOCKET: &str = "collector.sock";
/// Where the package's service keeps its data.
const SERVICE_DATA: &str = "/var/lib/evenkeel-collector";
/// The fleet port.
const PORT: u16 = 7443;

/// Where the collector is, and how to get there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On this host.
    Socket(PathBuf),
    /// Elsewhere, over mutual TLS.
    Remote {
        /// Its address.
        address: Address,
        /// PEM file with our certificate.
        cert: PathBuf,
        /// PEM file with our key.
        key: PathBuf,
        /// PEM file with the roots to trust.
        ca: PathBuf,
        /// The context that says so, if one does.
        context: Option<String>,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Remote { address, .. } => address.fmt(f),
        }
    }
}

impl Place {
    /// The place that the arguments name; else the environment; else the current context; else the first socket found
    /// where collectors on this host keep their data.
    pub fn find(connection: &Connection) -> Result<Self, CliError> {
        Self::find_in(connection, variable, Path::new(SERVICE_DATA))
    }

    fn find_in(
        connection: &Connection,
        variable: impl Fn(&str) -> Option<OsString>,
        service: &Path,
    ) -> Result<Self, CliError> {
        let Connection { data_dir, collector, context, cert, key, ca } = connection;
        // What stands on the command line says more than what stands in the environment.
        let word = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
        let elsewhere =
            || (data_dir.is_none() && context.is_none()).then(|| word("EVENKEEL_COLLECTOR")).flatten();
        if let Some(url) = collector.clone().or_else(elsewhere) {
            let address = Address::parse(&url, PORT).map_err(CliError::Address)?;
            let file = |given: &Option<PathBuf>, flag: &'static str, name: &str| {
                let file = given.clone().or_else(|| variable(name).map(PathBuf::from));
                file.ok_or_else(|| CliError::Credentials { collector: address.to_string(), flag })
            };
            return Ok(Self::Remote {
                cert: file(cert, "--cert", "EVENKEEL_CERT")?,
                key: file(key, "--key", "EVENKEEL_KEY")?,
                ca: file(ca, "--ca", "EVENKEEL_CA")?,
                address,
                context: None,
            });
        }
        let here = || context.is_none().then(|| variable("EVENKEEL_DATA_DIR").map(PathBuf::from)).flatten();
        if let Some(directory) = data_dir.clone().or_else(here) {
            return socket(&[directory]);
        }
        let contexts = Contexts::load(&variable)?;
        let named = context.clone().or_else(|| word("EVENKEEL_CONTEXT"));
        let Some(name) = named.or_else(|| contexts.current().map(str::to_owned)) else {
            return socket(&usual_directories(&variable, service));
        };
        let own = contexts.find(&name)?;
        let given = |given: &Option<PathBuf>, own: PathBuf| given.clone().unwrap_or(own);
        let context = Context {
            collector: own.collector,
            cert: given(cert, own.cert),
            key: given(key, own.key),
            ca: given(ca, own.ca),
        };
        Self::of_context(&name, &context)
    }

    /// The collector of this context.
    pub fn of_context(name: &str, context: &Context) -> Result<Self, CliError> {
        let Context { collector, cert, key, ca } = context.clone();
        let address = Address::parse(&collector, PORT);
        let name = name.to_owned();
        Ok(Self::Remote {
            address: address.map_err(|why| CliError::ContextAddress { name: name.clone(), why })?,
            cert,
            key,
            ca,
            context: Some(name),
        })
    }
}

/// A variable of the environment; one that is empty counts as not set.
pub fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Of a service, and of a person who runs a collector without being root.
fn usual_directories(variable: &impl Fn(&str) -> Option<OsString>, service: &Path) -> Vec<PathBuf> {
    let own_state = variable("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| Path::new(&home).join(".local/state")));
    let own = own_state.map(|state| state.join("evenkeel-collector"));
    [service.to_owned()].into_iter().chain(own).collect()
}

/// The first socket that is there. A directory that may not be entered might hold one, and is told so.
fn socket(directories: &[PathBuf]) -> Result<Place, CliError> {
    let mut tried = Vec::new();
    for directory in directories {
        let socket = directory.join(SOCKET);
        match socket.try_exists() {
            Ok(true) => return Ok(Place::Socket(socket)),
            Ok(false) => tried.push(format!("{}: not there", socket.display())),
            Err(error) => tried.push(format!("{}: {error}", socket.display())),
        }
    }
    Err(CliError::NoCollector { tried })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn find(connection: &Connection, variables: &[(&str, &str)]) -> Result<Place, CliError> {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Place::find_in(connection, variable, Path::new("/nowhere/service"))
    }

    #[test]
    fn arguments_win_over_the_environment() {
        let here = tempfile::tempdir().unwrap();
        fs::write(here.path().join(SOCKET), "").unwrap();
        let there = here.path().to_str().unwrap();
        let remote = [
            ("EVENKEEL_COLLECTOR", "https://c:1"),
            ("EVENKEEL_CERT", "c"),
            ("EVENKEEL_KEY", "k"),
            ("EVENKEEL_CA", "a"),
        ];
        let place = find(&Connection::default(), &remote).unwrap();
        assert_eq!(place.to_string(), "https://c:1");
        let connection = Connection { data_dir: Some(there.into()), ..Connection::default() };
        assert_eq!(find(&connection, &remote).unwrap(), Place::Socket(here.path().join(SOCKET)));
        let place = find(&Connection::default(), &[("EVENKEEL_DATA_DIR", there)]).unwrap();
        assert_eq!(place, Place::Socket(here.path().join(SOCKET)));
    }

    /// Promise: the command line wins over the environment, the environment over the current context, and that over the
    /// collector on this host.
    #[test]
    fn a_context_is_asked_in_its_turn() {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join(".config/evenkeel");
        fs::create_dir_all(&config).unwrap();
        let context = |name: &str| {
            format!("[contexts.{name}]\ncollector = \"{name}\"\ncert = \"c\"\nkey = \"k\"\nca = \"a\"\n")
        };
        let text =
            format!("current-context = \"one\"\n{}{}{}", context("one"), context("two"), context("three"));
        fs::write(config.join("config.toml"), text).unwrap();
        let home = ("HOME", home.path().to_str().unwrap());
        let asked = |connection: Connection, variables: &[(&str, &str)]| {
            find(&connection, &[&[home], variables].concat()).unwrap().to_string()
        };
        let named = |name: &str| Connection { context: Some(name.into()), ..Connection::default() };
        let elsewhere = [
            ("EVENKEEL_COLLECTOR", "four"),
            ("EVENKEEL_CERT", "c"),
            ("EVENKEEL_KEY", "k"),
            ("EVENKEEL_CA", "a"),
            ("EVENKEEL_CONTEXT", "two"),
        ];
        assert_eq!(asked(Connection::default(), &[]), "https://one:7443");
        assert_eq!(asked(Connection::default(), &elsewhere[4..]), "https://two:7443");
        assert_eq!(asked(Connection::default(), &elsewhere), "https://four:7443");
        assert_eq!(asked(named("three"), &elsewhere), "https://three:7443");
        let error = find(&named("five"), &[home]).unwrap_err();
        assert_eq!(error.to_string(), "there is no context \"five\"; there are: one, three, two");
    }

    #[test]
    fn every_place_tried_is_named() {
        let error = find(&Connection::default(), &[("XDG_STATE_HOME", "/nowhere/state")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no collector was found on this host (/nowhere/service/collector.sock: not there; \
             /nowhere/state/evenkeel-collector/collector.sock: not there)"
        );
    }

    #[test]
    fn a_remote_collector_needs_all_three_files() {
        let connection =
            Connection { collector: Some("c".into()), cert: Some("c".into()), ..Connection::default() };
        let error = find(&connection, &[]).unwrap_err();
        assert_eq!(error.to_string(), "to ask the collector at https://c:7443, --key is needed too");
    }
}
