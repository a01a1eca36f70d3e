//! The snapshot as a JSON file: `evenkeel.snapshot/v1`, what `evenkeel-agent collect -o json` prints and `file:` reads.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::encoding::{MAX_FACTS, is_section_name};
use crate::observation::Observation;
use crate::path::FactPath;
use crate::section::{Section, SectionBuilder};
use crate::snapshot::Snapshot;

/// The value of the `schema` field.
pub const SCHEMA: &str = "evenkeel.snapshot/v1";
/// The largest snapshot file read, in bytes.
pub const MAX_FILE_BYTES: usize = 64 * 1024 * 1024;
/// The most sections in one snapshot.
pub const MAX_SECTIONS: usize = 1_000;

/// Why a text is not a snapshot. Says where; what to do next is the caller's to add.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotFileError {
    /// Too large to be one.
    #[error("the file has {0} bytes; a snapshot has at most {MAX_FILE_BYTES}")]
    TooLarge(usize),
    /// Not JSON, or not of this shape. The source has line and column.
    #[error("it is not a snapshot in JSON")]
    Json(#[from] serde_json::Error),
    /// Another schema.
    #[error("its schema is {0:?}; this version reads {SCHEMA:?}")]
    Schema(String),
    /// A section's name, number or order is wrong.
    #[error("section {0:?}: {1}")]
    Section(String, &'static str),
    /// The content does not have the digest that stands beside it.
    #[error(
        "section {section:?} was changed after it was taken: the file says {said}, its facts give {found}"
    )]
    Digest {
        /// The section.
        section: String,
        /// The digest in the file.
        said: Digest,
        /// The digest of the facts in the file.
        found: Digest,
    },
    /// The sections do not have the root digest that stands in the file.
    #[error(
        "its sections were changed after it was taken: the file says root {said}, its sections give {found}"
    )]
    Root {
        /// The root digest in the file.
        said: Digest,
        /// The root digest of the sections in the file.
        found: Digest,
    },
}

#[derive(Serialize, Deserialize)]
struct File {
    schema: String,
    taken_at: Timestamp,
    #[serde(default)]
    agent: String,
    #[serde(default)]
    host: String,
    #[serde(default)]
    environment: Option<String>,
    #[serde(default)]
    role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root: Option<Digest>,
    sections: Vec<FileSection>,
}

#[derive(Serialize, Deserialize)]
struct FileSection {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    facts: BTreeMap<FactPath, Observation>,
}

/// The snapshot as pretty JSON with a final line break.
pub fn to_json(snapshot: &Snapshot) -> String {
    let Snapshot { taken_at, agent, host, environment, role, sections } = snapshot;
    let file = File {
        schema: SCHEMA.to_owned(),
        taken_at: *taken_at,
        agent: agent.clone(),
        host: host.clone(),
        environment: environment.clone(),
        role: role.clone(),
        root: Some(snapshot.root()),
        sections: sections
            .iter()
            .map(|section| FileSection {
                name: section.name().to_owned(),
                digest: Some(section.digest()),
                facts: section.facts().iter().cloned().collect(),
            })
            .collect(),
    };
    let mut json = serde_json::to_string_pretty(&file).expect("a snapshot has only text keys");
    json.push('\n');
    json
}

/// Reads a snapshot. Digests that stand in the file must fit its facts; a file written by hand may leave them out.
pub fn from_json(json: &[u8]) -> Result<Snapshot, SnapshotFileError> {
    if json.len() > MAX_FILE_BYTES {
        return Err(SnapshotFileError::TooLarge(json.len()));
    }
    let file: File = serde_json::from_slice(json)?;
    if file.schema != SCHEMA {
        return Err(SnapshotFileError::Schema(file.schema));
    }
    let mut sections: Vec<Section> = Vec::new();
    for FileSection { name, digest, facts } in file.sections {
        let refuse = |why| Err(SnapshotFileError::Section(name.clone(), why));
        if !is_section_name(&name) {
            return refuse("the name is not dotted lower-case words");
        }
        if sections.len() == MAX_SECTIONS || facts.len() > MAX_FACTS {
            return refuse("more sections or facts than a snapshot may have");
        }
        if sections.iter().any(|other| other.name() == name) {
            return refuse("it stands twice");
        }
        let mut builder = SectionBuilder::new(&name);
        for (path, observation) in facts {
            builder.observe(path, observation);
        }
        let section = builder.finish();
        match (digest, section.digest()) {
            (Some(said), found) if said != found => {
                return Err(SnapshotFileError::Digest { section: name, said, found });
            }
            _ => sections.push(section),
        }
    }
    sections.sort_by(|a, b| a.name().cmp(b.name()));
    let snapshot = Snapshot {
        taken_at: file.taken_at,
        agent: file.agent,
        host: file.host,
        environment: file.environment,
        role: file.role,
        sections,
    };
    match (file.root, snapshot.root()) {
        (Some(said), found) if said != found => Err(SnapshotFileError::Root { said, found }),
        _ => Ok(snapshot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Snapshot {
        let mut kernel = SectionBuilder::new("kernel");
        kernel.present(FactPath::known("kernel.release"), "6.18.44");
        Snapshot {
            taken_at: "2026-11-22T10:00:00Z".parse().unwrap(),
            agent: "0.1.0".into(),
            host: "web-1".into(),
            environment: Some("staging".into()),
            role: "web".into(),
            sections: vec![kernel.finish()],
        }
    }

    #[test]
    fn round_trips() {
        assert_eq!(from_json(to_json(&example()).as_bytes()).unwrap(), example());
    }

    #[test]
    fn a_changed_value_is_noticed() {
        let json = to_json(&example()).replace("6.18.44", "6.18.45");
        let error = from_json(json.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("section \"kernel\" was changed after it was taken"), "{error}");
    }

    #[test]
    fn written_by_hand_without_digests_is_read() {
        let json = r#"{"schema": "evenkeel.snapshot/v1", "taken_at": "2026-11-22T10:00:00Z",
            "sections": [{"name": "os", "facts": {"os.id": "debian", "os.x": {"unreadable": "io"}}}]}"#;
        assert_eq!(from_json(json.as_bytes()).unwrap().sections[0].facts().len(), 2);
    }

    #[test]
    fn other_schemas_are_named() {
        let json = to_json(&example()).replace("snapshot/v1", "snapshot/v9");
        let error = from_json(json.as_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "its schema is \"evenkeel.snapshot/v9\"; this version reads \"evenkeel.snapshot/v1\""
        );
    }
}
