//! `evenkeel-agent collect`: one snapshot on stdout, no collector needed.

use std::sync::Arc;

use evenkeel_facts::{Section, Snapshot, snapshot_file};
use evenkeel_runtime::label;
use evenkeel_sources::{Host, collect_patiently, identity};
use jiff::Timestamp;

use crate::args::{self, Output, Place};
use crate::config::AgentConfig;
use crate::error::AgentError;

/// The version that snapshots carry.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Looks once and gives the text to print.
pub fn run(args: &args::Collect) -> Result<String, AgentError> {
    let (host, config) = open(&args.place)?;
    let taken_at = Timestamp::now();
    let host = Arc::new(host);
    let seen = collect_patiently(&host, &config.sources);
    let mut sections: Vec<_> = seen.into_iter().flat_map(|of| of.sections).collect();
    sections.sort_by(|a, b| a.name().cmp(b.name()));
    match args.output {
        Output::Json => Ok(snapshot_file::to_json(&snapshot(&host, taken_at, sections))),
    }
}

/// The machine to look at, and how.
pub(crate) fn open(place: &Place) -> Result<(Host, AgentConfig), AgentError> {
    let config = AgentConfig::load(place.config.as_deref())?;
    let host = Host::at(&place.root).map_err(AgentError::Host)?;
    Ok((host, config))
}

/// The snapshot of a machine that is in no environment yet.
pub fn snapshot(host: &Host, taken_at: Timestamp, sections: Vec<Section>) -> Snapshot {
    Snapshot {
        taken_at,
        agent: VERSION.to_owned(),
        host: label::from_host_name(&identity::host_name(host).unwrap_or_default()),
        environment: None,
        role: String::new(),
        sections,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_a_snapshot_of_this_machine() {
        let place = Place { root: "/".into(), config: None };
        let json = run(&args::Collect { place, output: Output::Json }).unwrap();
        let snapshot = snapshot_file::from_json(json.as_bytes()).unwrap();
        assert_eq!(snapshot.agent, VERSION);
        let names: Vec<_> = snapshot.sections.iter().map(Section::name).collect();
        for source in evenkeel_sources::SOURCES {
            assert!(names.contains(&source.name()), "no section {} in {names:?}", source.name());
        }
    }
}
