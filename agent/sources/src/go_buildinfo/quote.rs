//! Go's quoted strings, as `strconv.Quote` writes and `strconv.QuotedPrefix` reads them.

/// The string that the text begins with, in `"…"` or `` `…` ``, and what follows it. `None`: not quoted as Go does.
///
/// Bytes that are not UTF-8 (written `\xff`) become U+FFFD.
pub(super) fn unquote_prefix(text: &str) -> Option<(String, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        let (raw, rest) = raw.split_once('`')?;
        return Some((raw.replace('\r', ""), rest));
    }
    let mut rest = text.strip_prefix('"')?;
    let mut bytes = Vec::new();
    loop {
        let stop = rest.find(['"', '\\', '\n'])?;
        bytes.extend_from_slice(&rest.as_bytes()[..stop]);
        let escape = rest[stop..].chars().next()?;
        rest = &rest[stop + 1..];
        match escape {
            '"' => return Some((String::from_utf8_lossy(&bytes).into_owned(), rest)),
            '\\' => rest = unescape(rest, &mut bytes)?,
            _ => return None,
        }
    }
}

/// Adds what stands behind a backslash; the rest of the text.
fn unescape<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let kind = text.chars().next()?;
    let rest = &text[kind.len_utf8()..];
    let simple = match kind {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '"' => b'"',
        'x' => {
            let (value, rest) = digits(rest, 2, 16)?;
            bytes.push(u8::try_from(value).ok()?);
            return Some(rest);
        }
        'u' | 'U' => {
            let (value, rest) = digits(rest, if kind == 'u' { 4 } else { 8 }, 16)?;
            bytes.extend_from_slice(char::from_u32(value)?.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(rest);
        }
        '0'..='7' => {
            let (value, rest) = digits(text, 3, 8)?;
            bytes.push(u8::try_from(value).ok()?);
            return Some(rest);
        }
        _ => return None,
    };
    bytes.push(simple);
    Some(rest)
}

fn digits(text: &str, count: usize, radix: u32) -> Option<(u32, &str)> {
    let (number, rest) = text.split_at_checked(count)?;
    // `from_str_radix` would take a sign.
    if !number.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    Some((u32::from_str_radix(number, radix).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::unquote_prefix;

    #[test]
    fn reads_what_go_quotes() {
        for (quoted, plain, rest) in [
            (r#""-O2 -g""#, "-O2 -g", ""),
            (r#""a=b"=c"#, "a=b", "=c"),
            (r#""\a\b\f\n\r\t\v\\\"""#, "\u{7}\u{8}\u{c}\n\r\t\u{b}\\\"", ""),
            (r#""\x41\102\u00e9\U0001F600é""#, "ABé😀é", ""),
            (r#""\xff""#, "\u{fffd}", ""),
            ("`a\\n\r\"b` x", "a\\n\"b", " x"),
        ] {
            assert_eq!(unquote_prefix(quoted), Some((plain.to_owned(), rest)), "{quoted}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in [
            "",
            "a",
            "\"",
            "\"a",
            "`a",
            "\"a\nb\"",
            r#""\'""#,
            r#""\q""#,
            r#""\x4""#,
            r#""\x+4""#,
            r#""\ud800""#,
            r#""\400""#,
        ] {
            assert_eq!(unquote_prefix(text), None, "{text:?}");
        }
    }
}
