//! Which build settings are facts, and in what form.

use crate::credentials;

/// What stands in place of an absolute path.
const SOME_PATH: &str = "/…";

/// The setting's value as a fact. `None`: it says nothing about the program that could drift on purpose.
///
/// Left out is `vcs.time`, for it follows from `vcs.revision`. Struck out of the rest are build ids and absolute
/// paths, which name the machine that built the program, and passwords in URLs.
pub(super) fn canonical(name: &str, value: &str) -> Option<String> {
    if name == "vcs.time" {
        return None;
    }
    // Only what a person passes to compilers and linkers holds paths: flags, and CGO_CFLAGS and its kin.
    if !name.starts_with('-') && !name.starts_with("CGO_") {
        return Some(credentials::strike(value));
    }
    let value = credentials::strike(value);
    let words = value.split_whitespace().filter(|word| !word.contains("-buildid=")).map(without_path);
    Some(words.collect::<Vec<_>>().join(" "))
}

/// A flag's word with each absolute path in it as `/…`: `-I/home/ann/x` is `-I/…`, `all=-trimpath=/tmp/a=>b` is
/// `all=-trimpath=/…=>b`. Import paths (`-X github.com/acme/pay.version=1`) and URLs stay.
fn without_path(word: &str) -> String {
    let mut kept = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('/') {
        let (before, path) = rest.split_at(at);
        let end = path.find(['=', ':', ',', ';', '"', '\'']).unwrap_or(path.len());
        kept.push_str(before);
        let absolute = before.is_empty() && kept.is_empty()
            || before.ends_with(['=', ':', ',', ';', '"', '\''])
            || matches!(before, "-I" | "-L" | "-F" | "-B");
        let url = path.starts_with("//");
        kept.push_str(if absolute && !url { SOME_PATH } else { &path[..end] });
        rest = &path[end..];
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn what_names_the_build_machine_is_struck_out() {
        for (name, value, fact) in [
            ("vcs.revision", "0a1b2c", "0a1b2c"),
            ("-trimpath", "true", "true"),
            (
                "-ldflags",
                "-s -w  -X github.com/acme/pay/v2/version.Version=1.4.0",
                "-s -w -X github.com/acme/pay/v2/version.Version=1.4.0",
            ),
            (
                "-ldflags",
                "-buildid=abc/def -X main.repo=https://ann:pw@git.acme.com/pay",
                "-X main.repo=https://***@git.acme.com/pay",
            ),
            ("-gcflags", "all=-trimpath=/home/ann/src=>src;-N", "all=-trimpath=/…=>src;-N"),
            (
                "CGO_CFLAGS",
                "-O2 -I/home/ann/include -fdebug-prefix-map=/build/x=.",
                "-O2 -I/… -fdebug-prefix-map=/…=.",
            ),
            ("-pgo", "/build/pay/default.pgo", "/…"),
            ("DefaultGODEBUG", "http2server=0", "http2server=0"),
        ] {
            assert_eq!(canonical(name, value).as_deref(), Some(fact), "{name}");
        }
        assert_eq!(canonical("vcs.time", "2026-01-02T03:04:05Z"), None);
    }
}
