//! The name of one fact.

use std::borrow::{Borrow, Cow};
use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest fact path, in bytes. `/proc/sys` names stay below 256; Go module paths below 512.
pub const MAX_PATH_BYTES: usize = 1024;

/// So many paths a thread remembers that it has read: more than a machine has. A power of two.
const READ_LATELY: usize = 1 << 14;
/// Longer ones are few, and would make what is remembered large.
const MAX_REMEMBERED_BYTES: usize = 128;

thread_local! {
    /// Each at the place of its hash, so that another one takes its place and it never grows.
    static LATELY: RefCell<Vec<Option<FactPath>>> = RefCell::new(vec![None; READ_LATELY]);
}

/// The name of one fact: `kernel.release`, `sysctl.net.core.somaxconn`,
/// `go.program[github.com/acme/pay].module[golang.org/x/net]`.
///
/// Names are separated by dots; a key in square brackets may hold any printable text but brackets.
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FactPath(Arc<str>);

/// Why a text is not a fact path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The text is empty.
    #[error("a fact path cannot be empty")]
    Empty,
    /// The text is longer than [`MAX_PATH_BYTES`].
    #[error("a fact path has at most {MAX_PATH_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    /// A control character (escape sequences, line breaks) is not part of a name.
    #[error("a fact path has no control characters, {0:?} has one")]
    Control(String),
    /// It begins or ends with a dot, or a bracket is not closed.
    #[error("{0:?} is not a fact path: expected names separated by dots, and [keys] that are closed")]
    Shape(String),
}

impl FactPath {
    /// Checks and takes a path.
    pub fn new(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong(text.len()));
        }
        // Nearly all paths are ASCII, which needs no decoding.
        let has_control = if text.is_ascii() {
            text.bytes().any(|byte| byte.is_ascii_control())
        } else {
            text.chars().any(char::is_control)
        };
        if has_control {
            return Err(PathError::Control(text.to_owned()));
        }
        if !well_formed(text) {
            return Err(PathError::Shape(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The same as [`FactPath::new`] for whoever reads what many machines say, which is nearly the same: a path that this
    /// thread has read lately is not checked again, and takes no memory of its own.
    pub(crate) fn read(text: &str) -> Result<Self, PathError> {
        if text.len() > MAX_REMEMBERED_BYTES {
            return Self::new(text);
        }
        LATELY.with_borrow_mut(|lately| {
            let place = &mut lately[place(text)];
            if let Some(known) = place.as_ref().filter(|known| known.as_str() == text) {
                return Ok(known.clone());
            }
            let path = Self::new(text)?;
            *place = Some(path.clone());
            Ok(path)
        })
    }

    /// A path from parts that the program itself wrote, such as `FactPath::known("kernel.release")`.
    ///
    /// # Panics
    ///
    /// If the text is not a path: a fault of the program, never of its input.
    pub fn known(text: &str) -> Self {
        Self::new(text).unwrap_or_else(|error| panic!("a path written in the program is wrong: {error}"))
    }

    /// `family[key]` with whatever the machine called the key: brackets, control characters and `%` are written
    /// `%XX`, and a key too long to fit is cut and ends in `%…` and the first digits of its digest.
    pub fn keyed(family: &str, key: &str) -> Self {
        Self::known(&keyed(family, key))
    }

    /// `family[key].name`, at once: the same as [`FactPath::keyed`] and its [`FactPath::child`].
    pub fn keyed_child(family: &str, key: &str, name: &str) -> Result<Self, PathError> {
        let mut text = keyed(family, key);
        text.push('.');
        text.push_str(name);
        Self::new(&text)
    }

    /// This path with `.name` behind it.
    pub fn child(&self, name: &str) -> Result<Self, PathError> {
        Self::new(&format!("{self}.{name}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `other` is this path or lies below it: `sysctl` covers `sysctl.net.core.somaxconn`,
    /// `go.program` covers `go.program[x].version`; `go.pro` covers neither.
    pub fn covers(&self, other: &str) -> bool {
        other.strip_prefix(self.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }

    /// The thing in brackets that this path speaks of, with its family: `go.program[x]` for
    /// `go.program[x].module[y]`; none for a path without a key.
    pub fn entity(&self) -> Option<&str> {
        let open = self.0.find('[')?;
        let close = self.0[open..].find(']')? + open;
        Some(&self.0[..=close])
    }
}

/// Where a path is remembered. Whoever makes many fall on one place makes them be read as if nothing were remembered.
fn place(text: &str) -> usize {
    let mix = |hash: u64, bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x517c_c1b7_2722_0a95)
    };
    let hash = text.as_bytes().chunks(8).fold(0, mix);
    usize::try_from(hash >> 40).unwrap_or(0) % READ_LATELY
}

/// Brackets closed and not nested, no empty names outside of them. Only ASCII counts, which is no part of anything else
/// in UTF-8.
fn well_formed(text: &str) -> bool {
    let mut inside = false;
    let mut previous = b'.';
    for byte in text.bytes() {
        match (inside, byte) {
            (true, b'[') | (false, b']') => return false,
            (true, b']') if previous == b'[' => return false,
            (true, b']') => inside = false,
            (false, b'[') if previous == b'.' || previous == b']' => return false,
            (false, b'[') => inside = true,
            (false, b'.') if previous == b'.' => return false,
            (false, byte) if previous == b']' && byte != b'.' => return false,
            (true | false, _) => {}
        }
        previous = byte;
    }
    !inside && previous != b'.'
}

/// See [`FactPath::keyed`].
fn keyed(family: &str, key: &str) -> String {
    let key = escape_key(key);
    let room = MAX_PATH_BYTES.saturating_sub(family.len() + 66);
    if key.len() <= room && !key.is_empty() {
        return [family, "[", &key, "]"].concat();
    }
    let mut end = room.min(key.len());
    while !key.is_char_boundary(end) {
        end -= 1;
    }
    let digest = crate::Digest::of(key.as_bytes()).to_string();
    format!("{family}[{}%…{}]", &key[..end], &digest[7..23])
}

fn escape_key(key: &str) -> Cow<'_, str> {
    let special = |c: char| c.is_control() || matches!(c, '[' | ']' | '%');
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'[' | b']' | b'%');
    if key.bytes().all(plain) || !key.contains(special) {
        return Cow::Borrowed(key);
    }
    let mut escaped = String::with_capacity(key.len() + 8);
    let mut buffer = [0; 4];
    for c in key.chars() {
        if special(c) {
            for byte in c.encode_utf8(&mut buffer).bytes() {
                write!(escaped, "%{byte:02X}").expect("writing to a string cannot fail");
            }
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

impl fmt::Display for FactPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FactPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Borrow<str> for FactPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FactPath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        Self::new(&text)
    }
}

impl From<FactPath> for String {
    fn from(path: FactPath) -> Self {
        path.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_real_facts_are_paths() {
        for text in [
            "kernel.release",
            "sysctl.net.ipv4.conf.eth0/1.forwarding",
            "go.program[github.com/acme/pay].module[golang.org/x/net]",
            "go.toolchain[/usr/local/go].version",
            "sysctl.kernel.sched_domain.cpu0",
        ] {
            assert_eq!(FactPath::new(text).map(String::from), Ok(text.to_owned()));
        }
    }

    #[test]
    fn malformed_texts_are_not_paths() {
        for text in [
            "",
            ".a",
            "a.",
            "a..b",
            "a[b",
            "a]b",
            "a[]",
            "a[b]c",
            "a.[b]",
            "[b]",
            "a[b[c]]",
            "a[b][c]",
            "a\u{1b}[1m",
        ] {
            assert!(FactPath::new(text).is_err(), "{text:?}");
        }
        assert_eq!(FactPath::new(&"a".repeat(1025)), Err(PathError::TooLong(1025)));
    }

    #[test]
    fn a_key_from_the_machine_is_always_a_path() {
        assert_eq!(FactPath::keyed("go.program", "a[b]%\n").as_str(), "go.program[a%5Bb%5D%25%0A]");
        let long = FactPath::keyed("package", &"é".repeat(900));
        assert!(long.as_str().len() <= MAX_PATH_BYTES);
        assert_ne!(long, FactPath::keyed("package", &"é".repeat(901)));
        FactPath::keyed("package", "");
        for key in ["openssl", "a[b]%\n", &"é".repeat(900)] {
            let step_by_step = FactPath::keyed("package", key).child("version");
            assert_eq!(FactPath::keyed_child("package", key, "version"), step_by_step);
        }
    }

    /// Promise: what was read lately is shared, and decides nothing: what is no path is refused as ever.
    #[test]
    fn what_is_read_again_is_the_same() {
        let long = format!("a.{}", "b".repeat(MAX_REMEMBERED_BYTES));
        for text in ["kernel.release", "go.program[a].module[b]", &long, "a.", "", "a[b"] {
            for _ in 0..2 {
                assert_eq!(FactPath::read(text), FactPath::new(text));
            }
        }
        let [first, again] = [(); 2].map(|()| FactPath::read("kernel.release").unwrap());
        assert!(Arc::ptr_eq(&first.0, &again.0));
        let many = |n: usize| FactPath::read(&format!("sysctl.n{n}")).unwrap();
        for n in (0..3 * READ_LATELY).chain(0..10) {
            assert_eq!(many(n).as_str(), format!("sysctl.n{n}"));
        }
    }

    #[test]
    fn covers_whole_names_only() {
        assert!(FactPath::known("sysctl").covers("sysctl.net"));
        assert!(FactPath::known("go.program").covers("go.program[x].version"));
        assert!(!FactPath::known("go.pro").covers("go.program[x]"));
        assert_eq!(FactPath::known("go.program[a.b/c].module[d]").entity(), Some("go.program[a.b/c]"));
    }
}
