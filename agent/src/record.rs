//! `evenkeel-agent record`: this machine as a small, redacted, replayable test host.

use std::fmt::Write as _;

use evenkeel_facts::Observation;
use evenkeel_runtime::label;
use evenkeel_sources::recording::{self, Recording};

use crate::args;
use crate::collect::open;
use crate::error::AgentError;

/// As many differences are shown.
const SHOWN: usize = 20;

/// Records and gives the text to print.
pub fn run(args: &args::Record) -> Result<String, AgentError> {
    let (host, config) = open(&args.place)?;
    let name = args.name.clone().unwrap_or_else(|| {
        let last = args.directory.file_name().map(|name| name.to_string_lossy().into_owned());
        last.unwrap_or_default()
    });
    let name = label::from_host_name(&name);
    let recording =
        recording::record(host, &config.sources, &args.directory, &name).map_err(AgentError::Record)?;
    Ok(summary(&recording, &name, &args.directory.display().to_string()))
}

fn summary(recording: &Recording, name: &str, directory: &str) -> String {
    let Recording { files, bytes, differences } = recording;
    let mut text =
        format!("Recorded as {name}: {files} files, {} KiB, in {directory}\n", bytes.div_ceil(1024));
    if differences.is_empty() {
        text.push_str("It replays as it was seen, but for what is unique to a machine.\n");
    } else {
        let _ = writeln!(text, "{} facts replay otherwise than they were seen:", differences.len());
        for difference in differences.iter().take(SHOWN) {
            let (seen, replayed) = (in_words(&difference.seen), in_words(&difference.replayed));
            let _ = writeln!(text, "  {}: seen {seen}, replayed {replayed}", difference.path);
        }
        if differences.len() > SHOWN {
            let _ = writeln!(text, "  and {} more", differences.len() - SHOWN);
        }
    }
    let _ = writeln!(text, "Next: evenkeel-agent collect --root {directory}");
    text
}

/// A value is quoted and escaped: it comes from the machine.
fn in_words(observation: &Observation) -> String {
    match observation {
        Observation::Present(value) => format!("{:?}", value.to_string()),
        Observation::Absent => "nothing".to_owned(),
        Observation::Unreadable(reason) => format!("unreadable ({reason})"),
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_facts::FactPath;
    use evenkeel_sources::recording::Difference;

    use super::*;

    #[test]
    fn a_difference_is_named() {
        let difference = Difference {
            path: FactPath::known("sysctl.vm.swappiness"),
            seen: Observation::Present("60\u{1b}".into()),
            replayed: Observation::Absent,
        };
        let recording = Recording { files: 2, bytes: 1025, differences: vec![difference] };
        assert_eq!(
            summary(&recording, "web-1", "hosts/web-1"),
            "Recorded as web-1: 2 files, 2 KiB, in hosts/web-1\n\
             1 facts replay otherwise than they were seen:\n  \
             sysctl.vm.swappiness: seen \"60\\u{1b}\", replayed nothing\n\
             Next: evenkeel-agent collect --root hosts/web-1\n"
        );
    }
}
