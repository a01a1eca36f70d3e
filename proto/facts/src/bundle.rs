//! Several sections as they travel to somebody who has none of them: the canonical form ([`encoding`]) says each path in
//! full, which is what a digest needs; here a path says only where it differs from the one before, and what is alike
//! stands side by side. A machine's 1,500 facts and 900 packages take a third less when they are compressed then.
//!
//! ```text
//! bundle  = "evenkeel.bundle/1\0" varint(sections) section*
//! section = text(name) varint(facts) column{6}
//! column  = varint(bytes) of
//!             1. for each fact 0 where another thing in brackets begins (`go.program[x]`), else 1 + the bytes that the
//!                rest of its path begins with as the rest of the one before, as varint
//!             2. for each 0 in the first column the bytes that the thing begins with as the one before, as varint
//!             3. for each 0 in the first column the other bytes of the thing, and 0xff
//!             4. for each fact the other bytes of the rest of its path, and 0xff
//!             5. for each fact the kind of observation, as in the canonical form
//!             6. for each fact what follows the kind there, but of a text its bytes and 0xff
//! ```
//!
//! The same sections may be bundled in many ways; what comes out is believed by its digest, over the canonical form.

use crate::encoding::{self, DecodeError, MAX_NAME_BYTES, MAX_SECTION_BYTES, Reader, put_text, put_varint};
use crate::path::MAX_PATH_BYTES;
use crate::{Digest, FactPath, Observation, Section, Value};

const MAGIC: &[u8] = b"evenkeel.bundle/1\0";
/// In no text: UTF-8 has no such byte.
const END: u8 = 0xff;
const COLUMNS: usize = 6;

/// Bundles sections.
pub fn encode<'a>(sections: impl ExactSizeIterator<Item = &'a Section>) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    put_varint(&mut out, sections.len() as u64);
    for section in sections {
        put_text(&mut out, section.name());
        put_varint(&mut out, section.facts().len() as u64);
        for column in columns(section) {
            put_varint(&mut out, column.len() as u64);
            out.extend_from_slice(&column);
        }
    }
    out
}

fn columns(section: &Section) -> [Vec<u8>; COLUMNS] {
    let [mut starts, mut shared, mut things, mut rests, mut kinds, mut values] =
        <[Vec<u8>; COLUMNS]>::default();
    let (mut thing_before, mut before) = ("", "");
    for (path, observation) in section.facts() {
        let (thing, rest) = split(path.as_str());
        if thing == thing_before {
            let same = alike(before, rest);
            put_varint(&mut starts, same as u64 + 1);
            rests.extend_from_slice(&rest.as_bytes()[same..]);
        } else {
            let same = alike(thing_before, thing);
            starts.push(0);
            put_varint(&mut shared, same as u64);
            things.extend_from_slice(&thing.as_bytes()[same..]);
            things.push(END);
            rests.extend_from_slice(rest.as_bytes());
        }
        rests.push(END);
        (thing_before, before) = (thing, rest);
        if let Observation::Present(Value::Text(text)) = observation {
            kinds.push(encoding::TEXT);
            values.extend_from_slice(text.as_bytes());
            values.push(END);
        } else {
            let mut fact = Vec::new();
            encoding::put_observation(&mut fact, observation);
            kinds.push(fact[0]);
            values.extend_from_slice(&fact[1..]);
        }
    }
    [starts, shared, things, rests, kinds, values]
}

/// The thing in brackets that a path speaks of, and what it says of it; without brackets the thing is empty.
fn split(path: &str) -> (&str, &str) {
    path.find(']').map_or(("", path), |end| path.split_at(end + 1))
}

/// How many bytes two texts begin alike.
fn alike(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// The sections of a bundle, each with the size of its canonical form in bytes. All of them together may have `room`
/// such bytes: what is folded may be much larger than what came.
pub fn decode(bytes: &[u8], room: usize) -> Result<Vec<(Section, usize)>, DecodeError> {
    let mut reader = Reader::behind(MAGIC, bytes, "no bundle header of version 1")?;
    // The shortest section has a name, a count and its columns' lengths.
    let count = reader.count(2 + 1 + COLUMNS)?;
    let mut room = room;
    let mut sections = Vec::with_capacity(count);
    for _ in 0..count {
        let (section, bytes) = one(&mut reader, room)?;
        room = room.checked_sub(bytes).ok_or_else(|| reader.error(TOO_LARGE))?;
        sections.push((section, bytes));
    }
    reader.end()?;
    Ok(sections)
}

const TOO_LARGE: &str = "more than there is room for";

fn one(reader: &mut Reader<'_>, room: usize) -> Result<(Section, usize), DecodeError> {
    let name = reader.text(MAX_NAME_BYTES)?.to_owned();
    if !encoding::is_section_name(&name) {
        return Err(reader.error("a bad section name"));
    }
    // Each fact has a byte in the first column, the fourth and the fifth.
    let count = reader.count(3)?;
    let mut columns = Vec::with_capacity(COLUMNS);
    for _ in 0..COLUMNS {
        columns.push(reader.part()?);
    }
    let [starts, shared, things, rests, kinds, values] = columns.as_mut_slice() else {
        unreachable!("there are so many columns")
    };
    let (mut thing, mut rest) = (Vec::new(), Vec::new());
    let mut room = room.min(MAX_SECTION_BYTES);
    let mut facts = Vec::with_capacity(count);
    for _ in 0..count {
        match starts.varint()?.checked_sub(1) {
            None => {
                let same = shared.varint()?;
                go_on(&mut thing, same, things)?;
                rest.clear();
                go_on(&mut rest, 0, rests)?;
            }
            Some(same) => go_on(&mut rest, same, rests)?,
        }
        let path = [thing.as_slice(), &rest].concat();
        let path = std::str::from_utf8(&path).ok().and_then(|path| FactPath::read(path).ok());
        let path = path.ok_or_else(|| rests.error("a malformed fact path"))?;
        let observation = match kinds.byte()? {
            encoding::TEXT => Observation::Present(Value::Text(values.text_until(END)?.to_owned())),
            kind => values.observation(kind)?,
        };
        let text = if let Observation::Present(Value::Text(text)) = &observation { text.len() } else { 0 };
        room = room.checked_sub(path.as_str().len() + text).ok_or_else(|| rests.error(TOO_LARGE))?;
        facts.push((path, observation));
    }
    columns.iter().try_for_each(Reader::end)?;
    let section = Section::of_facts(&name, facts).ok_or_else(|| reader.error("facts out of order"))?;
    let canonical = section.encode();
    if canonical.len() > MAX_SECTION_BYTES {
        return Err(reader.error(TOO_LARGE));
    }
    Ok((section.with_digest(Digest::of(&canonical)), canonical.len()))
}

/// Keeps so many bytes of a text and goes on with what the column says next.
fn go_on(text: &mut Vec<u8>, same: u64, column: &mut Reader<'_>) -> Result<(), DecodeError> {
    let same = usize::try_from(same).ok().filter(|same| *same <= text.len());
    text.truncate(same.ok_or_else(|| column.error("more bytes alike than there are"))?);
    text.extend_from_slice(column.bytes_until(END)?);
    if text.len() > MAX_PATH_BYTES { Err(column.error("a text over its limit")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reason, SectionBuilder};
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    fn examples() -> Vec<Section> {
        let mut programs = SectionBuilder::new("go_programs");
        programs.unreadable(FactPath::known("go.program"), Reason::Partial);
        for program in ["github.com/acme/pay", "github.com/acme/web", "github.com/acme/wéb"] {
            let version = FactPath::keyed_child("go.program", program, "go_version").unwrap();
            programs.present(version, "1.21.6");
            for module in ["golang.org/x/net", "golang.org/x/text"] {
                let family = format!("{}.module", FactPath::keyed("go.program", program));
                programs.present(FactPath::keyed(&family, module), "v0.17.0");
            }
        }
        let mut os = SectionBuilder::new("os");
        os.present(FactPath::known("os.a"), true)
            .present(FactPath::known("os.b"), -3_i64)
            .present(FactPath::known("os.text"), "two\nlines")
            .observe(FactPath::known("os.c"), Observation::Absent);
        vec![programs.finish(), os.finish(), SectionBuilder::new("custom").finish()]
    }

    fn sizes(sections: &[Section]) -> Vec<(Section, usize)> {
        sections.iter().map(|section| (section.clone(), section.encode().len())).collect()
    }

    #[test]
    fn what_is_unbundled_is_what_was_bundled() {
        let sections = examples();
        let bytes = encode(sections.iter());
        let whole: usize = sections.iter().map(|section| section.encode().len()).sum();
        assert!(bytes.len() < whole * 2 / 3, "{} of {whole}", bytes.len());
        assert_eq!(decode(&bytes, whole).unwrap(), sizes(&sections));
        assert_eq!(decode(&bytes, whole).unwrap()[0].0.digest(), sections[0].digest());
        assert_eq!(decode(&bytes, whole - 1).unwrap_err().what, TOO_LARGE);
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end], whole).is_err(), "cut at {end}");
        }
    }

    /// Promise: what is folded unfolds to no more than there is room for.
    #[test]
    fn a_bomb_is_refused() {
        let path = |at: usize| FactPath::known(&format!("{}{at:05}", "a".repeat(1_000)));
        let mut section = SectionBuilder::new("custom");
        (0..2_000).for_each(|at| {
            section.present(path(at), true);
        });
        let bytes = encode([section.finish()].iter());
        assert!(bytes.len() < 20_000, "{}", bytes.len());
        assert_eq!(decode(&bytes, 1_000_000).unwrap_err().what, TOO_LARGE);
        assert!(decode(&bytes, 3_000_000).is_ok());
    }

    #[test]
    fn lies_are_refused() {
        let lying = |column: usize, bytes: &[u8]| {
            let mut columns = columns(&examples()[1]);
            columns[column] = bytes.to_vec();
            let mut out = [MAGIC, b"\x01\x02os\x04"].concat();
            for column in columns {
                put_varint(&mut out, column.len() as u64);
                out.extend_from_slice(&column);
            }
            decode(&out, 1_000).map_err(|error| error.what)
        };
        assert_eq!(lying(0, b"\x01\x05\x05\x05\x01"), Err("bytes behind the last fact"));
        assert_eq!(lying(0, b"\x02\x05\x05\x05"), Err("more bytes alike than there are"));
        assert_eq!(lying(0, b"\x00\x05\x05\x05"), Err("the end"));
        assert_eq!(lying(4, b"\x09\x02\x00\x01"), Err("an unknown kind of observation"));
        assert_eq!(lying(3, b"os.z\xffb\xffc\xfftext\xff"), Err("facts out of order"));
    }

    proptest! {
        #[test]
        fn any_section_travels(facts in btree_map("[a-c]{1,3}(\\.[a-c]{1,2}){0,2}|[a-b]{1,2}\\[[a-cé]{1,3}\\]\\.[a-b]{1,2}", ".{0,9}", 0..40)) {
            let mut section = SectionBuilder::new("any");
            for (path, value) in facts {
                section.present(FactPath::known(&path), value);
            }
            let section = section.finish();
            let bytes = encode([section.clone()].iter());
            prop_assert_eq!(decode(&bytes, MAX_SECTION_BYTES).unwrap(), sizes(&[section]));
        }

        #[test]
        fn noise_never_panics(flips in vec((0_usize..400, any::<u8>()), 1..4)) {
            let mut bytes = encode(examples().iter());
            for (at, byte) in flips {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            if let Ok(sections) = decode(&bytes, 4_096) {
                for (section, bytes) in sections {
                    prop_assert_eq!(section.encode().len(), bytes);
                }
            }
        }
    }
}
