//! An independent reading of OSV reports: straight from the JSON, versions compared by hand, no event sorted.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::Value;

/// The versions to try for a module: each that the report names, and those next to it, as Go writes them.
pub(crate) fn versions(report: &Value, module: &str) -> BTreeSet<String> {
    let is_go = matches!(module, "stdlib" | "toolchain");
    let mut versions: BTreeSet<String> = BTreeSet::new();
    for text in
        events(report, module).map(|(_, version)| version).chain(["0.0.0".to_owned(), "999.0.0".to_owned()])
    {
        let numbers: Vec<u64> =
            text.split(['-', '+']).next().unwrap().split('.').map(|n| n.parse().unwrap()).collect();
        let [major, minor, patch] = numbers[..] else { continue };
        if is_go {
            if minor < 1000 && major == 1 {
                versions.extend([
                    format!("{major}.{minor}.{patch}"),
                    format!("{major}.{minor}.{}", patch + 1),
                    format!("{major}.{minor}.{}", patch.saturating_sub(1)),
                    format!("{major}.{minor}rc2"),
                    format!("{major}.{}beta1", minor + 1),
                ]);
            }
            continue;
        }
        versions.extend([
            format!("v{text}"),
            format!("v{major}.{minor}.{}", patch + 1),
            format!("v{major}.{minor}.{}", patch.saturating_sub(1)),
            format!("v{major}.{minor}.{patch}-rc.1"),
            format!("v{major}.{minor}.{patch}-0.20210101000000-0123456789ab"),
            format!("v{major}.{minor}.{patch}+incompatible"),
            "v0.0.0-20200101000000-0123456789ab".to_owned(),
        ]);
    }
    versions
}

/// Every event of the module's ranges.
fn events(report: &Value, module: &str) -> impl Iterator<Item = (String, String)> {
    let mut events = Vec::new();
    for range in ranges(report, module) {
        for event in range["events"].as_array().unwrap() {
            for (kind, version) in event.as_object().unwrap() {
                events.push((kind.clone(), version.as_str().unwrap().to_owned()));
            }
        }
    }
    events.into_iter()
}

fn ranges<'a>(report: &'a Value, module: &'a str) -> impl Iterator<Item = &'a Value> {
    let packages = report["affected"].as_array().unwrap().iter();
    let packages = packages.filter(move |package| package["package"]["name"] == *module);
    packages.flat_map(|package| package["ranges"].as_array().unwrap())
}

/// Affected: in some range, some introduction lies at or before the version, and nothing that ends it lies between.
pub(crate) fn is_affected(report: &Value, module: &str, version: &str) -> bool {
    let version = parse(version);
    ranges(report, module).any(|range| {
        let of = |kind: &'static str| {
            let events = range["events"].as_array().unwrap().iter();
            events.filter_map(move |event| event[kind].as_str()).map(parse_bound)
        };
        of("introduced").any(|begin| {
            let begun = begin.as_ref().is_none_or(|begin| compare(begin, &version).is_le());
            let after_begin = |end: &Key| begin.as_ref().is_none_or(|begin| compare(begin, end).is_lt());
            let fixed =
                of("fixed").flatten().any(|fixed| after_begin(&fixed) && compare(&fixed, &version).is_le());
            let over = of("last_affected")
                .flatten()
                .any(|last| after_begin(&last) && compare(&last, &version).is_lt());
            begun && !fixed && !over
        })
    })
}

/// Three numbers, and the words of a pre-release.
type Key = ([u64; 3], Vec<String>);

fn parse_bound(text: &str) -> Option<Key> {
    (text != "0").then(|| parse(text))
}

/// Of a module (`v1.2.3-rc.1+incompatible`) or of Go (`1.21rc2`).
fn parse(text: &str) -> Key {
    let text = text.trim_start_matches('v').split('+').next().unwrap();
    let (core, words) = match text.split_once('-') {
        Some((core, words)) => (core.to_owned(), words.split('.').map(str::to_owned).collect()),
        None => match text.find("rc").or_else(|| text.find("beta")) {
            Some(at) => {
                let number = text[at..].trim_start_matches(char::is_alphabetic);
                let word = text[at..].trim_end_matches(char::is_numeric);
                (text[..at].to_owned(), vec![word.to_owned(), number.to_owned()])
            }
            None => (text.to_owned(), Vec::new()),
        },
    };
    let mut numbers = [0; 3];
    for (number, part) in numbers.iter_mut().zip(core.split('.')) {
        *number = part.parse().unwrap();
    }
    (numbers, words)
}

/// A pre-release stands before its release; numbers before words, shorter before longer.
fn compare(a: &Key, b: &Key) -> Ordering {
    let by_words = || match (a.1.is_empty(), b.1.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            for (a, b) in a.1.iter().zip(&b.1) {
                let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
                let ordered = match (is_number(a), is_number(b)) {
                    (true, true) => (a.len(), a).cmp(&(b.len(), b)),
                    (true, false) => Ordering::Less,
                    (false, true) => Ordering::Greater,
                    (false, false) => a.cmp(b),
                };
                if ordered.is_ne() {
                    return ordered;
                }
            }
            a.1.len().cmp(&b.1.len())
        }
    };
    a.0.cmp(&b.0).then_with(by_words)
}
