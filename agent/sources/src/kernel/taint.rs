//! `kernel.taint`: the bits of `/proc/sys/kernel/tainted` in words.

/// By bit: admin-guide/tainted-kernels of the kernel's documentation.
const WORDS: &[&str] = &[
    "proprietary_module",
    "forced_module",
    "cpu_out_of_spec",
    "forced_unload",
    "machine_check",
    "bad_page",
    "set_by_user",
    "died",
    "acpi_table_overridden",
    "warned",
    "staging_driver",
    "firmware_workaround",
    "out_of_tree_module",
    "unsigned_module",
    "soft_lockup",
    "live_patched",
    "auxiliary",
    "randomized_structs",
    "in_kernel_test",
    "fwctl",
];

/// The words of the bits that are set, by bit, separated by blanks; `none` if none is.
pub(super) fn decode(text: &str) -> Option<String> {
    let bits: u64 = text.trim().parse().ok()?;
    let word = |bit: usize| WORDS.get(bit).map_or_else(|| format!("bit{bit}"), |word| (*word).to_owned());
    let words: Vec<_> = (0..64).filter(|bit| bits >> bit & 1 == 1).map(word).collect();
    Some(if words.is_empty() { "none".to_owned() } else { words.join(" ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_become_words() {
        assert_eq!(decode("0\n").as_deref(), Some("none"));
        assert_eq!(decode("4097").as_deref(), Some("proprietary_module out_of_tree_module"));
        assert_eq!(decode("512").as_deref(), Some("warned"));
        assert_eq!(decode("4294967296").as_deref(), Some("bit32"));
        assert_eq!(decode("-1"), None);
    }
}
