//! Where the programs are. They are built from the tree as it is: a test of yesterday's program proves nothing.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::cli::tool;

const PROGRAMS: [&str; 3] = ["evenkeel-agent", "evenkeel-collector", "evenkeel"];

/// The path of `evenkeel-agent`, `evenkeel-collector` or `evenkeel`, built if need be.
///
/// # Panics
///
/// When it cannot be built.
pub fn path(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(built).join(name)
}

/// The path of the collector that makes mistakes on purpose (`collector/examples/broken.rs`), built if need be.
///
/// # Panics
///
/// When it cannot be built.
pub fn broken_collector() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| example("evenkeel-collector", "broken")).clone()
}

/// The path of the agent that makes mistakes on purpose (`agent/examples/broken_agent.rs`), built if need be.
///
/// # Panics
///
/// When it cannot be built.
pub fn broken_agent() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| example("evenkeel-agent", "broken_agent")).clone()
}

fn example(package: &str, name: &str) -> PathBuf {
    let directory = profile_directory();
    let _lock = lock(&directory);
    let examples = directory.join("examples");
    if !is_current(&examples, name) {
        build(&directory, &["-p", package, "--example", name]);
    }
    examples.join(name)
}

/// Copies of the three programs, without what only a debugger reads.
///
/// # Panics
///
/// When they cannot be made.
pub fn strip_to(directory: &Path) {
    fs::create_dir_all(directory).expect("a directory can be made");
    for name in PROGRAMS {
        tool("strip", &["-o".as_ref(), directory.join(name).as_os_str(), path(name).as_os_str()]);
    }
}

/// The root of the source tree.
///
/// # Panics
///
/// Never: this crate lies in it.
pub fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the tree")
}

/// The directory of this test program's profile: the programs share it.
fn profile_directory() -> PathBuf {
    let own = env::current_exe().expect("a program knows its path");
    own.ancestors().nth(2).expect("it lies in target/PROFILE/deps").to_owned()
}

/// Test programs run side by side: one of them builds.
fn lock(directory: &Path) -> File {
    let lock =
        File::create(directory.join(".evenkeel-tests.lock")).expect("the target directory is writable");
    lock.lock().expect("the lock is free once others have built");
    lock
}

fn built() -> PathBuf {
    let directory = profile_directory();
    let _lock = lock(&directory);
    if !PROGRAMS.iter().all(|name| is_current(&directory, name)) {
        build(&directory, &["--workspace", "--bins"]);
        let old = PROGRAMS.iter().find(|name| !is_current(&directory, name));
        assert_eq!(old, None, "it was built, and is not newer than its sources");
    }
    directory
}

/// Whether the program is newer than everything that it was built from: cargo keeps the list.
fn is_current(directory: &Path, name: &str) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let (Some(built), Ok(list)) =
        (changed(&directory.join(name)), fs::read_to_string(directory.join(format!("{name}.d"))))
    else {
        return false;
    };
    let sources = list.split_once(": ").map_or("", |(_, sources)| sources);
    sources.split_whitespace().all(|source| changed(Path::new(source)).is_some_and(|at| at <= built))
}

fn build(directory: &Path, what: &[&str]) {
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What cargo says to this test of its package would be an answer of another package to build scripts that ask.
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
            .iter()
            .any(|of| name.starts_with(of))
        {
            command.env_remove(&variable);
        }
    }
    let output = command
        .arg("build")
        .args(what)
        .args(["--profile", profile, "--target-dir"])
        .arg(directory.parent().expect("it lies in the target directory"))
        .current_dir(tree())
        .output()
        .expect("cargo can be run");
    assert!(
        output.status.success(),
        "the programs do not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
