//! What a report is asked for.

use crate::fleet::Fleet;
use crate::policy::nearest;
use crate::report::Severity;

/// What a report is asked for. The default asks for everything that is at least a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Only these environments are held against the reference (which is always part of the report).
    pub environments: Option<Vec<String>>,
    /// Only the nodes of this role.
    pub role: Option<String>,
    /// The environment that the others are held against; by default the last in order that has nodes.
    pub reference: Option<String>,
    /// The least severity of the findings shown.
    pub min_severity: Option<Severity>,
    /// Show every finding: also info and explained ones.
    pub all: bool,
}

/// What a query asks for is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No environment of this name.
    #[error("there is no environment {name:?}; the environments are {known}{}", did_you_mean(.nearest.as_deref()))]
    Environment {
        /// The name asked for.
        name: String,
        /// The names that there are, with commas.
        known: String,
        /// The nearest of them.
        nearest: Option<String>,
    },
    /// No node has this role.
    #[error("no node has the role {name:?}; the roles are {known}{}", did_you_mean(.nearest.as_deref()))]
    Role {
        /// The role asked for.
        name: String,
        /// The roles that there are, with commas.
        known: String,
        /// The nearest of them.
        nearest: Option<String>,
    },
}

impl Default for Query {
    fn default() -> Self {
        Self {
            environments: None,
            role: None,
            reference: None,
            min_severity: Some(Severity::Warning),
            all: false,
        }
    }
}

impl Query {
    /// Whether what it names is there. [`crate::evaluate`] takes an unknown name for an environment without nodes;
    /// callers check first, so that a typing error is not taken for an even keel.
    pub fn check(&self, fleet: &Fleet) -> Result<(), QueryError> {
        for name in self.environments.iter().flatten().chain(&self.reference) {
            if !fleet.environments.iter().any(|known| **known == **name) {
                let known: Vec<&str> = fleet.environments.iter().map(|known| &**known).collect();
                return Err(QueryError::Environment {
                    name: name.clone(),
                    nearest: nearest(name, known.iter().copied()).map(str::to_owned),
                    known: known.join(", "),
                });
            }
        }
        let Some(name) = &self.role else { return Ok(()) };
        if fleet.nodes.roles().contains_key(&**name) {
            return Ok(());
        }
        let roles = fleet.nodes.roles().keys().map(|role| &**role).filter(|role| !role.is_empty());
        let roles: Vec<&str> = roles.collect();
        Err(QueryError::Role {
            name: name.clone(),
            nearest: nearest(name, roles.iter().copied()).map(str::to_owned),
            known: if roles.is_empty() { "(none)".to_owned() } else { roles.join(", ") },
        })
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|word| format!("; did you mean {word:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_not_an_even_keel() {
        let fleet = Fleet { environments: vec!["staging".into(), "prod".into()], ..Fleet::default() };
        let query = Query { reference: Some("prd".into()), ..Query::default() };
        assert_eq!(
            query.check(&fleet).unwrap_err().to_string(),
            "there is no environment \"prd\"; the environments are staging, prod; did you mean \"prod\"?"
        );
        let query = Query { role: Some("web".into()), ..Query::default() };
        assert_eq!(
            query.check(&fleet).unwrap_err().to_string(),
            "no node has the role \"web\"; the roles are (none)"
        );
        assert_eq!(Query::default().check(&fleet), Ok(()));
    }
}
