//! One real machine's facts: the shape of every simulated node.

use std::sync::Arc;

use evenkeel_facts::{FactPath, Observation, Section, SectionBuilder};
use evenkeel_sources::{Host, SourcesConfig, collect_all};

use super::content::{Content, with};

/// How many facts a node has at least: the budgets speak of so many.
pub const FACTS: usize = 1_500;

/// Facts that seeds change: every node has them, with these values, whatever the machine below says.
pub const COMMON: &[(&str, &str, &str)] = &[
    ("sysctl.net", "sysctl.net.core.somaxconn", "4096"),
    ("sysctl.net", "sysctl.net.ipv4.tcp_syncookies", "1"),
    ("sysctl.vm", "sysctl.vm.swappiness", "60"),
    ("sysctl.fs", "sysctl.fs.protected_hardlinks", "1"),
    ("sysctl.kernel", "sysctl.kernel.panic", "0"),
    ("libc", "glibc.version", "2.36"),
    ("time", "time.zone", "Etc/UTC"),
];

/// One machine's contents, by name, without its identity.
#[derive(Debug, Clone)]
pub struct Template {
    /// The contents, by name.
    pub contents: Vec<Arc<Content>>,
}

impl Template {
    /// What the agent's sources see of this machine, filled up to [`FACTS`] facts where it has fewer.
    pub fn of_this_machine() -> Self {
        Self::of(collect_all(&Host::live(), &SourcesConfig::default()))
    }

    /// A machine with these sections.
    pub fn of(sections: Vec<Section>) -> Self {
        let mut contents: Vec<_> =
            sections.into_iter().filter(|section| section.source() != "identity").map(Content::new).collect();
        for (name, path, value) in COMMON {
            let (path, value) = (FactPath::known(path), Observation::Present((*value).into()));
            match contents.iter_mut().find(|content| content.section.name() == *name) {
                Some(content) => *content = with(&content.section, &path, &value),
                None => contents.push(with(&SectionBuilder::new(name).finish(), &path, &value)),
            }
        }
        let count =
            |contents: &[Arc<Content>]| contents.iter().map(|content| content.section.facts().len()).sum();
        let facts: usize = count(&contents);
        if facts < FACTS {
            contents.push(Content::new(filler(FACTS - facts)));
        }
        contents.sort_by(|a, b| a.section.name().cmp(b.section.name()));
        Self { contents }
    }

    /// How many facts it has.
    pub fn facts(&self) -> usize {
        self.contents.iter().map(|content| content.section.facts().len()).sum()
    }

    /// How many facts its package manager's database gave.
    pub fn packages(&self) -> usize {
        let of = |content: &&Arc<Content>| content.section.name() == "packages";
        self.contents.iter().find(of).map_or(0, |content| content.section.facts().len())
    }

    /// The index of the content that holds a path.
    pub fn place(&self, path: &str) -> Option<usize> {
        self.contents.iter().position(|content| content.section.find(path).is_some())
    }
}

/// What a small machine (a container, a recorded host) lacks: facts as a module list of one more Go program.
fn filler(count: usize) -> Section {
    let mut section = SectionBuilder::new("custom");
    for number in 0..count {
        section
            .present(FactPath::known(&format!("custom.module{number:04}.version")), format!("v1.{number}.0"));
    }
    section.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_machine_is_filled_up_and_a_seeded_fact_is_found() {
        let template = Template::of(Vec::new());
        assert_eq!(template.facts(), FACTS);
        for (section, path, _) in COMMON {
            let place = template.place(path).unwrap();
            assert_eq!(template.contents[place].section.name(), *section);
        }
        assert_eq!(template.place("os.nothing"), None);
    }
}
