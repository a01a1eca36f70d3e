//! Host names, roles, environments and user names: `[a-z0-9._-]{1,253}`. Never a path, never a key.

/// The longest label, in bytes.
pub const MAX_BYTES: usize = 253;

/// Whether a text is a label: 1 to 253 of `a-z`, `0-9`, `.`, `_`, `-`, and not only dots.
pub fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=MAX_BYTES).contains(&text.len())
        && text.bytes().all(allowed)
        && text.bytes().any(|byte| byte != b'.')
}

/// A label made from what a machine calls itself: lower case, anything else becomes `-`; `node` if nothing is left.
pub fn from_host_name(name: &str) -> String {
    let label: String = name
        .trim()
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
        .take(MAX_BYTES)
        .collect();
    if is_label(&label) { label } else { "node".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for text in ["web-1", "a", "10.0.0.1", "db_2.example.com"] {
            assert!(is_label(text), "{text}");
        }
        for text in ["", "Web", "a/b", "..", ".", "a b", "é", &"a".repeat(254)] {
            assert!(!is_label(text), "{text}");
        }
    }

    #[test]
    fn every_host_name_gives_a_label() {
        assert_eq!(from_host_name("Web-1.Example.COM\n"), "web-1.example.com");
        assert_eq!(from_host_name("bücher"), "b-cher");
        assert_eq!(from_host_name(""), "node");
    }
}
