//! Text that came from a machine, made fit to be shown: every control, direction and invisible character is made visible.

use std::borrow::Cow;

/// The text with whatever a terminal would obey instead of print written as `\n`, `\x1b` or `\u{202e}`.
///
/// Values come from machines that may be hostile: an escape sequence in a version string must not repaint the
/// report, nor a direction mark turn it around.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c if !is_unsafe(c) => escaped.push(c),
            c if c.is_ascii() => escaped.extend(std::ascii::escape_default(c as u8).map(char::from)),
            c => escaped.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(escaped)
}

/// Whether a terminal would obey this character, or not show it at all.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Direction: embeddings, overrides, isolates, marks (CVE-2021-42574).
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Line and paragraph separators.
            | '\u{2028}' | '\u{2029}'
            // Invisible: two values that look the same must not be different.
            | '\u{00ad}' | '\u{034f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}
