//! Databases of packages that are text: paragraphs of `Name: value` lines that end in an empty line.

use std::io::{self, Read as _};
use std::path::Path;

use evenkeel_facts::Reason;

use crate::{Budget, Host};

/// 919 packages make 1 MB; 64 MB is every package that Debian has.
const MAX_BYTES: u64 = 128 * 1024 * 1024;
/// The longest line seen, the provides of a kernel's package, has 90 KB.
const MAX_LINE_BYTES: usize = 1024 * 1024;
const BUFFER_BYTES: usize = 32 * 1024;

/// Gives each line of a file, and an empty one behind the last paragraph. `Ok(false)`: there is no such file. A file
/// that does not end with a line feed was cut: what was there is given, and the outcome is `partial`.
pub(super) fn each_line(
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
    let mut buffer = vec![0; BUFFER_BYTES];
    // The end of what was read, which may be the beginning of a line.
    let mut open: Vec<u8> = Vec::new();
    let mut total = 0;
    loop {
        let read = match file.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Reason::of_io(&error).unwrap_or(Reason::Io)),
        };
        total += read as u64;
        if read == 0 {
            each(b"");
            return if open.is_empty() { Ok(true) } else { Err(Reason::Partial) };
        }
        budget.spend(0)?;
        let mut rest = &buffer[..read];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            if open.is_empty() {
                each(&rest[..end]);
            } else {
                open.extend_from_slice(&rest[..end]);
                each(&open);
                open.clear();
            }
            rest = &rest[end + 1..];
        }
        open.extend_from_slice(rest);
        if open.len() > MAX_LINE_BYTES || total > MAX_BYTES {
            each(b"");
            return Err(Reason::Truncated);
        }
    }
}

/// A field's value as text. What is not UTF-8 is no name and no version of any manager.
pub(super) fn text(value: &[u8]) -> Option<String> {
    std::str::from_utf8(value).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}
