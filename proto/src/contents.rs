//! Sections as they travel: canonical bytes, compressed.

use std::cell::RefCell;
use std::io::Read as _;

use evenkeel_facts::encoding::{self, MAX_SECTION_BYTES};
use evenkeel_facts::{Digest, Section, SectionDigest, bundle};

use crate::{Malformed, fleet};

/// Of a message with section contents, the most compressed bytes.
pub const MAX_CONTENT_BYTES: usize = 4 * 1024 * 1024 - 1024;

/// zstd's own default: 40 MB/s on the agent, a quarter of the size.
const LEVEL: i32 = 3;

/// So much memory is taken on the word of a frame.
const SMALL: usize = 512 * 1024;
/// Of a bundle, which is sent once and is small to begin with: 100 MB/s, 6 % less than at [`LEVEL`].
const BUNDLE_LEVEL: i32 = 6;
/// The most canonical bytes of the sections of one bundle. A larger section travels alone.
pub const MAX_BUNDLE_BYTES: usize = 1024 * 1024;
/// The most canonical bytes of the contents that come with a commit.
pub const MAX_OWN_BYTES: usize = 256 * 1024;
/// The source whose facts are unique to each machine.
const OWN: &str = "identity";

/// A section on the wire; `None` if it is larger than [`MAX_CONTENT_BYTES`] even when compressed.
pub fn to_wire(section: &Section) -> Option<fleet::SectionContent> {
    let zstd = compress(&section.encode());
    (zstd.len() <= MAX_CONTENT_BYTES).then(|| fleet::SectionContent { zstd, ..Default::default() })
}

/// Sections on the wire for a collector that takes bundles: as few messages as will do. `Err`: the name of a section that
/// is too large for [`to_wire`].
pub fn to_bundles(sections: &[&Section]) -> Result<Vec<fleet::SectionContent>, String> {
    let (large, small): (Vec<&Section>, Vec<&Section>) =
        sections.iter().copied().partition(|section| section.encoded_len() > MAX_BUNDLE_BYTES);
    let mut messages = Vec::new();
    let mut rest = small.as_slice();
    while !rest.is_empty() {
        let mut room = MAX_BUNDLE_BYTES;
        let fits = |section: &&&Section| {
            let left = room.checked_sub(section.encoded_len());
            room = left.unwrap_or(0);
            left.is_some()
        };
        let (now, later) = rest.split_at(rest.iter().take_while(fits).count());
        messages.push(fleet::SectionContent { bundle: bundled(now), ..Default::default() });
        rest = later;
    }
    for section in large {
        messages.push(to_wire(section).ok_or_else(|| section.name().to_owned())?);
    }
    Ok(messages)
}

fn bundled(sections: &[&Section]) -> Vec<u8> {
    compress_at(BUNDLE_LEVEL, &bundle::encode(sections.iter().copied()))
}

/// The contents of these that no other node can have, to be sent with a commit; empty if there are none.
pub fn own<'a>(sections: impl Iterator<Item = &'a Section>) -> Vec<u8> {
    let own: Vec<_> = sections.filter(|section| section.source() == OWN).collect();
    let size: usize = own.iter().map(|section| section.encoded_len()).sum();
    if own.is_empty() || size > MAX_OWN_BYTES { Vec::new() } else { bundled(&own) }
}

/// The contents that came with a commit.
pub fn own_from_wire(own: &[u8]) -> Result<Vec<Section>, Malformed> {
    if own.is_empty() {
        return Ok(Vec::new());
    }
    let sections = unbundled(own, MAX_OWN_BYTES).map_err(|why| Malformed::new("own", why))?;
    Ok(sections.into_iter().map(|(section, _)| section).collect())
}

fn unbundled(zstd: &[u8], room: usize) -> Result<Vec<(Section, usize)>, String> {
    // Folded, it is never larger than unfolded, but for a few bytes a section.
    let bytes = decompress_up_to(room, zstd).map_err(|why| why.to_string())?;
    bundle::decode(&bytes, room).map_err(|why| why.to_string())
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

/// The sections of a message, each with the size of its canonical form in bytes. Their digests are those of their
/// canonical bytes. Also the decompressed size is bounded.
pub fn from_wire(content: &fleet::SectionContent) -> Result<Vec<(Section, usize)>, Undecoded> {
    if !content.bundle.is_empty() {
        let unbundled = unbundled(&content.bundle, MAX_BUNDLE_BYTES);
        return Ok(unbundled.map_err(|why| Malformed::new("bundle", why))?);
    }
    let bytes = decompress(&content.zstd).map_err(|why| match why.kind() {
        std::io::ErrorKind::FileTooLarge => Undecoded::TooLarge,
        _ => Malformed::new("zstd", why).into(),
    })?;
    let section = encoding::decode(&bytes).map_err(|why| Malformed::new("zstd", why))?;
    Ok(vec![(section, bytes.len())])
}

/// Canonical bytes, compressed.
pub fn compress(bytes: &[u8]) -> Vec<u8> {
    compress_at(LEVEL, bytes)
}

fn compress_at(level: i32, bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, level).expect("compressing memory to memory cannot fail")
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

    fn section(name: &str, facts: usize) -> Section {
        let mut section = SectionBuilder::new(name);
        for at in 0..facts {
            section.present(FactPath::known(&format!("{name}.fact{at:06}")), "the same text again");
        }
        section.finish()
    }

    #[test]
    fn a_section_travels_and_keeps_its_address() {
        let section = section("os", 1);
        let arrived = from_wire(&to_wire(&section).unwrap()).unwrap();
        assert_eq!(arrived, [(section.clone(), section.encode().len())]);
        assert_eq!(arrived[0].0.digest(), section.digest());
    }

    /// Promise: any sections arrive in bundles that the other side takes; one that fits none travels alone.
    #[test]
    fn bundles_are_no_larger_than_is_allowed() {
        let sections: Vec<_> = (0..9).map(|at| section(&format!("s{at}"), 1 + 3_000 * at)).collect();
        let messages = to_bundles(&sections.iter().collect::<Vec<_>>()).unwrap();
        let mut arrived: Vec<_> = messages
            .iter()
            .flat_map(|message| from_wire(message).unwrap())
            .map(|(section, _)| section)
            .collect();
        assert!(messages.len() > 2 && messages.len() < 9, "{}", messages.len());
        assert!(messages.iter().any(|message| !message.zstd.is_empty()));
        arrived.sort_by(|a, b| a.name().cmp(b.name()));
        assert_eq!(arrived, sections);
    }

    #[test]
    fn only_what_is_the_nodes_own_comes_with_its_commit() {
        let sections = [section("identity", 3), section("os", 3)];
        assert_eq!(own_from_wire(&own(sections.iter())).unwrap(), sections[..1]);
        assert!(own(sections[1..].iter()).is_empty());
        assert!(own([section("identity", 20_000)].iter()).is_empty());
        let large = bundled(&[&section("identity", 20_000)]);
        assert!(
            own_from_wire(&large).unwrap_err().to_string().starts_with("the message is malformed: own: ")
        );
    }

    /// Promise: a compression bomb costs at most the limit.
    #[test]
    fn a_bomb_is_refused() {
        let bomb = compress(&vec![0; MAX_SECTION_BYTES + 1]);
        assert!(bomb.len() < 10_000);
        let error = from_wire(&fleet::SectionContent { zstd: bomb, ..Default::default() }).unwrap_err();
        assert_eq!(error.to_string(), "the content has more than 16 MiB when it is decompressed");
        assert!(
            from_wire(&fleet::SectionContent { zstd: b"not zstd".to_vec(), ..Default::default() }).is_err()
        );
        let bomb = compress(&vec![0; MAX_BUNDLE_BYTES + 1]);
        let error = from_wire(&fleet::SectionContent { bundle: bomb, ..Default::default() }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the message is malformed: bundle: more than 1024 KiB when decompressed"
        );
    }
}
