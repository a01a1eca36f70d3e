//! Which build settings are facts, and in what form.

use crate::credentials;

/// What stands in place of an absolute path, or of a time.
const LEFT_OUT: &str = "…";
/// A variable whose name holds one of these is taken for a secret.
const SECRET: &[&str] =
    &["secret", "token", "passw", "apikey", "api_key", "privatekey", "private_key", "credential"];

/// The setting's value as a fact. `None`: it says nothing about the program that could drift on purpose.
///
/// Left out is `vcs.time`, for it follows from `vcs.revision`. Struck out of flags are build ids, absolute paths and
/// times of day, which tell only where and when the program was built; passwords in URLs; and the values of linked-in
/// variables (`-X main.apiToken=…`) that by their name are secrets.
pub(super) fn canonical(name: &str, value: &str) -> Option<String> {
    if name == "vcs.time" {
        return None;
    }
    let value = credentials::strike(value);
    // Only what a person passes to compilers and linkers: flags, and CGO_CFLAGS and its kin.
    if !name.starts_with('-') && !name.starts_with("CGO_") {
        return Some(value);
    }
    let fields = fields(&value).filter(|field| !field.contains("-buildid=")).map(field);
    Some(fields.collect::<Vec<_>>().join(" "))
}

/// Fields as Go splits flags: at blanks, but for a field in quotes.
fn fields(mut rest: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let closed = if matches!(first, '"' | '\'') { rest[1..].find(first).map(|at| at + 2) } else { None };
        let end = closed.or_else(|| rest.find(char::is_whitespace)).unwrap_or(rest.len());
        let field = &rest[..end];
        rest = &rest[end..];
        Some(field)
    })
}

fn field(field: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(inner) = field.strip_prefix(quote).and_then(|inner| inner.strip_suffix(quote)) {
            return format!("{quote}{}{quote}", plain_field(inner));
        }
    }
    plain_field(field)
}

fn plain_field(field: &str) -> String {
    match field.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}=***"),
        _ => without_times(&without_paths(field)),
    }
}

fn is_secret(name: &str) -> bool {
    let variable = name.rsplit('.').next().unwrap_or(name).to_lowercase();
    SECRET.iter().any(|word| variable.contains(word))
}

/// Each absolute path as `/…`: `-I/home/ann/x` is `-I/…`, `all=-trimpath=/tmp/a=>b` is `all=-trimpath=/…=>b`. Import
/// paths (`github.com/acme/pay.version=1`) and URLs stay.
fn without_paths(field: &str) -> String {
    let mut kept = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find('/') {
        let (before, path) = rest.split_at(at);
        let end = path.find(['=', ':', ',', ';', '"', '\'']).unwrap_or(path.len());
        let begins = if kept.is_empty() { before.is_empty() } else { false };
        let absolute = begins
            || before.ends_with(['=', ':', ',', ';', '"', '\''])
            || matches!(before, "-I" | "-L" | "-F" | "-B");
        kept.push_str(before);
        if absolute && !path.starts_with("//") {
            kept.push('/');
            kept.push_str(LEFT_OUT);
        } else {
            kept.push_str(&path[..end]);
        }
        rest = &path[end..];
    }
    kept.push_str(rest);
    kept
}

/// Each `2025-04-29T21:07:35Z`, also with a blank or `_` between, as `…`. A date alone stays: versions are dates, too.
fn without_times(field: &str) -> String {
    let mut kept = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(first) = rest.chars().next() {
        if let Some(behind) = behind_time(rest) {
            kept.push_str(LEFT_OUT);
            rest = behind;
        } else {
            kept.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    kept
}

/// What follows the time that the text begins with.
fn behind_time(text: &str) -> Option<&str> {
    const SHAPE: &[u8] = b"0000-00-00T00:00";
    let fits = |(byte, shape): (u8, &u8)| match *shape {
        b'0' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b' ' | b'_'),
        other => byte == other,
    };
    let begins = text.len() >= SHAPE.len() && text.bytes().zip(SHAPE).all(fits);
    begins
        .then(|| text[SHAPE.len()..].trim_start_matches(|c: char| c.is_ascii_digit() || ":.Z+-".contains(c)))
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
            (
                "-ldflags",
                "-X main.buildDate=2025-04-29T21:07:35Z -X main.version=2025-04-29",
                "-X main.buildDate=… -X main.version=2025-04-29",
            ),
            (
                "-ldflags",
                "-X 'main.on=2025-04-29 21:07:35 +0000 é' -X main.key=b",
                "-X 'main.on=… +0000 é' -X main.key=b",
            ),
            (
                "-ldflags",
                "-X \"main.apiToken=a b\" -X main.DBPassword=x",
                "-X \"main.apiToken=***\" -X main.DBPassword=***",
            ),
            ("-ldflags", "'unclosed \"quotes", "'unclosed \"quotes"),
            ("DefaultGODEBUG", "http2server=0", "http2server=0"),
        ] {
            assert_eq!(canonical(name, value).as_deref(), Some(fact), "{name}");
        }
        assert_eq!(canonical("vcs.time", "2026-01-02T03:04:05Z"), None);
    }
}
