//! Databases of packages that are text: paragraphs of `Name: value` lines that end in an empty line.

use std::io::{self, Read as _};
use std::path::Path;

use evenkeel_facts::Reason;
use memchr::memmem::Finder;

use crate::{Budget, Host};

/// 919 packages make 1 MB; 64 MB is every package that Debian has.
const MAX_BYTES: u64 = 128 * 1024 * 1024;
/// The longest paragraph seen, a kernel's list of files in apk, has 500 KB.
const MAX_PARAGRAPH_BYTES: usize = 2 * 1024 * 1024;
/// As many bytes are read at once; a longer paragraph takes as many as it has.
const BUFFER_BYTES: usize = 32 * 1024;

/// Gives each paragraph of a file, whole, without the empty line behind it. `Ok(false)`: there is no such file. A file
/// that does not end with a line feed was cut: what was there is given, and the outcome is `partial`.
pub(super) fn each_paragraph(
    host: &Host,
    path: &Path,
    budget: &Budget,
    mut each: impl FnMut(&[u8]),
) -> Result<bool, Reason> {
    let file = match host.open_content(path) {
        Ok(file) => file,
        Err(error) => return Reason::of_io(&error).map_or(Ok(false), Err),
    };
    let mut file = file.take(MAX_BYTES + 1);
    let empty_line = Finder::new(b"\n\n");
    let mut buffer = vec![0; BUFFER_BYTES];
    // So many bytes of the buffer are the beginning of a paragraph.
    let (mut held, mut total) = (0, 0);
    loop {
        let read = match file.read(&mut buffer[held..]) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Reason::of_io(&error).unwrap_or(Reason::Io)),
        };
        total += read as u64;
        if read == 0 {
            let whole = whole_lines(&buffer[..held]);
            each(whole);
            return if whole.len() == held { Ok(true) } else { Err(Reason::Partial) };
        }
        budget.spend(0)?;
        let mut begin = 0;
        // An empty line may begin with the last byte that was there before.
        let mut from = held.saturating_sub(1);
        held += read;
        while let Some(end) = empty_line.find(&buffer[from..held]) {
            each(&buffer[begin..=from + end]);
            begin = from + end + 2;
            from = begin;
        }
        buffer.copy_within(begin..held, 0);
        held -= begin;
        if held > MAX_PARAGRAPH_BYTES || total > MAX_BYTES {
            each(whole_lines(&buffer[..held]));
            return Err(Reason::Truncated);
        }
        if held == buffer.len() {
            buffer.resize(2 * held, 0);
        }
    }
}

/// What stands before the last line feed, and that.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1)]
}

/// The lines of a paragraph that are not empty.
pub(super) fn lines(paragraph: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = paragraph;
    std::iter::from_fn(move || {
        loop {
            let end = memchr::memchr(b'\n', rest)?;
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if !line.is_empty() {
                return Some(line);
            }
        }
    })
}

/// A field's value as text. What is not UTF-8 is no name and no version of any manager.
pub(super) fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().map(str::trim).filter(|text| !text.is_empty())
}
