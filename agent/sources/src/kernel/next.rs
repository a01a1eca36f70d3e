//! `kernel.next_release`: the kernel that the next boot will start, as far as the boot loader's own files tell; and
//! `kernel.installed`, every kernel that could.
//!
//! In order: GRUB's default entry, where its configuration can be read; the newest entry of the Boot Loader
//! Specification (Fedora and its kin, systemd-boot); the link `/vmlinuz` or `/boot/vmlinuz`, which Debian's kernels keep.
//! A machine without a kernel of its own in /boot (a container, a virtual machine started with its host's kernel)
//! cannot tell.

use std::io;

use evenkeel_facts::{FactPath, Observation, Reason, SectionBuilder};

use crate::Host;
use crate::host::Kind;

const PATH: &str = "kernel.next_release";
const GRUB: [&str; 2] = ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"];
const GRUB_ENVIRONMENT: [&str; 2] = ["/boot/grub/grubenv", "/boot/grub2/grubenv"];
const ENTRIES: &str = "/boot/loader/entries";
const LINKS: [&str; 2] = ["/vmlinuz", "/boot/vmlinuz"];
/// A machine with twenty kernels has 60 KB of it.
const MAX_BYTES: usize = 1024 * 1024;

pub(super) fn collect(host: &Host, section: &mut SectionBuilder) {
    let installed = installed(host);
    section.observe(
        FactPath::known("kernel.installed"),
        match &installed {
            Ok(releases) if releases.is_empty() => Observation::Absent,
            Ok(releases) => Observation::Present(releases.join(" ").into()),
            Err(reason) => Observation::Unreadable(*reason),
        },
    );
    let next = match (next(host), installed) {
        (Ok(Some(release)), _) => Observation::Present(release.into()),
        (Ok(None), Ok(releases)) => match releases.as_slice() {
            [only] => Observation::Present(only.clone().into()),
            _ => Observation::Unreadable(Reason::Unsupported),
        },
        (Err(reason), _) | (_, Err(reason)) => Observation::Unreadable(reason),
    };
    section.observe(FactPath::known(PATH), next);
}

/// The releases of the kernels in /boot, oldest first.
fn installed(host: &Host) -> Result<Vec<String>, Reason> {
    let entries = match host.list("/boot") {
        Ok(entries) => entries,
        Err(error) => return Reason::of_io(&error).map_or(Ok(Vec::new()), Err),
    };
    let names = entries.iter().filter_map(|entry| entry.name.to_str());
    let is_there = |name: &&str| host.stat(format!("/boot/{name}")).is_ok_and(|stat| stat.kind == Kind::File);
    let kernels = names.filter(|name| release_of(name).is_some()).filter(is_there);
    let mut releases: Vec<String> = kernels.filter_map(release_of).map(str::to_owned).collect();
    releases.sort_by_cached_key(|release| order(release));
    Ok(releases)
}

/// What the boot loader would start. `Err`: only a file that cannot be read would tell.
fn next(host: &Host) -> Result<Option<String>, Reason> {
    let mut refused = None;
    let mut read = |files: &[&str]| -> Option<String> {
        files.iter().find_map(|file| match host.read_text(file, MAX_BYTES) {
            Ok(text) => Some(text),
            Err(error) => {
                refused = refused.or(Reason::of_io(&error));
                None
            }
        })
    };
    let saved = read(&GRUB_ENVIRONMENT).and_then(|text| saved_entry(&text).map(str::to_owned));
    if let Some(release) = read(&GRUB).and_then(|text| by_grub(&text, saved.as_deref())) {
        return Ok(Some(release));
    }
    match by_entries(host, saved.as_deref()) {
        Ok(Some(release)) => return Ok(Some(release)),
        Ok(None) => {}
        Err(error) => refused = refused.or(Reason::of_io(&error)),
    }
    let of_link = |link: &&str| {
        let target = host.read_link(link).ok()?;
        release_of(target.file_name()?.to_str()?).map(str::to_owned)
    };
    match (LINKS.iter().find_map(of_link), refused) {
        (Some(release), _) => Ok(Some(release)),
        (None, None) => Ok(None),
        (None, Some(reason)) => Err(reason),
    }
}

/// `6.1.0-30-amd64` of `vmlinuz-6.1.0-30-amd64`.
fn release_of(name: &str) -> Option<&str> {
    ["vmlinuz-", "vmlinux-", "kernel-"].iter().find_map(|prefix| name.strip_prefix(prefix)).filter(
        |release| {
            release.starts_with(|c: char| c.is_ascii_digit()) && release.rsplit('.').next() != Some("old")
        },
    )
}

/// In a block of `NAME=VALUE` lines.
fn saved_entry(environment: &str) -> Option<&str> {
    environment.lines().find_map(|line| line.strip_prefix("saved_entry=")).filter(|entry| !entry.is_empty())
}

/// The kernel of GRUB's default entry: `set default="0"`, an entry's number, title or id, or the saved one. Entries in
/// submenus are named `1>2`, or by an id of their own.
fn by_grub(configuration: &str, saved: Option<&str>) -> Option<String> {
    let entries = entries_of(configuration);
    let mut wanted = configuration.lines().filter_map(|line| {
        let value = line.trim().strip_prefix("set default=")?.trim_matches('"');
        if value.contains("saved_entry") { saved } else { (!value.contains('$')).then_some(value) }
    });
    let wanted = wanted.next_back().unwrap_or("0");
    let last = wanted.rsplit('>').next().unwrap_or(wanted);
    let is_it = |entry: &&Entry| {
        entry.place == wanted
            || [entry.title.as_str(), entry.id.as_str()].iter().any(|name| !name.is_empty() && *name == last)
    };
    entries.iter().find(is_it).and_then(|entry| entry.release.clone())
}

#[derive(Debug, Default)]
struct Entry {
    /// Its number, behind that of its menu and `>`.
    place: String,
    title: String,
    id: String,
    release: Option<String>,
}

fn entries_of(configuration: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    // Of each open menu or entry: how many braces were open before it, and how many entries it has had.
    let mut menus: Vec<(usize, usize)> = vec![(0, 0)];
    let mut places: Vec<String> = Vec::new();
    let mut braces = 0;
    for line in configuration.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let is_menu = line.starts_with("submenu ");
        if is_menu || line.starts_with("menuentry ") {
            let number =
                menus.last_mut().map(|(_, count)| std::mem::replace(count, *count + 1)).unwrap_or_default();
            let place = places.iter().cloned().chain([number.to_string()]).collect::<Vec<_>>().join(">");
            if is_menu {
                places.push(number.to_string());
                menus.push((braces, 0));
            } else {
                let words: Vec<&str> = line.split(['\'', '"']).collect();
                let id = words
                    .iter()
                    .position(|word| word.contains("menuentry_id_option") || word.contains("--id"));
                let id = id.and_then(|at| words.get(at + 1)).map(|id| (*id).to_owned()).unwrap_or_default();
                let title = words.get(1).map(|title| (*title).to_owned()).unwrap_or_default();
                entries.push(Entry { place, title, id, release: None });
            }
        } else if let Some(image) =
            ["linux ", "linux\t", "linuxefi ", "linux16 "].iter().find_map(|word| line.strip_prefix(word))
            && let Some(entry) = entries.last_mut().filter(|entry| entry.release.is_none())
        {
            let image = image.split_ascii_whitespace().next().unwrap_or_default();
            entry.release = image.rsplit('/').next().and_then(release_of).map(str::to_owned);
        }
        braces += line.matches('{').count();
        braces = braces.saturating_sub(line.matches('}').count());
        while menus.len() > 1 && menus.last().is_some_and(|(before, _)| braces <= *before) {
            menus.pop();
            places.pop();
        }
    }
    entries
}

/// Entries of the Boot Loader Specification: the saved one, or the newest.
fn by_entries(host: &Host, saved: Option<&str>) -> io::Result<Option<String>> {
    let entries = match host.list(ENTRIES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut releases = Vec::new();
    for name in entries.iter().filter_map(|entry| entry.name.to_str()?.strip_suffix(".conf")) {
        let text = host.read_text(format!("{ENTRIES}/{name}.conf"), MAX_BYTES)?;
        let field =
            |field: &str| text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix([' ', '\t']));
        let image = field("linux").and_then(|image| release_of(image.trim().rsplit('/').next()?));
        let Some(release) = field("version").map(str::trim).or(image) else { continue };
        if saved == Some(name) {
            return Ok(Some(release.to_owned()));
        }
        if !name.contains("rescue") {
            releases.push(release.to_owned());
        }
    }
    Ok(releases.into_iter().max_by_key(|release| order(release)))
}

/// Numbers as numbers: 6.9 before 6.18.
fn order(release: &str) -> Vec<Result<u64, String>> {
    let parts = release.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.map(|part| part.parse().map_err(|_| part.to_owned())).collect()
}

/// A boot loader's file with what is read of it and nothing else: no passwords, no command lines. For recorded hosts.
pub(crate) fn redacted(text: &str) -> String {
    let line = |line: &str| {
        let first = |count: usize| line.split_ascii_whitespace().take(count).collect::<Vec<_>>().join(" ");
        match line.split(|c: char| c.is_ascii_whitespace() || c == '=').find(|word| !word.is_empty()) {
            Some("menuentry" | "submenu" | "saved_entry" | "version") => line.to_owned(),
            Some("set") if line.contains("default=") => line.to_owned(),
            Some("linux" | "linuxefi" | "linux16") => first(2),
            _ => line.chars().filter(|c| matches!(c, '{' | '}')).collect(),
        }
    };
    text.lines().map(line).filter(|line| !line.is_empty()).fold(String::new(), |all, line| all + &line + "\n")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// As update-grub of Debian 12 writes it, without what tells nothing.
    const DEBIAN: &str = r#"
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
else
   set default="0"
fi
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {
	if [ x$grub_platform = xxen ]; then insmod xzio; fi
	linux	/boot/vmlinuz-6.1.0-31-amd64 root=UUID=1 ro quiet
}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-1' {
	menuentry 'Debian GNU/Linux, with Linux 6.1.0-31-amd64' $menuentry_id_option 'gnulinux-6.1.0-31-advanced-1' {
		linux	/boot/vmlinuz-6.1.0-31-amd64 root=UUID=1 ro
	}
	menuentry 'Debian GNU/Linux, with Linux 6.1.0-9-amd64' $menuentry_id_option 'gnulinux-6.1.0-9-advanced-1' {
		linux	/boot/vmlinuz-6.1.0-9-amd64 root=UUID=1 ro
	}
}
menuentry 'Memory test' { linux16 /boot/memtest }
"#;

    #[test]
    fn the_default_entry_of_grub() {
        let with = |default: &str| DEBIAN.replace("set default=\"0\"", &format!("set default=\"{default}\""));
        for (default, release) in [
            ("0", Some("6.1.0-31-amd64")),
            ("1>1", Some("6.1.0-9-amd64")),
            ("gnulinux-advanced-1>gnulinux-6.1.0-9-advanced-1", Some("6.1.0-9-amd64")),
            ("Debian GNU/Linux, with Linux 6.1.0-9-amd64", Some("6.1.0-9-amd64")),
            ("${saved_entry}", Some("6.1.0-9-amd64")),
            ("2", None),
            ("7", None),
        ] {
            assert_eq!(by_grub(&with(default), Some("1>1")).as_deref(), release, "{default}");
        }
        assert_eq!(by_grub(&with("${saved_entry}"), None).as_deref(), Some("6.1.0-31-amd64"));
    }

    fn told(files: &[(&str, &str)], links: &[(&str, &str)]) -> Option<Observation> {
        let root = TempDir::new().unwrap();
        for (path, content) in files {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        for (path, target) in links {
            symlink(target, root.path().join(path)).unwrap();
        }
        let mut section = SectionBuilder::new("kernel");
        collect(&Host::at(root.path()).unwrap(), &mut section);
        section.find(PATH).cloned()
    }

    #[test]
    fn each_boot_loader_is_asked_in_turn() {
        let two = [("boot/vmlinuz-6.9.0", ""), ("boot/vmlinuz-6.18.2", "")];
        let present = |release: &str| Some(Observation::Present(release.into()));
        assert_eq!(told(&two, &[("vmlinuz", "boot/vmlinuz-6.9.0")]), present("6.9.0"));
        assert_eq!(told(&two, &[]), Some(Observation::Unreadable(Reason::Unsupported)));
        assert_eq!(told(&two[..1], &[]), present("6.9.0"));
        assert_eq!(told(&[], &[]), Some(Observation::Unreadable(Reason::Unsupported)));
        let fedora = [
            (
                "boot/loader/entries/abc-6.9.5-200.fc40.conf",
                "title Fedora\nversion 6.9.5-200.fc40\nlinux /vmlinuz-6.9.5-200.fc40\n",
            ),
            (
                "boot/loader/entries/abc-6.10.3-200.fc40.conf",
                "title Fedora\nlinux /vmlinuz-6.10.3-200.fc40\n",
            ),
            ("boot/loader/entries/abc-0-rescue.conf", "version 0-rescue\n"),
        ];
        assert_eq!(told(&fedora, &[]), present("6.10.3-200.fc40"));
        let saved = ("boot/grub2/grubenv", "# GRUB Environment Block\nsaved_entry=abc-6.9.5-200.fc40\n####");
        assert_eq!(told(&[&fedora[..], &[saved]].concat(), &[]), present("6.9.5-200.fc40"));
    }

    #[test]
    fn redacted_files_say_the_same() {
        let text = format!("password_pbkdf2 root canary\n{DEBIAN}");
        assert_eq!(by_grub(&redacted(&text), None), by_grub(&text, None));
        assert!(!redacted(&text).contains("canary") && !redacted(&text).contains("UUID"));
    }

    #[test]
    fn releases_are_ordered_as_numbers() {
        let mut releases = ["6.18.2", "6.9.0", "6.18.10", "6.18.2-rc1"];
        releases.sort_by_key(|release| order(release));
        assert_eq!(releases, ["6.9.0", "6.18.2", "6.18.2-rc1", "6.18.10"]);
    }
}
