//! Suites that cannot run on this machine say so by name, and why.

use std::env;
use std::path::{Path, PathBuf};

use super::programs;

/// Passes, and says that the suite was skipped and why. Where every suite is required to run, it fails.
///
/// # Panics
///
/// With `EVENKEEL_REQUIRE_HOSTS` set.
#[expect(clippy::print_stderr, reason = "a person who runs the tests reads it")]
pub fn skipped(suite: &str, why: &str) {
    let required = env::var_os("EVENKEEL_REQUIRE_HOSTS").is_some_and(|value| !value.is_empty());
    assert!(!required, "{suite} cannot run, and EVENKEEL_REQUIRE_HOSTS asks for it: {why}");
    eprintln!("{suite}: skipped: {why}");
}

/// How often a suite kills, cuts or floods: `EVENKEEL_ROUNDS`, for long runs; otherwise so often.
///
/// # Panics
///
/// When the variable holds no number.
pub fn rounds(usual: usize) -> usize {
    let asked = env::var("EVENKEEL_ROUNDS").ok().filter(|text| !text.is_empty());
    asked.map_or(usual, |text| text.parse().expect("EVENKEEL_ROUNDS is a number"))
}

/// Whether what takes longer than a minute is to run, too: `make test-hosts` asks for it by `EVENKEEL_ALL_HOSTS`. Says so
/// when it is not; that is no failure, even where every suite is required to run.
#[expect(clippy::print_stderr, reason = "a person who runs the tests reads it")]
pub fn asked_for_all(suite: &str) -> bool {
    let asked = env::var_os("EVENKEEL_ALL_HOSTS").is_some_and(|value| !value.is_empty());
    if !asked {
        eprintln!("{suite}: skipped: it takes long; make test-hosts runs it");
    }
    asked
}

/// Whether this process is root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Where `tests/hosts/install.sh` keeps roots and toolchains.
pub fn cache() -> PathBuf {
    let cache = env::var_os("EVENKEEL_TEST_CACHE").map_or_else(|| "tests/.cache".into(), PathBuf::from);
    if cache.is_absolute() { cache } else { programs::tree().join(cache) }
}

/// Whether a program of this name is to be found, as a shell would find it.
pub fn has_command(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| is_file(&directory.join(name)))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file())
}
