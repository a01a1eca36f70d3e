//! Globs over fact paths and names.

use std::fmt;

/// A pattern over fact paths or names: `*` stands for any run of characters (dots, slashes and brackets included),
/// `?` for one; everything else, brackets too, for itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Takes a pattern. Every text is one.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text before the first wildcard: every match begins with it.
    pub fn literal_prefix(&self) -> &str {
        &self.0[..self.0.find(['*', '?']).unwrap_or(self.0.len())]
    }

    /// Whether the pattern stands for exactly one text.
    pub fn is_literal(&self) -> bool {
        !self.0.contains(['*', '?'])
    }

    /// Whether the whole text matches. Linear in text times stars, whatever the pattern.
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut p, mut t) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while t < text.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    retry = Some((p + 1, t));
                    p += 1;
                }
                Some(b'?') => {
                    p += 1;
                    t += 1;
                    while t < text.len() && text[t] & 0xc0 == 0x80 {
                        t += 1;
                    }
                }
                Some(byte) if *byte == text[t] => {
                    p += 1;
                    t += 1;
                }
                _ => match retry {
                    Some((after_star, from)) => {
                        retry = Some((after_star, from + 1));
                        p = after_star;
                        t = from + 1;
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_cross_dots_and_brackets_are_themselves() {
        for (pattern, text, expected) in [
            ("sysctl.net.core.*", "sysctl.net.core.somaxconn", true),
            ("sysctl.net.ipv4.conf.*.forwarding", "sysctl.net.ipv4.conf.eth0.1.forwarding", true),
            ("go.program[*].go_version", "go.program[github.com/acme/pay].go_version", true),
            ("go.program[*].go_version", "go.program[x].version", false),
            ("kernel.release", "kernel.releases", false),
            ("*", "", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("", "a", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn prefix_ends_at_the_first_wildcard() {
        assert_eq!(Glob::new("go.program[*].version").literal_prefix(), "go.program[");
        assert!(Glob::new("kernel.release").is_literal());
    }
}
