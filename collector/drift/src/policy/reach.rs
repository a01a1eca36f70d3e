//! Which rules can speak of facts below a path, when the facts themselves could not be seen.

use evenkeel_facts::Glob;

/// Whether the pattern matches the path, or can match some path below it. A star that fills a whole key (`[*]`)
/// stays within its brackets, as keys hold none.
pub(super) fn reaches(pattern: &Glob, path: &str) -> bool {
    pattern.matches(path)
        || [b'.', b'['].iter().any(|next| consumes(pattern.as_str().as_bytes(), path, *next))
}

/// Whether the pattern matches the path and everything below it.
pub(super) fn owns(pattern: &Glob, path: &str) -> bool {
    let prefix = pattern.literal_prefix();
    pattern.as_str().len() == prefix.len() + 1 && pattern.as_str().ends_with('*') && path.starts_with(prefix)
}

/// Whether the text and `next` can be the beginning of a match: all states of the pattern, byte by byte.
fn consumes(pattern: &[u8], text: &str, next: u8) -> bool {
    let mut states = vec![false; pattern.len() + 1];
    states[0] = true;
    skip_stars(pattern, &mut states);
    for byte in text.bytes().chain([next]) {
        let mut after = vec![false; pattern.len() + 1];
        for at in (0..pattern.len()).filter(|at| states[*at]) {
            match pattern[at] {
                b'*' => after[at] |= byte != b']' || !fills_a_key(pattern, at),
                b'?' => after[at + 1] = true,
                literal => after[at + 1] |= literal == byte,
            }
        }
        states = after;
        skip_stars(pattern, &mut states);
    }
    states.contains(&true)
}

/// A star may stand for nothing.
fn skip_stars(pattern: &[u8], states: &mut [bool]) {
    for at in 0..pattern.len() {
        states[at + 1] |= states[at] && pattern[at] == b'*';
    }
}

fn fills_a_key(pattern: &[u8], at: usize) -> bool {
    at > 0 && pattern[at - 1] == b'[' && pattern.get(at + 1) == Some(&b']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_reach_what_they_could_match() {
        for (pattern, path, expected) in [
            ("sysctl.net.core.somaxconn", "sysctl", true),
            ("sysctl.net.core.somaxconn", "sysctl.net.core", true),
            ("sysctl.net.core.somaxconn", "sysctl.net.co", false),
            ("sysctl.net.core.somaxconn", "sysctl.net.core.somaxconn", true),
            ("sysctl.net.core.somaxconn", "sysctl.net.core.somaxconn.x", false),
            ("go.program[*].module[*]", "go.program", true),
            ("go.program[*].module[*]", "go.program[x]", true),
            ("go.program[*].module[*]", "go.program[x].version", false),
            ("sysctl.*.x", "sysctl.net.core", true),
            ("a?c.d", "abc", true),
            ("*", "anything", true),
        ] {
            assert_eq!(reaches(&Glob::new(pattern), path), expected, "{pattern} below {path}");
        }
    }

    #[test]
    fn only_a_prefix_owns_a_subtree() {
        assert!(owns(&Glob::new("sysctl.net.*"), "sysctl.net.core"));
        assert!(!owns(&Glob::new("sysctl.net.*"), "sysctl"));
        assert!(!owns(&Glob::new("sysctl.*.core"), "sysctl.net.core"));
    }
}
