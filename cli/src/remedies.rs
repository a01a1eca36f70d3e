//! From a finding to what mends it, by the family of its fact.

pub mod latent;

use evenkeel_drift::policy::Expectation;
use evenkeel_drift::report::{Finding, Kind, State};
use evenkeel_render::remedy::{Remedy, RemedyFile, SCHEMA};

use crate::error::CliError;
use crate::quoting::{ansible, is_one_line, shell};

/// How the nodes install packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// Debian and its kin.
    Apt,
    /// Red Hat's, and SUSE's by the same name.
    Dnf,
    /// Alpine's.
    Apk,
}

impl Manager {
    /// Of the distribution `os.id` names.
    pub fn of(os_id: &str) -> Option<Self> {
        match os_id {
            "debian" | "ubuntu" | "raspbian" | "linuxmint" => Some(Self::Apt),
            "fedora" | "rhel" | "centos" | "rocky" | "almalinux" | "amzn" | "ol" => Some(Self::Dnf),
            "alpine" => Some(Self::Apk),
            _ => None,
        }
    }
}

/// What mends the finding: the deviating nodes get what most nodes of the reference have, or what the policy expects.
/// `advice` is what the policy says in words; `manager` is asked for packages only. Of a sysctl that changes at the next
/// boot [`latent`] says what there is to choose.
pub fn remedy(finding: &Finding, advice: &str, manager: Option<Manager>) -> Result<Remedy, CliError> {
    let mut remedy = blank(finding, advice);
    remedy.value = wanted(finding);
    let Some(value) = remedy.value.clone() else { return Ok(remedy) };
    let value = one_blank(&value);
    let refuse = || CliError::Unquotable { path: finding.path.clone(), value: value.clone() };
    let path = finding.path.as_str();
    if path.starts_with("sysctl.persisted[") {
        // What a file says is to be changed in that file.
    } else if let Some(key) = path.strip_prefix("sysctl.") {
        sysctl(&mut remedy, key, &checked(finding, key, &value)?);
    } else if let Some(name) = path.strip_prefix("go.env.") {
        if !is_one_line(&value)
            || !name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        {
            return Err(refuse());
        }
        go_env(&mut remedy, name, &value);
    } else if path == "time.zone" {
        if !is_one_line(&value) || value.starts_with('-') {
            return Err(refuse());
        }
        remedy.shell = format!("timedatectl set-timezone {}\n", shell(&value));
        remedy.ansible =
            task(&format!("Time zone {value}"), "community.general.timezone", &[("name", ansible(&value))]);
    } else if let Some(name) = key_of(path, "package") {
        if !is_one_line(&value) || !is_package(name) || !is_package(&value) {
            return Err(refuse());
        }
        package(&mut remedy, manager, name, &value);
    }
    Ok(remedy)
}

/// A remedy that says what is wrong, and not yet what to do.
fn blank(finding: &Finding, advice: &str) -> Remedy {
    Remedy {
        schema: SCHEMA.to_owned(),
        finding: finding.id.clone(),
        path: finding.path.clone(),
        summary: finding.summary.clone(),
        nodes: finding.nodes.to_vec(),
        value: None,
        advice: advice.to_owned(),
        at_boot: Vec::new(),
        choices: Vec::new(),
        shell: String::new(),
        file: None,
        ansible: String::new(),
    }
}

/// Blanks between the words of a sysctl are one blank to the kernel.
fn one_blank(value: &str) -> String {
    value.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A value of a sysctl that can stand in a command.
fn checked(finding: &Finding, key: &str, value: &str) -> Result<String, CliError> {
    let value = one_blank(value);
    if is_one_line(&value) && is_sysctl_key(key) {
        return Ok(value);
    }
    Err(CliError::Unquotable { path: finding.path.clone(), value })
}

/// Behind what others set, as far as names go, and one file a key: the next fix does not overwrite it.
fn own_file(key: &str) -> String {
    format!("/etc/sysctl.d/99-zz-evenkeel-{}.conf", key.replace('/', "-"))
}

/// What the policy expects, if that is one value; else what most nodes of the reference have. `None`: the finding names
/// no value to get to.
fn wanted(finding: &Finding) -> Option<String> {
    match (finding.kind, &finding.expected) {
        (Kind::Violates, Some(expected)) => return Expectation::one_value(expected),
        // What came to the earlier environment, as it is there.
        (Kind::Lagging, Some(value)) => return Some(value.clone()),
        (Kind::Duplicate | Kind::Latent, _) => return None,
        _ => {}
    }
    // The reference stands first, in it the value that most nodes hold. Where it is torn nobody says which half is right.
    let mut readable = finding.values.iter().filter(|value| value.state != State::Unreadable);
    let first = readable.next()?;
    let is_torn = readable
        .next()
        .is_some_and(|next| (&next.environment, next.nodes) == (&first.environment, first.nodes));
    first.value.clone().filter(|_| first.state == State::Present && !is_torn)
}

fn sysctl(remedy: &mut Remedy, key: &str, value: &str) {
    let path = own_file(key);
    let content = format!("# evenkeel {}\n{key} = {value}\n", remedy.finding);
    let line = format!("{key} = {value}");
    remedy.shell = format!("printf '%s\\n' {} > {path}\nsysctl -p {path}\n", shell(&line));
    let fields = [
        ("name", ansible(key)),
        ("value", ansible(value)),
        ("sysctl_file", ansible(&path)),
        ("sysctl_set", "true".to_owned()),
        ("state", "present".to_owned()),
    ];
    remedy.ansible = task(key, "ansible.posix.sysctl", &fields);
    remedy.file = Some(RemedyFile { path, content });
}

/// For the user who builds: `go env -w` writes to that user's own file.
fn go_env(remedy: &mut Remedy, name: &str, value: &str) {
    let setting = format!("{name}={value}");
    remedy.shell = format!("go env -w {}\n", shell(&setting));
    remedy.ansible =
        task(name, "ansible.builtin.command", &[("argv", format!("[go, env, -w, {}]", ansible(&setting)))]);
}

fn package(remedy: &mut Remedy, manager: Option<Manager>, name: &str, version: &str) {
    let (command, module, package) = match manager {
        None => return,
        Some(Manager::Apt) => {
            ("apt-get install -y --allow-downgrades", "ansible.builtin.apt", format!("{name}={version}"))
        }
        Some(Manager::Dnf) => ("dnf install -y", "ansible.builtin.dnf", format!("{name}-{version}")),
        Some(Manager::Apk) => ("apk add", "community.general.apk", format!("{name}={version}")),
    };
    remedy.shell = format!("{command} {}\n", shell(&package));
    remedy.ansible = task(name, module, &[("name", ansible(&package)), ("state", "present".to_owned())]);
}

fn task(name: &str, module: &str, fields: &[(&str, String)]) -> String {
    let mut task = format!("- name: {}\n  {module}:\n", ansible(name));
    for (field, value) in fields {
        task.extend(["    ", field, ": ", value, "\n"]);
    }
    task
}

/// `openssl` of `package[openssl].version`.
fn key_of<'a>(path: &'a str, family: &str) -> Option<&'a str> {
    path.strip_prefix(family)?.strip_prefix('[')?.strip_suffix("].version")
}

fn is_sysctl_key(key: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    !key.is_empty()
        && key.chars().all(fits)
        && !key.starts_with(['-', '.', '/'])
        && !key.contains("..")
        && !key.contains("//")
}

fn is_package(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | ':' | '~' | '^');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use evenkeel_drift::report::{Severity, Status, ValueCount};
    use jiff::Timestamp;

    use super::*;

    fn finding(path: &str, value: &str) -> Finding {
        let held = |environment: &str, value: &str| ValueCount {
            environment: environment.into(),
            value: Some(value.into()),
            state: State::Present,
            nodes: 1,
        };
        Finding {
            id: "f-1".into(),
            path: path.into(),
            kind: Kind::Differs,
            severity: Severity::Critical,
            status: Status::Open,
            role: String::new(),
            values: vec![held("prod", value), held("staging", "old")],
            nodes: ["stg-1".into()].into(),
            since: Timestamp::UNIX_EPOCH,
            summary: String::new(),
            reason: String::new(),
            expected: None,
            parts: Vec::new(),
            acceptance: None,
        }
    }

    fn shell_of(path: &str, value: &str) -> String {
        remedy(&finding(path, value), "", Some(Manager::Apt)).unwrap().shell
    }

    #[test]
    fn each_family_has_its_commands() {
        for (path, value, shell) in [
            (
                "sysctl.net.ipv4.tcp_rmem",
                "4096\t131072\t6291456",
                "printf '%s\\n' 'net.ipv4.tcp_rmem = 4096 131072 6291456' > /etc/sysctl.d/99-zz-evenkeel-net.ipv4.tcp_rmem.conf\n\
                 sysctl -p /etc/sysctl.d/99-zz-evenkeel-net.ipv4.tcp_rmem.conf\n",
            ),
            // A toolchain is installed; a setting that chooses another one changes nothing of what is there.
            ("go.version", "1.21.6", ""),
            ("go.env.GOFLAGS", "-mod=mod -trimpath", "go env -w 'GOFLAGS=-mod=mod -trimpath'\n"),
            ("time.zone", "Europe/Berlin", "timedatectl set-timezone Europe/Berlin\n"),
            (
                "package[openssl].version",
                "3.0.15-1~deb12u1",
                "apt-get install -y --allow-downgrades 'openssl=3.0.15-1~deb12u1'\n",
            ),
            ("kernel.release", "6.1.0-30-amd64", ""),
            ("sysctl.persisted[net.core.somaxconn].value", "4096", ""),
        ] {
            assert_eq!(shell_of(path, value), shell, "{path}");
        }
    }

    #[test]
    fn a_sysctl_is_also_a_file_and_a_task() {
        let remedy = remedy(&finding("sysctl.net.core.somaxconn", "65535"), "", None).unwrap();
        assert_eq!(remedy.file.unwrap().content, "# evenkeel f-1\nnet.core.somaxconn = 65535\n");
        assert_eq!(
            remedy.ansible,
            "- name: !unsafe \"net.core.somaxconn\"\n  ansible.posix.sysctl:\n    name: !unsafe \"net.core.somaxconn\"\n    \
             value: !unsafe \"65535\"\n    sysctl_file: !unsafe \"/etc/sysctl.d/99-zz-evenkeel-net.core.somaxconn.conf\"\n    \
             sysctl_set: true\n    state: present\n"
        );
    }

    /// Promise: where the reference is torn nothing is set to one half of it.
    #[test]
    fn a_torn_reference_is_no_target() {
        let mut torn = finding("sysctl.net.core.somaxconn", "65535");
        torn.values.insert(1, ValueCount { value: Some("4096".into()), ..torn.values[0].clone() });
        assert_eq!(remedy(&torn, "", None).unwrap().value, None);
        torn.values[0].nodes = 2;
        assert_eq!(remedy(&torn, "", None).unwrap().value.as_deref(), Some("65535"));
    }

    /// Promise: what a hostile machine says never becomes part of a command: it is quoted, or refused.
    #[test]
    fn hostile_values_are_quoted_or_refused() {
        assert_eq!(shell_of("go.env.GOFLAGS", "$(id)'; reboot"), "go env -w 'GOFLAGS=$(id)'\\''; reboot'\n");
        for (path, value) in [
            ("sysctl.kernel.core_pattern", "|/bin/sh \u{1b}[2J"),
            ("sysctl.kernel.core_pattern", "core\nkernel.panic = 1"),
            ("sysctl.a;reboot", "1"),
            ("sysctl.../../x", "1"),
            ("go.env.A;B", "1"),
            ("time.zone", "-x"),
            ("package[a b].version", "1"),
            ("package[a].version", "1 -o x"),
        ] {
            let error = remedy(&finding(path, value), "", Some(Manager::Apt)).unwrap_err();
            assert!(matches!(error, CliError::Unquotable { .. }), "{path}: {error}");
        }
    }

    #[test]
    fn an_expectation_is_what_a_violation_gets() {
        let expects = |path: &str, expected: &str| {
            let finding =
                Finding { kind: Kind::Violates, expected: Some(expected.into()), ..finding(path, "1") };
            remedy(&finding, "", None).unwrap().shell
        };
        let key = "sysctl.net.core.somaxconn";
        assert!(expects(key, "65535").starts_with("printf '%s\\n' 'net.core.somaxconn = 65535' >"));
        assert_eq!(expects("time.zone", "Europe/Berlin"), "timedatectl set-timezone Europe/Berlin\n");
        for expected in [">= 65535", "0..1", "65535 or 4096", "one of 1, 2", "/^1/"] {
            assert_eq!(expects(key, expected), "", "{expected}");
        }
    }
}
