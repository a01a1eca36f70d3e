//! Real Go toolchains and programs: what `tests/hosts/fetch-go.sh DIR` made. DIR is `EVENKEEL_GO_DIR`, or
//! `tests/.cache/go`. Without them a test says that it was skipped; with `EVENKEEL_REQUIRE_HOSTS` set it fails instead.

use std::fs;
use std::path::{Path, PathBuf};

/// The directory that `fetch-go.sh` filled.
pub(crate) fn fetched() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/.cache/go");
    let dir = std::env::var_os("EVENKEEL_GO_DIR").map_or(default, PathBuf::from);
    if !toolchains(&dir).is_empty() {
        return Some(dir);
    }
    let why = format!("no Go toolchain in {}; tests/hosts/fetch-go.sh fetches some", dir.display());
    assert!(std::env::var_os("EVENKEEL_REQUIRE_HOSTS").is_none(), "{why}");
    eprintln!("skipped: {why}");
    None
}

/// Go roots, by version.
pub(crate) fn toolchains(fetched: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(fetched) else { return Vec::new() };
    let mut roots: Vec<_> = entries
        .filter_map(|entry| fs::canonicalize(entry.ok()?.path().join("root")).ok())
        .filter(|root| root.join("bin/go").exists())
        .collect();
    roots.sort();
    roots
}
