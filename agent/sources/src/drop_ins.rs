//! Directories of configuration files that together are one configuration, as systemd reads them: files of one name
//! mask each other, the first directory counts, and the rest are taken in the order of their names.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use evenkeel_facts::Reason;

use crate::Host;
use crate::host::Kind;

/// The files that count, in the order in which they are read. `directories` stand in order of precedence; a directory
/// that is not there holds nothing. An error is that of a directory which cannot be listed: nothing is known then.
pub(crate) fn files(host: &Host, directories: &[&str], suffix: &str) -> Result<Vec<PathBuf>, Reason> {
    let mut found: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for directory in directories {
        let entries = match host.list(directory) {
            Ok(entries) => entries,
            Err(error) => match Reason::of_io(&error) {
                None => continue,
                Some(reason) => return Err(reason),
            },
        };
        for entry in entries {
            let name = entry.name.to_str().unwrap_or_default();
            if matches!(entry.kind, Kind::File | Kind::Symlink)
                && name.ends_with(suffix)
                && !name.starts_with('.')
            {
                found.entry(entry.name.clone()).or_insert_with(|| Path::new(directory).join(&entry.name));
            }
        }
    }
    Ok(found.into_values().collect())
}

/// What a file says; nothing for one that masks others (a link to /dev/null, or to nowhere).
pub(crate) fn read(host: &Host, file: &Path, limit: usize) -> Result<Vec<u8>, Reason> {
    let masks = || host.read_link(file).is_ok_and(|target| target == Path::new("/dev/null"));
    match host.read(file, limit) {
        Ok(content) => Ok(content),
        Err(error) => match Reason::of_io(&error) {
            None => Ok(Vec::new()),
            Some(Reason::Unsupported) if masks() => Ok(Vec::new()),
            Some(reason) => Err(reason),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn files_of_one_name_mask_each_other() {
        let root = TempDir::new().unwrap();
        let at = |path: &str| root.path().join(path);
        for path in [
            "etc/x.d/20-b.conf",
            "run/x.d/10-a.conf",
            "lib/x.d/10-a.conf",
            "lib/x.d/20-b.conf",
            "lib/x.d/30-c.conf",
        ] {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            fs::write(at(path), path).unwrap();
        }
        for name in ["README", ".hidden.conf", "y.conf.bak"] {
            fs::write(at("etc/x.d").join(name), "no").unwrap();
        }
        fs::create_dir(at("etc/x.d/directory.conf")).unwrap();
        symlink("/dev/null", at("etc/x.d/30-c.conf")).unwrap();
        let host = Host::at(root.path()).unwrap();
        let found =
            files(&host, &["/etc/x.d", "/run/x.d", "/usr/local/lib/x.d", "/lib/x.d"], ".conf").unwrap();
        let paths = ["/run/x.d/10-a.conf", "/etc/x.d/20-b.conf", "/etc/x.d/30-c.conf"].map(PathBuf::from);
        assert_eq!(found, paths);
        assert_eq!(read(&host, &found[0], 100), Ok(b"run/x.d/10-a.conf".to_vec()));
        assert_eq!(read(&host, &found[2], 100), Ok(Vec::new()));
        assert_eq!(read(&host, &found[0], 10), Err(Reason::Truncated));
    }
}
