//! The text of a build info: path, modules and settings, a line each.

use super::quote::unquote_prefix;
use super::{BuildInfo, BuildInfoError, MAX_MODULES, Module};

/// Reads the text as Go's `debug.ParseBuildInfo` does: lines of unknown kinds, and a last line without its end, are
/// passed over.
pub(super) fn parse(text: &str) -> Result<BuildInfo, BuildInfoError> {
    let mut info = BuildInfo::default();
    let mut last = Last::None;
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let Some((kind, rest)) = line.split_once('\t') else { continue };
        match kind {
            "path" => rest.clone_into(&mut info.path),
            "mod" => {
                info.main = Some(module(rest)?);
                last = Last::Main;
            }
            "dep" => {
                if info.deps.len() == MAX_MODULES {
                    return Err(BuildInfoError::TooLarge("more than 20,000 modules"));
                }
                info.deps.push(module(rest)?);
                last = Last::Dep;
            }
            "=>" => {
                let replaced = match std::mem::replace(&mut last, Last::None) {
                    Last::Main => info.main.as_mut(),
                    Last::Dep => info.deps.last_mut(),
                    Last::None => None,
                };
                let replaced = replaced.ok_or(BuildInfoError::Malformed("a replacement of no module"))?;
                replaced.replace = Some(Box::new(module(rest)?));
            }
            "build" => info.settings.push(setting(rest)?),
            _ => {}
        }
    }
    Ok(info)
}

/// The line that a replacement would speak of.
enum Last {
    None,
    Main,
    Dep,
}

/// `PATH VERSION [SUM]`, separated by tabs.
fn module(columns: &str) -> Result<Module, BuildInfoError> {
    let mut columns = columns.split('\t');
    let (path, version, sum) = (columns.next(), columns.next(), columns.next());
    let (Some(path), Some(version), None) = (path, version, columns.next()) else {
        return Err(BuildInfoError::Malformed("a module line that has not two or three columns"));
    };
    let sum = sum.filter(|sum| !sum.is_empty()).map(str::to_owned);
    Ok(Module { path: path.to_owned(), version: version.to_owned(), sum, replace: None })
}

/// `NAME=VALUE`, each quoted where it must be.
fn setting(text: &str) -> Result<(String, String), BuildInfoError> {
    const BROKEN: BuildInfoError =
        BuildInfoError::Malformed("a build setting that is not NAME=VALUE as Go quotes it");
    let (name, value) = if is_quoted(text) {
        let (name, rest) = unquote_prefix(text).ok_or(BROKEN)?;
        (name, rest.strip_prefix('=').ok_or(BROKEN)?)
    } else {
        let (name, value) = text.split_once('=').ok_or(BROKEN)?;
        (name.to_owned(), value)
    };
    if name.is_empty() {
        return Err(BROKEN);
    }
    if !is_quoted(value) {
        return Ok((name, value.to_owned()));
    }
    match unquote_prefix(value) {
        Some((value, "")) => Ok((name, value)),
        _ => Err(BROKEN),
    }
}

fn is_quoted(text: &str) -> bool {
    text.starts_with(['"', '`'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_kind_of_line() {
        let info = parse(concat!(
            "path\tgithub.com/acme/pay/cmd/pay\n",
            "mod\tgithub.com/acme/pay\t(devel)\t\n",
            "dep\tgolang.org/x/net\tv0.17.0\th1:abc=\n",
            "dep\tgithub.com/old/log\tv1.2.3\n",
            "=>\tgithub.com/new/log\tv0.1.0\th1:def=\n",
            "build\t-ldflags=\"-s -w -X main.version=1.2\"\n",
            "build\tCGO_ENABLED=0\n",
            "build\t\"odd key\"=`raw`\n",
            "future\tline\n",
            "build\tcut=off",
        ))
        .unwrap();
        assert_eq!(info.path, "github.com/acme/pay/cmd/pay");
        let main =
            Module { path: "github.com/acme/pay".into(), version: "(devel)".into(), ..Module::default() };
        assert_eq!(info.main, Some(main));
        assert_eq!(info.deps.len(), 2);
        assert_eq!(info.deps[0].sum.as_deref(), Some("h1:abc="));
        assert_eq!(info.deps[1].replace.as_ref().unwrap().path, "github.com/new/log");
        let settings: Vec<_> =
            info.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            settings,
            [("-ldflags", "-s -w -X main.version=1.2"), ("CGO_ENABLED", "0"), ("odd key", "raw")]
        );
    }

    #[test]
    fn a_broken_line_is_not_guessed_at() {
        for text in [
            "mod\ta\n",
            "dep\ta\tb\tc\td\n",
            "=>\ta\tb\tc\n",
            "mod\ta\tb\n=>\ta\tb\tc\n=>\ta\tb\tc\n",
            "build\tx\n",
            "build\t=x\n",
            "build\t\"a\n",
            "build\ta=\"b\"c\n",
            "build\t\"\"=x\n",
        ] {
            assert!(matches!(parse(text), Err(BuildInfoError::Malformed(_))), "{text:?}");
        }
    }

    #[test]
    fn too_many_modules_are_refused() {
        let text = "dep\ta\tv1\n".repeat(MAX_MODULES + 1);
        assert!(matches!(parse(&text), Err(BuildInfoError::TooLarge(_))));
    }
}
