//! For whom a rule holds: for all, for an environment, for a role, for single nodes.

use evenkeel_facts::Glob;

/// Who is asked about. What is `None` is not known, so rules that are limited to it do not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place<'a> {
    /// The environment.
    pub environment: Option<&'a str>,
    /// The role.
    pub role: Option<&'a str>,
    /// The node's name.
    pub node: Option<&'a str>,
}

/// For whom a rule holds. What is empty limits nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holders {
    /// Environments.
    pub environments: Vec<String>,
    /// Roles.
    pub roles: Vec<String>,
    /// Names of nodes.
    pub nodes: Vec<Glob>,
}

impl Holders {
    /// Whether it limits nothing.
    pub fn is_everybody(&self) -> bool {
        self.level() == 0
    }

    /// How near it is to one machine: everybody, environment, role, node. Of two rules the nearer one decides.
    pub(super) fn level(&self) -> u8 {
        let Self { environments, roles, nodes } = self;
        match (nodes.is_empty(), roles.is_empty(), environments.is_empty()) {
            (false, _, _) => 3,
            (true, false, _) => 2,
            (true, true, false) => 1,
            (true, true, true) => 0,
        }
    }

    /// Whether the rule holds for this place.
    pub(super) fn include(&self, place: &Place<'_>) -> bool {
        let Self { environments, roles, nodes } = self;
        let one_of = |names: &[String], name: Option<&str>| {
            names.is_empty() || name.is_some_and(|name| names.iter().any(|own| own == name))
        };
        one_of(environments, place.environment)
            && one_of(roles, place.role)
            && (nodes.is_empty()
                || place.node.is_some_and(|name| nodes.iter().any(|glob| glob.matches(name))))
    }
}

impl std::fmt::Display for Holders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { environments, roles, nodes } = self;
        let nodes: Vec<String> = nodes.iter().map(|glob| glob.as_str().to_owned()).collect();
        let mut words = Vec::new();
        for (what, names) in [("environment", environments), ("role", roles), ("node", &nodes)] {
            if !names.is_empty() {
                words.push(format!("{what} {}", names.join(", ")));
            }
        }
        f.write_str(if words.is_empty() { "everybody" } else { "" })?;
        f.write_str(&words.join("; "))
    }
}
