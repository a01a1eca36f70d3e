//! Source `files`: digests of the files that a person names in the configuration, to see that they are alike.
//!
//! - `file[PATH].digest`: of the content, `blake3:…`. The content itself never leaves the machine, but whoever guesses it
//!   can confirm the guess: do not name files with short secrets
//! - `file[PATH].mode`: the permission bits, `0644`
//!
//! A configured path is absent where there is no such file; `*` in any name of it stands for what is there. Larger files
//! than `max_bytes` are `truncated`, devices and directories `unsupported`.

use std::io::Read as _;
use std::path::Path;

use evenkeel_facts::{FactPath, Observation, Reason, Section, SectionBuilder};

use crate::directories::Directories;
use crate::{Budget, Declared, Host, Source, SourcesConfig};

/// The most files that one pattern may stand for in one directory is the most that are listed; of all together this many.
const MAX_FILES: usize = 10_000;

#[rustfmt::skip]
const DECLARED: &[Declared] = &[
    Declared { path: "file[PATH].digest", what: "BLAKE3 of a configured file's content", from: "the file" },
    Declared { path: "file[PATH].mode", what: "its permission bits, octal", from: "the file" },
];

/// See the module.
#[derive(Debug)]
pub struct Files;

impl Source for Files {
    fn name(&self) -> &'static str {
        "files"
    }

    fn top_paths(&self) -> &'static [&'static str] {
        &["file"]
    }

    fn declares(&self) -> &'static [Declared] {
        DECLARED
    }

    fn collect(&self, host: &Host, config: &SourcesConfig, budget: &Budget) -> Vec<Section> {
        let mut section = SectionBuilder::new("files");
        let mut directories = Directories::of(host);
        let mut left = MAX_FILES;
        for pattern in &config.files.paths {
            for file in directories.files(pattern) {
                let spent = budget.spend(2 * file.as_os_str().len() + 64).err();
                let spent = spent.or((left == 0).then_some(Reason::Truncated));
                if let Some(reason) = spent {
                    section.unreadable(FactPath::known("file"), reason);
                    return vec![section.finish()];
                }
                left -= 1;
                let remote = directories.is_remote(&file);
                note(&mut section, host, budget, &file, config.files.max_bytes, remote);
            }
        }
        for (directory, reason) in &directories.unseen {
            section.unreadable(FactPath::keyed("file", &directory.to_string_lossy()), *reason);
        }
        if section.is_empty() {
            section.observe(FactPath::known("file"), Observation::Absent);
        }
        vec![section.finish()]
    }
}

fn note(section: &mut SectionBuilder, host: &Host, budget: &Budget, file: &Path, limit: u64, remote: bool) {
    let path = FactPath::keyed("file", &file.to_string_lossy());
    let (Ok(digest), Ok(mode)) = (path.child("digest"), path.child("mode")) else { return };
    if remote {
        section.unreadable(path, Reason::Unsupported);
        return;
    }
    match host.stat(file) {
        Ok(stat) => section.present(mode, format!("{:04o}", stat.mode)),
        Err(error) => match Reason::of_io(&error) {
            Some(reason) => section.unreadable(path, reason),
            None => section.observe(path, Observation::Absent),
        },
    };
    match digest_of(host, budget, file, limit) {
        Ok(Some(text)) => section.present(digest, text),
        Ok(None) => section,
        Err(reason) => section.unreadable(digest, reason),
    };
}

/// `Ok(None)`: there is no such file.
fn digest_of(host: &Host, budget: &Budget, file: &Path, limit: u64) -> Result<Option<String>, Reason> {
    // Not as content: that would go into a recording.
    let file = match host.open_regular(file) {
        Ok(file) => file,
        Err(error) => return Reason::of_io(&error).map_or(Ok(None), Err),
    };
    let mut hasher = blake3::Hasher::new();
    let mut step = vec![0; 64 * 1024];
    let mut total = 0;
    let mut reader = file.take(limit.saturating_add(1));
    loop {
        budget.spend(0)?;
        match reader.read(&mut step) {
            Ok(0) => return Ok(Some(format!("blake3:{}", hasher.finalize().to_hex()))),
            Ok(read) => {
                total += read as u64;
                if total > limit {
                    return Err(Reason::Truncated);
                }
                hasher.update(&step[..read]);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Reason::of_io(&error).unwrap_or(Reason::Io)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;

    fn told(root: &Path, config: &str) -> Vec<String> {
        let config: SourcesConfig = toml::from_str(config).unwrap();
        let budget = Budget::new(Duration::from_secs(60), 1 << 20);
        let section = Files.collect(&Host::at(root).unwrap(), &config, &budget).remove(0);
        let line = |(path, seen): &(FactPath, Observation)| match seen {
            Observation::Present(value) => format!("{path} {:.14}", value.to_string()),
            other => format!("{path} {other:?}"),
        };
        section.facts().iter().map(line).collect()
    }

    #[test]
    fn named_files_and_patterns() {
        let root = TempDir::new().unwrap();
        for (path, content) in [
            ("etc/app/a.conf", "a"),
            ("etc/app/b.conf", "b"),
            ("etc/app/c.txt", "c"),
            ("etc/large", "0123456789"),
        ] {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        let digest = |text: &str| format!("blake3:{:.7}", blake3::hash(text.as_bytes()).to_hex().as_str());
        let config = "[files]\nmax_bytes = 9\npaths = [\"/etc/*/*.conf\", \"/etc/gone\", \"/etc/large\", \"/etc/app\"]";
        assert_eq!(
            told(root.path(), config),
            [
                "file[/etc/app/a.conf].digest ".to_owned() + &digest("a"),
                "file[/etc/app/a.conf].mode 0644".to_owned(),
                "file[/etc/app/b.conf].digest ".to_owned() + &digest("b"),
                "file[/etc/app/b.conf].mode 0644".to_owned(),
                "file[/etc/app].digest Unreadable(Io)".to_owned(),
                "file[/etc/app].mode 0755".to_owned(),
                "file[/etc/gone] Absent".to_owned(),
                "file[/etc/large].digest Unreadable(Truncated)".to_owned(),
                "file[/etc/large].mode 0644".to_owned(),
            ]
        );
        assert_eq!(told(root.path(), ""), ["file Absent"]);
    }
}
