//! What a Go program says of itself: `runtime/debug.BuildInfo`, read from its ELF file and never by running it.
//!
//! The same answer as `go version -m FILE`, for a fraction of the cost: the headers and the build info are read with
//! a handful of bounded `pread`s, nothing else of the file is touched. Both forms are read: strings behind the header
//! (since Go 1.18), and pointers to Go strings elsewhere in the program (Go 1.13 to 1.17).
//!
//! # Layout
//!
//! - `image`: the ELF headers, where the build info may lie, and reads by address
//! - `blob`: the build info's header and its two strings
//! - `modinfo`: the text with path, modules and settings
//! - `quote`: Go's quoted strings
//! - `minimal`: the smallest program that carries the same build info, for recorded hosts and tests

mod blob;
mod image;
mod minimal;
mod modinfo;
mod quote;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use evenkeel_facts::Reason;

pub use minimal::{Minimal, shrink};

/// The most bytes of ELF headers (program headers, section headers, section names) read from one file.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;
/// The most bytes read from one file in search of its build info, strings included.
pub const MAX_INFO_BYTES: usize = 4 * 1024 * 1024;
/// The most modules one program may name. The largest seen, kubernetes, has about 250.
pub const MAX_MODULES: usize = 20_000;

/// What a Go program says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildInfo {
    /// The Go release that built it, without "go": `1.21.6`. A development build keeps its whole text
    /// (`devel go1.23-abc`).
    pub go_version: String,
    /// What a vendor wrote behind the release: `Red Hat 1.21.13-3.el9_4`.
    pub go_vendor: Option<String>,
    /// GOEXPERIMENTs that differ from the release's own, as listed: `rangefunc`, `boringcrypto`.
    pub experiments: Vec<String>,
    /// The main package's import path; empty when the program was built without modules.
    pub path: String,
    /// The module that holds the main package. None for programs built from loose files, and for Go's own commands.
    pub main: Option<Module>,
    /// Every module linked in, in the order of the file (by path).
    pub deps: Vec<Module>,
    /// Build settings (`-trimpath`, `CGO_ENABLED`, `vcs.revision` …), in the order of the file.
    pub settings: Vec<(String, String)>,
}

/// One module of a program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Module {
    /// The module's path.
    pub path: String,
    /// Its version; `(devel)` for a main module that was built in its own tree.
    pub version: String,
    /// The checksum (`h1:…`) of its content.
    pub sum: Option<String>,
    /// The module whose code was used in its place. A local directory has no version.
    pub replace: Option<Box<Module>>,
}

/// Why a program's build info could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BuildInfoError {
    /// The file could not be read.
    #[error("the file cannot be read")]
    Io(#[from] io::Error),
    /// The ELF file, or its build info, is not what the format promises.
    #[error("{0}")]
    Malformed(&'static str),
    /// Larger than [`MAX_HEADER_BYTES`], [`MAX_INFO_BYTES`] or [`MAX_MODULES`].
    #[error("{0}")]
    TooLarge(&'static str),
    /// A Go program, surely, but one that carries no build info: built before Go 1.13, or stripped of it.
    #[error("a Go program without build info (older than Go 1.13, or stripped of it)")]
    NoBuildInfo,
}

impl BuildInfoError {
    /// The reason to note for what could not be seen.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Io(error) => Reason::of_io(error).unwrap_or(Reason::Io),
            Self::Malformed(_) => Reason::Malformed,
            Self::TooLarge(_) => Reason::Truncated,
            Self::NoBuildInfo => Reason::Unsupported,
        }
    }
}

/// Something to `pread` from. Shared by files, tests and fuzz targets.
pub trait ReadAt {
    /// Reads some bytes at an offset; 0 bytes at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

impl ReadAt for &[u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// Reads a program's build info. `None`: it is not a Go program, or not an ELF program at all.
pub fn read(file: &File) -> Result<Option<BuildInfo>, BuildInfoError> {
    read_from(file)
}

/// [`read`] for anything that can be read at an offset.
pub fn read_from(source: &dyn ReadAt) -> Result<Option<BuildInfo>, BuildInfoError> {
    let Some(blob) = blob::read(source)? else {
        return Ok(None);
    };
    let mut info = modinfo::parse(&blob.modinfo)?;
    (info.go_version, info.go_vendor, info.experiments) = split_version(&blob.version);
    Ok(Some(info))
}

/// The release, the vendor's words and the experiments of a text such as `go1.21.6 X:rangefunc,arenas`,
/// `go1.21.13 (Red Hat 1.21.13-3.el9_4)` or, since Go 1.26, `go1.26.0-X:jsonv2`.
pub(crate) fn split_version(text: &str) -> (String, Option<String>, Vec<String>) {
    let (release, experiments) = match text.split_once(" X:").or_else(|| text.split_once("-X:")) {
        Some((release, list)) => (release, list.split([',', ' ']).filter(|name| !name.is_empty()).collect()),
        None => (text, Vec::new()),
    };
    let (release, vendor) = match release.split_once(" (").and_then(|(r, v)| Some((r, v.strip_suffix(')')?)))
    {
        Some((release, vendor)) => (release, Some(vendor.to_owned())),
        None => (release, None),
    };
    let release = release.strip_prefix("go").unwrap_or(release);
    (release.trim().to_owned(), vendor, experiments.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests;
