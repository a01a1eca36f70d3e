//! What a key's file says, in its canonical form.

use std::io;

use evenkeel_facts::Reason;
use nix::errno::Errno;

/// The one form of a value: tabs and runs of blanks are one blank, none at the ends of a line, no empty lines; lines
/// stay lines, joined by `\n`. Bytes that are not UTF-8 have none.
pub(super) fn canonical(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut value = String::with_capacity(text.len());
    for line in text.lines() {
        let mut end = "\n";
        for word in line.split_ascii_whitespace() {
            if !value.is_empty() {
                value.push_str(end);
            }
            value.push_str(word);
            end = " ";
        }
    }
    Some(value)
}

/// Whether a secret is set, and nothing else of it. Nothing, or nothing but zeros and what stands between them, is
/// unset; so is the kernel's EIO for a `stable_secret` that was never written.
pub(super) fn set_or_unset(read: &io::Result<Vec<u8>>) -> Result<&'static str, Reason> {
    match read {
        Ok(bytes)
            if bytes.iter().all(|byte| matches!(byte, b'0' | b'-' | b':') || byte.is_ascii_whitespace()) =>
        {
            Ok("unset")
        }
        Ok(_) => Ok("set"),
        Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => Ok("unset"),
        Err(error) => Err(Reason::of_io(error).unwrap_or(Reason::Io)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_one_and_lines_stay() {
        for (bytes, value) in [
            ("32768\t60999\n", "32768 60999"),
            ("  a   b\t\n\n c\n", "a b\nc"),
            ("\n", ""),
            ("|/usr/share/apport/apport -p%p\n", "|/usr/share/apport/apport -p%p"),
        ] {
            assert_eq!(canonical(bytes.as_bytes()).as_deref(), Some(value));
        }
        assert_eq!(canonical(b"\xff"), None);
    }

    #[test]
    fn of_secrets_only_whether_they_are_set() {
        let ok = |text: &str| Ok(text.as_bytes().to_vec());
        assert_eq!(set_or_unset(&ok("00000000-00000000-00000000-00000000\n")), Ok("unset"));
        assert_eq!(set_or_unset(&ok("0\n")), Ok("unset"));
        assert_eq!(set_or_unset(&ok("00:1f:00\n")), Ok("set"));
        assert_eq!(set_or_unset(&Err(Errno::EIO.into())), Ok("unset"));
        assert_eq!(set_or_unset(&Err(Errno::EACCES.into())), Err(Reason::Permission));
    }
}
