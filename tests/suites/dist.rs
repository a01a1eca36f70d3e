//! A release: what is in it, that it is whole, that it can be made again, and that it says what it is made of.

mod rpms;
mod sbom;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_tests::harness::cli::{Outcome, run, tool};
use evenkeel_tests::harness::programs::{self, tree};
use evenkeel_tests::harness::skip::{has_command, skipped};
use tempfile::TempDir;

/// What each package installs, besides its manual pages, changelog and copyright, and the documents, which are the command line's.
const INSTALLED: &[(&str, &[&str])] = &[
    (
        "evenkeel-agent",
        &[
            "/etc/evenkeel/agent.toml",
            "/usr/bin/evenkeel-agent",
            "/usr/lib/systemd/system/evenkeel-agent.service",
            "/usr/lib/sysusers.d/evenkeel-agent.conf",
            "/usr/lib/tmpfiles.d/evenkeel-agent.conf",
            "/usr/share/evenkeel-agent/systemd/clock.conf",
            "/usr/share/evenkeel-agent/systemd/programs.conf",
            "/usr/share/evenkeel-agent/systemd/who.conf",
        ],
    ),
    (
        "evenkeel-collector",
        &[
            "/etc/evenkeel/collector.toml",
            "/usr/bin/evenkeel-collector",
            "/usr/lib/systemd/system/evenkeel-collector.service",
            "/usr/lib/sysusers.d/evenkeel-collector.conf",
            "/usr/lib/tmpfiles.d/evenkeel-collector.conf",
            "/usr/share/evenkeel-collector/grafana/evenkeel.json",
            "/usr/share/evenkeel-collector/prometheus/alerting.yml",
            "/usr/share/evenkeel-collector/prometheus/recording.yml",
            "/usr/share/evenkeel-collector/systemd/groups.conf",
        ],
    ),
    (
        "evenkeel",
        &[
            "/usr/bin/evenkeel",
            "/usr/share/bash-completion/completions/evenkeel",
            "/usr/share/evenkeel/policies/go-launch-checklist.toml",
            "/usr/share/fish/vendor_completions.d/evenkeel.fish",
            "/usr/share/zsh/vendor-completions/_evenkeel",
        ],
    ),
];

/// A release of the programs that are built here.
pub(crate) struct Release {
    work: TempDir,
    programs: PathBuf,
}

impl Release {
    /// `None`, and said so, where it cannot be made.
    pub(crate) fn make() -> Option<Self> {
        let missing =
            ["dpkg-deb", "rpmbuild", "python3", "strip"].into_iter().find(|name| !has_command(name));
        if let Some(missing) = missing {
            skipped("dist", &format!("no {missing}; tests/hosts/install.sh installs it"));
            return None;
        }
        let work = tempfile::tempdir().unwrap();
        let programs = work.path().join("programs");
        programs::strip_to(&programs);
        let release = Self { work, programs };
        release.make_in("release");
        Some(release)
    }

    fn make_in(&self, name: &str) -> PathBuf {
        let out = self.work.path().join(name);
        let mut command = Command::new(tree().join("deploy/release.sh"));
        let made = run(command
            .arg(&self.programs)
            .arg(&out)
            .env("LEVEL", "1")
            .env("SOURCE_DATE_EPOCH", "1700000000"))
        .ok();
        for file in made.lines() {
            assert!(Path::new(file).is_file(), "{file}");
        }
        out
    }

    /// The only file of it with this beginning and end.
    pub(crate) fn file(&self, begin: &str, end: &str) -> PathBuf {
        file_in(&self.directory(), begin, end)
    }

    fn directory(&self) -> PathBuf {
        self.work.path().join("release")
    }

    fn programs(&self) -> &Path {
        &self.programs
    }
}

/// The only file there with this beginning and end.
fn file_in(directory: &Path, begin: &str, end: &str) -> PathBuf {
    let names = fs::read_dir(directory).unwrap().flatten();
    let fits = names.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(begin) && name.ends_with(end)
    });
    let found: Vec<_> = fits.collect();
    assert_eq!(found.len(), 1, "{begin}*{end}: {found:?}");
    found.into_iter().next().expect("there is one")
}

/// Promise: packages, RPMs and the tarball hold what they are to hold, and the same; checksums are right; and whoever makes the
/// release again gets it byte for byte.
#[test]
fn a_release_is_whole_and_the_same_each_time() {
    let Some(release) = Release::make() else { return };
    let out = release.directory();
    is_whole(&out, &[]);
    let sums = |directory: &Path| fs::read_to_string(directory.join("SHA256SUMS")).unwrap();
    assert_eq!(sums(&release.make_in("again")), sums(&out));

    // One byte of one file, and the checksums say so.
    let damaged = release.file("evenkeel-agent_", ".deb");
    let mut bytes = fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    assert_eq!(checked(&out).code, Some(1));
}

/// Promise: the same of what `make dist` has left, and its packages ask for glibc 2.17 and no newer one.
#[test]
fn what_make_dist_left_is_whole() {
    let shipped = tree().join("target/shipped");
    let agents = ["evenkeel-agent-glibc2.17", "evenkeel-agent-static"];
    if let Some(missing) =
        ["SHA256SUMS", agents[0], agents[1]].into_iter().find(|name| !shipped.join(name).exists())
    {
        return skipped(
            "dist",
            &format!("target/shipped has no {missing}; make dist with cargo-zigbuild makes it"),
        );
    }
    let rpm = file_in(&shipped, "evenkeel-agent-0", ".rpm");
    let made_of = tool("rpm", &["-qp".as_ref(), "--qf=%{buildtime}".as_ref(), rpm.as_os_str()]);
    let tree = tree().display().to_string();
    if made_of != tool("git", &["-C", &tree, "log", "-1", "--format=%ct"]).trim() {
        return skipped("dist", "target/shipped is of another commit; make dist makes it anew");
    }
    is_whole(&shipped, &agents);
    for (package, _) in INSTALLED {
        let deb = file_in(&shipped, &format!("{package}_"), ".deb");
        let depends = tool("dpkg-deb", &["--field".as_ref(), deb.as_os_str(), "Depends".as_ref()]);
        assert!(depends.trim_end().ends_with("libc6 (>= 2.17)"), "{package}: {depends}");
    }
}

fn checked(directory: &Path) -> Outcome {
    run(Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(directory))
}

/// Nothing is missing, nothing too much: what a release has, and these files besides.
fn is_whole(out: &Path, besides: &[&str]) {
    checked(out).ok();
    let sums = fs::read_to_string(out.join("SHA256SUMS")).unwrap();
    let summed: BTreeSet<_> = sums.lines().map(|line| line.split_once("  ").unwrap().1.to_owned()).collect();
    let files = fs::read_dir(out).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    assert_eq!(files.filter(|name| name != "SHA256SUMS").collect::<BTreeSet<_>>(), summed);
    for file in besides {
        assert!(summed.contains(*file), "{file}: {summed:#?}");
    }
    let count = 8 + besides.len();
    assert_eq!(
        summed.len(),
        count,
        "three packages, three RPMs, a tarball, an SBOM, {besides:?}: {summed:#?}"
    );

    let mut all = BTreeSet::new();
    for (package, installed) in INSTALLED {
        let deb = file_in(out, &format!("{package}_"), ".deb");
        let deb = tool("dpkg-deb", &["--contents".as_ref(), deb.as_os_str()]);
        let deb: BTreeSet<_> = deb
            .lines()
            .filter(|line| line.starts_with('-'))
            .map(|line| line.split(" ./").nth(1).map(|path| format!("/{path}")).unwrap())
            .collect();
        let (pages, others): (BTreeSet<_>, BTreeSet<_>) =
            deb.iter().cloned().partition(|path| path.starts_with("/usr/share/man/"));
        assert_eq!(pages, manual_pages(package), "{package}");
        let mut doc = vec!["changelog.gz".to_owned(), "copyright".to_owned()];
        if *package == "evenkeel" {
            doc.push("README.md".to_owned());
            doc.extend(names_in("docs").map(|page| format!("docs/{page}")));
        }
        let doc = doc.into_iter().map(|file| format!("/usr/share/doc/{package}/{file}"));
        let expected: BTreeSet<_> = installed.iter().map(|path| (*path).to_owned()).chain(doc).collect();
        assert_eq!(others, expected, "{package}");

        let rpm = file_in(out, &format!("{package}-0"), ".rpm");
        let rpm = tool("rpm", &["-qlp".as_ref(), rpm.as_os_str()]);
        let is_directory = |path: &str| {
            path == "/etc/evenkeel" || deb.iter().any(|file| file.starts_with(&format!("{path}/")))
        };
        let rpm: BTreeSet<_> = rpm
            .lines()
            .filter(|path| !is_directory(path))
            .map(|path| path.replace("zsh/site-functions", "zsh/vendor-completions"))
            .collect();
        assert_eq!(rpm, deb, "{package}");
        all.extend(deb);
    }
    let tarball = tool("tar", &["-tf".as_ref(), file_in(out, "evenkeel-", ".tar.gz").as_os_str()]);
    let tarball = tarball.lines().filter(|path| !path.ends_with('/'));
    let tarball: BTreeSet<_> = tarball.map(|path| format!("/{}", path.split_once('/').unwrap().1)).collect();
    let besides: Vec<_> = tarball.difference(&all).collect();
    assert_eq!(besides, ["/usr/share/doc/evenkeel/LICENSE", "/usr/share/doc/evenkeel/sbom.cdx.json"]);
    assert_eq!(all.difference(&tarball).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// The files of this directory of the tree.
fn names_in(directory: &str) -> impl Iterator<Item = String> {
    let files = fs::read_dir(tree().join(directory)).unwrap().flatten();
    files.map(|file| file.file_name().into_string().unwrap())
}

/// The pages that deploy/man has of this program.
fn manual_pages(program: &str) -> BTreeSet<String> {
    let services = ["evenkeel-agent", "evenkeel-collector"];
    let of_it = |name: &String| {
        let of = services.into_iter().find(|service| name.starts_with(service)).unwrap_or("evenkeel");
        of == program
    };
    names_in("deploy/man").filter(of_it).map(|name| format!("/usr/share/man/man1/{name}.gz")).collect()
}

/// Promise: every manual page renders, and groff has nothing to say about it; completions are what their shells read.
#[test]
fn manual_pages_and_completions_are_clean() {
    if !has_command("groff") {
        return skipped("dist", "no groff");
    }
    let pages: Vec<_> =
        fs::read_dir(tree().join("deploy/man")).unwrap().flatten().map(|page| page.path()).collect();
    assert!(pages.len() > 50, "only {} pages", pages.len());
    for page in pages {
        let mut groff = Command::new("groff");
        let shown = run(groff.args(["-man", "-Kutf8", "-Tutf8", "-P-cbou", "-ww"]).arg(&page));
        assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""), "{}", page.display());
        assert!(shown.stdout.contains("NAME") && shown.stdout.contains("SYNOPSIS"), "{}", page.display());
    }
    let cli = programs::path("evenkeel");
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let text = tool(&cli, &["completions", shell]);
        assert!(text.contains("gate"), "{shell}: {text}");
        let file = directory.path().join(shell);
        fs::write(&file, text).unwrap();
        if has_command(shell) {
            run(Command::new(shell).arg("-n").arg(&file)).ok();
        }
    }
}
