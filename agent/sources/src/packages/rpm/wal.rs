//! SQLite's write-ahead log: pages that were committed and not yet moved into the database (sqlite.org/fileformat2,
//! section 4). rpm writes through one, so a database that is in use is not whole without it.

use std::collections::HashMap;
use std::fs::File;
use std::io;

use super::{exactly, malformed};

const HEADER_BYTES: usize = 32;
const FRAME_HEAD_BYTES: usize = 24;
/// rpm's log is emptied when the transaction ends.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// Where the newest committed content of each page in the log lies, in bytes.
#[derive(Debug, Default)]
pub(super) struct Log {
    pages: HashMap<u32, u64>,
}

impl Log {
    /// Reads the log up to the last commit. What follows was never committed.
    pub(super) fn read(file: &File, page_bytes: usize) -> io::Result<Self> {
        let size = file.metadata()?.len();
        let mut log = Self::default();
        if size < HEADER_BYTES as u64 {
            return Ok(log);
        }
        if size > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let header = exactly(file, 0, HEADER_BYTES)?;
        let big_endian = match number(&header, 0) {
            0x377f_0682 => false,
            0x377f_0683 => true,
            _ => return Err(malformed("an SQLite log without its mark")),
        };
        if number(&header, 8) as usize != page_bytes {
            return Err(malformed("an SQLite log with pages of another size"));
        }
        let mut sum = Sum { big_endian, words: [0; 2] };
        sum.add(&header[..24]);
        if sum.words != [number(&header, 24), number(&header, 28)] {
            return Ok(log);
        }
        let salt = &header[16..24];
        let mut uncommitted = Vec::new();
        let mut at = HEADER_BYTES as u64;
        while at + ((FRAME_HEAD_BYTES + page_bytes) as u64) <= size {
            let frame = exactly(file, at, FRAME_HEAD_BYTES + page_bytes)?;
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME_HEAD_BYTES..]);
            // Frames of an earlier round through the log have other salts.
            if &frame[8..16] != salt || sum.words != [number(&frame, 16), number(&frame, 20)] {
                break;
            }
            uncommitted.push((number(&frame, 0), at + FRAME_HEAD_BYTES as u64));
            if number(&frame, 4) != 0 {
                log.pages.extend(uncommitted.drain(..));
            }
            at += frame.len() as u64;
        }
        Ok(log)
    }

    /// Where this page lies in the log, if it does.
    pub(super) fn find(&self, page: u32) -> Option<u64> {
        self.pages.get(&page).copied()
    }
}

/// The running checksum of a log.
struct Sum {
    big_endian: bool,
    words: [u32; 2],
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let word = |four: &[u8]| {
            let four = [four[0], four[1], four[2], four[3]];
            if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
        };
        let [mut first, mut second] = self.words;
        for pair in bytes.chunks_exact(8) {
            first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
            second = second.wrapping_add(word(&pair[4..])).wrapping_add(first);
        }
        self.words = [first, second];
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(four)
}
