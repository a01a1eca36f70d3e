//! Who a certificate says its holder is: one SAN URI, written by the collector.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::label;

/// The trust domain of every name that the collector writes.
pub const TRUST_DOMAIN: &str = "evenkeel.internal";

/// The most environments that a user may be limited to: who needs more is meant everywhere.
pub const MAX_ENVIRONMENTS: usize = 16;

/// Who speaks. Written `spiffe://<trust domain>/env/<env>/node/<uuid>` or `…/user/<name>/role/<role>`, with
/// `/env/<env>` behind it for every environment that a user is limited to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// An agent: it may report for this node and ask nothing.
    Node {
        /// The environment that the node was enrolled into.
        environment: String,
        /// The node.
        id: Uuid,
    },
    /// A person or a tool: it may ask, and report nothing.
    User {
        /// The name that audit entries carry.
        name: String,
        /// What it may do.
        role: Role,
        /// Where it may do it, in order; empty: everywhere.
        environments: Vec<String>,
    },
}

/// What a user may do. A greater role may do all that a smaller one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// May ask.
    Viewer,
    /// May also let nodes in and sign off differences.
    Operator,
    /// May also let people in.
    Admin,
}

/// Why a certificate or a text names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not a certificate.
    #[error("it is not an X.509 certificate")]
    Certificate,
    /// No URI, or more than one.
    #[error("the certificate has {0} URI names, exactly one was expected")]
    Uris(usize),
    /// The URI has another form.
    #[error("{0:?} names neither a node nor a user of the trust domain {TRUST_DOMAIN}")]
    Uri(String),
}

impl Identity {
    /// Who this certificate (DER) names.
    pub fn of_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| IdentityError::Certificate)?;
        let names = certificate.subject_alternative_name().map_err(|_| IdentityError::Certificate)?;
        let uris: Vec<&str> = names
            .iter()
            .flat_map(|names| &names.value.general_names)
            .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
            .collect();
        match uris.as_slice() {
            [uri] => uri.parse(),
            other => Err(IdentityError::Uris(other.len())),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node { environment, id } => {
                write!(f, "spiffe://{TRUST_DOMAIN}/env/{environment}/node/{id}")
            }
            Self::User { name, role, environments } => {
                write!(f, "spiffe://{TRUST_DOMAIN}/user/{name}/role/{role}")?;
                environments.iter().try_for_each(|environment| write!(f, "/env/{environment}"))
            }
        }
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(uri: &str) -> Result<Self, IdentityError> {
        let refuse = || IdentityError::Uri(uri.chars().take(200).collect());
        let path = uri
            .strip_prefix("spiffe://")
            .and_then(|rest| rest.strip_prefix(TRUST_DOMAIN))
            .ok_or_else(refuse)?;
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["", "env", environment, "node", id] if label::is_label(environment) => {
                let id = Uuid::parse_str(id).map_err(|_| refuse())?;
                Ok(Self::Node { environment: (*environment).to_owned(), id })
            }
            ["", "user", name, "role", role, limits @ ..] if label::is_label(name) => Ok(Self::User {
                name: (*name).to_owned(),
                role: role.parse().map_err(|_| refuse())?,
                environments: environments(limits).ok_or_else(refuse)?,
            }),
            _ => Err(refuse()),
        }
    }
}

/// Of `env`, `dev`, `env`, `test`…: the names. They stand in order and once: one user, one way to write it.
fn environments(limits: &[&str]) -> Option<Vec<String>> {
    let (pairs, rest) = limits.as_chunks::<2>();
    let names: Option<Vec<String>> = pairs
        .iter()
        .map(|[word, name]| (*word == "env" && label::is_label(name)).then(|| (*name).to_owned()))
        .collect();
    names.filter(|names| {
        rest.is_empty() && names.len() <= MAX_ENVIRONMENTS && names.is_sorted_by(|a, b| a < b)
    })
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Viewer, Self::Operator, Self::Admin]
            .into_iter()
            .find(|role| role.to_string() == text)
            .ok_or_else(|| format!("{text:?} is not a role: viewer, operator or admin"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for uri in [
            "spiffe://evenkeel.internal/env/prod/node/67e55044-10b1-426f-9247-bb680e5fe0c8",
            "spiffe://evenkeel.internal/user/ada/role/operator",
            "spiffe://evenkeel.internal/user/ada/role/viewer/env/dev/env/staging",
        ] {
            assert_eq!(uri.parse::<Identity>().unwrap().to_string(), uri);
        }
    }

    #[test]
    fn other_names_are_nobody() {
        for uri in [
            "spiffe://elsewhere/env/prod/node/67e55044-10b1-426f-9247-bb680e5fe0c8",
            "spiffe://evenkeel.internal.evil/env/prod/node/67e55044-10b1-426f-9247-bb680e5fe0c8",
            "spiffe://evenkeel.internal/env/../node/67e55044-10b1-426f-9247-bb680e5fe0c8",
            "spiffe://evenkeel.internal/env/prod/node/x",
            "spiffe://evenkeel.internal/user/ada/role/root",
            "spiffe://evenkeel.internal/user//role/admin",
            "spiffe://evenkeel.internal/user/ada/role/admin/env",
            "spiffe://evenkeel.internal/user/ada/role/admin/env/",
            "spiffe://evenkeel.internal/user/ada/role/admin/env/test/env/dev",
            "spiffe://evenkeel.internal/user/ada/role/admin/env/dev/env/dev",
            "spiffe://evenkeel.internal/user/ada/role/admin/node/dev",
            "",
        ] {
            assert!(uri.parse::<Identity>().is_err(), "{uri}");
        }
    }
}
