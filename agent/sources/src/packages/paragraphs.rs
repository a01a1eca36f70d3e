//! Databases of packages that are text: paragraphs of `Name: value` lines that end in an empty line.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use evenkeel_facts::Reason;

use crate::{Budget, Host};

/// 919 packages make 1 MB; 64 MB is every package that Debian has.
const MAX_BYTES: u64 = 128 * 1024 * 1024;
/// The longest line seen, the provides of a kernel's package, has 90 KB.
const MAX_LINE_BYTES: u64 = 1024 * 1024;
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
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, file.take(MAX_BYTES + 1));
    let mut line = Vec::new();
    let mut total = 0;
    loop {
        line.clear();
        let read =
            read_line(&mut reader, &mut line).map_err(|error| Reason::of_io(&error).unwrap_or(Reason::Io))?;
        total += read;
        let whole = line.pop_if(|last| *last == b'\n').is_some();
        if read == 0 || line.is_empty() {
            each(b"");
            budget.spend(0)?;
        }
        match (read, whole) {
            (0, _) => return Ok(true),
            (_, true) => {}
            // The limit of one line, or of all, or the end in the middle of a line.
            (read, false) if read == MAX_LINE_BYTES || total > MAX_BYTES => return Err(Reason::Truncated),
            (_, false) => return Err(Reason::Partial),
        }
        if !line.is_empty() {
            each(&line);
        }
    }
}

fn read_line(reader: &mut BufReader<impl io::Read>, line: &mut Vec<u8>) -> io::Result<u64> {
    reader.take(MAX_LINE_BYTES).read_until(b'\n', line).map(|read| read as u64)
}

/// A field's value as text. What is not UTF-8 is no name and no version of any manager.
pub(super) fn text(value: &[u8]) -> Option<String> {
    std::str::from_utf8(value).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}
