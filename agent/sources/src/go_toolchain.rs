//! Source `go_toolchain`: the Go toolchains of this machine, which of them `go` is, and how it is set up.
//!
//! - `go.version`: what `go` would say, looked for as a shell would: in the directories of the default `PATH`, then in
//!   `/usr/local/go/bin`, which Go's installation guide appends. It is the version that the go command itself was built
//!   as. Unreadable (`unsupported`) where `go` is a script or another program: nothing is executed to ask it. Which
//!   other toolchain it would switch to is a matter of `GOTOOLCHAIN` and each go.mod
//! - `go.toolchain[DIR].version`, `.vendor`: the `VERSION` file of every toolchain in `/usr/local/go*`, `/usr/lib/go*`,
//!   `/usr/lib64/go*`, `/opt/go*`, `/snap/go/current`, in the `sdk` directories and module caches (where `GOTOOLCHAIN`
//!   puts what it downloads) of the homes that can be read, and in configured directories
//! - `go.env.NAME`: the settings of this machine for everybody: `/etc/environment`, else `go.env` (or, before Go 1.21
//!   had that file, what is built in) of the Go root that
//!   `go` belongs to
//! - `go.user_env[root].NAME`: what `go env -w` wrote for root, in `/root/.config/go/env`
//! - `go.toolchain_directory[DIR]` is unreadable: toolchains may be in there. One fact for all closed homes
//!
//! Without a go command there is no `go.version`, and no `go.env`.

mod env;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use evenkeel_facts::{FactPath, Observation, Reason, Section, SectionBuilder};

use crate::directories::{Directories, lexical};
use crate::go_buildinfo::{self, BuildInfoError, split_version};
use crate::host::Kind;
use crate::{Budget, Declared, Host, Source, SourcesConfig};

/// Where toolchains are looked for, configured directories apart. A link is named after what it leads to, where that
/// comes first.
const ROOTS: &[&str] = &[
    "/usr/local/go*",
    "/usr/lib/go-*",
    "/usr/lib/go",
    "/usr/lib/golang",
    "/usr/lib64/go/*",
    "/usr/lib64/go",
    "/opt/go*",
    "/snap/go/current",
    "/root/sdk/go*",
    "/root/go/pkg/mod/golang.org/toolchain@*",
    "/home/*/sdk/go*",
    "/home/*/go/pkg/mod/golang.org/toolchain@*",
];
/// Where a shell looks for `go`.
const PATH: &[&str] =
    &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/go/bin"];
/// The most links followed from `go` to its Go root.
const MAX_LINKS: usize = 16;
const MAX_VERSION_BYTES: usize = 4096;
const MAX_ENV_BYTES: usize = 64 * 1024;

#[rustfmt::skip]
const DECLARED: &[Declared] = &[
    Declared { path: "go.version", what: "the version of what `go` resolves to", from: "the go command's own build info" },
    Declared { path: "go.toolchain[DIR].version", what: "of every toolchain", from: "its VERSION file" },
    Declared { path: "go.toolchain[DIR].vendor", what: "who built it, if not the Go project", from: "the same" },
    Declared { path: "go.env.NAME", what: "a setting of Go for everybody", from: "/etc/environment, GOROOT/go.env" },
    Declared { path: "go.user_env[USER].NAME", what: "what `go env -w` wrote", from: "~/.config/go/env" },
    Declared { path: "go.toolchain_directory[DIR]", what: "unreadable: toolchains may be in there", from: "" },
];

/// See the module.
#[derive(Debug)]
pub struct GoToolchain;

impl Source for GoToolchain {
    fn name(&self) -> &'static str {
        "go_toolchain"
    }

    fn top_paths(&self) -> &'static [&'static str] {
        &["go.version", "go.toolchain", "go.env", "go.user_env"]
    }

    fn declares(&self) -> &'static [Declared] {
        DECLARED
    }

    fn sees_only_files(&self) -> bool {
        true
    }

    fn collect(&self, host: &Host, config: &SourcesConfig, budget: &Budget) -> Vec<Section> {
        let mut section = SectionBuilder::new("go_toolchain");
        let mut directories = Directories::of(host);
        let configured = config.go_toolchain.directories.iter().cloned();
        for root in directories.expand(ROOTS.iter().map(PathBuf::from).chain(configured)) {
            match budget.spend(0) {
                Ok(()) => note_toolchain(&mut section, host, &root),
                Err(reason) => directories.unseen.push((root, reason)),
            }
        }
        for (directory, reason) in &directories.unseen {
            let path = FactPath::keyed("go.toolchain_directory", &closed_home(directory).to_string_lossy());
            section.unreadable(path, *reason);
        }
        match go_command(host) {
            Ok(Some(go)) => {
                let version = version_of_command(host, &go);
                note_settings(&mut section, host, &go, &version);
                section.observe(FactPath::known("go.version"), version);
            }
            // Nobody could conclude it from the source's name: the first word of its facts is another.
            Ok(None) => {
                section.observe(FactPath::known("go.version"), Observation::Absent);
            }
            Err(reason) => {
                section.unreadable(FactPath::known("go.version"), reason);
                section.unreadable(FactPath::known("go.env"), reason);
            }
        }
        vec![section.finish()]
    }
}

/// Notes the version of a directory, if it is a Go root.
fn note_toolchain(section: &mut SectionBuilder, host: &Host, root: &Path) {
    let family = FactPath::keyed("go.toolchain", &root.to_string_lossy());
    let mut observe = |name, observation| {
        if let Ok(path) = family.child(name) {
            section.observe(path, observation);
        }
    };
    let go = root.join("bin/go");
    match (host.stat(&go), host.read_text(root.join("VERSION"), MAX_VERSION_BYTES)) {
        (Ok(_), Ok(text)) => {
            let (version, vendor, _) = split_version(text.lines().next().unwrap_or_default().trim());
            observe("version", Observation::Present(version.into()));
            if let Some(vendor) = vendor {
                observe("vendor", Observation::Present(vendor.into()));
            }
        }
        // A tree built from its repository has no VERSION.
        (Ok(_), Err(error)) => observe(
            "version",
            match Reason::of_io(&error) {
                Some(reason) => Observation::Unreadable(reason),
                None => version_of_command(host, &go),
            },
        ),
        // Without a go command it is no toolchain, whatever its name.
        (Err(error), _) => {
            if let Some(reason) = Reason::of_io(&error) {
                observe("version", Observation::Unreadable(reason));
            }
        }
    }
}

/// The file that a shell would run as `go`.
fn go_command(host: &Host) -> Result<Option<PathBuf>, Reason> {
    for directory in PATH {
        let path = Path::new(directory).join("go");
        match host.stat(&path) {
            Ok(stat) if stat.kind == Kind::File => return Ok(Some(path)),
            Ok(_) => {}
            Err(error) => Reason::of_io(&error).map_or(Ok(()), Err)?,
        }
    }
    Ok(None)
}

/// The version that a go command was built as, which is what it prints.
fn version_of_command(host: &Host, go: &Path) -> Observation {
    let info = host.open_regular(go).map_err(BuildInfoError::Io).and_then(|file| go_buildinfo::read(&file));
    match info {
        // Before Go 1.18 the go command carried its version only.
        Ok(Some(info)) if matches!(info.path.as_str(), "cmd/go" | "") => {
            Observation::Present(info.go_version.into())
        }
        Ok(_) => Observation::Unreadable(Reason::Unsupported),
        Err(error) => Observation::Unreadable(error.reason()),
    }
}

/// Notes the settings for everybody, and root's own.
fn note_settings(section: &mut SectionBuilder, host: &Host, go: &Path, version: &Observation) {
    let mut settings = BTreeMap::new();
    if let Observation::Present(version) = version {
        settings.extend(env::built_in(&version.to_string()));
    }
    let mut unseen = None;
    let mut read = |path: &Path, parse: fn(&str) -> Vec<(&'static str, String)>| match host
        .read_text(path, MAX_ENV_BYTES)
    {
        Ok(text) => settings.extend(parse(&text)),
        Err(error) => unseen = unseen.or(Reason::of_io(&error)),
    };
    // What is read later overrides.
    let root = go_root(host, go);
    if let Some(root) = &root {
        read(&root.join("go.env"), env::parse);
    }
    read(Path::new("/etc/environment"), env::parse_environment);
    if let Some(reason) = unseen.or(root.is_none().then_some(Reason::Unsupported)) {
        section.unreadable(FactPath::known("go.env"), reason);
    }
    for (name, value) in settings {
        section.present(FactPath::known(&format!("go.env.{name}")), value);
    }

    let user = FactPath::keyed("go.user_env", "root");
    match host.read_text("/root/.config/go/env", MAX_ENV_BYTES) {
        Ok(text) => {
            for (name, value) in env::parse(&text) {
                section.present(FactPath::known(&format!("{user}.{name}")), value);
            }
        }
        Err(error) => {
            if let Some(reason) = Reason::of_io(&error) {
                section.unreadable(user, reason);
            }
        }
    }
}

/// The Go root that a go command belongs to: as the command itself does, by following links until it lies in a `bin`
/// beside a `VERSION`.
fn go_root(host: &Host, go: &Path) -> Option<PathBuf> {
    let mut path = go.to_owned();
    for _ in 0..MAX_LINKS {
        let root = path.parent()?.parent()?;
        if path.ends_with("bin/go") && host.exists(root.join("VERSION")) {
            return Some(root.to_owned());
        }
        let target = host.read_link(&path).ok()?;
        path = lexical(&path.parent()?.join(target));
    }
    None
}

/// A path in a home as the home itself: `/root`, or `/home` for all of them.
fn closed_home(path: &Path) -> &Path {
    let homes = ["/root", "/home"].map(Path::new);
    homes.into_iter().find(|home| path.starts_with(home)).unwrap_or(path)
}

#[cfg(test)]
mod tests;
