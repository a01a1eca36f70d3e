//! The header of one package, as it lies in every form of the database: two counts, an index of 16 bytes an entry, and
//! the data that the entries point into; numbers are big-endian (rpm's format V4).

use std::io;

use super::{Package, malformed};

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const ARCHITECTURE: u32 = 1022;
const INT32: u32 = 4;
const STRING: u32 = 6;

/// As rpm itself: not more entries, and not more data in bytes.
const MAX_ENTRIES: u32 = 0xffff;
const MAX_DATA: u32 = 256 * 1024 * 1024;
/// What is read here lies in front of the lists of files; further behind nothing is looked for.
const MAX_READ: usize = 8 * 1024 * 1024;
/// The longest of the texts that are read here.
const MAX_TEXT: usize = 1024;

/// The first bytes of a header, read as they are asked for.
pub(super) trait Head {
    /// At least so many bytes from the beginning, fewer only where the header ends.
    fn up_to(&mut self, size: usize) -> io::Result<&[u8]>;
}

impl Head for &[u8] {
    fn up_to(&mut self, _: usize) -> io::Result<&[u8]> {
        Ok(self)
    }
}

/// The package of a header.
pub(super) fn package(head: &mut impl Head) -> io::Result<Package> {
    let counts = head.up_to(8)?;
    let (entries, data) = (number(counts, 0)?, number(counts, 4)?);
    if entries > MAX_ENTRIES || data > MAX_DATA {
        return Err(malformed("an rpm header with counts that cannot be"));
    }
    let start = 8 + 16 * entries as usize;
    let index = head.up_to(start)?.get(8..start).ok_or_else(cut)?.to_vec();
    let entry = |tag: u32| {
        let of_tag = |entry: &&[u8]| number(entry, 0).ok() == Some(tag);
        index
            .chunks_exact(16)
            .find(of_tag)
            .map(|entry| Ok::<_, io::Error>((number(entry, 4)?, number(entry, 8)?)))
    };
    let mut text = |tag: u32| match entry(tag).transpose()? {
        Some((STRING, offset)) if offset < data => string(head, start + offset as usize).map(Some),
        Some(_) => Err(malformed("an rpm header with a field of another type")),
        None => Ok(None),
    };
    let name = text(NAME)?.ok_or_else(|| malformed("an rpm header without a name"))?;
    let version = text(VERSION)?.ok_or_else(|| malformed("an rpm header without a version"))?;
    let release = text(RELEASE)?.ok_or_else(|| malformed("an rpm header without a release"))?;
    let architecture = text(ARCHITECTURE)?.filter(|own| own != "noarch").unwrap_or_default();
    let epoch = match entry(EPOCH).transpose()? {
        Some((INT32, offset)) if offset < data && (offset as usize) < MAX_READ => {
            let at = start + offset as usize;
            format!("{}:", number(head.up_to(at + 4)?, at)?)
        }
        Some(_) => return Err(malformed("an rpm header with a field of another type")),
        None => String::new(),
    };
    Ok(Package { name, architecture, version: format!("{epoch}{version}-{release}"), state: None })
}

/// The text at this place, up to its zero byte.
fn string(head: &mut impl Head, at: usize) -> io::Result<String> {
    if at > MAX_READ {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let bytes = head.up_to(at + MAX_TEXT)?.get(at..).ok_or_else(cut)?;
    let end = bytes.iter().take(MAX_TEXT).position(|byte| *byte == 0).ok_or_else(cut)?;
    let text = std::str::from_utf8(&bytes[..end]).ok().filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| malformed("an rpm header with a text that is none"))
}

fn number(bytes: &[u8], at: usize) -> io::Result<u32> {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(cut)?;
    Ok(u32::from_be_bytes(*four))
}

fn cut() -> io::Error {
    malformed("an rpm header cut short")
}

/// The smallest header that says the same.
pub(super) fn write(package: &Package) -> Vec<u8> {
    let Package { name, architecture, version, state: _ } = package;
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse::<u32>().ok(), rest),
        None => (None, version.as_str()),
    };
    let (version, release) = rest.rsplit_once('-').unwrap_or((rest, ""));
    let mut index = Vec::new();
    let mut data = Vec::new();
    if let Some(epoch) = epoch {
        index.push((EPOCH, INT32, data.len()));
        data.extend(epoch.to_be_bytes());
    }
    for (tag, text) in
        [(NAME, name.as_str()), (VERSION, version), (RELEASE, release), (ARCHITECTURE, architecture)]
    {
        let text = if tag == ARCHITECTURE && text.is_empty() { "noarch" } else { text };
        index.push((tag, STRING, data.len()));
        data.extend(text.bytes().chain([0]));
    }
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let entries = index.iter().flat_map(|(tag, kind, offset)| [*tag, *kind, count(*offset), 1]);
    let numbers = [count(index.len()), count(data.len())].into_iter().chain(entries);
    numbers.flat_map(u32::to_be_bytes).chain(data.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Package {
        Package {
            name: "bind-libs".to_owned(),
            architecture: "x86_64".to_owned(),
            version: "32:9.18.1-1.fc40".to_owned(),
            state: None,
        }
    }

    #[test]
    fn a_header_says_what_was_written() {
        let noarch = Package { architecture: String::new(), version: "1.2~rc1-3".to_owned(), ..sample() };
        for package in [sample(), noarch] {
            assert_eq!(super::package(&mut write(&package).as_slice()).unwrap(), package);
        }
    }

    /// Promise: a header cut anywhere, or with any byte changed, is an error or a package, never a panic.
    #[test]
    fn a_damaged_header_is_an_error() {
        let whole = write(&sample());
        for end in 0..whole.len() - 1 {
            let error = package(&mut &whole[..end]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{end}");
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                let _ = package(&mut damaged.as_slice());
            }
        }
    }
}
