//! Damaged and hostile contents of every file that a source parses: no panic, no endless work, whatever stands in it.
//!
//! Each directory of `fuzz/` is a target with its seeds. First every seed is given to the source as it is, then damaged
//! ones, always the same: `make fuzz` goes on for ten minutes a target, from another beginning each time. An input that
//! makes a source panic is kept beside the seeds, as `crash-…`, to be committed with the fix.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::panic;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use evenkeel_sources::{Collected, Host, SourcesConfig, collect_some};
use tempfile::TempDir;

/// A file below the root, the source that parses it, and its directory of seeds.
const TARGETS: &[(&str, &str, &str)] = &[
    ("os_release", "etc/os-release", "os"),
    ("dpkg_status", "var/lib/dpkg/status", "packages"),
    ("rpm_sqlite", "var/lib/rpm/rpmdb.sqlite", "packages"),
    ("rpm_ndb", "usr/lib/sysimage/rpm/Packages.db", "packages"),
    ("apk_installed", "lib/apk/db/installed", "packages"),
    ("sysctl_d", "etc/sysctl.d/50-x.conf", "sysctl"),
    ("grub_cfg", "boot/grub/grub.cfg", "kernel"),
    ("loader_entry", "boot/loader/entries/x.conf", "kernel"),
    ("cmdline", "proc/cmdline", "kernel"),
    ("zone", "etc/localtime", "time"),
    ("chrony_conf", "etc/chrony.conf", "time"),
    ("go_program", "usr/bin/program", "go_programs"),
    ("go_zones", "proc/7/exe", "go_programs"),
    ("libc", "lib/x86_64-linux-gnu/libc.so.6", "libc"),
    ("go_env", "usr/local/go/go.env", "go_toolchain"),
    ("maps", "proc/7/maps", "processes"),
    ("process_limits", "proc/1/limits", "limits"),
    ("limits_conf", "etc/security/limits.conf", "limits"),
    ("system_conf", "etc/systemd/system.conf", "limits"),
    ("daemon_json", "etc/docker/daemon.json", "container_runtime"),
    ("containerd_toml", "etc/containerd/config.toml", "container_runtime"),
    ("custom_json", "etc/evenkeel/facts.d/x.json", "custom"),
    ("custom_text", "etc/evenkeel/facts.d/x.txt", "custom"),
    ("cpuinfo", "proc/cpuinfo", "hardware"),
    ("refusals", ".evenkeel-refusals", "os"),
];
/// So many damaged inputs of each target, unless a time is given.
const ROUNDS: usize = 300;
/// How long each target is to take, in seconds.
const SECONDS: &str = "EVENKEEL_FUZZ_SECONDS";
/// Names the one target to run, so that several can run side by side; all of them without it.
const ONLY: &str = "EVENKEEL_FUZZ_ONLY";

#[test]
fn no_content_makes_a_source_panic() {
    let seconds: Option<u64> = env::var(SECONDS).ok().map(|seconds| seconds.parse().expect("seconds"));
    let chance = seconds.and_then(|_| SystemTime::UNIX_EPOCH.elapsed().ok()).map_or(1, |now| now.as_micros());
    let mut random = Random(u64::try_from(chance).unwrap_or(1) | 1);
    // A panic that a source's fence catches is reported below, with its input.
    panic::set_hook(Box::new(|_| {}));
    let mut found = Vec::new();
    let only = env::var(ONLY).ok().filter(|only| !only.is_empty());
    let chosen: Vec<_> =
        TARGETS.iter().filter(|(name, ..)| only.as_deref().is_none_or(|only| only == *name)).collect();
    assert!(!chosen.is_empty(), "{ONLY} names no target: {only:?}");
    for (name, path, source) in chosen {
        let target = Target::new(name, path, source);
        let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let mut rounds = 0;
        let crash = target.seeds.iter().find_map(|seed| target.crash(seed)).or_else(|| {
            let more = |round: &usize| until.map_or(*round < ROUNDS, |until| Instant::now() < until);
            (0..).take_while(more).find_map(|round| {
                rounds = round + 1;
                target.crash(&damaged(&target.seeds, &mut random))
            })
        });
        if seconds.is_some() {
            said(&format!(
                "{name}: {rounds} damaged inputs, {}",
                if crash.is_some() { "a crash" } else { "no crash" }
            ));
        }
        found.extend(crash);
    }
    drop(panic::take_hook());
    assert_eq!(found, Vec::<String>::new());
}

/// A line of the log of a long run.
#[expect(clippy::print_stderr, reason = "a run of hours tells how far it is")]
fn said(line: &str) {
    eprintln!("{line}");
}

struct Target {
    source: &'static str,
    directory: PathBuf,
    seeds: Vec<Vec<u8>>,
    root: TempDir,
    file: PathBuf,
}

impl Target {
    fn new(name: &str, path: &str, source: &'static str) -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name);
        let mut files: Vec<_> = fs::read_dir(&directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let seeds: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        assert!(!seeds.is_empty(), "no seeds in {}", directory.display());
        let root = TempDir::new().unwrap();
        let file = root.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        // A kernel without a release has no facts to speak of.
        fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        fs::write(root.path().join("proc/sys/kernel/osrelease"), "6.18.1\n").unwrap();
        // A running program's own copy of a zone is looked for where the clock has one.
        if name == "go_zones" {
            fs::create_dir_all(root.path().join("etc")).unwrap();
            symlink("/usr/share/zoneinfo/Europe/Berlin", root.path().join("etc/localtime")).unwrap();
        }
        Self { source, directory, seeds, root, file }
    }

    /// What went wrong with this input, which is kept then.
    fn crash(&self, input: &[u8]) -> Option<String> {
        fs::write(&self.file, input).unwrap();
        // A damaged list of refusals is an error, and nothing is read then.
        let host = Host::at(self.root.path()).ok()?;
        let collected = collect_some(&host, &SourcesConfig::default(), |source| source == self.source);
        let Collected { sections, fault, .. } = &collected[0];
        let wrong = fault.clone().or_else(|| sections.is_empty().then(|| "no section".to_owned()))?;
        let digest = evenkeel_facts::Digest::of(input).to_string();
        let kept = self.directory.join(format!("crash-{}", &digest[7..19]));
        fs::write(&kept, input).unwrap();
        Some(format!("{}: {wrong}", kept.display()))
    }
}

/// A seed with one to eight damages.
fn damaged(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    const EDGES: [u32; 10] =
        [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_ffff];
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(8) {
        let at = random.below(input.len() + 1);
        let end = (at + 1 + random.below(64)).min(input.len());
        match random.below(8) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = EDGES[random.below(5)].to_le_bytes()[0],
            2 => input.truncate(at),
            3 => drop(input.drain(at..end)),
            4 => {
                let again = input[at..end].repeat(1 + random.below(40));
                input.splice(at..at, again);
            }
            5 | 6 if at + 4 <= input.len() => {
                let number = EDGES[random.below(EDGES.len())];
                let bytes = if random.below(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
                input[at..at + 4].copy_from_slice(&bytes);
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                input.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
        }
    }
    input
}

/// xorshift64: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap_or(0)
    }
}
