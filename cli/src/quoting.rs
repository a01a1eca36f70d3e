//! Values of machines in languages that obey some characters. What cannot be quoted is refused, never cut or changed.

/// Whether the value is one line of plain text: what every one of the languages here can carry.
pub fn is_one_line(value: &str) -> bool {
    // What the escape changes is a control, a mark of direction, or invisible: nobody could check it by reading.
    !value.is_empty() && value.trim() == value && evenkeel_render::text::escape(value) == value
}

/// One word of a POSIX shell: between single quotes nothing is special but the quote itself.
pub fn shell(value: &str) -> String {
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '=' | ',' | '+' | '@')
    };
    if !value.is_empty() && value.chars().all(plain) && !value.starts_with('-') {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', "'\\''"))
}

/// A YAML scalar that Ansible takes as it is: double-quoted, and not a template.
pub fn ansible(value: &str) -> String {
    let mut quoted = String::from("!unsafe \"");
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Promise: whatever a value holds, a shell takes it for one word and obeys nothing in it.
    #[test]
    fn a_shell_gives_back_what_was_quoted() {
        for value in [
            "65535", "a b", "$(id)", "`id`", "a'b", "\"x\"", "a;b", "-n", "*", "~", "a\\b", "!x", "#",
            "{a,b}",
        ] {
            let script = format!("printf '%s' {}", shell(value));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), value, "{script}");
        }
    }

    #[test]
    fn what_nobody_could_check_is_refused() {
        for value in ["", "a\nb", "a\u{1b}[2J", "a\u{202e}b", "\ta", "a ", "a\u{200b}"] {
            assert!(!is_one_line(value), "{value:?}");
        }
        assert!(is_one_line("4096 131072 6291456"));
    }

    #[test]
    fn ansible_takes_no_template() {
        assert_eq!(
            ansible("{{ lookup('pipe', 'id') }} \"x\\"),
            "!unsafe \"{{ lookup('pipe', 'id') }} \\\"x\\\\\""
        );
    }
}
