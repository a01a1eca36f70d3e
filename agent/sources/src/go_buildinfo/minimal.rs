//! The smallest program that carries a given build info: for recorded hosts and tests.

use super::blob::{self, MAGIC};
use super::{BuildInfoError, ReadAt};
use crate::credentials;

/// A program with the same build info and nothing else, a few hundred bytes long. Ordinary ELF readers and
/// `go version -m` read it too. Passwords in URLs (`-ldflags=-X …`) are struck out. `None`: it is not a Go program.
pub fn shrink(source: &dyn ReadAt) -> Result<Option<Vec<u8>>, BuildInfoError> {
    let small =
        |blob: blob::Blob| Minimal::default().program(&blob.version, &credentials::strike(&blob.modinfo));
    Ok(blob::read(source)?.map(small))
}

/// Which kind of program to make. The default: 64 bits, little-endian, with section names, strings behind the header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Minimal {
    /// ELF32.
    pub narrow: bool,
    /// Big-endian.
    pub big_endian: bool,
    /// The form before Go 1.18.
    pub pointers: bool,
    /// No section headers: the build info is found by its magic.
    pub nameless: bool,
}

/// Where the file is loaded.
const BASE: u64 = 0x40_0000;
/// The names of the three sections (the first has none).
const NAMES: &[u8] = b"\0.go.buildinfo\0.shstrtab\0";
/// What `cmd/go` puts around the text of modules.
const INFO_START: [u8; 16] = *b"\x30\x77\xaf\x0c\x92\x74\x08\x02\x41\xe1\xc1\x07\xe6\xd6\x18\xe6";
const INFO_END: [u8; 16] = *b"\xf9\x32\x43\x31\x86\x18\x20\x72\x00\x82\x42\x10\x41\x16\xd8\xf2";

impl Minimal {
    /// The program. `version` as Go has it (`go1.21.6`), `modinfo` lines without their frame.
    pub fn program(self, version: &str, modinfo: &str) -> Vec<u8> {
        let word = if self.narrow { 4 } else { 8 };
        let header = 16 + 8 + 3 * word + 4 + 6 * 2;
        let segment = 8 + 6 * word;
        let section = 16 + 6 * word;
        let names = header + segment + if self.nameless { 0 } else { 3 * section };
        let start = (names + NAMES.len()).next_multiple_of(16);
        let content = self.content(BASE + start as u64, version, modinfo);

        let mut file = Writer { kind: self, bytes: Vec::with_capacity(start + content.len()) };
        file.bytes.extend_from_slice(&[
            0x7f,
            b'E',
            b'L',
            b'F',
            2 - u8::from(self.narrow),
            1 + u8::from(self.big_endian),
            1,
        ]);
        file.bytes.resize(16, 0);
        file.half(2); // an executable
        file.half([62, 22, 3, 8][usize::from(self.narrow) * 2 + usize::from(self.big_endian)]); // amd64, s390x, 386, mips
        file.int(1);
        file.word(BASE);
        file.word(header as u64);
        file.word(if self.nameless { 0 } else { (header + segment) as u64 });
        file.int(0);
        for number in [header, segment, 1, section] {
            file.half(number);
        }
        let sections = if self.nameless { [0, 0] } else { [3, 2] };
        for number in sections {
            file.half(number);
        }

        // One loaded, writable segment. In ELF64 the flags stand before the offset, in ELF32 behind the sizes.
        let (offset, size) = (start as u64, content.len() as u64);
        file.int(1);
        if !self.narrow {
            file.int(6);
        }
        for number in [offset, BASE + offset, BASE + offset, size, size] {
            file.word(number);
        }
        if self.narrow {
            file.int(6);
        }
        file.word(16);

        if !self.nameless {
            file.bytes.resize(file.bytes.len() + section, 0);
            file.section(&Section { name: 1, kind: 1, flags: 3, address: BASE + offset, offset, size });
            let size = NAMES.len() as u64;
            file.section(&Section { name: 15, kind: 3, flags: 0, address: 0, offset: names as u64, size });
        }
        file.bytes.extend_from_slice(NAMES);
        file.bytes.resize(start, 0);
        file.bytes.extend_from_slice(&content);
        file.bytes
    }

    /// The build info as it lies at an address.
    fn content(self, address: u64, version: &str, modinfo: &str) -> Vec<u8> {
        let modinfo = match modinfo {
            "" => Vec::new(),
            text => [&INFO_START[..], text.as_bytes(), &INFO_END].concat(),
        };
        let word = if self.narrow { 4 } else { 8 };
        let mut out = Writer { kind: self, bytes: MAGIC.to_vec() };
        if !self.pointers {
            out.bytes.extend_from_slice(&[0, 2]);
            out.bytes.resize(32, 0);
            for string in [version.as_bytes(), &modinfo] {
                varint(&mut out.bytes, string.len());
                out.bytes.extend_from_slice(string);
            }
            return out.bytes;
        }
        out.bytes.extend_from_slice(&[word, u8::from(self.big_endian)]);
        let strings = address + 32;
        out.word(strings);
        out.word(strings + 2 * u64::from(word));
        out.bytes.resize(32, 0);
        let text = strings + 4 * u64::from(word);
        for (start, length) in [(text, version.len()), (text + version.len() as u64, modinfo.len())] {
            out.word(start);
            out.word(length as u64);
        }
        out.bytes.extend_from_slice(version.as_bytes());
        out.bytes.extend_from_slice(&modinfo);
        out.bytes
    }
}

fn varint(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// What differs between the two sections that have a name.
struct Section {
    name: u32,
    kind: u32,
    flags: u64,
    address: u64,
    offset: u64,
    size: u64,
}

/// Numbers in the width and order of the program's machine.
struct Writer {
    kind: Minimal,
    bytes: Vec<u8>,
}

impl Writer {
    fn number(&mut self, number: u64, width: usize) {
        let bytes = number.to_be_bytes();
        let bytes = &bytes[8 - width..];
        if self.kind.big_endian {
            self.bytes.extend_from_slice(bytes);
        } else {
            self.bytes.extend(bytes.iter().rev());
        }
    }

    fn half(&mut self, number: usize) {
        self.number(number as u64, 2);
    }

    fn int(&mut self, number: u32) {
        self.number(number.into(), 4);
    }

    fn word(&mut self, number: u64) {
        self.number(number, if self.kind.narrow { 4 } else { 8 });
    }

    fn section(&mut self, section: &Section) {
        let Section { name, kind, flags, address, offset, size } = *section;
        self.int(name);
        self.int(kind);
        for number in [flags, address, offset, size] {
            self.word(number);
        }
        self.int(0);
        self.int(0);
        self.word(16);
        self.word(0);
    }
}
