use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

fn seen(root: &Path) -> Section {
    let budget = Budget::new(Duration::from_secs(60), 1 << 20);
    Packages.collect(&Host::at(root).unwrap(), &SourcesConfig::default(), &budget).remove(0)
}

fn with(files: &[(&str, &str)]) -> TempDir {
    let root = TempDir::new().unwrap();
    for (path, content) in files {
        let file = root.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    root
}

fn told(section: &Section) -> Vec<String> {
    let line = |(path, seen): &(FactPath, Observation)| match seen {
        Observation::Present(value) => format!("{path} {value}"),
        other => format!("{path} {other:?}"),
    };
    section.facts().iter().map(line).collect()
}

const STATUS: &str = "Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.21.22\nDescription: x\n y: z\n\n\
    Package: libc6\nStatus: install ok installed\nArchitecture: i386\nMulti-Arch: same\nVersion: 2.36-9\n\n\
    Package: libc6\nStatus: hold ok installed\nArchitecture: amd64\nMulti-Arch: same\nVersion: 2.36-8\n\n\
    Package: tzdata\nStatus: install ok triggers-pending\nArchitecture: all\nVersion: 2025b-0\n\n\
    Package: nano\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 7.2-1\n\n\
    Package: gone\nStatus: purge ok not-installed\nArchitecture: amd64\n\n\
    Package: curl\nStatus: install ok half-configured\nArchitecture: amd64\nVersion: 7.88.1-10\n\n";

#[test]
fn what_is_installed_by_dpkg() {
    let root = with(&[("var/lib/dpkg/status", STATUS)]);
    assert_eq!(
        told(&seen(root.path())),
        [
            "package[curl].state half-configured",
            "package[curl].version 7.88.1-10",
            "package[dpkg].version 1.21.22",
            "package[libc6:i386].version 2.36-9",
            "package[libc6].version 2.36-8",
            "package[tzdata].version 2025b-0",
        ]
    );
}

/// A dpkg that is at work, or that was killed, has its newest words in the journal.
#[test]
fn the_journal_of_dpkg_counts() {
    let root = with(&[
        ("var/lib/dpkg/status", STATUS),
        (
            "var/lib/dpkg/updates/0001",
            "Package: curl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 7.88.1-11\n\n",
        ),
        (
            "var/lib/dpkg/updates/0002",
            "Package: libc6\nStatus: deinstall ok not-installed\nArchitecture: i386\n\n",
        ),
        ("var/lib/dpkg/updates/tmp.i", "Package: never\n"),
    ]);
    let section = seen(root.path());
    assert_eq!(section.find("package[curl].version"), Some(&Observation::Present("7.88.1-11".into())));
    assert_eq!(section.find("package[curl].state"), None);
    assert_eq!(section.find("package[libc6:i386].version"), None);
    assert_eq!(section.facts().len(), 4);
}

#[test]
fn small_images_have_a_file_a_package() {
    let root = with(&[
        ("var/lib/dpkg/status.d/base", "Package: base-files\nVersion: 12.4\nArchitecture: arm64\n"),
        ("var/lib/dpkg/status.d/base.md5sums", "0123  etc/os-release\n"),
        ("var/lib/dpkg/status.d/netbase", "Package: netbase\nVersion: 6.4\nArchitecture: all\n"),
    ]);
    assert_eq!(
        told(&seen(root.path())),
        ["package[base-files].version 12.4", "package[netbase].version 6.4"]
    );
}

/// Promise: a partial read never looks like a deletion. Wherever the file ends, packages that are not seen are unknown.
#[test]
fn a_status_file_cut_anywhere_says_so() {
    let names =
        |section: &Section| section.facts().iter().filter(|(path, _)| path.as_str() != "package").count();
    let whole = names(&seen(with(&[("var/lib/dpkg/status", STATUS)]).path()));
    for end in 1..STATUS.len() {
        let section = seen(with(&[("var/lib/dpkg/status", &STATUS[..end])]).path());
        let unknown = matches!(section.find("package"), Some(Observation::Unreadable(_)));
        // At the end of a line nothing tells that more followed, but dpkg replaces the file as a whole.
        assert!(unknown || STATUS[..end].ends_with('\n') || names(&section) == whole, "{end}: {section:?}");
    }
}

#[test]
fn paragraphs_that_are_none_make_the_rest_unknown() {
    let odd = "Version: 1\n\nPackage: a\nStatus: install ok installed\nArchitecture: all\n\n\
               Package: b\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n";
    let section = seen(with(&[("var/lib/dpkg/status", odd)]).path());
    assert_eq!(
        told(&section),
        ["package Unreadable(Partial)", "package[a].version Unreadable(Malformed)", "package[b].version 1"]
    );
}

#[test]
fn a_line_without_an_end_is_not_kept_in_memory() {
    let endless = format!("{STATUS}Package: {}", "x".repeat(2 << 20));
    let section = seen(with(&[("var/lib/dpkg/status", &endless)]).path());
    assert_eq!(section.find("package"), Some(&Observation::Unreadable(Reason::Truncated)));
    assert_eq!(section.facts().len(), 7);
}

#[test]
fn apk_and_what_no_manager_is_known_for() {
    let installed = "C:Q1\nP:musl\nV:1.2.3-r0\nA:x86_64\nF:lib\nR:ld-musl-x86_64.so.1\n\nC:Q2\nP:zlib\nV:1.2.12-r3\nA:x86_64\n\n";
    let root = with(&[("lib/apk/db/installed", installed)]);
    assert_eq!(
        told(&seen(root.path())),
        ["package[musl].version 1.2.3-r0", "package[zlib].version 1.2.12-r3"]
    );
    assert_eq!(told(&seen(with(&[]).path())), ["package Absent"]);
    assert_eq!(told(&seen(with(&[("bin/sh", "")]).path())), ["package Unreadable(Unsupported)"]);
    let old = with(&[("var/lib/rpm/Packages", &"\0".repeat(64)), ("bin/sh", "")]);
    assert_eq!(told(&seen(old.path())), ["package Unreadable(Unsupported)"]);
}

#[test]
fn redacted_databases_say_the_same() {
    let root = with(&[("var/lib/dpkg/status", &redacted_dpkg(STATUS))]);
    assert_eq!(seen(root.path()), seen(with(&[("var/lib/dpkg/status", STATUS)]).path()));
    assert!(!redacted_dpkg(STATUS).contains("Description"));
}
