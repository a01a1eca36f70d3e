//! The copy of the time zone database that a Go program may carry (`import _ "time/tzdata"`, or the tag `timetzdata`): a
//! zip archive of zone files, stored as they are, among the program's constants. Go uses it where the system has none, as
//! in an empty container image, and it is as old as the Go that built the program.
//!
//! The archive is found by looking at some bytes every now and then: it is far longer than what lies between two looks.
//! So a program of 20 MB costs a few hundred reads of 2 KB, once.

use std::fs::File;
use std::io;

use evenkeel_facts::Observation;
use jiff::Timestamp;
use memchr::memmem;

use crate::Host;
use crate::elf::{self, Place};
use crate::host::Stat;
use crate::time::transitions;

/// So far apart are two looks, and so long is each, in bytes. The archive has had 380 KB and more since Go 1.15, and no
/// zone's file in it has more than 2 KB.
const STEP: u64 = 64 * 1024;
const LOOK: usize = 2 * 1024;
/// No program has more constants that are looked at, in bytes.
const MOST: u64 = 256 * 1024 * 1024;
/// The archive lies within so many bytes of any place inside of it.
const REACH: u64 = 512 * 1024;
/// So many places that look like an archive are looked into.
const TRIES: usize = 4;
const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";

/// A zone's name, and its file as a program carries it, if it does. Only this is kept: an archive has half a megabyte.
type Copy = (String, Option<Vec<u8>>);

/// When this zone's clock jumps, as the program's own copy has it; `None`: it carries none, or not this zone.
pub(super) fn transitions_of(host: &Host, program: &File, zone: &str, now: Timestamp) -> Option<Observation> {
    let look = || -> io::Result<Copy> {
        let archive = find(program)?;
        let file = archive.and_then(|archive| file_of(&archive, zone).map(<[u8]>::to_vec));
        Ok((zone.to_owned(), file))
    };
    let stat = Stat::of_open(program).ok()?;
    let known = host.once(&stat, look).ok()?;
    // The machine was told to be in another zone since.
    let other = (known.0 != zone).then(look).transpose().ok()?;
    other.as_ref().unwrap_or(&known).1.as_deref().map(|zone| transitions::of(zone, now))
}

/// The bytes of the archive, and what lies before it.
fn find(program: &File) -> io::Result<Option<Vec<u8>>> {
    let Some(Place { offset, size }) = elf::section(program, ".rodata")? else { return Ok(None) };
    let end = offset.saturating_add(size.min(MOST));
    let (mut at, mut tries) = (offset, 0);
    while at < end && tries < TRIES {
        let look = elf::up_to(program, at, LOOK)?;
        if memmem::find(&look, LOCAL).is_some() || memmem::find(&look, b"TZif").is_some() {
            tries += 1;
            let begin = at.saturating_sub(REACH).max(offset);
            let length = usize::try_from((at + REACH).min(end) - begin).unwrap_or(0);
            let around = elf::up_to(program, begin, length)?;
            if directory(&around).is_some() {
                return Ok(Some(around));
            }
        }
        at += STEP;
    }
    Ok(None)
}

/// Where the archive begins in these bytes, and its directory.
fn directory(bytes: &[u8]) -> Option<(usize, &[u8])> {
    memmem::find_iter(bytes, END).find_map(|end| {
        let record = bytes.get(end..end + 22)?;
        let number = |at: usize| Some(u32::from_le_bytes(record.get(at..at + 4)?.try_into().ok()?) as usize);
        let (size, offset) = (number(12)?, number(16)?);
        let start = end.checked_sub(size)?;
        let begin = start.checked_sub(offset)?;
        let is_one = bytes[begin..].starts_with(LOCAL) && bytes[start..].starts_with(CENTRAL);
        is_one.then(|| (begin, &bytes[start..end]))
    })
}

/// The file of this name in the archive, if it is stored as it is.
fn file_of<'a>(bytes: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let (begin, mut rest) = directory(bytes)?;
    while rest.starts_with(CENTRAL) {
        let short = |at: usize| Some(usize::from(u16::from_le_bytes(rest.get(at..at + 2)?.try_into().ok()?)));
        let long = |at: usize| Some(u32::from_le_bytes(rest.get(at..at + 4)?.try_into().ok()?) as usize);
        let (name, extra, comment) = (short(28)?, short(30)?, short(32)?);
        if rest.get(46..46 + name)? == wanted.as_bytes() {
            let (method, size) = (short(10)?, long(24)?);
            let header = bytes.get(begin.checked_add(long(42)?)?..)?;
            let length =
                |at: usize| Some(usize::from(u16::from_le_bytes(header.get(at..at + 2)?.try_into().ok()?)));
            let data = 30 + length(26)? + length(28)?;
            let is_one = header.starts_with(LOCAL) && method == 0;
            return header.get(data..data.checked_add(size)?).filter(|_| is_one);
        }
        rest = rest.get(46 + name + extra + comment..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of stored files, as `time/tzdata` has it.
    pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let (mut bytes, mut directory) = (Vec::new(), Vec::new());
        for (name, content) in files {
            let offset = u32::try_from(bytes.len()).unwrap();
            let size = u32::try_from(content.len()).unwrap().to_le_bytes();
            let name_length = u16::try_from(name.len()).unwrap().to_le_bytes();
            bytes.extend(
                [LOCAL, &[0; 14], &size, &size, &name_length, &[0; 2], name.as_bytes(), content].concat(),
            );
            directory.extend(
                [CENTRAL, &[0; 16], &size, &size, &name_length, &[0; 12], &offset.to_le_bytes()].concat(),
            );
            directory.extend(name.as_bytes());
        }
        let count = u16::try_from(files.len()).unwrap().to_le_bytes();
        let (size, offset) =
            [directory.len(), bytes.len()].map(|length| u32::try_from(length).unwrap().to_le_bytes()).into();
        [&bytes[..], &directory, END, &[0; 4], &count, &count, &size, &offset, &[0; 2]].concat()
    }

    #[test]
    fn the_file_of_a_zone() {
        let zip = archive(&[("UTC", b"TZif2 utc"), ("Europe/Berlin", b"TZif2 berlin")]);
        let bytes = [b"constants PK\x05\x06 ".as_slice(), &[7; 40], &zip, b"and more PK\x05\x06"].concat();
        assert_eq!(file_of(&bytes, "Europe/Berlin"), Some(b"TZif2 berlin".as_slice()));
        assert_eq!(file_of(&bytes, "UTC"), Some(b"TZif2 utc".as_slice()));
        assert_eq!(file_of(&bytes, "Europe/Paris"), None);
    }

    /// Promise: no damage makes it panic.
    #[test]
    fn damage_is_survived() {
        let zip = archive(&[("UTC", b"TZif2 utc"), ("Europe/Berlin", b"TZif2 berlin")]);
        for at in 0..zip.len() {
            let _ = file_of(&zip[..at], "UTC");
            for byte in [0, 0xff, zip[at] ^ 1] {
                let mut damaged = zip.clone();
                damaged[at] = byte;
                let _ = file_of(&damaged, "Europe/Berlin");
            }
        }
    }
}
