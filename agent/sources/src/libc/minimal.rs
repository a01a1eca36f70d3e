//! The smallest library that says the same version: for recorded hosts.

use std::fs::File;
use std::io;

use super::{constants, line_at, parse_glibc, parse_musl};

/// An ELF file with nothing but the constants from which the version is read. `None`: it is neither glibc nor musl.
pub(crate) fn shrink(library: &File) -> io::Result<Option<Vec<u8>>> {
    let constants = constants(library)?;
    if parse_glibc(&constants).is_some() {
        let banner = line_at(&constants, b"GNU C Library (").unwrap_or_default();
        return Ok(Some(program(format!("{banner}\n\0").as_bytes())));
    }
    Ok(parse_musl(&constants).map(|version| program(format!("\0{version}\0musl libc (\0").as_bytes())))
}

/// A shared object of 64 bits, little-endian, that has only the section `.rodata`. Section headers stand behind the
/// file's header, then their names, then the constants.
pub(super) fn program(rodata: &[u8]) -> Vec<u8> {
    const NAMES: &[u8] = b"\0.rodata\0.shstrtab\0";
    const HEADER: u64 = 64;
    let names_at = HEADER + 3 * 64;
    let rodata_at = names_at + NAMES.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // ET_DYN, EM_X86_64, version 1; no entry, no segments, section headers at once.
    file.extend([3, 0, 62, 0, 1, 0, 0, 0]);
    for word in [0, 0, HEADER] {
        file.extend(u64::to_le_bytes(word));
    }
    file.extend([0; 4]);
    for half in [64_u16, 56, 0, 64, 3, 2] {
        file.extend(half.to_le_bytes());
    }
    let mut section = |name: u32, kind: u32, flags: u64, offset: u64, size: u64| {
        file.extend(name.to_le_bytes());
        file.extend(kind.to_le_bytes());
        for word in [flags, 0, offset, size, 0, 1, 0] {
            file.extend(word.to_le_bytes());
        }
    };
    section(0, 0, 0, 0, 0);
    section(1, 1, 2, rodata_at, rodata.len() as u64);
    section(9, 3, 0, names_at, NAMES.len() as u64);
    file.extend(NAMES);
    file.extend(rodata);
    file
}
