//! A fleet written straight into a store, as a collector would have: for starts with more nodes than a run can enrol.

use std::collections::BTreeMap;
use std::path::Path;

use evenkeel_store::entry::{Committed, Enrolled, Entry, Labels};
use evenkeel_store::{Batch, Content, StoreError};
use jiff::Timestamp;
use uuid::Uuid;

use super::fleet::{ENVIRONMENTS, Fleet, Node};

/// Entries a transaction.
const GROUP: usize = 1_000;

/// Writes the enrolment and the first commit of every node. No collector may run on this directory.
pub fn write(directory: &Path, fleet: &Fleet, at: Timestamp) -> Result<(), StoreError> {
    let (mut writer, _) = evenkeel_store::open(directory)?;
    for (group, nodes) in fleet.nodes.chunks(GROUP).enumerate() {
        let mut batch = Batch::default();
        for (number, node) in nodes.iter().enumerate() {
            let id = Uuid::from_u128((group * GROUP + number + 1) as u128);
            batch.entries.push((at, enrolled(id, node)));
            batch.entries.push((at, committed(id, node, at)));
            let contents = node.contents.iter();
            batch.sections.extend(contents.map(|content| Content::from(content.section.clone())));
        }
        batch.sections.sort_by_key(Content::digest);
        batch.sections.dedup_by_key(|content| content.digest());
        writer.append(batch)?;
    }
    Ok(())
}

fn enrolled(node: Uuid, of: &Node) -> Entry {
    Entry::Enrolled(Enrolled {
        node,
        environment: ENVIRONMENTS[of.environment].to_owned(),
        host: of.name.clone(),
        role: String::new(),
        token: "load".to_owned(),
        labels: BTreeMap::new(),
        key: Vec::new(),
    })
}

fn committed(node: Uuid, of: &Node, at: Timestamp) -> Entry {
    Entry::Committed(Committed {
        node,
        boot_epoch: 1,
        sequence: of.sequence,
        taken_at: at,
        root: of.root(),
        changed: of.section_digests(),
        removed: Vec::new(),
        labels: Some(Labels { host: of.name.clone(), role: String::new(), agent: "0.1.0".to_owned() }),
        authors: Vec::new(),
    })
}
