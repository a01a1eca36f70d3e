//! The process itself, under the names that Prometheus' own clients have for it. Read when it is asked for, from `/proc/self`;
//! what cannot be read is left out.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{SysconfVar, sysconf};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// This process.
#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let stat = fs::read_to_string("/proc/self/stat").ok();
        if let Some(stat) = stat.as_deref().and_then(Stat::parse) {
            let ticks = number(sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100));
            let cpu = ConstCounter::new(stat.cpu_ticks / ticks);
            let kind = cpu.metric_type();
            cpu.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                "Processor time, of users and system",
                None,
                kind,
            )?)?;
            let page = number(sysconf(SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096));
            let mut gauges = vec![
                ("process_resident_memory_bytes", "Memory that is resident", stat.resident_pages * page),
                ("process_virtual_memory_bytes", "Memory that is mapped", stat.virtual_bytes),
                ("process_threads", "Threads", stat.threads),
            ];
            if let Some(boot) = fs::read_to_string("/proc/stat").ok().as_deref().and_then(boot_time) {
                let began = boot + stat.start_ticks / ticks;
                gauges.push(("process_start_time_seconds", "When it was started, since 1970", began));
            }
            for (name, help, value) in gauges {
                gauge(&mut encoder, name, help, value)?;
            }
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // Less the one that is open to look.
            let open = number(i64::try_from(open.count()).unwrap_or(i64::MAX) - 1);
            gauge(&mut encoder, "process_open_fds", "Open descriptors", open)?;
        }
        if let Ok((most, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
            let most = number(i64::try_from(most).unwrap_or(i64::MAX));
            gauge(&mut encoder, "process_max_fds", "Descriptors that may be open", most)?;
        }
        Ok(())
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: f64,
) -> Result<(), std::fmt::Error> {
    let gauge = ConstGauge::new(value);
    let kind = gauge.metric_type();
    gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers")]
fn number(count: i64) -> f64 {
    count as f64
}

/// What `/proc/self/stat` says (proc_pid_stat(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: f64,
    threads: f64,
    /// Since boot.
    start_ticks: f64,
    virtual_bytes: f64,
    resident_pages: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name may hold anything, also blanks and brackets; it ends at the last one.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Counted as in the manual, from 1; the first one behind the name is the third.
        let field = |place: usize| fields.get(place - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_moves_no_field() {
        let text =
            "7 (a) b) 3 S 1 7 7 0 -1 4194560 900 0 2 0 150 50 0 0 20 0 9 0 12345 10485760 2048 184 1\n";
        let expected = Stat {
            cpu_ticks: 200.0,
            threads: 9.0,
            start_ticks: 12345.0,
            virtual_bytes: 10_485_760.0,
            resident_pages: 2048.0,
        };
        assert_eq!(Stat::parse(&text.replace("b) 3 S", "b) S")), Some(expected));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_000.0));
    }
}
