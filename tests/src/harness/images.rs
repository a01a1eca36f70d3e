//! The images of the three programs, as `deploy/image/image.sh` makes them.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::cli::run;
use super::{programs, skip};

/// An image of this program, as an engine loads it: of the programs under test, or, with `EVENKEEL_IMAGES=DIR`, as `make image`
/// has made it there.
///
/// # Panics
///
/// When it cannot be made.
pub fn archive(program: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(made).join(format!("{program}.tar"))
}

/// The name under which an engine knows it when it is loaded.
pub fn name(program: &str) -> String {
    format!("{program}:{}", env!("CARGO_PKG_VERSION"))
}

fn made() -> PathBuf {
    if let Some(shipped) = env::var_os("EVENKEEL_IMAGES").filter(|value| !value.is_empty()) {
        return programs::tree().join(shipped);
    }
    let of = programs::path("evenkeel").parent().expect("it lies in the target directory").to_owned();
    let directory = of.join("images");
    fs::create_dir_all(&directory).expect("the target directory is writable");
    // Test programs run side by side: one of them makes them.
    let lock = File::create(of.join(".evenkeel-images.lock")).expect("the target directory is writable");
    lock.lock().expect("the lock is free once others have made them");
    let names = ["evenkeel-agent", "evenkeel-collector", "evenkeel"];
    let script = programs::tree().join("deploy/image/image.sh");
    if !names.iter().all(|name| is_newer(&directory.join(format!("{name}.tar")), &[&of.join(name), &script]))
    {
        let stripped = tempfile::tempdir().expect("a directory can be made");
        programs::strip_to(stripped.path());
        let mut make = Command::new(&script);
        make.arg(&directory)
            .arg(format!("{}={}", architecture(), stripped.path().display()))
            .env("LEVEL", "1");
        run(make.stdin(Stdio::null())).ok();
    }
    directory
}

/// Of this machine, as images name it.
fn architecture() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn is_newer(file: &Path, than: &[&Path]) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    let made = changed(file);
    made.is_some() && than.iter().all(|other| changed(other) <= made)
}

/// The root of this Debian release, as `tests/hosts` keeps it; `None`: it is not there.
pub fn root(release: &str) -> Option<PathBuf> {
    Some(skip::cache().join(format!("root-{release}"))).filter(|root| root.join("etc").is_dir())
}
