//! The reader of Go build info against Go's own: what `go version -m` says of real programs, word for word.
//!
//! Toolchains and programs come from `tests/hosts/fetch-go.sh`.

#![expect(clippy::print_stderr, reason = "a skipped test must say so")]

mod fetched;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_sources::go_buildinfo::{self, BuildInfo, BuildInfoError, Module};

use fetched::{fetched, toolchains};

#[test]
fn says_the_same_as_go_version() {
    let Some(fetched) = fetched() else { return };
    // A directory is searched by `go version` too: what it finds there is what we must find there.
    let places = [
        fetched.join("programs"),
        "/usr/local/bin".into(),
        "/usr/bin".into(),
        "/usr/sbin".into(),
        "/usr/libexec".into(),
    ];
    let roots = toolchains(&fetched).into_iter().flat_map(|root| [root.join("bin"), root.join("pkg/tool")]);
    let mut compared = 0;
    for place in places.into_iter().chain(roots).filter_map(|place| fs::canonicalize(place).ok()) {
        let theirs = go_version(&toolchains(&fetched), &place);
        let ours: BTreeMap<PathBuf, String> = files(&place)
            .into_iter()
            .filter_map(|path| {
                let file = File::open(&path).ok()?;
                match go_buildinfo::read(&file) {
                    Ok(info) => Some((path, print(&info?))),
                    // `go version` passes over these in a directory.
                    Err(BuildInfoError::NoBuildInfo) => None,
                    Err(error) => panic!("{}: {error}", path.display()),
                }
            })
            .collect();
        let names = |found: &BTreeMap<PathBuf, String>| found.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&ours), names(&theirs), "in {}", place.display());
        for (path, text) in &ours {
            assert_eq!(text, &theirs[path], "{}", path.display());
        }
        compared += ours.len();
    }
    assert!(compared > 0, "no Go program at hand: {} is empty", fetched.display());
    eprintln!("go_version: {compared} programs read as `go version -m` reads them");
}

#[test]
fn go_reads_what_was_made_small() {
    let Some(fetched) = fetched() else { return };
    let small = tempfile::tempdir().unwrap();
    for path in files(&fetched.join("programs")) {
        if let Ok(Some(bytes)) = go_buildinfo::shrink(&File::open(&path).unwrap()) {
            let copy = small.path().join(path.file_name().unwrap());
            fs::write(&copy, bytes).unwrap();
            fs::set_permissions(&copy, fs::metadata(&path).unwrap().permissions()).unwrap();
        }
    }
    let original = go_version(&toolchains(&fetched), &fetched.join("programs"));
    let copies = go_version(&toolchains(&fetched), small.path());
    let by_name = |found: BTreeMap<PathBuf, String>| -> BTreeMap<_, _> {
        found.into_iter().map(|(path, text)| (path.file_name().unwrap().to_owned(), text)).collect()
    };
    assert_eq!(by_name(copies), by_name(original));
}

/// The files below a directory; of links, as `go version` does, only those to files are followed.
fn files(place: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(place) else { return found };
    for entry in entries.map(Result::unwrap) {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(files(&entry.path())),
            _ if entry.path().is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

/// What the newest `go version -m` prints of the programs in a directory, the file's name replaced by its path as key.
fn go_version(toolchains: &[PathBuf], place: &Path) -> BTreeMap<PathBuf, String> {
    let go = toolchains.last().unwrap().join("bin/go");
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(go)
        .args(["version", "-m"])
        .arg(place)
        .env_clear()
        .env("HOME", home.path())
        .env("GOTOOLCHAIN", "local")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut found = BTreeMap::new();
    let mut last: Option<&mut String> = None;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        if line.starts_with('\t') {
            writeln!(last.as_mut().unwrap(), "{line}").unwrap();
        } else {
            let (path, version) = line.split_once(": ").unwrap();
            // Since Go 1.26 experiments stand behind `-X:`.
            let version = version.replace("-X:", " X:");
            last = Some(found.entry(path.into()).or_insert(format!("{version}\n")));
        }
    }
    found
}

/// Our answer in the form of `go version -m`.
fn print(info: &BuildInfo) -> String {
    let BuildInfo { go_version, go_vendor, experiments, path, main, deps, settings } = info;
    let mut text =
        if go_version.starts_with("devel") { go_version.clone() } else { format!("go{go_version}") };
    if let Some(vendor) = go_vendor {
        write!(text, " ({vendor})").unwrap();
    }
    if !experiments.is_empty() {
        write!(text, " X:{}", experiments.join(",")).unwrap();
    }
    text.push('\n');
    if !path.is_empty() {
        writeln!(text, "\tpath\t{path}").unwrap();
    }
    for (word, module) in main.iter().map(|main| ("mod", main)).chain(deps.iter().map(|dep| ("dep", dep))) {
        print_module(&mut text, word, module);
    }
    for (name, value) in settings {
        let quoted = value.contains([' ', '\t', '"', '`']);
        let value = if quoted { format!("{value:?}") } else { value.clone() };
        writeln!(text, "\tbuild\t{name}={value}").unwrap();
    }
    text
}

fn print_module(text: &mut String, word: &str, module: &Module) {
    let Module { path, version, sum, replace } = module;
    match replace {
        None => {
            writeln!(text, "\t{word}\t{path}\t{version}\t{}", sum.as_deref().unwrap_or_default()).unwrap();
        }
        Some(by) => {
            writeln!(text, "\t{word}\t{path}\t{version}").unwrap();
            print_module(text, "=>", by);
            // Go ends a replaced module's line a second time.
            text.push_str("\t\n");
        }
    }
}
