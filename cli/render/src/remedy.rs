//! What to do about one finding, as text for a shell, a file and a playbook. Nothing here runs anything.

use evenkeel_facts::natural;
use serde::{Deserialize, Serialize};

use crate::page::Page;
use crate::screen::{Ink, Screen};
use crate::text::escape;
use crate::view::View;

/// The value of the `schema` field.
pub const SCHEMA: &str = "evenkeel.remedy/v1";

/// What to do about one finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The finding.
    pub finding: String,
    /// The fact.
    pub path: String,
    /// What differs, in one sentence.
    pub summary: String,
    /// The nodes that are to be changed, in order.
    pub nodes: Vec<String>,
    /// The value that they are to get; `null`: no value mends it.
    pub value: Option<String>,
    /// What to do, in words.
    pub advice: String,
    /// What will be set at the next boot where that is the question: `/etc/sysctl.d/50-web.conf:3 sets 4096`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_boot: Vec<String>,
    /// What there is to choose, as long as nobody has chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    /// Commands for a shell of root on each of the nodes; empty: no command mends it.
    pub shell: String,
    /// A file for the nodes, where one holds the setting.
    pub file: Option<RemedyFile>,
    /// A task for an Ansible playbook; empty: none mends it.
    pub ansible: String,
}

/// One of several things that can be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// What `--keep` is given to choose it: `running`, `persisted`.
    pub keep: String,
    /// The values that are kept, one or several over the nodes.
    pub values: Vec<String>,
}

/// A file for a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemedyFile {
    /// Where it belongs.
    pub path: String,
    /// What stands in it.
    pub content: String,
}

impl View for Remedy {
    const WHAT: &'static str = "a remedy";

    fn arrange(&mut self) {
        natural::sort(&mut self.nodes);
    }

    /// Each part can be copied, and the whole is a shell script: whatever else it says are comments. Lines are not
    /// broken: a broken line would be another command.
    fn table(&self, screen: &Screen) -> String {
        let Self { finding, path, summary, nodes, advice, at_boot, choices, shell, file, ansible, .. } = self;
        let mut page = Page::new(&Screen { width: usize::MAX, ..*screen });
        let mut note = |ink, text: &str| page.line(0, ink, &format!("# {text}"));
        note(Ink::Strong, &format!("{}  {}", escape(path), escape(finding)));
        note(Ink::Plain, &escape(summary));
        let names: Vec<_> = nodes.iter().map(|name| escape(name)).collect();
        note(Ink::Plain, &format!("on {}", names.join(" ")));
        if !advice.is_empty() {
            note(Ink::Plain, &escape(advice));
        }
        for line in at_boot {
            note(Ink::Plain, &format!("at boot {}", escape(line)));
        }
        if !choices.is_empty() {
            note(Ink::Strong, "What runs may be right, or what the files say. One of:");
            for Choice { keep, values } in choices {
                let values: Vec<_> = values.iter().map(|value| escape(value)).collect();
                let command = format!("evenkeel fix {} --keep {}", escape(finding), escape(keep));
                note(Ink::Plain, &format!("  {command}  # {}", values.join(" or ")));
            }
        } else if shell.is_empty() {
            note(Ink::Strong, "No command mends this by itself.");
        } else {
            note(Ink::Faint, "Nothing was run. As root, on each of these nodes:");
            page.blank();
            for line in shell.lines() {
                page.line(0, Ink::Plain, line);
            }
        }
        if let Some(RemedyFile { path, content }) = file {
            page.blank();
            page.line(0, Ink::Strong, &format!("# Or the file {}:", escape(path)));
            for line in content.lines() {
                page.line(0, Ink::Faint, &format!("#   {line}"));
            }
        }
        if !ansible.is_empty() {
            page.blank();
            page.line(0, Ink::Strong, "# Or with Ansible:");
            for line in ansible.lines() {
                page.line(0, Ink::Faint, &format!("#   {line}"));
            }
        }
        page.finish()
    }
}
