//! Go build info against `go version -m`, on the same programs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use evenkeel_sources::{Host, SourcesConfig, collect_some, go_buildinfo};
use evenkeel_tests::harness::programs;

use crate::clock::{cpu, median, median_cpu};
use crate::command::took;
use crate::table::{Budget, Table, Unit};

/// Where the suites on real hosts keep real toolchains and real programs.
const CACHE: &str = "tests/.cache/go";

pub(crate) fn run(table: &mut Table) {
    let cache = programs::tree().join(CACHE);
    let (Some(go), files) = (toolchain(&cache), go_programs(&cache)) else {
        table.note("there is no Go toolchain in tests/.cache: build info was not compared (make test-hosts fetches it)");
        return;
    };
    let (go, names): (String, Vec<String>) =
        (go.display().to_string(), files.iter().map(|file| file.display().to_string()).collect());
    let mut command = vec![go.as_str(), "version", "-m"];
    command.extend(names.iter().map(String::as_str));
    let (mut own, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..11 {
        own.push(cpu(|| read(&files)).0);
        peer.extend(took(&command).map(|took| took.cpu));
    }
    let what = format!("agent: Go build info of {} programs", files.len());
    let peer = median(peer);
    table.beside(&what, Unit::Time, Budget::OfPeer(1.0 / 7.0), median(own), ("go version -m", peer));
    again(table, &cache, &files, peer);
    table.note("Go build info is read in this process; `go version -m` includes its own start.");
}

/// The whole source on a machine with these programs and nothing else, looking again.
fn again(table: &mut Table, cache: &Path, files: &[PathBuf], peer: f64) {
    let root = tempfile::tempdir_in(cache).expect("a directory can be made beside the programs");
    let bin = root.path().join("usr/local/bin");
    fs::create_dir_all(&bin).expect("a directory can be made");
    for (at, file) in files.iter().enumerate() {
        fs::hard_link(file, bin.join(at.to_string())).expect("both are in one file system");
    }
    let host = Host::at(root.path()).expect("it is a directory").keeping();
    let look = || {
        let seen = collect_some(&host, &SourcesConfig::default(), |source| source == "go_programs");
        seen.iter().flat_map(|seen| &seen.sections).map(|section| section.facts().len()).sum::<usize>()
    };
    // What was made just now may change again within a moment, and is looked into each time.
    let settled = Instant::now() + Duration::from_secs(3);
    let facts = look();
    thread::sleep(settled.saturating_duration_since(Instant::now()));
    look();
    let what = format!("agent: the same unchanged, looked at again, {facts} facts");
    let own = median_cpu(21, look);
    table.beside(&what, Unit::Time, Budget::OfPeer(1.0 / 50.0), own, ("go version -m", peer));
}

/// How many of them are Go programs with build info.
fn read(files: &[PathBuf]) -> usize {
    let open = files.iter().filter_map(|file| File::open(file).ok());
    open.filter(|file| matches!(go_buildinfo::read(file), Ok(Some(_)))).count()
}

/// The newest toolchain that is there.
fn toolchain(cache: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> =
        list(cache).into_iter().map(|path| path.join("root/bin/go")).filter(|go| go.is_file()).collect();
    found.sort();
    found.pop()
}

/// Every program that both can read, the toolchains' own as well: esbuild 0.0.3 has no build info.
fn go_programs(cache: &Path) -> Vec<PathBuf> {
    let readable =
        |path: &PathBuf| File::open(path).is_ok_and(|file| matches!(go_buildinfo::read(&file), Ok(Some(_))));
    let of_toolchain = |home: PathBuf| {
        let tools = list(&home.join("root/pkg/tool")).into_iter().flat_map(|platform| list(&platform));
        list(&home.join("root/bin")).into_iter().chain(tools)
    };
    let tools = list(cache).into_iter().flat_map(of_toolchain);
    list(&cache.join("programs")).into_iter().chain(tools).filter(readable).collect()
}

fn list(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
