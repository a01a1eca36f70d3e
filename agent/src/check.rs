//! `evenkeel-agent check`: which sources work here, what cannot be read, why, and what would change that.

mod standing;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_facts::{Observation, Reason, Section};
use evenkeel_sources::{Collected, collect_patiently};

use crate::args;
use crate::collect::open;
use crate::error::AgentError;
use crate::status::Status;

/// Tables fit a terminal of this width.
const WIDTH: usize = 80;
/// As many examples are shown of each reason.
const EXAMPLES: usize = 3;

/// Looks once and gives the text to print.
pub fn run(args: &args::Check) -> Result<String, AgentError> {
    let (host, config) = open(&args.place)?;
    let host = Arc::new(host);
    let seen = tell(&collect_patiently(&host, &config.sources), &config.sources.disable);
    let daemon = Status::read(&config.state_dir).map(|status| format!("\n{}", status.tell()));
    Ok(standing::told(&host) + "\n" + &seen + &daemon.unwrap_or_default())
}

/// What one source could not see, by reason.
type Unreadable<'a> = BTreeMap<Reason, Vec<&'a str>>;

fn tell(collected: &[Collected], disabled: &[String]) -> String {
    let mut text = format!("{:<18}{:>8}{:>12}{:>10}\n", "SOURCE", "FACTS", "UNREADABLE", "MS");
    let mut total = (0, 0, Duration::ZERO);
    for of in collected {
        let facts = facts_of(of);
        let unreadable = unreadable_of(of).values().map(Vec::len).sum();
        row(&mut text, of.source, facts, unreadable, of.took);
        total = (total.0 + facts, total.1 + unreadable, total.2 + of.took);
    }
    row(&mut text, "all", total.0, total.1, total.2);
    for name in disabled {
        let _ = writeln!(text, "{name:<18}disabled by the configuration");
    }
    for of in collected {
        if let Some(fault) = &of.fault {
            let _ = writeln!(
                text,
                "\n{} failed, which is a fault of evenkeel: {}",
                of.source,
                fault.escape_debug()
            );
        }
        for (reason, paths) in unreadable_of(of) {
            explain(&mut text, of.source, reason, &paths);
        }
    }
    text
}

fn row(text: &mut String, source: &str, facts: usize, unreadable: usize, took: Duration) {
    let milliseconds = took.as_secs_f64() * 1000.0;
    let _ = writeln!(text, "{source:<18}{facts:>8}{unreadable:>12}{milliseconds:>10.1}");
}

fn explain(text: &mut String, source: &str, reason: Reason, paths: &[&str]) {
    let _ = writeln!(text, "\n{source}: {} unreadable ({reason})", paths.len());
    for path in paths.iter().take(EXAMPLES) {
        let _ = writeln!(text, "  {}", shortened(path, WIDTH - 2));
    }
    if paths.len() > EXAMPLES {
        let _ = writeln!(text, "  and {} more", paths.len() - EXAMPLES);
    }
    let _ = writeln!(text, "  -> {}", remedy(source, reason));
}

/// What would show it. Each fits behind an arrow.
fn remedy(source: &str, reason: Reason) -> &'static str {
    match (source, reason) {
        // proc_sys_permission() looks at the user alone.
        ("sysctl", Reason::Permission) => "Only root may read these; no capability changes that.",
        ("go_programs", Reason::Permission) => "CAP_SYS_PTRACE shows the programs of other users' processes.",
        ("processes", Reason::Permission) => "CAP_SYS_PTRACE shows what other users' processes run.",
        ("custom", Reason::Permission) => {
            "Whoever may write a program is the agent: let only its owner write it."
        }
        ("custom", Reason::Unsupported) => {
            "Programs run only with execute = true, and only on the machine itself."
        }
        ("custom", Reason::Failed) => "The program ended with another exit code than 0.",
        ("files", Reason::Truncated) => "It is larger than max_bytes in [sources.files].",
        (_, Reason::Permission) => "Read permission for the agent's user would show it.",
        (_, Reason::Namespace) => "The host's own namespaces show these (hostNetwork: true, hostIPC: true).",
        (_, Reason::Sandbox) => "The agent's own sandbox or root hides it: loosen its unit or its mounts.",
        (_, Reason::Malformed) => "The file is not what its format promises: look at it.",
        (_, Reason::Truncated) => "There is more of it than one source may send.",
        (_, Reason::Timeout) => "The source's time was up: a slow disk, or a hung file system?",
        (_, Reason::Io) => "The system answered with an error: see the kernel's log.",
        (_, Reason::Unsupported) => "This machine, or what is mounted of it here, has no way to see it.",
        (_, Reason::Partial) => "What was seen is known; what was not may be there, for the reasons above.",
        (_, Reason::Failed | Reason::NotCollected) => "Please report this, with the line above.",
    }
}

fn facts_of(of: &Collected) -> usize {
    let facts = of.sections.iter().flat_map(Section::facts);
    facts.filter(|(_, observation)| matches!(observation, Observation::Present(_))).count()
}

fn unreadable_of(of: &Collected) -> Unreadable<'_> {
    let mut unreadable = Unreadable::new();
    for (path, observation) in of.sections.iter().flat_map(Section::facts) {
        if let Observation::Unreadable(reason) = observation {
            unreadable.entry(*reason).or_default().push(path.as_str());
        }
    }
    unreadable
}

fn shortened(path: &str, room: usize) -> String {
    if path.chars().count() <= room {
        return path.to_owned();
    }
    path.chars().take(room - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use evenkeel_facts::{FactPath, SectionBuilder};
    use evenkeel_sources::host::Places;

    use super::*;

    #[test]
    fn a_source_that_sees_most_of_it() {
        let mut sysctl = SectionBuilder::new("sysctl.net");
        sysctl.present(FactPath::known("sysctl.net.core.somaxconn"), "4096");
        for name in ["bpf_jit_enable", "bpf_jit_harden", "bpf_jit_kallsyms", "bpf_jit_limit"] {
            sysctl.unreadable(FactPath::known(&format!("sysctl.net.core.{name}")), Reason::Permission);
        }
        let sections = vec![SectionBuilder::new("sysctl").finish(), sysctl.finish()];
        let collected = [Collected {
            source: "sysctl",
            sections,
            took: Duration::from_micros(7_640),
            places: Places::default(),
            fault: None,
            rests: None,
        }];
        assert_eq!(
            tell(&collected, &["hardware".to_owned()]),
            "SOURCE               FACTS  UNREADABLE        MS\n\
             sysctl                   1           4       7.6\n\
             all                      1           4       7.6\n\
             hardware          disabled by the configuration\n\
             \n\
             sysctl: 4 unreadable (permission)\n  \
               sysctl.net.core.bpf_jit_enable\n  \
               sysctl.net.core.bpf_jit_harden\n  \
               sysctl.net.core.bpf_jit_kallsyms\n  \
               and 1 more\n  \
               -> Only root may read these; no capability changes that.\n"
        );
    }

    #[test]
    fn every_line_fits_the_terminal() {
        let long = FactPath::keyed("go.program", &"é".repeat(200));
        let sections = Reason::ALL.iter().map(|reason| {
            let mut section = SectionBuilder::new("go_programs");
            section.unreadable(long.clone(), *reason);
            Collected {
                source: "go_programs",
                sections: vec![section.finish()],
                took: Duration::ZERO,
                places: Places::default(),
                fault: None,
                rests: None,
            }
        });
        let text = tell(&sections.collect::<Vec<_>>(), &[]);
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert_eq!(text.matches(" unreadable (").count(), Reason::ALL.len());
    }
}
