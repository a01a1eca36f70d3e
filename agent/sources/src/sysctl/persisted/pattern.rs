//! Which keys of this kernel a pattern stands for: glob(7), one directory at a time.

use std::path::PathBuf;

use evenkeel_facts::Reason;

use crate::host::Kind;
use crate::{Budget, Host};

/// The keys, as paths below /proc/sys, in order. What is not there, or cannot be listed, is none.
pub(super) fn keys(host: &Host, budget: &Budget, pattern: &str) -> Result<Vec<String>, Reason> {
    let parts: Vec<&str> = pattern.split('/').collect();
    // The reader's own network is not the host's; and no pattern leads up.
    if parts.contains(&"..") || parts[0].starts_with("net") && !host.shares_network() {
        return Ok(Vec::new());
    }
    let mut found = vec![String::new()];
    for (at, part) in parts.iter().enumerate() {
        let wanted = if at + 1 == parts.len() { Kind::File } else { Kind::Directory };
        let mut next = Vec::new();
        for base in &found {
            let directory = PathBuf::from("/proc/sys").join(base);
            for entry in host.list(&directory).unwrap_or_default() {
                budget.spend(0)?;
                let Some(name) = entry.name.to_str() else { continue };
                if entry.kind == wanted
                    && (!name.starts_with('.') || part.starts_with('.'))
                    && fits(part.as_bytes(), name.as_bytes())
                {
                    next.push(if base.is_empty() { name.to_owned() } else { format!("{base}/{name}") });
                }
            }
        }
        found = next;
    }
    Ok(found)
}

/// Whether a name fits: `*` any text, `?` any byte, `[a-c]` and `[!a-c]` one of these or none of them, `\` the next as
/// it is. Never goes back further than to the last `*`.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match one(&pattern[p..], name[n]) {
            _ if pattern.get(p) == Some(&b'*') => {
                p += 1;
                star = Some((p, n));
            }
            Some(width) => {
                p += width;
                n += 1;
            }
            None => match star {
                Some((behind, seen)) => {
                    (p, n) = (behind, seen + 1);
                    star = Some((behind, seen + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// How much of the pattern stands for this byte, if its beginning does.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [b'[', rest @ ..] => {
            let negated = matches!(rest.first(), Some(b'!' | b'^'));
            let set = &rest[usize::from(negated)..];
            // A bracket right at the beginning is one of the set.
            let Some(end) = set.iter().skip(1).position(|byte| *byte == b']').map(|at| at + 1) else {
                return (byte == b'[').then_some(1);
            };
            let within = in_set(&set[..end], byte);
            (within != negated).then_some(1 + usize::from(negated) + end + 1)
        }
        [first, ..] => (*first == byte).then_some(1),
        [] => None,
    }
}

fn in_set(mut set: &[u8], byte: u8) -> bool {
    loop {
        set = match set {
            [from, b'-', to, rest @ ..] if (*from..=*to).contains(&byte) || rest.is_empty() => {
                return (*from..=*to).contains(&byte);
            }
            [_, b'-', _, rest @ ..] => rest,
            [one, rest @ ..] if *one != byte => rest,
            other => return !other.is_empty(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_glob() {
        for (pattern, yes, no) in [
            ("*", vec!["", "a", "abc"], vec![]),
            ("eth*", vec!["eth", "eth0"], vec!["et", "veth0"]),
            ("e?h[0-2]", vec!["eth0", "eth2"], vec!["eth3", "eth", "eh0"]),
            ("[!a-c]x", vec!["dx"], vec!["ax", "cx", "x"]),
            ("[]a]", vec!["]", "a"], vec!["b"]),
            ("a[", vec!["a["], vec!["a"]),
            ("a\\*", vec!["a*"], vec!["ab"]),
            ("*a*b", vec!["ab", "xaxbb"], vec!["ba", "a"]),
        ] {
            for name in yes {
                assert!(fits(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
            }
            for name in no {
                assert!(!fits(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = "*a".repeat(200);
        assert!(!fits(pattern.as_bytes(), "a".repeat(199).as_bytes()));
        assert!(!fits(pattern.as_bytes(), format!("{}b", "a".repeat(4000)).as_bytes()));
    }
}
