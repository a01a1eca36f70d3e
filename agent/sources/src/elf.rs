//! One section of an ELF file, found with three bounded reads.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use object::Endianness;
use object::elf::{self, FileHeader32, FileHeader64};
use object::pod::slice_from_all_bytes;
use object::read::elf::{FileHeader, SectionHeader};

/// The most bytes of section headers, and of section names, that are read.
const MAX_TABLE_BYTES: u64 = 64 * 1024;

/// Where a section's content lies in the file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// Where the section of this name lies. `None`: not an ELF file, or one without this section. Headers that cannot be
/// are `InvalidData`.
pub(crate) fn section(file: &File, name: &str) -> io::Result<Option<Place>> {
    let head = up_to(file, 0, 64)?;
    if !head.starts_with(&elf::ELFMAG) {
        return Ok(None);
    }
    match head.get(4).copied().map(elf::FileClass) {
        Some(elf::ELFCLASS32) => find::<FileHeader32<Endianness>>(file, &head, name),
        Some(elf::ELFCLASS64) => find::<FileHeader64<Endianness>>(file, &head, name),
        _ => Err(broken()),
    }
}

/// The bytes at an offset: as many as asked for, fewer where the file ends.
pub(crate) fn up_to(file: &File, offset: u64, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match file.read_at(&mut bytes[filled..], offset.checked_add(filled as u64).ok_or_else(broken)?) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(broken()),
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn find<H: FileHeader<Endian = Endianness>>(
    file: &File,
    head: &[u8],
    name: &str,
) -> io::Result<Option<Place>> {
    let header = H::parse(head).map_err(|_| broken())?;
    let endian = header.endian().map_err(|_| broken())?;
    let count = u64::from(header.e_shnum(endian));
    if count == 0 {
        return Ok(None);
    }
    if usize::from(header.e_shentsize(endian)) != size_of::<H::SectionHeader>() {
        return Err(broken());
    }
    let table = table(file, header.e_shoff(endian).into(), count * size_of::<H::SectionHeader>() as u64)?;
    let sections = slice_from_all_bytes::<H::SectionHeader>(&table).map_err(|()| broken())?;
    let place = |section: &H::SectionHeader| Place {
        offset: section.sh_offset(endian).into(),
        size: section.sh_size(endian).into(),
    };
    let Some(names) = sections.get(usize::from(header.e_shstrndx(endian).0)).map(place) else {
        return Ok(None);
    };
    let names = self::table(file, names.offset, names.size)?;
    let is_it = |section: &&H::SectionHeader| {
        let rest = names.get(section.sh_name(endian) as usize..).unwrap_or_default();
        rest.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
            && section.sh_type(endian) == elf::SHT_PROGBITS
    };
    Ok(sections.iter().find(is_it).map(place))
}

fn table(file: &File, offset: u64, size: u64) -> io::Result<Vec<u8>> {
    let size = usize::try_from(size.min(MAX_TABLE_BYTES + 1)).map_err(|_| broken())?;
    let bytes = up_to(file, offset, size)?;
    if bytes.len() == size && size as u64 <= MAX_TABLE_BYTES { Ok(bytes) } else { Err(broken()) }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an ELF file with headers that cannot be")
}
