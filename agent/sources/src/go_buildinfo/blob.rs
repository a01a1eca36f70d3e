//! The build info as Go's linker lays it out: a header of 32 bytes, and two strings.

use super::image::{Image, Sign};
use super::{BuildInfoError, MAX_INFO_BYTES, ReadAt};

/// What every build info begins with.
pub(super) const MAGIC: &[u8; 14] = b"\xff Go buildinf:";
const HEADER_BYTES: usize = 32;
const ALIGN: u64 = 16;
/// How much is read at once in search of the magic. It holds the whole build info of nearly every program.
const CHUNK_BYTES: u64 = 64 * 1024;
/// In the byte of flags: pointers are big-endian.
const BIG_ENDIAN: u8 = 1;
/// In the byte of flags: the strings follow the header (since Go 1.18).
const INLINE: u8 = 2;

/// The two strings of a build info.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blob {
    /// `go1.21.6 X:rangefunc`.
    pub(super) version: String,
    /// Path, modules and settings; empty for a program built without modules.
    pub(super) modinfo: String,
}

/// Finds and reads the strings. `None`: there is no build info, and nothing else says that this is a Go program.
pub(super) fn read(source: &dyn ReadAt) -> Result<Option<Blob>, BuildInfoError> {
    let Some(mut image) = Image::open(source)? else {
        return Ok(None);
    };
    let Some(address) = find_magic(&mut image)? else {
        return match image.place.sign {
            Sign::Nameless => Ok(None),
            Sign::Linker | Sign::Section => Err(BuildInfoError::NoBuildInfo),
        };
    };
    let header: [u8; HEADER_BYTES] = image
        .exactly(address, HEADER_BYTES as u64)?
        .try_into()
        .map_err(|_| BuildInfoError::Malformed("a build info header cut short"))?;
    let (version, modinfo) = if header[15] & INLINE == 0 {
        let pointers = Pointers { size: header[14], big_endian: header[15] & BIG_ENDIAN != 0 };
        let (version, modinfo) = pointers.pair(&header[16..])?;
        (pointers.string(&mut image, version)?, pointers.string(&mut image, modinfo)?)
    } else {
        let (version, next) = inline_string(&mut image, address + HEADER_BYTES as u64)?;
        (version, inline_string(&mut image, next)?.0)
    };
    if version.is_empty() {
        return Err(BuildInfoError::NoBuildInfo);
    }
    let text = |bytes| {
        String::from_utf8(bytes).map_err(|_| BuildInfoError::Malformed("build info that is not UTF-8"))
    };
    Ok(Some(Blob { version: text(version)?, modinfo: text(without_sentinels(modinfo))? }))
}

/// The address of the first aligned magic.
fn find_magic(image: &mut Image<'_>) -> Result<Option<u64>, BuildInfoError> {
    const BEYOND: BuildInfoError = BuildInfoError::Malformed("a data section beyond all addresses");
    let end = image.place.start.checked_add(image.place.size).ok_or(BEYOND)?;
    let mut at = image.place.start.checked_next_multiple_of(ALIGN).ok_or(BEYOND)?;
    while at < end {
        let chunk = image.up_to(at, CHUNK_BYTES.min(end - at))?;
        if let Some(index) = chunk.chunks(16).position(|line| line.starts_with(MAGIC)) {
            return Ok(Some(at + index as u64 * ALIGN));
        }
        if (chunk.len() as u64) < CHUNK_BYTES {
            break;
        }
        at = at.checked_add(CHUNK_BYTES).ok_or(BEYOND)?;
    }
    Ok(None)
}

/// A string behind its length as a varint, and the address behind it.
fn inline_string(image: &mut Image<'_>, address: u64) -> Result<(Vec<u8>, u64), BuildInfoError> {
    let (length, width) = varint(image.up_to(address, 10)?)
        .ok_or(BuildInfoError::Malformed("a build info string without its length"))?;
    check_length(length)?;
    let start = address + width;
    Ok((image.exactly(start, length)?.to_vec(), start + length))
}

/// A number of seven bits a byte, lowest first, and how many bytes it took.
fn varint(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut number = 0_u64;
    for (index, byte) in (0_u32..).zip(bytes) {
        let part = u64::from(byte & 0x7f);
        let shifted = part.checked_shl(7 * index).filter(|shifted| shifted >> (7 * index) == part)?;
        number |= shifted;
        if byte & 0x80 == 0 {
            return Some((number, u64::from(index) + 1));
        }
    }
    None
}

fn check_length(length: u64) -> Result<(), BuildInfoError> {
    if length > MAX_INFO_BYTES as u64 {
        return Err(BuildInfoError::Malformed("a build info string that claims more than 4 MiB"));
    }
    Ok(())
}

/// Pointers as the program's machine writes them.
#[derive(Clone, Copy)]
struct Pointers {
    size: u8,
    big_endian: bool,
}

impl Pointers {
    /// Two pointers, or a pointer and a length.
    fn pair(self, bytes: &[u8]) -> Result<(u64, u64), BuildInfoError> {
        let size = usize::from(self.size);
        if !matches!(size, 4 | 8) || bytes.len() < 2 * size {
            return Err(BuildInfoError::Malformed("build info with pointers of an unknown size"));
        }
        Ok((self.number(&bytes[..size]), self.number(&bytes[size..2 * size])))
    }

    fn number(self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    }

    /// The Go string (pointer and length) at an address; empty for a null pointer.
    fn string(self, image: &mut Image<'_>, address: u64) -> Result<Vec<u8>, BuildInfoError> {
        if address == 0 {
            return Ok(Vec::new());
        }
        let (data, length) = self.pair(image.exactly(address, 2 * u64::from(self.size))?)?;
        check_length(length)?;
        Ok(image.exactly(data, length)?.to_vec())
    }
}

/// Go frames the text with 16 bytes on each side, so that it can be found in a program's memory.
fn without_sentinels(mut modinfo: Vec<u8>) -> Vec<u8> {
    if modinfo.len() < 33 || modinfo[modinfo.len() - 17] != b'\n' {
        return Vec::new();
    }
    modinfo.truncate(modinfo.len() - 16);
    modinfo.drain(..16);
    modinfo
}

#[cfg(test)]
mod tests {
    use super::varint;

    #[test]
    fn varints_never_overflow() {
        assert_eq!(varint(&[0x05]), Some((5, 1)));
        assert_eq!(varint(&[0xac, 0x02, 0xff]), Some((300, 2)));
        assert_eq!(
            varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            Some((u64::MAX, 10))
        );
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), None);
        assert_eq!(varint(&[0x80; 10]), None);
        assert_eq!(varint(&[]), None);
    }
}
