//! Contexts: collectors by name, and who one is there. Kept in `$XDG_CONFIG_HOME/evenkeel`: `config.toml` names them,
//! `contexts/NAME` holds the key, the certificate and the roots of one that `evenkeel login` made.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use evenkeel_runtime::channel::Address;
use evenkeel_runtime::config;
use evenkeel_runtime::files::{self, FileError};
use evenkeel_runtime::keys::{self, Key};
use serde::{Deserialize, Serialize};

use crate::error::CliError;

/// The contexts of one person.
#[derive(Debug, Clone)]
pub struct Contexts {
    directory: PathBuf,
    kept: Kept,
}

/// One collector, and the files with which one is somebody there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Its address: `https://HOST:PORT`.
    pub collector: String,
    /// PEM file with one's certificate. In the file, a relative path is relative to it.
    pub cert: PathBuf,
    /// PEM file with its key.
    pub key: PathBuf,
    /// PEM file with the roots to trust.
    pub ca: PathBuf,
}

/// `config.toml`, as it stands there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    #[serde(rename = "current-context", default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

impl Contexts {
    /// Of the person whose environment variables these are. That there is no file yet is no error.
    pub fn load(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, CliError> {
        let configured = variable("XDG_CONFIG_HOME").map(PathBuf::from);
        let home = || variable("HOME").map(|home| Path::new(&home).join(".config"));
        match configured.or_else(home) {
            Some(configuration) => Self::open(&configuration.join("evenkeel")),
            None => Ok(Self { directory: PathBuf::new(), kept: Kept::default() }),
        }
    }

    /// Those that are kept in this directory.
    pub fn open(directory: &Path) -> Result<Self, CliError> {
        let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        let kept = match config::load::<Kept>(&directory.join("config.toml")) {
            Err(error) if error.is_not_found() => Kept::default(),
            kept => kept.map_err(CliError::Contexts)?,
        };
        Ok(Self { directory, kept })
    }

    /// The name of the current one.
    pub fn current(&self) -> Option<&str> {
        self.kept.current.as_deref()
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kept.contexts.keys().map(String::as_str)
    }

    /// The one of this name, its paths made absolute.
    pub fn find(&self, name: &str) -> Result<Context, CliError> {
        let Some(Context { collector, cert, key, ca }) = self.kept.contexts.get(name) else {
            let known: Vec<&str> = self.names().collect();
            let known = if known.is_empty() { "(none)".to_owned() } else { known.join(", ") };
            return Err(CliError::NoContext { name: name.to_owned(), known });
        };
        let whole = |path: &PathBuf| self.directory.join(path);
        Ok(Context { collector: collector.clone(), cert: whole(cert), key: whole(key), ca: whole(ca) })
    }

    /// The name of the context of this collector, if there is exactly one.
    pub fn of_collector(&self, url: &str) -> Option<String> {
        let host = |url: &str| Address::parse(url, 0).ok().map(|address| address.host().to_owned());
        let (wanted, all) = (host(url)?, &self.kept.contexts);
        let mut names = all.iter().filter(|(_, known)| host(&known.collector).as_ref() == Some(&wanted));
        let (name, _) = names.next()?;
        names.next().is_none().then(|| name.clone())
    }

    /// Refuses a name that another collector's context has.
    pub fn check_free(&self, name: &str, address: &Address) -> Result<(), CliError> {
        match self.kept.contexts.get(name) {
            Some(Context { collector, .. })
                if Address::parse(collector, 0).is_ok_and(|known| known.host() != address.host()) =>
            {
                Err(CliError::OtherContext { name: name.to_owned(), other: collector.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Makes it the current one.
    pub fn select(&mut self, name: &str) -> Result<(), CliError> {
        self.find(name)?;
        self.kept.current = Some(name.to_owned());
        self.write()
    }

    /// Keeps a key, a certificate and the roots in files of its own (mode 0600, in a directory of mode 0700), as the
    /// context of this name, and makes it the current one.
    pub fn keep(
        &mut self,
        name: &str,
        collector: &str,
        key: &Key,
        certificates: &Certificates,
    ) -> Result<(), CliError> {
        if self.directory.as_os_str().is_empty() {
            return Err(CliError::NoHome);
        }
        let directory = self.own(name);
        files::own_directory(&directory)?;
        let context = Context {
            collector: collector.to_owned(),
            cert: directory.join("cert.pem"),
            key: directory.join("key.pem"),
            ca: directory.join("ca.pem"),
        };
        files::replace(&context.key, key.to_pem().as_bytes())?;
        certificates.write(&context)?;
        self.kept.contexts.insert(name.to_owned(), context);
        self.kept.current = Some(name.to_owned());
        self.write()
    }

    /// Forgets it, and removes its files if `login` made them.
    pub fn delete(&mut self, name: &str) -> Result<(), CliError> {
        let context = self.find(name)?;
        self.kept.contexts.remove(name);
        if self.kept.current.as_deref() == Some(name) {
            self.kept.current = None;
        }
        self.write()?;
        let own = self.own(name);
        for file in [context.key, context.cert, context.ca].iter().filter(|file| file.parent() == Some(&own))
        {
            files::remove(file)?;
        }
        // Something else may have been put there: then it stays.
        let _ = std::fs::remove_dir(own);
        Ok(())
    }

    /// Where the files of a context that `login` makes lie.
    fn own(&self, name: &str) -> PathBuf {
        self.directory.join("contexts").join(name)
    }

    fn write(&self) -> Result<(), CliError> {
        let text = toml::to_string(&self.kept).expect("names and paths are text");
        files::own_directory(&self.directory)?;
        Ok(files::replace(&self.directory.join("config.toml"), text.as_bytes())?)
    }
}

/// What a collector gives out: certificates in DER.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    /// The leaf, then its issuer.
    pub chain: Vec<Vec<u8>>,
    /// The roots to trust.
    pub roots: Vec<Vec<u8>>,
}

impl Certificates {
    /// Writes them where the context has them.
    pub fn write(&self, context: &Context) -> Result<(), FileError> {
        let pem = |certificates: &[Vec<u8>]| {
            keys::certificates_to_pem(certificates.iter().map(Vec::as_slice)).into_bytes()
        };
        files::replace(&context.ca, &pem(&self.roots))?;
        files::replace(&context.cert, &pem(&self.chain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn kept(contexts: &mut Contexts, name: &str) {
        let certificates = Certificates { chain: vec![b"leaf".to_vec()], roots: vec![b"root".to_vec()] };
        contexts.keep(name, "https://c:7443", &Key::generate(), &certificates).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// Promise: what `login` keeps is private, is found again, and goes with its context.
    #[test]
    fn a_context_is_kept_found_and_deleted() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("evenkeel");
        let mut contexts = Contexts::open(&directory).unwrap();
        assert_eq!((contexts.current(), contexts.names().count()), (None, 0));
        kept(&mut contexts, "one");
        kept(&mut contexts, "two");
        let mut again = Contexts::open(&directory).unwrap();
        assert_eq!((again.current(), again.names().collect::<Vec<_>>()), (Some("two"), vec!["one", "two"]));
        let one = again.find("one").unwrap();
        assert_eq!(
            (mode(&directory.join("contexts/one")), mode(&directory.join("config.toml"))),
            (0o700, 0o600)
        );
        for file in [&one.cert, &one.key, &one.ca] {
            assert_eq!(mode(file), 0o600);
        }
        again.select("one").unwrap();
        again.delete("one").unwrap();
        assert_eq!((again.current(), again.names().collect::<Vec<_>>()), (None, vec!["two"]));
        assert!(!directory.join("contexts/one").exists() && directory.join("contexts/two/key.pem").exists());
        let error = again.select("one").unwrap_err();
        assert_eq!(error.to_string(), "there is no context \"one\"; there are: two");
    }

    /// Promise: a person may write the file, too: a relative path is relative to it, and files elsewhere stay.
    #[test]
    fn a_context_written_by_hand() {
        let home = tempfile::tempdir().unwrap();
        let text = "current-context = \"ours\"\n\n[contexts.ours]\ncollector = \"https://c:7443\"\n\
                    cert = \"my.cert.pem\"\nkey = \"/secret/my.key\"\nca = \"../ca.pem\"\n";
        fs::write(home.path().join("config.toml"), text).unwrap();
        fs::write(home.path().join("my.cert.pem"), "").unwrap();
        let mut contexts = Contexts::open(home.path()).unwrap();
        let ours = contexts.find("ours").unwrap();
        assert_eq!(ours.cert, home.path().join("my.cert.pem"));
        assert_eq!((ours.key, ours.ca), ("/secret/my.key".into(), home.path().join("../ca.pem")));
        contexts.delete("ours").unwrap();
        assert!(home.path().join("my.cert.pem").exists());

        fs::write(home.path().join("config.toml"), "curent-context = \"x\"\n").unwrap();
        let error = Contexts::open(home.path()).unwrap_err();
        assert!(
            evenkeel_runtime::exit::chain(&error).ends_with("did you mean `current-context`?"),
            "{error:?}"
        );
    }
}
