//! A program as its ELF headers describe it: where the build info may lie, and reads by address.

use std::borrow::Cow;
use std::io;
use std::mem::size_of;

use object::Endianness;
use object::elf::{self, FileHeader32, FileHeader64};
use object::pod::slice_from_all_bytes;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};

use super::{BuildInfoError, MAX_HEADER_BYTES, MAX_INFO_BYTES, ReadAt};

/// One page: it holds the headers of every program that Go's own linker wrote, so that they cost one read.
const HEAD_BYTES: usize = 4096;

/// A program's loaded content, and the range of addresses in which its build info is to be looked for.
pub(super) struct Image<'a> {
    source: &'a dyn ReadAt,
    segments: Vec<Segment>,
    /// Where the build info is.
    pub(super) place: Place,
    /// How many more bytes may be read.
    left: usize,
    /// The bytes read last, and their address: the strings mostly follow the header.
    window: (u64, Vec<u8>),
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) size: u64,
    /// How sure it is that this is a Go program.
    pub(super) sign: Sign,
}

/// What tells that a program is one of Go's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// A section that is named for the build info.
    Section,
    /// Other sections that only Go's linker makes.
    Linker,
    /// Nothing: there are no section names to go by.
    Nameless,
}

/// A part of the file that is loaded at an address.
struct Segment {
    address: u64,
    offset: u64,
    size: u64,
    writable: bool,
}

impl<'a> Image<'a> {
    /// Reads the headers. `None`: not an ELF program, or one whose section names show that it is not Go's.
    pub(super) fn open(source: &'a dyn ReadAt) -> Result<Option<Self>, BuildInfoError> {
        let mut head = [0; HEAD_BYTES];
        let count = source.read_at(&mut head, 0)?;
        let head = &head[..count];
        if !head.starts_with(&elf::ELFMAG) {
            return Ok(None);
        }
        let headers = Headers { source, head, left: MAX_HEADER_BYTES };
        let found = match head.get(4).copied().map(elf::FileClass) {
            Some(elf::ELFCLASS32) => headers.read::<FileHeader32<Endianness>>()?,
            Some(elf::ELFCLASS64) => headers.read::<FileHeader64<Endianness>>()?,
            _ => return Err(BuildInfoError::Malformed("an ELF file of no known class")),
        };
        Ok(found.map(|(segments, place)| Self {
            source,
            segments,
            place,
            left: MAX_INFO_BYTES,
            window: (0, Vec::new()),
        }))
    }

    /// Exactly `size` bytes at an address.
    pub(super) fn exactly(&mut self, address: u64, size: u64) -> Result<&[u8], BuildInfoError> {
        let bytes = self.up_to(address, size)?;
        if bytes.len() as u64 == size {
            Ok(bytes)
        } else {
            Err(BuildInfoError::Malformed("build info outside of the file"))
        }
    }

    /// At most `size` bytes at an address: fewer where its segment, or the file, ends.
    pub(super) fn up_to(&mut self, address: u64, size: u64) -> Result<&[u8], BuildInfoError> {
        let Some((offset, available)) = self.segments.iter().find_map(|segment| segment.at(address)) else {
            return Ok(&[]);
        };
        if size.min(available) > MAX_INFO_BYTES as u64 {
            return Err(BuildInfoError::TooLarge("build info larger than 4 MiB"));
        }
        let size = usize::try_from(size.min(available)).unwrap_or(MAX_INFO_BYTES);
        let skip = address.checked_sub(self.window.0).and_then(|skip| usize::try_from(skip).ok());
        if let Some(skip) = skip
            && skip.checked_add(size).is_some_and(|end| end <= self.window.1.len())
        {
            return Ok(&self.window.1[skip..skip + size]);
        }
        self.left =
            self.left.checked_sub(size).ok_or(BuildInfoError::TooLarge("build info not within 4 MiB"))?;
        let bytes = fill(self.source, offset, size)?;
        self.window = (address, bytes);
        Ok(&self.window.1)
    }
}

impl Segment {
    /// The file offset of an address, and how many bytes of the file follow from there.
    fn at(&self, address: u64) -> Option<(u64, u64)> {
        let skip = address.checked_sub(self.address)?;
        let available = self.size.checked_sub(skip).filter(|left| *left > 0)?;
        Some((self.offset.checked_add(skip)?, available))
    }
}

struct Headers<'a> {
    source: &'a dyn ReadAt,
    head: &'a [u8],
    left: usize,
}

impl<'a> Headers<'a> {
    fn read<H: FileHeader<Endian = Endianness>>(
        mut self,
    ) -> Result<Option<(Vec<Segment>, Place)>, BuildInfoError> {
        const BROKEN: BuildInfoError = BuildInfoError::Malformed("an ELF header that is broken");
        let header = H::parse(self.head).map_err(|_| BROKEN)?;
        let endian = header.endian().map_err(|_| BROKEN)?;
        if !matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
            return Ok(None);
        }

        let count = usize::from(header.e_phnum(endian));
        if count > 0 && usize::from(header.e_phentsize(endian)) != size_of::<H::ProgramHeader>() {
            return Err(BROKEN);
        }
        let table = self.table(header.e_phoff(endian).into(), count * size_of::<H::ProgramHeader>())?;
        let headers = slice_from_all_bytes::<H::ProgramHeader>(&table).map_err(|()| BROKEN)?;
        let segments: Vec<_> = headers
            .iter()
            .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
            .map(|segment| Segment {
                address: segment.p_vaddr(endian).into(),
                offset: segment.p_offset(endian).into(),
                size: segment.p_filesz(endian).into(),
                writable: segment.p_flags(endian).contains(elf::PF_W)
                    && !segment.p_flags(endian).contains(elf::PF_X),
            })
            .collect();
        if segments.iter().any(|segment| segment.address.checked_add(segment.size).is_none()) {
            return Err(BuildInfoError::Malformed("a segment beyond all addresses"));
        }

        let count = usize::from(header.e_shnum(endian));
        if count > 0 && usize::from(header.e_shentsize(endian)) != size_of::<H::SectionHeader>() {
            return Err(BROKEN);
        }
        let table = self.table(header.e_shoff(endian).into(), count * size_of::<H::SectionHeader>())?;
        let sections = slice_from_all_bytes::<H::SectionHeader>(&table).map_err(|()| BROKEN)?;
        let names = match sections.get(usize::from(header.e_shstrndx(endian).0)) {
            Some(names) => {
                let size: u64 = names.sh_size(endian).into();
                self.table(names.sh_offset(endian).into(), usize::try_from(size).unwrap_or(usize::MAX))?
            }
            None => Cow::Borrowed(&[][..]),
        };

        let mut sign = if names.len() > 1 { None } else { Some(Sign::Nameless) };
        for section in sections {
            let name = names.get(section.sh_name(endian) as usize..).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            if name == b".go.buildinfo" && section.sh_type(endian) == elf::SHT_PROGBITS {
                let (start, size) = (section.sh_addr(endian).into(), section.sh_size(endian).into());
                return Ok(Some((segments, Place { start, size, sign: Sign::Section })));
            }
            if matches!(name, b".gopclntab" | b".data.rel.ro.gopclntab" | b".gosymtab" | b".note.go.buildid")
            {
                sign = Some(Sign::Linker);
            }
        }
        let data = segments.iter().find(|segment| segment.writable).map(|data| (data.address, data.size));
        Ok(match (sign, data) {
            (Some(sign), Some((start, size))) => Some((segments, Place { start, size, sign })),
            (Some(Sign::Linker), None) => return Err(BuildInfoError::NoBuildInfo),
            _ => None,
        })
    }

    /// A table of headers, from the bytes at hand or from the file.
    fn table(&mut self, offset: u64, size: usize) -> Result<Cow<'a, [u8]>, BuildInfoError> {
        let within =
            usize::try_from(offset).ok().and_then(|start| self.head.get(start..start.checked_add(size)?));
        if let Some(bytes) = within {
            return Ok(Cow::Borrowed(bytes));
        }
        self.left =
            self.left.checked_sub(size).ok_or(BuildInfoError::TooLarge("ELF headers larger than 64 KiB"))?;
        let bytes = fill(self.source, offset, size)?;
        if bytes.len() == size {
            Ok(Cow::Owned(bytes))
        } else {
            Err(BuildInfoError::Malformed("ELF headers outside of the file"))
        }
    }
}

/// `size` bytes at an offset, fewer where the file ends.
fn fill(source: &dyn ReadAt, offset: u64, size: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        let Some(offset) = offset.checked_add(filled as u64) else { break };
        match source.read_at(&mut bytes[filled..], offset) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // An offset beyond what the kernel takes lies beyond the file's end.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
