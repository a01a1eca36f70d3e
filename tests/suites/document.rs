//! A page of the documentation, as what it tells to do: its blocks of commands.

use std::fs;

use evenkeel_tests::harness::programs::tree;

/// A page.
#[derive(Debug)]
pub(crate) struct Document {
    path: String,
    text: String,
}

impl Document {
    /// Reads it, by its path in the tree.
    pub(crate) fn read(path: &str) -> Self {
        let text = fs::read_to_string(tree().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), text }
    }

    /// The block of commands with this number, from 0, below this heading of the second level.
    pub(crate) fn block(&self, heading: &str, number: usize) -> String {
        let (_, section) = self
            .text
            .split_once(&format!("\n## {heading}\n"))
            .unwrap_or_else(|| panic!("{} has no heading '{heading}'", self.path));
        let section = section.split("\n## ").next().unwrap();
        let blocks: Vec<_> = blocks(section).collect();
        let found = blocks.get(number).copied();
        let found =
            found.unwrap_or_else(|| panic!("{} has {} blocks in '{heading}'", self.path, blocks.len()));
        found.to_owned()
    }

    /// All blocks of commands, in order.
    pub(crate) fn blocks(&self) -> Vec<&str> {
        blocks(&self.text).collect()
    }
}

fn blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().expect("split gives one part at least"))
}
