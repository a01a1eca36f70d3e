//! `evenkeel scan`: snapshots of hosts over the user's own `ssh`, for a team without a collector.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use evenkeel_facts::{Observation, Section, Snapshot, snapshot_file};
use evenkeel_render::scanned::{Scanned, ScannedHost};
use evenkeel_runtime::label::is_label;
use evenkeel_runtime::{duration, exit, files};

use super::Context;
use crate::error::CliError;
use crate::scan::{Agent, Way, look, why};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "evenkeel scan --env ENV [OPTIONS] HOST... -o DIR",
    after_help = "HOST is what your own ssh takes: your configuration, keys and known hosts hold. An agent that is\n\
    installed there is used; else this one is brought along and removed again. -o DIR is where the\n\
    snapshots go, for `evenkeel report DIR`, `diff file:DIR ...` and `gate file:DIR ...`."
)]
pub struct Scan {
    /// The hosts
    #[arg(value_name = "HOST", required = true, value_parser = host)]
    hosts: Vec<String>,
    /// The environment that they are of
    #[arg(long = "env", value_name = "ENV", value_parser = label)]
    environment: String,
    /// The role that says which hosts should look alike
    #[arg(long, default_value = "", hide_default_value = true, value_parser = role)]
    role: String,
    /// Look as root, through `sudo -n`: some facts only root may read
    #[arg(long)]
    sudo: bool,
    /// The agent to bring along, even where one is installed [default: the one beside this program, where none is]
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// So many hosts at a time. With 1 ssh may ask for passwords; with more it may not
    #[arg(long, value_name = "N", default_value = "8")]
    jobs: NonZeroUsize,
    /// When to give a host up
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration::parse)]
    timeout: Duration,
    /// What to call, with its first arguments
    #[arg(long, value_name = "COMMAND", default_value = "ssh")]
    ssh: String,
}

pub(super) fn run(context: &Context, outputs: &[String], arguments: Scan) -> Result<u8, CliError> {
    let Scan { hosts, environment, role, sudo, agent, jobs, timeout, ssh } = arguments;
    let [directory] = outputs else { return Err(CliError::NoDirectory) };
    let directory = PathBuf::from(directory);
    let names = file_names(&hosts)?;
    let mut ssh: Vec<String> = ssh.split_whitespace().map(str::to_owned).collect();
    if jobs.get() > 1 && hosts.len() > 1 {
        // Several questions at one terminal cannot be answered.
        ssh.extend(["-o".to_owned(), "BatchMode=yes".to_owned()]);
    }
    let way = Way { ssh, sudo, own_agent: agent.is_some(), timeout };
    let agent = Agent::find(agent.as_deref());
    files::own_directory(&directory)?;

    let one = |at: usize| -> Result<(String, u64, u64), String> {
        let snapshot = look(&hosts[at], &way, &agent).map_err(|error| why(&error))?;
        let snapshot = Snapshot { environment: Some(environment.clone()), role: role.clone(), ..snapshot };
        let path = directory.join(&names[at]);
        files::replace(&path, snapshot_file::to_json(&snapshot).as_bytes())
            .map_err(|error| exit::chain(&error))?;
        let (facts, unreadable) = counts(&snapshot);
        Ok((path.display().to_string(), facts, unreadable))
    };
    let outcomes = side_by_side(hosts.len(), jobs.get(), one);
    let failed = outcomes.iter().any(Result::is_err);
    let scanned = hosts.into_iter().zip(outcomes).map(|(host, outcome)| ScannedHost { host, outcome });
    context
        .console
        .show(&mut Scanned { directory: directory.display().to_string(), hosts: scanned.collect() })?;
    Ok(if failed { exit::ERROR } else { exit::DONE })
}

/// Does each of so many things once, at most so many at a time; the results stand in order.
fn side_by_side<T: Send>(number: usize, most: usize, one: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let waiting = Mutex::new(0..number);
    let done = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..most.min(number) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(at) = next else { return };
                    let outcome = one(at);
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(at, outcome);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

fn counts(snapshot: &Snapshot) -> (u64, u64) {
    let facts = || snapshot.sections.iter().flat_map(Section::facts);
    let unreadable = facts().filter(|(_, observation)| matches!(observation, Observation::Unreadable(_)));
    (facts().count() as u64, unreadable.count() as u64)
}

/// `web-1.json` of `deploy@web-1`; two hosts must not share a file.
fn file_names(hosts: &[String]) -> Result<Vec<String>, CliError> {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    let mut names = Vec::new();
    for host in hosts {
        let bare = host.rsplit_once('@').map_or(host.as_str(), |(_, bare)| bare);
        let keep = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
        let name = format!("{}.json", bare.chars().map(keep).collect::<String>().trim_start_matches('.'));
        if let Some(other) = taken.insert(name.clone(), host) {
            return Err(CliError::SameFile {
                hosts: [other.to_owned(), host.clone()],
                file: Path::new(&name).to_owned(),
            });
        }
        names.push(name);
    }
    Ok(names)
}

/// What begins with a dash would be an option of ssh.
fn host(text: &str) -> Result<String, String> {
    if text.is_empty()
        || text.starts_with('-')
        || text.contains(|c: char| c.is_whitespace() || c.is_control())
    {
        return Err("a host is what ssh takes: a name, an address or USER@HOST".to_owned());
    }
    Ok(text.to_owned())
}

fn label(text: &str) -> Result<String, String> {
    if is_label(text) {
        Ok(text.to_owned())
    } else {
        Err("a name is 1 to 253 of a-z, 0-9, '.', '_' and '-'".to_owned())
    }
}

fn role(text: &str) -> Result<String, String> {
    if text.is_empty() { Ok(String::new()) } else { label(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_its_host() {
        let names =
            |hosts: &[&str]| file_names(&hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            names(&["web-1", "root@db.example", "::1"]).unwrap(),
            ["web-1.json", "db.example.json", "--1.json"]
        );
        assert_eq!(
            names(&["a@web-1", "b@web-1"]).unwrap_err().to_string(),
            "a@web-1 and b@web-1 would both be written to web-1.json"
        );
    }

    #[test]
    fn every_host_is_looked_at_once_and_in_order() {
        let running = Mutex::new((0, 0));
        let results = side_by_side(50, 4, |at| {
            let mut now = running.lock().unwrap();
            now.0 += 1;
            now.1 = now.1.max(now.0);
            drop(now);
            thread::yield_now();
            running.lock().unwrap().0 -= 1;
            at
        });
        assert_eq!(results, (0..50).collect::<Vec<_>>());
        assert!(running.lock().unwrap().1 <= 4);
    }
}
