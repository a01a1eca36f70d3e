//! A sysctl that the next boot changes: what runs may be right, or what the files say. The person says which.

use std::collections::{BTreeMap, BTreeSet};

use evenkeel_drift::Values;
use evenkeel_drift::report::{Finding, Kind};
use evenkeel_render::remedy::{Choice, Remedy};

use super::{ansible, blank, checked, own_file, shell, sysctl, task};
use crate::error::CliError;

/// Which of the two is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Keep {
    /// What runs: it is written into a file, and is there after the next boot
    Running,
    /// What the files say: it is set now, and not at the next boot
    Persisted,
}

impl Keep {
    fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Persisted => "persisted",
        }
    }
}

/// The key of a sysctl that the next boot changes.
pub fn key(finding: &Finding) -> Option<&str> {
    if finding.kind == Kind::Latent { finding.path.strip_prefix("sysctl.") } else { None }
}

/// What the nodes of a finding run, and what they will.
#[derive(Debug, Default)]
pub struct Boot {
    running: BTreeSet<String>,
    next: BTreeSet<String>,
    /// `FILE:LINE`, and the value that it sets.
    lines: BTreeSet<(String, String)>,
}

impl Boot {
    /// Of the nodes that the finding names.
    pub fn of(finding: &Finding, running: &Values, next: Option<&Values>, sources: Option<&Values>) -> Self {
        let (next, sources) = (by_node(next), by_node(sources));
        let mut boot = Self::default();
        for (node, value) in by_node(Some(running)) {
            let Some(next) = next.get(node).filter(|_| finding.nodes.iter().any(|name| name == node)) else {
                continue;
            };
            boot.running.insert(value.to_owned());
            boot.next.insert((*next).to_owned());
            boot.lines.extend(sources.get(node).map(|line| ((*line).to_owned(), (*next).to_owned())));
        }
        boot
    }

    /// A file that is read behind the one that would be written: by name, and `/etc/sysctl.conf` is the last by that, too.
    fn outranking(&self, key: &str) -> Option<&str> {
        let own = own_file(key);
        let files =
            self.lines.iter().map(|(line, _)| line.rsplit_once(':').map_or(&**line, |(file, _)| file));
        files.into_iter().find(|file| name(file) > name(&own))
    }
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Of each node its value. Nodes of one name cannot be told apart here: they have none, unless it is the same.
fn by_node(values: Option<&Values>) -> BTreeMap<&str, &str> {
    let roles = values.into_iter().flat_map(|values| &values.roles);
    let held = roles.flat_map(|role| &role.environments).flat_map(|environment| &environment.values);
    let each = held
        .flat_map(|held| held.nodes.iter().map(|node| (&**node, held.value.as_deref().unwrap_or_default())));
    let mut one: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for (node, value) in each {
        one.entry(node)
            .and_modify(|known| *known = known.filter(|known| *known == value))
            .or_insert(Some(value));
    }
    one.into_iter().filter_map(|(node, value)| Some((node, value?))).collect()
}

/// What mends it; without a choice: what there is to choose from.
pub fn remedy(
    finding: &Finding,
    key: &str,
    advice: &str,
    boot: &Boot,
    keep: Option<Keep>,
) -> Result<Remedy, CliError> {
    let mut remedy = blank(finding, advice);
    remedy.at_boot = boot.lines.iter().map(|(line, value)| format!("{line} sets {value}")).collect();
    let Some(keep) = keep else {
        remedy.advice.clear();
        let choice = |keep: Keep, values: &BTreeSet<String>| Choice {
            keep: keep.word().to_owned(),
            values: values.iter().cloned().collect(),
        };
        remedy.choices = vec![choice(Keep::Running, &boot.running), choice(Keep::Persisted, &boot.next)];
        return Ok(remedy);
    };
    let values = match keep {
        Keep::Running => &boot.running,
        Keep::Persisted => &boot.next,
    };
    let values = values.iter().map(|value| checked(finding, key, value)).collect::<Result<Vec<_>, _>>()?;
    if values.is_empty() {
        return Err(CliError::NoSuchRemedy { path: finding.path.clone() });
    }
    remedy.advice.clear();
    match (keep, values.as_slice()) {
        // A file that is read later would win: that line is to be changed, by hand.
        (Keep::Running, _) if boot.outranking(key).is_some() => {
            let file = boot.outranking(key).unwrap_or_default();
            remedy.advice = format!("{file} is read last: write there what runs.");
            remedy.value = if let [value] = values.as_slice() { Some(value.clone()) } else { None };
        }
        (Keep::Running, [value]) => {
            remedy.value = Some(value.clone());
            sysctl(&mut remedy, key, value);
        }
        // Each node keeps its own.
        (Keep::Running, _) => {
            let path = own_file(key);
            remedy.shell = format!("echo \"{key} = $(sysctl -n {key})\" > {path}\n");
        }
        (Keep::Persisted, [value]) => {
            let setting = format!("{key}={value}");
            remedy.value = Some(value.clone());
            remedy.shell = format!("sysctl -w {}\n", shell(&setting));
            let argv = format!("[sysctl, -w, {}]", ansible(&setting));
            remedy.ansible = task(key, "ansible.builtin.command", &[("argv", argv)]);
        }
        (Keep::Persisted, _) => {
            "The files of these nodes say different things, and this loads all that they say."
                .clone_into(&mut remedy.advice);
            "sysctl --system\n".clone_into(&mut remedy.shell);
        }
    }
    Ok(remedy)
}

#[cfg(test)]
mod tests {
    use evenkeel_drift::report::{Severity, State, Status};
    use evenkeel_drift::values::{EnvironmentValues, Held, RoleValues};
    use jiff::Timestamp;

    use super::*;

    const KEY: &str = "net.core.somaxconn";

    fn finding(nodes: &[&str]) -> Finding {
        Finding {
            id: "f-1".into(),
            path: format!("sysctl.{KEY}"),
            kind: Kind::Latent,
            severity: Severity::Critical,
            status: Status::Open,
            role: String::new(),
            values: Vec::new(),
            nodes: nodes.iter().map(|name| (*name).to_owned()).collect(),
            since: Timestamp::UNIX_EPOCH,
            summary: "prod: 1 of 2 nodes changes at the next boot: 65535, then 4096".into(),
            reason: String::new(),
            expected: None,
            parts: Vec::new(),
            acceptance: None,
        }
    }

    fn values<'a>(held: impl Iterator<Item = (&'a str, &'a str)>) -> Values {
        let one = |(node, value): (&str, &str)| Held {
            value: Some(value.to_owned()),
            state: State::Present,
            reason: None,
            nodes: vec![node.to_owned()],
        };
        let values = held.map(one).collect();
        let environments = vec![EnvironmentValues { environment: "prod".into(), values, stale: Vec::new() }];
        Values { path: String::new(), roles: vec![RoleValues { role: String::new(), environments }] }
    }

    /// Of nodes: its name, what runs, what comes, and the line that says so.
    fn mended(nodes: &[[&str; 4]], keep: Option<Keep>) -> Remedy {
        let finding = finding(&nodes.iter().map(|node| node[0]).collect::<Vec<_>>());
        let column = |at: usize| values(nodes.iter().map(move |node| (node[0], node[at])));
        let boot = Boot::of(&finding, &column(1), Some(&column(2)), Some(&column(3)));
        remedy(&finding, KEY, "Decide.", &boot, keep).unwrap()
    }

    const ONE: [&str; 4] = ["prod-1", "65535", "4096", "/etc/sysctl.d/50-web.conf:3"];

    /// Promise: of what the next boot changes nothing is set that nobody has chosen; what was chosen is set, and no other key.
    #[test]
    fn the_person_chooses_what_is_right() {
        let asked = mended(&[ONE], None);
        assert_eq!((asked.shell.as_str(), asked.advice.as_str(), asked.value), ("", "", None));
        assert_eq!(asked.at_boot, ["/etc/sysctl.d/50-web.conf:3 sets 4096"]);
        let choices: Vec<_> =
            asked.choices.iter().map(|choice| (&*choice.keep, &*choice.values[0])).collect();
        assert_eq!(choices, [("running", "65535"), ("persisted", "4096")]);
        let kept = mended(&[ONE], Some(Keep::Running));
        assert_eq!(
            kept.shell,
            "printf '%s\\n' 'net.core.somaxconn = 65535' > /etc/sysctl.d/99-zz-evenkeel-net.core.somaxconn.conf\n\
             sysctl -p /etc/sysctl.d/99-zz-evenkeel-net.core.somaxconn.conf\n"
        );
        let taken = mended(&[ONE], Some(Keep::Persisted));
        assert_eq!(taken.shell, "sysctl -w net.core.somaxconn=4096\n");
        assert_eq!((taken.value.as_deref(), taken.file), (Some("4096"), None));
        assert_eq!(
            taken.ansible,
            "- name: !unsafe \"net.core.somaxconn\"\n  ansible.builtin.command:\n    \
             argv: [sysctl, -w, !unsafe \"net.core.somaxconn=4096\"]\n"
        );
    }

    /// Promise: nodes that run different values keep each its own; what is read last is to be changed itself.
    #[test]
    fn each_node_keeps_its_own() {
        let other = ["prod-2", "1024", "4096", "/etc/sysctl.d/50-web.conf:3"];
        assert_eq!(
            mended(&[ONE, other], Some(Keep::Running)).shell,
            "echo \"net.core.somaxconn = $(sysctl -n net.core.somaxconn)\" > \
             /etc/sysctl.d/99-zz-evenkeel-net.core.somaxconn.conf\n"
        );
        for last in ["/etc/sysctl.d/zzz.conf:1", "/etc/sysctl.conf:7"] {
            let remedy = mended(&[["prod-1", "65535", "4096", last]], Some(Keep::Running));
            let file = last.rsplit_once(':').unwrap().0;
            assert_eq!(remedy.advice, format!("{file} is read last: write there what runs."));
            assert_eq!((remedy.shell.as_str(), remedy.value.as_deref()), ("", Some("65535")));
        }
    }

    /// Promise: what one of two nodes of one name holds is not set on the other.
    #[test]
    fn nodes_of_one_name_have_no_value() {
        let twin = ["prod-1", "1024", "2048", "/etc/sysctl.d/50-web.conf:3"];
        let other = ["prod-2", "512", "256", "/etc/sysctl.d/50-web.conf:3"];
        let asked = mended(&[ONE, twin, other], None);
        let choices: Vec<_> = asked.choices.iter().map(|choice| choice.values.join(" ")).collect();
        assert_eq!(choices, ["512", "256"]);
        assert_eq!(asked.at_boot, ["/etc/sysctl.d/50-web.conf:3 sets 256"]);
    }

    /// Promise: what a hostile machine says never becomes part of a command.
    #[test]
    fn hostile_values_are_refused() {
        let finding = finding(&["a"]);
        let one = |value: &'static str| values([("a", value)].into_iter());
        let boot = Boot::of(&finding, &one("1"), Some(&one("1\n$(reboot)")), None);
        let refused = remedy(&finding, KEY, "", &boot, Some(Keep::Persisted)).unwrap_err();
        assert!(matches!(refused, CliError::Unquotable { .. }), "{refused}");
        let refused = remedy(&finding, "a;reboot", "", &boot, Some(Keep::Running)).unwrap_err();
        assert!(matches!(refused, CliError::Unquotable { .. }), "{refused}");
    }
}
