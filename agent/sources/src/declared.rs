//! What a source says of its own facts: the catalogue in docs/facts.md is made from it.

use evenkeel_facts::Glob;

/// One kind of fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    /// Its path; words in capitals stand for what the machine calls it: `package[NAME].version`, `sysctl.KEY`.
    pub path: &'static str,
    /// What it is, with its unit if it is a number of something.
    pub what: &'static str,
    /// Where it is read.
    pub from: &'static str,
}

impl Declared {
    /// Whether this is the declaration of a fact.
    pub fn covers(&self, path: &str) -> bool {
        Glob::new(&self.pattern("*")).matches(path)
    }

    /// The path with this in the place of each word in capitals.
    pub fn pattern(&self, stand_in: &str) -> String {
        let mut pattern = String::new();
        let mut rest = self.path;
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_ascii_uppercase() && c != ' ').unwrap_or(rest.len());
            let begins = pattern.is_empty() || pattern.ends_with(['.', '[']);
            if word > 0 && begins {
                pattern.push_str(stand_in);
                rest = &rest[word..];
            } else {
                pattern.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        pattern
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(path: &'static str) -> Declared {
        Declared { path, what: "", from: "" }
    }

    #[test]
    fn words_in_capitals_stand_for_anything() {
        let module = declared("go.program[MAIN PACKAGE].module[PATH]");
        assert_eq!(module.pattern("x"), "go.program[x].module[x]");
        assert!(module.covers("go.program[a.b/c].module[d]") && !module.covers("go.program[a].version"));
        assert!(declared("sysctl.KEY").covers("sysctl.net.core.somaxconn"));
        assert_eq!(declared("os.version_id").pattern("x"), "os.version_id");
    }
}
