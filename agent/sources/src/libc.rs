//! Source `libc`: which C library the machine's programs use, read from the library's file.
//!
//! - `libc.family`: `glibc`, or `musl` where there is no glibc
//! - `glibc.version` (`2.36`), and `glibc.package`: what the distribution calls its build (`Debian GLIBC 2.36-9+deb12u10`)
//! - `musl.version` (`1.2.3`), also beside glibc
//!
//! The libraries are looked for where their distributions put them, 64-bit ones first: of a machine that has several
//! it is the native one that is reported.

mod minimal;

use std::fs::File;
use std::io;

use evenkeel_facts::{FactPath, Observation, Reason, Section, SectionBuilder};

use crate::elf;
use crate::{Budget, Declared, Host, Source, SourcesConfig};

pub(crate) use minimal::shrink;

const GLIBC: &[&str] = &[
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/aarch64-linux-gnu/libc.so.6",
    "/lib/powerpc64le-linux-gnu/libc.so.6",
    "/lib/riscv64-linux-gnu/libc.so.6",
    "/lib/s390x-linux-gnu/libc.so.6",
    "/lib/loongarch64-linux-gnu/libc.so.6",
    "/lib/mips64el-linux-gnuabi64/libc.so.6",
    "/lib64/libc.so.6",
    "/usr/lib64/libc.so.6",
    "/lib/arm-linux-gnueabihf/libc.so.6",
    "/lib/arm-linux-gnueabi/libc.so.6",
    "/lib/i386-linux-gnu/libc.so.6",
    "/lib/libc.so.6",
    "/usr/lib/libc.so.6",
];
const MUSL: &[&str] = &[
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
    "/lib/ld-musl-powerpc64le.so.1",
    "/lib/ld-musl-riscv64.so.1",
    "/lib/ld-musl-s390x.so.1",
    "/lib/ld-musl-loongarch64.so.1",
    "/lib/ld-musl-armhf.so.1",
    "/lib/ld-musl-arm.so.1",
    "/lib/ld-musl-i386.so.1",
];
/// The constants of glibc have 150 KB, those of musl 200 KB.
const MAX_RODATA_BYTES: u64 = 4 * 1024 * 1024;

#[rustfmt::skip]
const DECLARED: &[Declared] = &[
    Declared { path: "libc.family", what: "`glibc`, or `musl` where there is no glibc", from: "the library's file" },
    Declared { path: "glibc.version", what: "`2.36`", from: "libc.so.6" },
    Declared { path: "glibc.package", what: "what the distribution calls its build", from: "libc.so.6" },
    Declared { path: "musl.version", what: "`1.2.3`, also beside glibc", from: "ld-musl-*.so.1" },
];

/// See the module.
#[derive(Debug)]
pub struct Libc;

impl Source for Libc {
    fn name(&self) -> &'static str {
        "libc"
    }

    fn top_paths(&self) -> &'static [&'static str] {
        &["libc", "glibc", "musl"]
    }

    fn declares(&self) -> &'static [Declared] {
        DECLARED
    }

    fn sees_only_files(&self) -> bool {
        true
    }

    fn collect(&self, host: &Host, _: &SourcesConfig, _: &Budget) -> Vec<Section> {
        let mut section = SectionBuilder::new("libc");
        let glibc = first(host, GLIBC, parse_glibc);
        let musl = first(host, MUSL, parse_musl);
        section.observe(FactPath::known("libc.family"), family(host, &glibc, &musl));
        match glibc {
            Ok(Some(Glibc { version, package })) => {
                section.present(FactPath::known("glibc.version"), version);
                section.present(FactPath::known("glibc.package"), package);
            }
            Ok(None) => {
                section.observe(FactPath::known("glibc.version"), Observation::Absent);
                section.observe(FactPath::known("glibc.package"), Observation::Absent);
            }
            Err(reason) => {
                section.unreadable(FactPath::known("glibc"), reason);
            }
        }
        let musl = musl.map(|version| {
            version.map_or(Observation::Absent, |version| Observation::Present(version.into()))
        });
        section.observe(FactPath::known("musl.version"), musl.unwrap_or_else(Observation::Unreadable));
        vec![section.finish()]
    }
}

/// What one kind of library says: `None` when there is none.
type Found<T> = Result<Option<T>, Reason>;

#[derive(Debug, PartialEq, Eq)]
struct Glibc {
    version: String,
    package: String,
}

fn family(host: &Host, glibc: &Found<Glibc>, musl: &Found<String>) -> Observation {
    match (glibc, musl) {
        (Ok(Some(_)), _) => Observation::Present("glibc".into()),
        (Ok(None), Ok(Some(_))) => Observation::Present("musl".into()),
        (Err(reason), _) | (Ok(None), Err(reason)) => Observation::Unreadable(*reason),
        // A shell but no library in a known place: a distribution with places of its own.
        (Ok(None), Ok(None)) if host.exists("/bin/sh") => Observation::Unreadable(Reason::Unsupported),
        (Ok(None), Ok(None)) => Observation::Absent,
    }
}

/// The first of these libraries that says its version. If none does, what kept the first one from it.
fn first<T>(host: &Host, paths: &[&str], parse: fn(&[u8]) -> Option<T>) -> Found<T> {
    let mut trouble = None;
    for path in paths {
        let parsed =
            host.open_regular(path).and_then(|file| constants(&file)).map(|constants| parse(&constants));
        match parsed {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => trouble = trouble.or(Some(Reason::Malformed)),
            Err(error) => trouble = trouble.or(Reason::of_io(&error)),
        }
    }
    trouble.map_or(Ok(None), Err)
}

fn constants(file: &File) -> io::Result<Vec<u8>> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let place = elf::section(file, ".rodata")?.ok_or_else(malformed)?;
    let size = usize::try_from(place.size.min(MAX_RODATA_BYTES)).map_err(|_| malformed())?;
    elf::up_to(file, place.offset, size)
}

/// `GNU C Library (PACKAGE) stable release version VERSION.`: the first line that the library prints when it is run.
fn parse_glibc(constants: &[u8]) -> Option<Glibc> {
    let banner = line_at(constants, b"GNU C Library (")?;
    let (package, rest) = banner.strip_prefix("GNU C Library (")?.split_once(") ")?;
    let (_, version) = rest.split_once(" version ")?;
    let version = version.trim_end_matches('.');
    is_version(version).then(|| Glibc { version: version.to_owned(), package: package.to_owned() })
}

/// musl keeps its version as a text of its own, which it prints behind its name when it is run.
fn parse_musl(constants: &[u8]) -> Option<String> {
    line_at(constants, b"musl libc (")?;
    constants
        .split(|byte| *byte == 0)
        .filter(|text| text.len() < 64 && text.first().is_some_and(u8::is_ascii_digit))
        .filter_map(|text| std::str::from_utf8(text).ok())
        .find(|text| {
            let release = text.split_once("-git").map_or(*text, |(release, _)| release);
            is_version(release) && release.split('.').count() == 3
        })
        .map(str::to_owned)
}

/// Numbers with dots between.
fn is_version(text: &str) -> bool {
    text.split('.').all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The text from this beginning to the end of its line.
fn line_at<'a>(bytes: &'a [u8], beginning: &[u8]) -> Option<&'a str> {
    let at =
        bytes.windows(beginning.len()).position(|window| window[0] == beginning[0] && window == beginning)?;
    let line = bytes[at..].split(|byte| matches!(byte, b'\n' | 0)).next()?;
    std::str::from_utf8(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banners_of_distributions() {
        for (banner, version, package) in [
            (
                "GNU C Library (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36.\n",
                "2.36",
                "Debian GLIBC 2.36-9+deb12u10",
            ),
            ("GNU C Library (GNU libc) stable release version 2.28.\n", "2.28", "GNU libc"),
            ("GNU C Library (GNU libc) development release version 2.39.9000.\n", "2.39.9000", "GNU libc"),
            (
                "GNU C Library (Ubuntu GLIBC 2.15-0ubuntu10) stable release version 2.15, by Roland McGrath",
                "",
                "",
            ),
        ] {
            let constants = [b"\0\0xG", banner.as_bytes(), b"Copyright"].concat();
            let expected =
                (!version.is_empty()).then(|| Glibc { version: version.into(), package: package.into() });
            assert_eq!(parse_glibc(&constants), expected, "{banner}");
        }
        assert_eq!(parse_glibc(b"GNU C Library"), None);
    }

    #[test]
    fn the_version_of_musl_is_the_text_of_three_numbers() {
        let constants = b"9\x001.2.3x\x00127.0.0.1\x001.2.3\0musl libc (x86_64)\nVersion %s\n\0";
        assert_eq!(parse_musl(constants).as_deref(), Some("1.2.3"));
        assert_eq!(parse_musl(b"\x001.2.5-git-12-gabc\0musl libc (").as_deref(), Some("1.2.5-git-12-gabc"));
        assert_eq!(parse_musl(b"\x001.2.3\0"), None);
    }

    #[test]
    fn the_smallest_library_says_the_same() {
        let mut file = tempfile::tempfile().unwrap();
        for (constants, kept) in [
            (
                &b"..GNU C Library (X) stable release version 2.99.\nand more"[..],
                b"GNU C Library (X) stable release version 2.99.\n\0".to_vec(),
            ),
            (b"\x001.2.3\0musl libc (x86_64)\nVersion", b"\x001.2.3\0musl libc (\0".to_vec()),
        ] {
            io::Write::write_all(&mut file, &minimal::program(constants)).unwrap();
            let small = shrink(&file).unwrap().unwrap();
            assert_eq!(small, minimal::program(&kept));
            file = tempfile::tempfile().unwrap();
        }
    }
}
