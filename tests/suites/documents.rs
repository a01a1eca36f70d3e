//! README and docs say what is so: commands and options that exist, errors that are said, tests and pages that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use evenkeel_tests::harness::cli::{run, tool};
use evenkeel_tests::harness::programs::{path, tree};

use crate::document::Document;

/// README.md and the pages of docs, by their paths in the tree.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(tree().join("docs")).unwrap().flatten();
    let docs =
        docs.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let docs = docs.map(|path| format!("docs/{}", path.file_name().unwrap().to_string_lossy()));
    let mut pages: Vec<_> = docs.chain(["README.md".to_owned()]).collect();
    pages.sort();
    assert!(pages.len() >= 8, "{pages:?}");
    pages
}

/// Promise: every command of ours that a page tells to run exists, with every option that it is given.
#[test]
fn commands_in_the_documents_exist() {
    let mut known = Helps::default();
    let mut seen = 0;
    for page in pages() {
        for block in Document::read(&page).blocks() {
            for line in block.replace("\\\n", " ").lines() {
                for command in commands(line) {
                    known.check(&command, &format!("{page}: {line}"));
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 40, "only {seen} commands were found");
}

/// What `--help` says of each program and subcommand that was asked for.
#[derive(Default)]
struct Helps(BTreeMap<Vec<String>, String>);

impl Helps {
    /// # Panics
    ///
    /// When there is no such subcommand or option; with the place.
    fn check(&mut self, words: &[String], place: &str) {
        let mut command = vec![words[0].clone()];
        let mut rest = words[1..].iter().peekable();
        // As deep as there are subcommands.
        while self.of(&command).contains("\nCommands:\n") {
            let Some(word) = rest.next_if(|word| !word.starts_with('-')) else { break };
            let listed = format!("\n  {word}");
            let help = self.of(&command);
            assert!(
                help.match_indices(&listed).any(|(at, _)| help[at + listed.len()..].starts_with([' ', '\n'])),
                "{place}: there is no {} {word}",
                command.join(" ")
            );
            command.push(word.clone());
        }
        for option in rest.filter(|word| word.len() > 1 && word.starts_with('-') && *word != "--") {
            let option = option.split('=').next().unwrap();
            let known = self.of(&command).split([' ', ',', '\n', '[']).any(|word| word == option)
                || ["--help", "--version"].contains(&option);
            assert!(known, "{place}: {} has no {option}", command.join(" "));
        }
    }

    fn of(&mut self, command: &[String]) -> String {
        let ask = || tool(path(&command[0]), &[&command[1..], &["--help".to_owned()]].concat());
        self.0.entry(command.to_vec()).or_insert_with(ask).clone()
    }
}

/// The commands of ours in a line of shell, each as its words.
fn commands(line: &str) -> Vec<Vec<String>> {
    let line = line.split(" #").next().unwrap();
    let parts = line.split(['|', ';', '&', '(', ')']).map(str::trim);
    let words =
        parts.map(|part| part.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect());
    let ours = |words: &Vec<String>| {
        words.first().is_some_and(|first| {
            ["evenkeel", "evenkeel-agent", "evenkeel-collector"].contains(&first.as_str())
        })
    };
    words.filter(ours).collect()
}

/// Promise: what troubleshoot.md quotes is what the programs say, letter for letter.
#[test]
fn errors_in_the_troubleshooter_are_said() {
    let page = fs::read_to_string(tree().join("docs/troubleshoot.md")).unwrap();
    let said = sources();
    let quoted: Vec<_> = page.split("**`").skip(1).map(|rest| rest.split("`**").next().unwrap()).collect();
    assert!(quoted.len() > 20, "only {quoted:?}");
    for text in quoted {
        assert!(said.iter().any(|source| source.contains(text)), "nothing says: {text}");
    }
}

/// What stands in our programs and packages, without the tests of either: values in texts are `…`, and lines are joined.
fn sources() -> Vec<String> {
    let mut said = Vec::new();
    let mut waiting: Vec<PathBuf> = [
        "agent/src",
        "collector/src",
        "collector/store/src",
        "cli/src",
        "proto/runtime/src",
        "deploy/debian",
    ]
    .map(|path| tree().join(path))
    .to_vec();
    while let Some(next) = waiting.pop() {
        if next.is_dir() {
            waiting.extend(fs::read_dir(next).unwrap().flatten().map(|entry| entry.path()));
            continue;
        }
        let text = fs::read_to_string(&next).unwrap();
        let text = text.split("\n#[cfg(test)]\n").next().unwrap().replace("@PACKAGE@", "{}");
        let mut plain = String::new();
        let mut parts = text.split('{');
        plain.push_str(parts.next().unwrap());
        for part in parts {
            match part.split_once('}') {
                Some((inside, after)) if !inside.contains(['\n', '{']) => {
                    plain.push('…');
                    plain.push_str(after);
                }
                _ => {
                    plain.push('{');
                    plain.push_str(part);
                }
            }
        }
        let joined = plain.split("\\\n").map(str::trim_start).collect::<Vec<_>>().concat();
        said.push(joined);
    }
    // Serde's own word, of which the configuration makes a line.
    said.push("unknown field …".to_owned());
    assert!(said.len() > 100, "only {} files were read", said.len());
    said
}

/// Promise: each test that the threat model leans on is there, and is a test.
#[test]
fn the_threat_model_names_tests_that_exist() {
    let page = fs::read_to_string(tree().join("docs/threat-model.md")).unwrap();
    let mut named = 0;
    for name in
        page.split('`').skip(1).step_by(2).filter(|name| name.contains("::") && *name != "suite::test")
    {
        let (suite, test) = name.split_once("::").unwrap();
        let suites = tree().join("tests/suites");
        let mut files = vec![suites.join(format!("{suite}.rs"))];
        if let Ok(further) = fs::read_dir(suites.join(suite)) {
            files.extend(further.flatten().map(|entry| entry.path()));
        }
        let is_there = files.iter().filter_map(|file| fs::read_to_string(file).ok()).any(|text| {
            let head = text.split(&format!("fn {test}(")).next().unwrap();
            head.len() < text.len()
                && head
                    .trim_end()
                    .trim_end_matches("async")
                    .trim_end()
                    .lines()
                    .rev()
                    .take(6)
                    .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
        });
        assert!(is_there, "there is no test {name}");
        named += 1;
    }
    assert!(named >= 20, "only {named} tests are named");
}

/// Promise: every link from one page to another, and to a heading of it, leads somewhere.
#[test]
fn links_lead_somewhere() {
    let mut followed = 0;
    for page in pages().into_iter().chain(["CONTRIBUTING.md".to_owned()]) {
        let text = fs::read_to_string(tree().join(&page)).unwrap();
        let directory = Path::new(&page).parent().unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { tree().join(&page) } else { tree().join(directory).join(file) };
            assert!(file.exists(), "{page}: there is no {target}");
            if !anchor.is_empty() {
                assert!(anchors(&file).contains(anchor), "{page}: there is no heading {target}");
            }
            followed += 1;
        }
    }
    assert!(followed > 30, "only {followed} links were found");
}

/// The names that a forge gives to headings.
fn anchors(page: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(page).unwrap();
    let headings =
        text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let named = headings.map(|heading| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
    });
    named.collect()
}

/// Promise: scripts that others run say how when they are asked wrongly, and do nothing.
#[test]
fn scripts_say_how_they_are_called() {
    for script in ["packages.sh", "rpms.sh", "release.sh", "stage.sh"] {
        let said = run(&mut Command::new(tree().join("deploy").join(script)));
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{script}");
        assert!(said.stderr.contains(&format!("{script} PROGRAMS")), "{script}: {}", said.stderr);
    }
}
