//! Go's settings, where they are written down: `NAME=VALUE` lines.

use crate::credentials;

/// The settings that are facts. What else such a file holds is nobody's business.
const NAMES: [&str; 7] =
    ["CGO_ENABLED", "GO111MODULE", "GOFLAGS", "GOPRIVATE", "GOPROXY", "GOSUMDB", "GOTOOLCHAIN"];

/// The known settings of a file such as `GOROOT/go.env`, as the go command reads it: nothing is quoted, of two
/// settings the last counts. Passwords are struck out.
pub(super) fn parse(text: &str) -> Vec<(&'static str, String)> {
    known(&text.lines())
}

/// The same of `/etc/environment`, as pam_env(8) reads it: `export` may stand before the name, quotes around the value.
pub(super) fn parse_environment(text: &str) -> Vec<(&'static str, String)> {
    let lines = text.lines().map(|line| {
        let line = line.trim();
        line.strip_prefix("export ").unwrap_or(line).trim_start()
    });
    let mut settings = known(&lines);
    for (_, value) in &mut settings {
        let plain = value.trim().trim_matches(['"', '\'']).to_owned();
        *value = plain;
    }
    settings
}

/// What the go command of this version has for settings that stand nowhere. Since Go 1.21 these stand in `go.env`;
/// before Go 1.13 there was no proxy.
pub(super) fn built_in(version: &str) -> Vec<(&'static str, String)> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(1)), Some(Ok(13..=20))) => {
            [("GOPROXY", PROXY), ("GOSUMDB", SUMDB)].map(|(n, v)| (n, v.to_owned())).into()
        }
        _ => Vec::new(),
    }
}

const PROXY: &str = "https://proxy.golang.org,direct";
const SUMDB: &str = "sum.golang.org";

fn known<'a>(lines: &(impl DoubleEndedIterator<Item = &'a str> + Clone)) -> Vec<(&'static str, String)> {
    let value = |name: &str| lines.clone().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    NAMES.into_iter().filter_map(|name| Some((name, credentials::strike(value(name)?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_before_go_had_a_file_for_them() {
        for version in ["1.19.8", "1.20", "1.13rc1"] {
            assert_eq!(built_in(version)[1], ("GOSUMDB", "sum.golang.org".to_owned()), "{version}");
        }
        for version in ["1.21.0", "1.12.17", "devel", "", "2.15"] {
            assert!(built_in(version).is_empty(), "{version}");
        }
    }

    #[test]
    fn known_settings_are_read_and_passwords_are_not() {
        let text = "# GOPROXY=off\nGOPROXY=https://ann:pw@proxy.acme.com,direct\nGOSUMDB=off\nGOSUMDB=sum.golang.org\n\
                    AWS_SECRET=1\nGOFLAGS=-mod=mod -trimpath\n";
        let expected = [
            ("GOFLAGS", "-mod=mod -trimpath"),
            ("GOPROXY", "https://***@proxy.acme.com,direct"),
            ("GOSUMDB", "sum.golang.org"),
        ];
        assert_eq!(parse(text), expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn the_environment_of_logins_may_be_quoted() {
        let text = "PATH=\"/usr/bin\"\n  export GOPRIVATE='git.acme.com/*'\nGOPROXY=\"off\"\n";
        let expected = [("GOPRIVATE", "git.acme.com/*"), ("GOPROXY", "off")];
        assert_eq!(parse_environment(text), expected.map(|(name, value)| (name, value.to_owned())));
    }
}
