//! Dotted numbers with letters: kernel releases (`6.1.0-18-amd64`), C libraries (`2.36`), time zone data (`2024a`).

use std::cmp::Ordering;

/// Runs of digits as numbers, letters as text, whatever stands between them ignored, from left to right; what ends
/// first is older. `None` unless both begin with a digit.
pub(super) fn order(a: &str, b: &str) -> Option<Ordering> {
    let begins = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    (begins(a) && begins(b)).then(|| parts(a).cmp(parts(b)))
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Letters(&'a str),
    /// Digits without leading zeros: longer is greater, whatever their size.
    Number(usize, &'a str),
}

fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
        let digit = rest.chars().next()?.is_ascii_digit();
        let same = |c: char| c.is_alphanumeric() && c.is_ascii_digit() == digit;
        let end = rest.find(|c| !same(c)).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        rest = behind;
        let number = run.trim_start_matches('0');
        Some(if digit { Part::Number(number.len(), number) } else { Part::Letters(run) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_as_numbers() {
        for (older, newer) in [
            ("2.9", "2.36"),
            ("2024a", "2024b"),
            ("6.9.3", "6.18"),
            ("5.4.0-100", "5.4.0-1000"),
            ("12", "12.1"),
        ] {
            assert_eq!(order(older, newer), Some(Ordering::Less), "{older} {newer}");
        }
        assert_eq!(order("6.01", "6.1"), Some(Ordering::Equal));
        assert_eq!(order("99999999999999999999999998", "99999999999999999999999999"), Some(Ordering::Less));
        assert_eq!(order("bookworm", "12"), None);
    }
}
