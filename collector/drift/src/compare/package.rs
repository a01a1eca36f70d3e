//! Versions of packages, each in the order of the manager that installed them. The version shows whose it is; where it
//! does not, the orders of dpkg and rpm are asked, and where the two disagree nobody can tell.

use std::cmp::Ordering;

use super::apk;

/// Whose version it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    Dpkg,
    Rpm,
    Apk,
}

/// What distributions of rpm append to their releases.
const RPM_MARKS: [&str; 9] = [".el", ".fc", ".amzn", ".azl", ".cm", ".mga", ".lp", ".ph", ".oe"];
/// What Debian and those after it put into theirs.
const DPKG_MARKS: [&str; 4] = ["+deb", "ubuntu", "+b", "~bpo"];

/// Which is older. `None` when a manager cannot be told and the orders differ, or the two are of different managers.
pub(super) fn order(a: &str, b: &str) -> Option<Ordering> {
    match (manager(a), manager(b)) {
        (Some(own), Some(other)) if own != other => None,
        (Some(manager), _) | (None, Some(manager)) => by(manager, a, b),
        (None, None) => by(Manager::Dpkg, a, b).filter(|order| Some(*order) == by(Manager::Rpm, a, b)),
    }
}

/// The form in which versions that say the same are the same text.
pub(super) fn canonical(text: &str) -> String {
    match manager(text) {
        Some(Manager::Rpm | Manager::Apk) => text.strip_prefix("0:").unwrap_or(text).to_owned(),
        Some(Manager::Dpkg) | None => super::dpkg(text),
    }
}

fn manager(text: &str) -> Option<Manager> {
    let (_, release) = text.rsplit_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let has = |marks: &[&str]| marks.iter().any(|mark| is_marked(release, mark));
    if release.strip_prefix('r').is_some_and(is_number) {
        Some(Manager::Apk)
    } else if has(&DPKG_MARKS) {
        Some(Manager::Dpkg)
    } else if has(&RPM_MARKS) {
        Some(Manager::Rpm)
    } else {
        None
    }
}

/// Marks are followed by the distribution's number: `.el9`, `+deb12u1`.
fn is_marked(release: &str, mark: &str) -> bool {
    let mut places = release.match_indices(mark);
    places.any(|(at, _)| release[at + mark.len()..].starts_with(|c: char| c.is_ascii_digit()))
}

fn by(manager: Manager, a: &str, b: &str) -> Option<Ordering> {
    match manager {
        Manager::Dpkg => {
            let version = |text: &str| text.parse::<debversion::Version>().ok();
            Some(version(a)?.cmp(&version(b)?))
        }
        Manager::Rpm => rpm(a, b),
        Manager::Apk => apk::order(a, b),
    }
}

/// As rpm compares epoch, version and release. `None` when one of them is no version.
pub(super) fn rpm(a: &str, b: &str) -> Option<Ordering> {
    let is_one = |text: &str| text.starts_with(|c: char| c.is_ascii_alphanumeric()) && !text.contains(' ');
    (is_one(a) && is_one(b)).then(|| rpm_version::rpm_evr_compare(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_shows_whose_it_is() {
        for (text, expected) in [
            ("2.36-9+deb12u10", Some(Manager::Dpkg)),
            ("1:9.18.1-1ubuntu1.2", Some(Manager::Dpkg)),
            ("2.38-59.fc40", Some(Manager::Rpm)),
            ("0:5.14.0-427.13.1.el9_4", Some(Manager::Rpm)),
            ("3.1.4-r5", Some(Manager::Apk)),
            ("1.0-1", None),
            ("1.0", None),
            ("1.0-1.elegant", None),
        ] {
            assert_eq!(manager(text), expected, "{text}");
        }
    }

    #[test]
    fn each_manager_has_its_own_order() {
        use Ordering::{Equal, Greater, Less};
        for (a, b, expected) in [
            // A caret is newer than nothing to rpm, and no part of a version of dpkg.
            ("1.0-1.fc40", "1.0^git1-1.fc40", Some(Less)),
            ("1.0~rc1-1.fc40", "1.0-1.fc40", Some(Less)),
            ("1:1.0-1.el9", "2.0-1.el9", Some(Greater)),
            ("5.14.0-70.el9", "5.14.0-427.el9", Some(Less)),
            ("2.36-9+deb12u9", "2.36-9+deb12u10", Some(Less)),
            ("3.1.4_rc1-r0", "3.1.4-r0", Some(Less)),
            ("3.1.4-r5", "3.1.4-r10", Some(Less)),
            ("1.0-1", "1.0-2", Some(Less)),
            ("1.0-1", "1.0-1", Some(Equal)),
            // Two managers: no order holds for both.
            ("1.0-1.fc40", "1.0-1+deb12u1", None),
            // To dpkg letters come before what is none; to rpm a number is newer than letters.
            ("1.0+a", "1.0+1", None),
        ] {
            assert_eq!(order(a, b), expected, "{a} {b}");
            assert_eq!(order(b, a), expected.map(Ordering::reverse), "{b} {a}");
        }
    }

    #[test]
    fn an_epoch_of_nought_is_none() {
        for (a, b) in [("0:1.0-1.fc40", "1.0-1.fc40"), ("0:1.0-1", "1.0-1"), ("1.0-0", "1.0")] {
            assert_eq!(canonical(a), canonical(b));
        }
        assert_eq!(canonical("1:1.0-r0"), "1:1.0-r0");
    }
}
