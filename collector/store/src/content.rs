//! A section on its way into the store, and the form in which it is kept: compressed, or as it is where that is no larger.
//!
//! Whoever has time compresses: the one thread that writes only puts bytes down.

use std::cell::RefCell;
use std::io::Read as _;
use std::sync::Arc;

use evenkeel_facts::encoding::{self, MAX_SECTION_BYTES};
use evenkeel_facts::{Digest, Section};
use zstd::bulk::{Compressor, Decompressor};

use crate::StoreError;
use crate::mistakes::{Mistake, makes};

/// zstd's own default: a quarter of the size.
const LEVEL: i32 = 3;
/// So much memory is taken on the word of a frame. A decoder of its own for each costs more than decoding it.
const SMALL: usize = 512 * 1024;
/// The first byte: what follows is the canonical form.
const PLAIN: u8 = 0;
/// What follows is the canonical form in a zstd frame.
const ZSTD: u8 = 1;

/// A section that entries of a batch name.
#[derive(Debug, Clone)]
pub struct Content {
    pub(crate) digest: Digest,
    section: Arc<Section>,
    /// As it is kept; `None`: made when it turns out that the store does not hold it.
    kept: Option<Arc<[u8]>>,
}

impl From<Arc<Section>> for Content {
    /// Compressed only if the store does not hold it, by whoever appends it then.
    fn from(section: Arc<Section>) -> Self {
        Self { digest: section.digest(), section, kept: None }
    }
}

impl Content {
    /// A section that was checked to have this digest.
    pub fn checked(digest: Digest, section: Arc<Section>) -> Self {
        Self { digest, section, kept: None }
    }

    /// A section that came in this zstd frame and has so many bytes in its canonical form. It is kept as it came, unless
    /// the frame is larger than what is in it.
    pub fn received(section: Arc<Section>, zstd: &[u8], canonical: usize) -> Self {
        let kept = (zstd.len() < canonical).then(|| [&[ZSTD], zstd].concat().into());
        Self { kept, ..Self::from(section) }
    }

    /// Its form as it is kept is made now, on this thread, and not by whoever appends it.
    #[must_use]
    pub fn prepared(mut self) -> Self {
        self.kept.get_or_insert_with(|| keep(&self.section.encode()).into());
        self
    }

    /// The section.
    pub fn section(&self) -> &Arc<Section> {
        &self.section
    }

    /// Its address.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub(crate) fn kept(&self) -> Arc<[u8]> {
        self.kept.clone().unwrap_or_else(|| keep(&self.section.encode()).into())
    }
}

/// The form in which canonical bytes are kept.
pub(crate) fn keep(canonical: &[u8]) -> Vec<u8> {
    thread_local! {
        // A compressor of its own for every section costs more than compressing it.
        static COMPRESSOR: RefCell<Compressor<'static>> =
            RefCell::new(Compressor::new(LEVEL).expect("the level is one of zstd's"));
    }
    let zstd = COMPRESSOR.with_borrow_mut(|compressor| compressor.compress(canonical));
    let zstd = zstd.expect("memory to memory cannot fail");
    if zstd.len() < canonical.len() { [&[ZSTD], &*zstd].concat() } else { [&[PLAIN], canonical].concat() }
}

/// The section that is kept in these bytes, which must have this digest.
pub(crate) fn open(digest: Digest, kept: &[u8]) -> Result<Section, StoreError> {
    let damaged = |why: String| StoreError::DamagedSection { digest, why };
    let bytes = match kept.split_first() {
        Some((&PLAIN, canonical)) => canonical.to_vec(),
        Some((&ZSTD, zstd)) => decompress(zstd).map_err(|error| damaged(error.to_string()))?,
        _ => return Err(damaged("it is kept in a form that this version does not know".to_owned())),
    };
    if Digest::of(&bytes) != digest && !makes(Mistake::DigestsBelieved) {
        return Err(damaged("its content has another digest".to_owned()));
    }
    encoding::decode(&bytes).map_err(|error| damaged(error.to_string()))
}

/// A length that a damaged frame claims is not believed: memory grows with what is there.
fn decompress(zstd: &[u8]) -> std::io::Result<Vec<u8>> {
    thread_local! {
        static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = RefCell::new(Decompressor::new().ok());
    }
    let size = zstd::zstd_safe::get_frame_content_size(zstd).ok().flatten();
    if let Some(size) = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= SMALL) {
        let whole = DECOMPRESSOR.with_borrow_mut(|one| one.as_mut()?.decompress(zstd, size).ok());
        if let Some(bytes) = whole {
            return Ok(bytes);
        }
    }
    let mut bytes = Vec::new();
    let mut decoder = zstd::Decoder::new(zstd)?;
    decoder.window_log_max(27)?;
    decoder.take(MAX_SECTION_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A zstd frame as it was kept before there were forms.
pub(crate) fn of_frame(zstd: &[u8]) -> Vec<u8> {
    [&[ZSTD], zstd].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_facts::{FactPath, SectionBuilder};

    fn section(facts: usize) -> Arc<Section> {
        let mut section = SectionBuilder::new("os");
        for fact in 0..facts {
            section.present(FactPath::known(&format!("os.fact{fact}")), "debian");
        }
        Arc::new(section.finish())
    }

    #[test]
    fn what_is_kept_is_what_was_put_in_and_never_larger() {
        for facts in [0, 1, 200] {
            let (section, canonical) = (section(facts), section(facts).encode());
            let kept = Content::from(Arc::clone(&section)).prepared().kept();
            assert!(kept.len() <= canonical.len() + 1);
            assert_eq!(open(section.digest(), &kept).unwrap(), *section);
        }
    }

    /// Promise: who sends a frame that is larger than its content takes no more of the disk for it.
    #[test]
    fn a_frame_is_kept_as_it_came_unless_it_is_padded() {
        let (section, canonical) = (section(200), section(200).encode());
        let mut frame = zstd::bulk::compress(&canonical, 19).unwrap();
        let kept = Content::received(Arc::clone(&section), &frame, canonical.len()).kept();
        assert_eq!(kept[1..], frame);
        // A skippable frame (RFC 8878, 3.1.2) of a hundred thousand bytes that nobody reads.
        frame.extend([0x50, 0x2a, 0x4d, 0x18, 0xa0, 0x86, 0x01, 0x00]);
        frame.extend(std::iter::repeat_n(7, 100_000));
        let kept = Content::received(Arc::clone(&section), &frame, canonical.len()).kept();
        assert!(kept.len() <= canonical.len());
        assert_eq!(open(section.digest(), &kept).unwrap(), *section);
    }
}
