//! Source `hardware`: processors and memory, the inputs of the formulas by which the kernel derives its defaults.
//!
//! On the live machine by sysinfo, whose paths are fixed at /proc; on other roots from their `/proc/cpuinfo` and
//! `/proc/meminfo`. Both ways give the same facts, which a test holds them to.

use std::io;

use evenkeel_facts::{FactPath, Reason, Section, SectionBuilder};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use crate::host::Access;
use crate::{Budget, Declared, Host, Source, SourcesConfig};

/// About 1.5 KB a processor; machines with 1,024 exist.
const MAX_CPUINFO_BYTES: usize = 4 * 1024 * 1024;
const MAX_MEMINFO_BYTES: usize = 64 * 1024;

#[rustfmt::skip]
const DECLARED: &[Declared] = &[
    Declared { path: "hardware.cpu.count", what: "processors that are online", from: "/proc/cpuinfo" },
    Declared { path: "hardware.cpu.model", what: "their model", from: "/proc/cpuinfo" },
    Declared { path: "hardware.memory.bytes", what: "memory that the kernel manages, in bytes", from: "/proc/meminfo" },
];

/// See the module.
#[derive(Debug)]
pub struct Hardware;

impl Source for Hardware {
    fn name(&self) -> &'static str {
        "hardware"
    }

    fn top_paths(&self) -> &'static [&'static str] {
        &["hardware"]
    }

    fn declares(&self) -> &'static [Declared] {
        DECLARED
    }

    fn collect(&self, host: &Host, _: &SourcesConfig, _: &Budget) -> Vec<Section> {
        let mut section = SectionBuilder::new("hardware");
        // A host that is being recorded must see what is read.
        match if host.is_live() && !host.is_remembering() { by_sysinfo(host) } else { None } {
            Some((cpus, bytes)) => {
                note_cpus(&mut section, cpus);
                section.present(FactPath::known("hardware.memory.bytes"), bytes);
            }
            None => {
                by_files(host, &mut section);
            }
        }
        vec![section.finish()]
    }
}

/// The processors that are online, and what the first one is called (ARM processors have only numbers).
#[derive(Debug, PartialEq, Eq)]
struct Cpus {
    count: u64,
    model: Option<String>,
}

fn by_sysinfo(host: &Host) -> Option<(Cpus, u64)> {
    for file in ["/proc/cpuinfo", "/proc/meminfo"] {
        host.note_place(file.as_ref(), Access::Content);
    }
    let what = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(what).ok()?;
    let count = system.cpus().len() as u64;
    let model =
        system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).filter(|model| !model.is_empty());
    (count > 0 && system.total_memory() > 0).then(|| (Cpus { count, model }, system.total_memory()))
}

fn by_files(host: &Host, section: &mut SectionBuilder) {
    let why = |error: io::Error| Reason::of_io(&error).unwrap_or_else(|| host.why_not_in_proc());
    match host
        .read_text("/proc/cpuinfo", MAX_CPUINFO_BYTES)
        .map_err(why)
        .and_then(|text| parse_cpuinfo(&text))
    {
        Ok(cpus) => note_cpus(section, cpus),
        Err(reason) => {
            section.unreadable(FactPath::known("hardware.cpu"), reason);
        }
    }
    match host
        .read_text("/proc/meminfo", MAX_MEMINFO_BYTES)
        .map_err(why)
        .and_then(|text| parse_meminfo(&text))
    {
        Ok(bytes) => section.present(FactPath::known("hardware.memory.bytes"), bytes),
        Err(reason) => section.unreadable(FactPath::known("hardware.memory"), reason),
    };
}

fn note_cpus(section: &mut SectionBuilder, Cpus { count, model }: Cpus) {
    section.present(FactPath::known("hardware.cpu.count"), count);
    if let Some(model) = model {
        section.present(FactPath::known("hardware.cpu.model"), model);
    }
}

fn parse_cpuinfo(text: &str) -> Result<Cpus, Reason> {
    let values = |name: &'static str| {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .filter(move |(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim())
    };
    let count = values("processor").filter(|number| number.parse::<u32>().is_ok()).count() as u64;
    let model = values("model name").next().filter(|model| !model.is_empty()).map(str::to_owned);
    if count == 0 { Err(Reason::Malformed) } else { Ok(Cpus { count, model }) }
}

/// `MemTotal:` in bytes. The kernel prints units of 1,024 bytes and calls them kB.
fn parse_meminfo(text: &str) -> Result<u64, Reason> {
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    total.and_then(|number| number.trim().parse::<u64>().ok()?.checked_mul(1024)).ok_or(Reason::Malformed)
}

/// The lines of `/proc/cpuinfo` or `/proc/meminfo` that are read, for recorded hosts.
pub(crate) fn redacted(text: &str) -> String {
    let read =
        |line: &&str| ["processor", "model name", "MemTotal:"].iter().any(|name| line.starts_with(name));
    text.lines().filter(read).fold(String::new(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysinfo_and_files_say_the_same() {
        let mut files = SectionBuilder::new("hardware");
        by_files(&Host::live(), &mut files);
        let live = Hardware.collect(
            &Host::live(),
            &SourcesConfig::default(),
            &Budget::new(crate::source::DEADLINE, 1 << 20),
        );
        assert_eq!(live, [files.finish()]);
    }

    #[test]
    fn processors_are_counted_and_the_first_one_named() {
        let x86 = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) @ 2.80GHz\n\nprocessor\t: 1\nmodel name\t: other\n";
        assert_eq!(
            parse_cpuinfo(x86),
            Ok(Cpus { count: 2, model: Some("Intel(R) Xeon(R) @ 2.80GHz".into()) })
        );
        let arm = "processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\nProcessor\t: AArch64\n";
        assert_eq!(parse_cpuinfo(arm), Ok(Cpus { count: 1, model: None }));
        assert_eq!(parse_cpuinfo(""), Err(Reason::Malformed));
    }

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(parse_meminfo("MemTotal:       24633188 kB\nMemFree: 1 kB\n"), Ok(25_224_384_512));
        for text in ["", "MemTotal: x kB", "MemTotal: 18446744073709551615 kB"] {
            assert_eq!(parse_meminfo(text), Err(Reason::Malformed), "{text:?}");
        }
    }
}
