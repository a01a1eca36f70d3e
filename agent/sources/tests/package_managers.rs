//! Source `packages` against the package managers themselves: what `dpkg-query -W` and `rpm -qa` say of real databases.

#![expect(clippy::print_stderr, reason = "a skipped test must say so")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use evenkeel_facts::Observation;
use evenkeel_sources::packages::Packages;
use evenkeel_sources::recording::record;
use evenkeel_sources::{Budget, Host, Source as _, SourcesConfig};
use tempfile::TempDir;

/// Promise: installed packages and their versions are what dpkg says, of this machine and of other releases.
#[test]
fn dpkg_says_the_same() {
    if run(Command::new("dpkg-query").arg("--version")).is_err() {
        return skipped("dpkg_says_the_same", "there is no dpkg-query");
    }
    let roots = ["bullseye", "trixie"].map(|release| cache().join(format!("root-{release}")));
    for root in roots.into_iter().filter(|root| root.exists()).chain(["/".into()]) {
        let said = run(Command::new("dpkg-query").arg("--admindir").arg(root.join("var/lib/dpkg")).args([
            "-W",
            "-f",
            "${db:Status-Status} ${Package} ${Architecture} ${Version}\n",
        ]))
        .unwrap();
        let installed = said.lines().filter_map(|line| line.strip_prefix("installed "));
        let truth = truth(installed, "dpkg", "all");
        assert!(truth.len() > 80, "{} has only {truth:?}", root.display());
        assert_eq!(seen(&root), truth, "{}", root.display());
    }
}

/// Promise: both forms of rpm's database are read as rpm reads them: epochs, foreign architectures, several versions
/// side by side, upgraded and removed packages. A recording of the host says the same.
#[test]
fn rpm_says_the_same() {
    let root = cache().join("root-trixie-rpm");
    if !root.join("usr/bin/rpm").exists() {
        return skipped("rpm_says_the_same", "there is no root with rpm; tests/hosts/install.sh makes it");
    }
    let made = TempDir::new().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/hosts/rpm-databases.sh");
    run(Command::new(script).arg(&root).arg(made.path())).unwrap();
    for form in ["sqlite", "ndb"] {
        let said = fs::read_to_string(made.path().join(form).with_extension("txt")).unwrap();
        let truth = truth(said.lines(), "plain-1", "noarch");
        assert_eq!(truth["kernel"], "6.18.1-200 | 6.18.2-200");
        assert_eq!(truth["epochal"], "32:3.0-2");
        assert!(truth.len() > 100 && truth.contains_key("foreign:i686") && !truth.contains_key("removed"));
        let host = made.path().join(form);
        assert_eq!(seen(&host), truth, "{form}");

        let recorded = TempDir::new().unwrap();
        let disable = vec!["go_programs".into()];
        let config = SourcesConfig { disable, ..SourcesConfig::default() };
        assert_eq!(
            record(Host::at(&host).unwrap(), &config, recorded.path(), "rpm").unwrap().differences,
            []
        );
        assert_eq!(seen(recorded.path()), truth, "{form}, recorded");
    }
}

/// Key and version of each package, from lines of name, architecture and version.
fn truth<'a>(lines: impl Iterator<Item = &'a str>, own: &str, every: &str) -> BTreeMap<String, String> {
    let mut lines: Vec<Vec<&str>> = lines.map(|line| line.split(' ').collect()).collect();
    lines.sort();
    let native = lines.iter().find(|line| line[0] == own).map(|line| line[1]).unwrap_or_default();
    let mut truth = BTreeMap::<String, String>::new();
    for line in &lines {
        let key = if [native, every].contains(&line[1]) {
            line[0].to_owned()
        } else {
            format!("{}:{}", line[0], line[1])
        };
        truth.entry(key).and_modify(|known| known.extend([" | ", line[2]])).or_insert(line[2].to_owned());
    }
    truth
}

fn seen(root: &Path) -> BTreeMap<String, String> {
    let budget = Budget::new(Duration::from_secs(60), 4 << 20);
    let sections = Packages.collect(&Host::at(root).unwrap(), &SourcesConfig::default(), &budget);
    let key = |path: &str| {
        path.strip_prefix("package[").and_then(|rest| rest.strip_suffix("].version")).map(str::to_owned)
    };
    let facts = sections[0].facts().iter().map(|(path, observation)| match observation {
        Observation::Present(value) => (key(path.as_str()).unwrap_or(path.to_string()), value.to_string()),
        other => panic!("{path}: {other:?}"),
    });
    facts.collect()
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Where `tests/hosts/install.sh` keeps roots.
fn cache() -> PathBuf {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os("EVENKEEL_TEST_CACHE").map_or(tree.join("tests/.cache"), |cache| tree.join(cache))
}

fn skipped(test: &str, why: &str) {
    assert!(std::env::var_os("EVENKEEL_REQUIRE_HOSTS").is_none(), "{test} cannot run: {why}");
    eprintln!("{test}: skipped: {why}");
}
