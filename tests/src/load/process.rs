//! What a process took: processor and memory, from its files in /proc; and the size of a directory.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use super::LoadError;

/// A process that runs, by its id.
#[derive(Debug, Clone, Copy)]
pub struct Process(pub u32);

/// What a process holds of the memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident.
    pub rss: u64,
    /// Resident, with what is shared divided by its sharers.
    pub pss: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

impl Process {
    /// User and system time so far, to the kernel's tick (10 ms).
    pub fn cpu(self) -> Result<Duration, LoadError> {
        let text = self.read("stat")?;
        Ok(ticks(&text).map_or(Duration::ZERO, |ticks| {
            let a_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100).unsigned_abs();
            Duration::from_millis(ticks * 1000 / a_second)
        }))
    }

    /// Its memory now.
    pub fn memory(self) -> Result<Memory, LoadError> {
        let (status, rollup) = (self.read("status")?, self.read("smaps_rollup")?);
        Ok(Memory {
            rss: field(&status, "VmRSS:"),
            pss: field(&rollup, "Pss:"),
            peak: field(&status, "VmHWM:"),
        })
    }

    fn read(self, file: &str) -> Result<String, LoadError> {
        let path = Path::new("/proc").join(self.0.to_string()).join(file);
        fs::read_to_string(&path).map_err(LoadError::io("read", &path))
    }
}

/// The bytes of all files below a directory whose names begin with `prefix`.
pub fn disk(directory: &Path, prefix: &str) -> Result<u64, LoadError> {
    let entries = fs::read_dir(directory).map_err(LoadError::io("list", directory))?;
    let files = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    Ok(files
        .filter_map(|entry| entry.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|file| file.len())
        .sum())
}

/// `utime` and `stime`: fields 14 and 15 of proc(5); the name in field 2 may hold blanks and brackets.
fn ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// A line `NAME: 123 kB`, in bytes; 0 when it is not there.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        assert_eq!(ticks("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0"), Some(42));
        assert_eq!(ticks("nothing"), None);
        assert_eq!(field("VmHWM:\t  12 kB\nVmRSS:\t  10 kB\n", "VmRSS:"), 10 * 1024);
    }

    #[test]
    fn this_process_is_measured() {
        let process = Process(std::process::id());
        let memory = process.memory().unwrap();
        assert!(memory.rss > 0 && memory.pss > 0 && memory.peak >= memory.rss / 2);
        process.cpu().unwrap();
    }
}
