//! The one canonical byte form of a section. Digests are taken over it, the wire carries it, the store keeps it.
//!
//! ```text
//! section  = "evenkeel.section/1\0" text(name) varint(number of facts) fact*      facts by path, each path once
//! fact     = text(path) observation
//! observation = 0x00                        absent
//!             | 0x01 text(value)            present, text
//!             | 0x02 varint(zigzag)         present, integer
//!             | 0x03 | 0x04                 present, false | true
//!             | 0x05 byte(reason code)      unreadable
//! text     = varint(bytes) UTF-8
//! varint   = LEB128, in its shortest form
//! ```
//!
//! The same facts give the same bytes on every machine and in every version: golden digests pin it. Decoding accepts
//! nothing else, so two different byte strings never mean the same section.

use crate::observation::{MAX_VALUE_BYTES, Observation, Reason, Value};
use crate::path::{FactPath, MAX_PATH_BYTES};
use crate::section::Section;

const MAGIC: &[u8] = b"evenkeel.section/1\0";
/// The kind of observation that is a text.
pub(crate) const TEXT: u8 = 1;

/// The largest section accepted, in bytes of canonical form.
pub const MAX_SECTION_BYTES: usize = 16 * 1024 * 1024;
/// The most facts accepted in one section.
pub const MAX_FACTS: usize = 200_000;
/// 64 bits, seven of them in each byte.
const MAX_VARINT_BYTES: usize = 10;
/// The longest section name accepted, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// Why bytes are not the canonical form of anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not canonical: {what} at byte {at}")]
pub struct DecodeError {
    /// What is wrong.
    pub what: &'static str,
    /// Where, in bytes from the beginning.
    pub at: usize,
}

/// The canonical bytes of a section.
pub fn encode(section: &Section) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + section.facts().len() * 48);
    out.extend_from_slice(MAGIC);
    put_text(&mut out, section.name());
    put_varint(&mut out, section.facts().len() as u64);
    for (path, observation) in section.facts() {
        put_fact(&mut out, path, observation);
    }
    out
}

/// The most bytes that [`encode`] may give, without making them.
pub(crate) fn most_bytes(section: &Section) -> usize {
    let of = |(path, observation): &(FactPath, Observation)| {
        let text = if let Observation::Present(Value::Text(text)) = observation { text.len() } else { 0 };
        2 * MAX_VARINT_BYTES + 1 + path.as_str().len() + text
    };
    let header = MAGIC.len() + section.name().len() + 2 * MAX_VARINT_BYTES;
    header + section.facts().iter().map(of).sum::<usize>()
}

/// Appends one fact.
pub(crate) fn put_fact(out: &mut Vec<u8>, path: &FactPath, observation: &Observation) {
    put_text(out, path.as_str());
    put_observation(out, observation);
}

pub(crate) fn put_observation(out: &mut Vec<u8>, observation: &Observation) {
    match observation {
        Observation::Absent => out.push(0),
        Observation::Present(Value::Text(text)) => {
            out.push(TEXT);
            put_text(out, text);
        }
        Observation::Present(Value::Integer(number)) => {
            out.push(2);
            put_varint(out, zigzag(*number));
        }
        Observation::Present(Value::Boolean(truth)) => out.push(3 + u8::from(*truth)),
        Observation::Unreadable(reason) => out.extend_from_slice(&[5, reason.code()]),
    }
}

/// The section that these canonical bytes are. Sizes and counts are checked before anything is allocated.
pub fn decode(bytes: &[u8]) -> Result<Section, DecodeError> {
    let mut reader = Reader::behind(MAGIC, bytes, "no section header of version 1")?;
    let name = reader.text(MAX_NAME_BYTES)?;
    if !is_section_name(name) {
        return Err(reader.error("a bad section name"));
    }
    let facts = reader.facts()?;
    reader.end()?;
    Section::from_ordered(name, facts, crate::Digest::of(bytes))
        .ok_or(DecodeError { what: "facts out of order", at: reader.at })
}

/// Section names are dotted words: `sysctl.net`.
pub(crate) fn is_section_name(name: &str) -> bool {
    let word = |w: &str| {
        !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
    };
    name.len() <= MAX_NAME_BYTES && name.split('.').all(word)
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = number.to_le_bytes()[0];
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Reads canonical bytes from front to back.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Behind this beginning, without which they are something else.
    pub(crate) fn behind(
        magic: &[u8],
        bytes: &'a [u8],
        otherwise: &'static str,
    ) -> Result<Self, DecodeError> {
        let reader = Self { bytes, at: 0 };
        if bytes.len() > MAX_SECTION_BYTES {
            return Err(reader.error("more than 16 MiB"));
        }
        if !bytes.starts_with(magic) {
            return Err(reader.error(otherwise));
        }
        Ok(Self { bytes, at: magic.len() })
    }

    /// A count, then so many facts. The count is checked before anything is allocated.
    pub(crate) fn facts(&mut self) -> Result<Vec<(FactPath, Observation)>, DecodeError> {
        // The shortest fact has three bytes: a length, one character, a tag.
        let count = self.count(3)?;
        let mut facts = Vec::with_capacity(count);
        for _ in 0..count {
            let path = self.path()?;
            let kind = self.byte()?;
            facts.push((path, self.observation(kind)?));
        }
        Ok(facts)
    }

    /// A count of what takes at least `shortest` bytes each.
    pub(crate) fn count(&mut self, shortest: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        if count > MAX_FACTS || count > (self.bytes.len() - self.at) / shortest {
            return Err(self.error("a count of facts that cannot be"));
        }
        Ok(count)
    }

    pub(crate) fn path(&mut self) -> Result<FactPath, DecodeError> {
        let path = self.text(MAX_PATH_BYTES)?;
        FactPath::read(path).map_err(|_| self.error("a malformed fact path"))
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.error("bytes behind the last fact")) }
    }

    pub(crate) fn error(&self, what: &'static str) -> DecodeError {
        DecodeError { what, at: self.at }
    }

    /// A length, and a reader of so many bytes.
    pub(crate) fn part(&mut self) -> Result<Reader<'a>, DecodeError> {
        let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let bytes = &self.bytes[self.at..end.ok_or_else(|| self.error("the end"))?];
        self.at += length;
        Ok(Reader { bytes, at: 0 })
    }

    /// What comes before the next byte of this value; that is passed, too.
    pub(crate) fn bytes_until(&mut self, end: u8) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == end).ok_or_else(|| self.error("the end"))?;
        self.at += length + 1;
        Ok(&rest[..length])
    }

    /// The text before the next byte of this value.
    pub(crate) fn text_until(&mut self, end: u8) -> Result<&'a str, DecodeError> {
        let bytes = self.bytes_until(end)?;
        if bytes.len() > MAX_VALUE_BYTES {
            return Err(self.error("a text over its limit"));
        }
        std::str::from_utf8(bytes).map_err(|_| self.error("text that is not UTF-8"))
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.error("the end"))?;
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.error("a number of more than 64 bits"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(self.error("a number not in its shortest form"));
                }
                return Ok(number);
            }
        }
        Err(self.error("a number of more than 64 bits"))
    }

    pub(crate) fn text(&mut self, limit: usize) -> Result<&'a str, DecodeError> {
        let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        if length > limit {
            return Err(self.error("a text over its limit"));
        }
        let bytes = self.bytes.get(self.at..self.at + length).ok_or_else(|| self.error("the end"))?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.error("text that is not UTF-8"))?;
        self.at += length;
        Ok(text)
    }

    /// What follows this kind of observation.
    pub(crate) fn observation(&mut self, kind: u8) -> Result<Observation, DecodeError> {
        Ok(match kind {
            0 => Observation::Absent,
            TEXT => Observation::Present(Value::Text(self.text(MAX_VALUE_BYTES)?.to_owned())),
            2 => Observation::Present(Value::Integer(unzigzag(self.varint()?))),
            3 => Observation::Present(Value::Boolean(false)),
            4 => Observation::Present(Value::Boolean(true)),
            5 => match Reason::from_code(self.byte()?) {
                // Concluded where nothing was sent: nobody can send it.
                None | Some(Reason::NotCollected) => return Err(self.error("an unknown reason")),
                Some(reason) => Observation::Unreadable(reason),
            },
            _ => return Err(self.error("an unknown kind of observation")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::SectionBuilder;
    use proptest::prelude::*;

    fn example() -> Section {
        let mut section = SectionBuilder::new("sysctl.net");
        section
            .present(FactPath::known("sysctl.net.core.somaxconn"), "65535")
            .present(FactPath::known("kernel.modules_disabled"), 0_i64)
            .present(FactPath::known("a.negative"), -1_i64)
            .present(FactPath::known("a.truth"), true)
            .observe(FactPath::known("a.absent"), Observation::Absent)
            .unreadable(FactPath::known("sysctl.net.core.bpf_jit_harden"), Reason::Permission);
        section.finish()
    }

    /// Golden: a change here means that no old digest is understood any more.
    #[test]
    fn golden_digest_pins_the_encoding() {
        assert_eq!(
            example().digest().to_string(),
            "blake3:ddc9778ac989264cb6435adee3379733f0bd9c13fab80be4bf8896d9ab342b1d"
        );
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = example().encode();
        assert!(bytes.len() <= example().encoded_len());
        assert_eq!(decode(&bytes).unwrap(), example());
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_lying_count_is_refused_before_allocation() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(b"\x02os");
        put_varint(&mut bytes, u64::MAX);
        assert_eq!(decode(&bytes).unwrap_err().what, "a count of facts that cannot be");
    }

    fn observation() -> impl Strategy<Value = Observation> {
        prop_oneof![
            Just(Observation::Absent),
            any::<bool>().prop_map(|b| Observation::Present(b.into())),
            any::<i64>().prop_map(|n| Observation::Present(n.into())),
            ".{0,40}".prop_map(|t| Observation::Present(t.into())),
            (0..Reason::ALL.len())
                .prop_filter("sent by nobody", |i| Reason::ALL[*i] != Reason::NotCollected)
                .prop_map(|i| Observation::Unreadable(Reason::ALL[i])),
        ]
    }

    proptest! {
        #[test]
        fn any_section_round_trips(facts in proptest::collection::vec(("[a-z]{1,8}(\\.[a-z]{1,8}){0,3}", observation()), 0..40)) {
            let mut section = SectionBuilder::new("any");
            for (path, observation) in facts {
                section.observe(FactPath::known(&path), observation);
            }
            let section = section.finish();
            prop_assert_eq!(decode(&section.encode()).unwrap(), section);
        }

        /// Whatever is accepted is canonical: encoding it again gives the same bytes.
        #[test]
        fn only_canonical_bytes_are_accepted(flip in 0_usize..200, to in any::<u8>()) {
            let mut bytes = example().encode();
            let at = flip % bytes.len();
            bytes[at] = to;
            if let Ok(section) = decode(&bytes) {
                prop_assert_eq!(section.encode(), bytes);
            }
        }

        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
            let mut headed = MAGIC.to_vec();
            headed.extend(bytes);
            let _ = decode(&headed);
        }
    }
}
