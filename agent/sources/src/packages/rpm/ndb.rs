//! rpm's own database: one file of slots, each of which points to the header of a package. All numbers are
//! little-endian; offsets count blocks of 16 bytes (rpm's lib/backend/ndb/rpmpkg.c).

use std::fs::File;
use std::io;

use super::header::{self, Head};
use super::{MAX_PACKAGES, Package, exactly, malformed};
use crate::Budget;

/// What the file begins with.
pub(super) const MARK: &[u8; 4] = b"RpmP";

const SLOT_MAGIC: u32 = u32::from_le_bytes(*b"Slot");
const BLOB_MAGIC: u32 = u32::from_le_bytes(*b"BlbS");
const PAGE_BYTES: usize = 4096;
const BLOCK_BYTES: u64 = 16;
const SLOT_BYTES: usize = 16;
/// The slots of the first page begin behind the database's own header.
const HEADER_BYTES: usize = 32;
/// In front of each package's header: magic, number, generation, length.
const BLOB_HEAD_BYTES: u64 = 16;
/// As much is read of a header at once: the index of most, and the texts in front.
const STEP_BYTES: usize = 4096;

/// Every package in the file.
pub(super) fn packages(file: &File, budget: &Budget) -> io::Result<Vec<Package>> {
    let before = exactly(file, 0, HEADER_BYTES)?;
    if !before.starts_with(MARK) || number(&before, 4) != 0 {
        return Err(malformed("an rpm database without its mark"));
    }
    let pages = number(&before, 12) as usize;
    if pages > MAX_PACKAGES * SLOT_BYTES / PAGE_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let slots = exactly(file, 0, pages * PAGE_BYTES)?;
    let mut packages = Vec::new();
    for slot in slots.chunks_exact(SLOT_BYTES).skip(HEADER_BYTES / SLOT_BYTES) {
        if number(slot, 0) != SLOT_MAGIC {
            return Err(malformed("an rpm database with a slot that is none"));
        }
        let (id, block) = (number(slot, 4), number(slot, 8));
        if id == 0 {
            continue;
        }
        if budget.spend(0).is_err() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        packages.push(header::package(&mut Blob::open(file, id, u64::from(block) * BLOCK_BYTES)?)?);
    }
    // The generation is counted up by every write.
    if exactly(file, 0, HEADER_BYTES)? != before {
        return Err(malformed("an rpm database that was written to while it was read"));
    }
    Ok(packages)
}

struct Blob<'a> {
    file: &'a File,
    start: u64,
    size: usize,
    bytes: Vec<u8>,
}

impl<'a> Blob<'a> {
    fn open(file: &'a File, id: u32, offset: u64) -> io::Result<Self> {
        let head = exactly(file, offset, 16)?;
        if number(&head, 0) != BLOB_MAGIC || number(&head, 4) != id {
            return Err(malformed("an rpm database with a slot that points to no package"));
        }
        let size = number(&head, 12) as usize;
        Ok(Self { file, start: offset + BLOB_HEAD_BYTES, size, bytes: Vec::new() })
    }
}

impl Head for Blob<'_> {
    fn up_to(&mut self, size: usize) -> io::Result<&[u8]> {
        let wanted = size.next_multiple_of(STEP_BYTES).min(self.size);
        if wanted > self.bytes.len() {
            let from = self.bytes.len();
            self.bytes.extend(exactly(self.file, self.start + from as u64, wanted - from)?);
        }
        Ok(&self.bytes)
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

/// A database with these packages and nothing else of them, for recorded hosts.
pub(super) fn write(packages: &[Package]) -> Vec<u8> {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let pages = (HEADER_BYTES + packages.len() * SLOT_BYTES).div_ceil(PAGE_BYTES).max(1);
    let mut slots = Vec::new();
    for number in [u32::from_le_bytes(*MARK), 0, 1, count(pages), count(packages.len() + 1), 0, 0, 0] {
        slots.extend(number.to_le_bytes());
    }
    let mut blobs: Vec<u8> = Vec::new();
    for (id, package) in (1..).zip(packages) {
        let header = header::write(package);
        let block = (pages * PAGE_BYTES + blobs.len()) / SLOT_BYTES;
        // Behind a header stand its checksum, its length again and a mark.
        let blocks = (header.len() + 16 + 12).div_ceil(SLOT_BYTES);
        let end = blobs.len() + blocks * SLOT_BYTES;
        for number in [SLOT_MAGIC, id, count(block), count(blocks)] {
            slots.extend(number.to_le_bytes());
        }
        for number in [BLOB_MAGIC, id, 1, count(header.len())] {
            blobs.extend(number.to_le_bytes());
        }
        blobs.extend(header);
        blobs.resize(end, 0);
    }
    while slots.len() < pages * PAGE_BYTES {
        for number in [SLOT_MAGIC, 0, 0, 0] {
            slots.extend(number.to_le_bytes());
        }
    }
    slots.into_iter().chain(blobs).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};
    use std::time::Duration;

    use super::*;

    fn read_back(database: &[u8]) -> io::Result<Vec<Package>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(database).unwrap();
        file.rewind().unwrap();
        packages(&file, &Budget::new(Duration::from_secs(60), 1 << 20))
    }

    fn sample(count: usize) -> Vec<Package> {
        let package = |n| Package {
            name: format!("package-{n}"),
            architecture: "x86_64".to_owned(),
            version: format!("1.{n}-2"),
            state: None,
        };
        (0..count).map(package).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        for count in [0, 1, 253, 254, 255, 1000] {
            assert_eq!(read_back(&write(&sample(count))).unwrap(), sample(count), "{count}");
        }
    }

    /// Promise: a database cut anywhere is an error, never fewer packages.
    #[test]
    fn a_database_cut_short_is_an_error() {
        let whole = write(&sample(3));
        let end = whole.len() - 64;
        for size in (0..end).step_by(97) {
            assert_eq!(read_back(&whole[..size]).unwrap_err().kind(), io::ErrorKind::InvalidData, "{size}");
        }
    }
}
