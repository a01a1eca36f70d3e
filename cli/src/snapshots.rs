//! Snapshot files, compared by the engine itself: no collector.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use evenkeel_drift::{Fleet, Node, Policy, Side};
use evenkeel_facts::{Snapshot, snapshot_file};
use evenkeel_runtime::files::{self, FileError};
use evenkeel_runtime::label::is_label;
use jiff::Timestamp;

use crate::error::CliError;

/// The environments that a collector has by default, in their order of promotion.
pub(crate) const KNOWN: [&str; 4] = ["dev", "test", "staging", "prod"];

/// Snapshots as a fleet, and the moment that its report speaks of.
pub struct Files {
    /// The last environment is the reference.
    pub fleet: Fleet,
    /// The built-in policy, or that of `--policy`.
    pub policy: Policy,
    /// When the last of them was taken: a report of files is the same whenever it is made.
    pub as_of: Timestamp,
    /// Whether a host of an environment stands on both sides: they are two moments, and not two places.
    pub are_moments: bool,
}

/// `SNAPSHOT.json`, a directory of them, or either with the environment that it is of in front: `prod=web-1.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The environment, if the caller says it.
    pub environment: Option<String>,
    /// The file or directory.
    pub path: PathBuf,
}

impl Source {
    /// Every text is one.
    pub fn of(text: &str) -> Self {
        let (environment, path) = match text.split_once('=') {
            Some((environment, path)) if is_label(environment) => (Some(environment.to_owned()), path),
            _ => (None, text),
        };
        Self { environment, path: path.strip_prefix("file:").unwrap_or(path).into() }
    }
}

impl FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::of(text))
    }
}

impl Files {
    /// Two sides, each a file or a directory. The second is the reference.
    pub fn pair(a: &Path, b: &Path, policy: Option<&Path>) -> Result<Self, CliError> {
        let policy = read_policy(policy)?;
        let (mut first, mut second) = (read_all(a)?, read_all(b)?);
        let labels = labels((a, &first), (b, &second));
        let hosts: BTreeSet<String> = first.iter().map(|(_, snapshot)| snapshot.host.clone()).collect();
        let are_moments = first.iter().any(|(_, one)| {
            let again = |(_, other): &(_, Snapshot)| {
                (&one.host, &one.environment) == (&other.host, &other.environment)
            };
            one.environment.is_some() && second.iter().any(again)
        });
        if second.iter().any(|(_, snapshot)| hosts.contains(&snapshot.host)) {
            // One host at two times, or two that cannot be told apart by name.
            for (side, label) in [(&mut first, &labels[0]), (&mut second, &labels[1])] {
                let only = side.len() == 1;
                for (_, snapshot) in side {
                    snapshot.host = if only { label.clone() } else { format!("{label}/{}", snapshot.host) };
                }
            }
        }
        let as_of = latest(first.iter().chain(&second));
        let sides = [first, second].into_iter().zip(labels).map(|(snapshots, label)| {
            let nodes = snapshots.into_iter().map(|(_, snapshot)| Arc::new(Node::of_snapshot(snapshot)));
            Side { label, nodes: nodes.collect() }
        });
        Ok(Self { fleet: Fleet::of_sides(sides.collect()), policy, as_of, are_moments })
    }

    /// Each snapshot under the environment that the caller names for it, or that it names itself, or this one.
    pub fn of(sources: &[Source], unnamed: Option<&str>, policy: Option<&Path>) -> Result<Self, CliError> {
        let policy = read_policy(policy)?;
        let mut all = Vec::new();
        for Source { environment, path } in sources {
            for (path, mut snapshot) in read_all(path)? {
                if let Some(environment) = environment {
                    snapshot.environment = Some(environment.clone());
                }
                if snapshot.environment.is_none() {
                    snapshot.environment = unnamed.map(str::to_owned);
                }
                if snapshot.environment.is_none() {
                    return Err(CliError::NoEnvironment { path });
                }
                all.push((path, snapshot));
            }
        }
        let as_of = latest(all.iter());
        let mut fleet = Fleet { environments: promotion(&all), ..Fleet::default() };
        let mut hosts: HashMap<(String, String), u32> = HashMap::new();
        for (path, mut snapshot) in all {
            let environment = snapshot.environment.take().unwrap_or_default();
            let seen = hosts.entry((environment.clone(), snapshot.host.clone())).or_default();
            *seen += 1;
            if *seen > 1 {
                snapshot.host = format!("{} ({})", snapshot.host, file_name(&path).display());
            }
            let at = fleet.environments.iter().position(|known| **known == *environment).unwrap_or_default();
            fleet.nodes.insert(Arc::new(Node { environment: at, ..Node::of_snapshot(snapshot) }));
        }
        Ok(Self { fleet, policy, as_of, are_moments: false })
    }

    /// What the two sides are called in the report.
    pub fn names(&self) -> [&str; 2] {
        [&self.fleet.environments[0], &self.fleet.environments[1]]
    }
}

/// Reads one file.
pub fn read(path: &Path) -> Result<Snapshot, CliError> {
    let json = files::read(path).map_err(CliError::Input)?;
    snapshot_file::from_json(&json).map_err(|source| CliError::Snapshot { path: path.to_owned(), source })
}

/// One file, or every `*.json` of a directory, by name.
fn read_all(path: &Path) -> Result<Vec<(PathBuf, Snapshot)>, CliError> {
    if !path.is_dir() {
        return Ok(vec![(path.to_owned(), read(path)?)]);
    }
    let entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut paths: Vec<PathBuf> =
        entries.map_err(FileError::io("read", path))?.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension() == Some(OsStr::new("json")));
    paths.sort();
    if paths.is_empty() {
        return Err(CliError::NoSnapshots { path: path.to_owned() });
    }
    paths.into_iter().map(|path| read(&path).map(|snapshot| (path, snapshot))).collect()
}

fn read_policy(path: Option<&Path>) -> Result<Policy, CliError> {
    let Some(path) = path else { return Ok(Policy::default_policy()) };
    let text = String::from_utf8(files::read(path).map_err(CliError::Input)?)
        .map_err(|_| FileError::content(path, "it is not text in UTF-8".to_owned()))?;
    let checked = Policy::check(&text, &KNOWN);
    Ok(checked.map_err(|source| CliError::Policy { path: path.to_owned(), source })?.policy)
}

fn latest<'a>(snapshots: impl Iterator<Item = &'a (PathBuf, Snapshot)>) -> Timestamp {
    snapshots.map(|(_, snapshot)| snapshot.taken_at).max().unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The environments in their order of promotion: those that are not known by name come first, in order of name.
fn promotion(snapshots: &[(PathBuf, Snapshot)]) -> Vec<Arc<str>> {
    let place = |name: &str| KNOWN.iter().position(|known| *known == name).map_or(0, |at| at + 1);
    let names = snapshots.iter().filter_map(|(_, snapshot)| snapshot.environment.as_deref());
    let ordered: BTreeSet<(usize, &str)> = names.map(|name| (place(name), name)).collect();
    ordered.into_iter().map(|(_, name)| name.into()).collect()
}

/// Environments where they tell the two apart; else the names of the files; else their paths.
fn labels(a: (&Path, &[(PathBuf, Snapshot)]), b: (&Path, &[(PathBuf, Snapshot)])) -> [String; 2] {
    let environment = |side: &[(PathBuf, Snapshot)]| {
        let of = |(_, snapshot): &(PathBuf, Snapshot)| snapshot.environment.clone();
        let first = side.first().and_then(of)?;
        side.iter().all(|each| of(each).as_ref() == Some(&first)).then_some(first)
    };
    match (environment(a.1), environment(b.1)) {
        (Some(a), Some(b)) if a != b => return [a, b],
        _ => {}
    }
    let paths = match [file_name(a.0), file_name(b.0)] {
        [a_name, b_name] if a_name == b_name => [a.0.to_owned(), b.0.to_owned()],
        names => names,
    };
    paths.map(|path| path.display().to_string())
}

fn file_name(path: &Path) -> PathBuf {
    path.file_name().map_or_else(|| PathBuf::from(path), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_may_say_its_environment() {
        let source = |text: &str| text.parse::<Source>().unwrap();
        assert_eq!(source("a.json"), Source { environment: None, path: "a.json".into() });
        assert_eq!(
            source("prod=file:a.json"),
            Source { environment: Some("prod".into()), path: "a.json".into() }
        );
        assert_eq!(
            source("/Some Dir/a=b.json"),
            Source { environment: None, path: "/Some Dir/a=b.json".into() }
        );
    }
}
