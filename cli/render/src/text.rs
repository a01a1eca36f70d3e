//! Text that came from a machine, made fit for a terminal: every control, direction and invisible character is
//! made visible, and widths are counted in columns.

pub use evenkeel_facts::{escape, is_unsafe};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How many columns an escaped text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The text broken into lines of at most `limit` columns: between words where possible, inside a longer word where
/// not. Never empty.
pub(crate) fn wrap(text: &str, limit: usize) -> Vec<String> {
    let limit = limit.max(1);
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let line = lines.last_mut().expect("never empty");
        if width(line) + width(word.trim_end_matches(' ')) <= limit {
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(String::new());
        }
        for c in word.chars() {
            let line = lines.last_mut().expect("never empty");
            if width(line) + c.width().unwrap_or(0) > limit && !line.is_empty() {
                lines.push(String::new());
                // The blank that would begin the next line stays where the break is.
                if c == ' ' {
                    continue;
                }
            }
            lines.last_mut().expect("never empty").push(c);
        }
    }
    if lines.len() > 1 && lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    for line in &mut lines {
        line.truncate(line.trim_end_matches(' ').len());
    }
    lines
}

/// As many of the names as fit, and how many more there are: `stg-1 stg-2 +7`. At least one name.
pub(crate) fn names(names: &[String], limit: usize) -> String {
    let mut text = String::new();
    for (at, name) in names.iter().enumerate() {
        let name = escape(name);
        let left = names.len() - at - 1;
        let more = if left > 0 { 2 + left.to_string().len() } else { 0 };
        if at > 0 && width(&text) + 1 + width(&name) + more > limit {
            return format!("{text} +{}", left + 1);
        }
        if at > 0 {
            text.push(' ');
        }
        text.push_str(&name);
    }
    text
}

/// `1 node`, `2 nodes`.
pub(crate) fn count(number: u64, one: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {one}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_obey_is_made_visible() {
        for (hostile, shown) in [
            ("plain ü 日本", "plain ü 日本"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{1b}[2J\u{7f}", "\\x1b[2J\\x7f"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("abc\u{202e}fed\u{2066}", "abc\\u{202e}fed\\u{2066}"),
            ("1.2\u{200b}.3\u{feff}", "1.2\\u{200b}.3\\u{feff}"),
        ] {
            assert_eq!(escape(hostile), shown);
        }
    }

    #[test]
    fn names_that_do_not_fit_are_counted() {
        let list: Vec<String> = (1..=9).map(|n| format!("stg-web-{n}")).collect();
        assert_eq!(names(&list, 24), "stg-web-1 stg-web-2 +7");
        assert_eq!(names(&list[..2], 19), "stg-web-1 stg-web-2");
        assert_eq!(names(&list, 1), "stg-web-1 +8");
        assert_eq!(names(&[], 10), "");
    }

    #[test]
    fn long_words_break_and_short_ones_do_not() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
        assert_eq!(wrap("", 4), [""]);
    }

    proptest! {
        #[test]
        fn nothing_unsafe_passes(text in any::<String>()) {
            prop_assert!(!escape(&text).contains(is_unsafe));
        }

        #[test]
        fn lines_fit_and_lose_no_letter(text in "[a-z ]{0,60}", limit in 1_usize..30) {
            let lines = wrap(&text, limit);
            prop_assert!(lines.iter().all(|line| width(line) <= limit), "{lines:?}");
            let letters = |s: &str| s.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }
}
