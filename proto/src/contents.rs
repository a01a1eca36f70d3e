//! Sections as they travel: canonical bytes, compressed.

use std::cell::RefCell;
use std::io::Read as _;

use evenkeel_facts::encoding::{self, MAX_SECTION_BYTES};
use evenkeel_facts::{Digest, Section, SectionDigest};

use crate::{Malformed, fleet};

/// Of a message with section contents, the most compressed bytes.
pub const MAX_CONTENT_BYTES: usize = 4 * 1024 * 1024 - 1024;

/// zstd's own default: 40 MB/s on the agent, a quarter of the size.
const LEVEL: i32 = 3;

/// So much memory is taken on the word of a frame.
const SMALL: usize = 512 * 1024;

/// A section on the wire; `None` if it is larger than [`MAX_CONTENT_BYTES`] even when compressed.
pub fn to_wire(section: &Section) -> Option<fleet::SectionContent> {
    let zstd = compress(&section.encode());
    (zstd.len() <= MAX_CONTENT_BYTES).then_some(fleet::SectionContent { zstd })
}

/// A content that is no section.
#[derive(Debug, thiserror::Error)]
pub enum Undecoded {
    /// It is larger than [`MAX_SECTION_BYTES`].
    #[error("the content has more than 16 MiB when it is decompressed")]
    TooLarge,
    /// It is none, or not in its canonical form.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// The section and the size of its canonical form in bytes. Its digest is that of the bytes that came: decoding
/// accepts only canonical ones. Also the decompressed size is bounded.
pub fn from_wire(content: &fleet::SectionContent) -> Result<(Section, usize), Undecoded> {
    let bytes = decompress(&content.zstd).map_err(|why| match why.kind() {
        std::io::ErrorKind::FileTooLarge => Undecoded::TooLarge,
        _ => Malformed::new("zstd", why).into(),
    })?;
    let section = encoding::decode(&bytes).map_err(|why| Malformed::new("zstd", why))?;
    Ok((section, bytes.len()))
}

/// Canonical bytes, compressed.
pub fn compress(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, LEVEL).expect("compressing memory to memory cannot fail")
}

/// Decompresses up to [`MAX_SECTION_BYTES`].
pub fn decompress(zstd: &[u8]) -> std::io::Result<Vec<u8>> {
    decompress_up_to(MAX_SECTION_BYTES, zstd)
}

/// Decompresses up to `limit` bytes; memory grows with what is really there, not with what a header claims.
pub fn decompress_up_to(limit: usize, zstd: &[u8]) -> std::io::Result<Vec<u8>> {
    if let Some(bytes) = decompress_small(limit, zstd) {
        return Ok(bytes);
    }
    let mut bytes = Vec::new();
    let mut decoder = zstd::Decoder::new(zstd)?;
    // A frame may ask for a window of 128 MiB before its first byte.
    decoder.window_log_max(24)?;
    decoder.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        let sentence = format!("more than {} KiB when decompressed", limit / 1024);
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, sentence));
    }
    Ok(bytes)
}

/// What a frame that says that it is small holds; `None` if it holds something else, or does not say. Most contents are
/// small, and a decoder of its own for each costs more than decoding it.
fn decompress_small(limit: usize, zstd: &[u8]) -> Option<Vec<u8>> {
    thread_local! {
        static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> =
            RefCell::new(zstd::bulk::Decompressor::new().ok());
    }
    let size = usize::try_from(zstd::zstd_safe::get_frame_content_size(zstd).ok()??).ok()?;
    if size > limit.min(SMALL) {
        return None;
    }
    DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.as_mut()?.decompress(zstd, size).ok())
}

/// Section digests on the wire.
pub fn digests_to_wire(sections: &[SectionDigest]) -> Vec<fleet::SectionDigest> {
    sections.iter().map(|SectionDigest { name, digest }| name_to_wire(name, *digest)).collect()
}

/// One section's name and digest on the wire.
pub fn name_to_wire(name: &str, digest: Digest) -> fleet::SectionDigest {
    fleet::SectionDigest { name: name.to_owned(), digest: digest.as_bytes().to_vec() }
}

/// A digest from the wire.
pub fn digest_from_wire(field: &'static str, bytes: &[u8]) -> Result<Digest, Malformed> {
    Digest::try_from(bytes).map_err(|error| Malformed::new(field, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_facts::{FactPath, SectionBuilder};

    #[test]
    fn a_section_travels_and_keeps_its_address() {
        let mut section = SectionBuilder::new("os");
        section.present(FactPath::known("os.id"), "debian");
        let section = section.finish();
        let (arrived, bytes) = from_wire(&to_wire(&section).unwrap()).unwrap();
        assert_eq!((arrived.digest(), bytes), (section.digest(), section.encode().len()));
        assert_eq!(arrived, section);
    }

    /// Promise: a compression bomb costs at most the limit.
    #[test]
    fn a_bomb_is_refused() {
        let bomb = compress(&vec![0; MAX_SECTION_BYTES + 1]);
        assert!(bomb.len() < 10_000);
        let error = from_wire(&fleet::SectionContent { zstd: bomb }).unwrap_err();
        assert_eq!(error.to_string(), "the content has more than 16 MiB when it is decompressed");
        assert!(from_wire(&fleet::SectionContent { zstd: b"not zstd".to_vec() }).is_err());
    }
}
