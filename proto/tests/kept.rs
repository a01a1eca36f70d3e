//! What was once said on the wire is understood for ever: the contract holds everything that a kept one has. `proto/kept` has
//! the descriptors of each minor version, as it was released; that of the next one is copied from `src/generated` with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};

/// What others rely on, by the place where it stands.
fn contract(set: &FileDescriptorSet) -> BTreeMap<String, String> {
    let mut said = BTreeMap::new();
    for file in &set.file {
        let package = file.package();
        for message in &file.message_type {
            of_message(&format!("{package}.{}", message.name()), message, &mut said);
        }
        for list in &file.enum_type {
            for value in &list.value {
                let place = format!("enum {package}.{} value {}", list.name(), value.number());
                said.insert(place, value.name().to_owned());
            }
        }
        for service in &file.service {
            for method in &service.method {
                let of = |is_stream: bool| if is_stream { "stream " } else { "" };
                let (question, answer) = (of(method.client_streaming()), of(method.server_streaming()));
                said.insert(
                    format!("rpc {package}.{}/{}", service.name(), method.name()),
                    format!("{question}{} -> {answer}{}", method.input_type(), method.output_type()),
                );
            }
        }
    }
    said
}

fn of_message(name: &str, message: &DescriptorProto, said: &mut BTreeMap<String, String>) {
    for field in &message.field {
        let kind = field.r#type().as_str_name();
        let label = field.label().as_str_name();
        let one_of = field.oneof_index.map(|at| message.oneof_decl[at.cast_unsigned() as usize].name());
        let place = format!("field {name} {}", field.number());
        let text =
            format!("{} {label} {kind} {} {}", field.name(), field.type_name(), one_of.unwrap_or_default());
        said.insert(place, text);
    }
    for nested in &message.nested_type {
        of_message(&format!("{name}.{}", nested.name()), nested, said);
    }
}

/// What the kept contract says and the other one does not, or says otherwise.
fn broken(kept: &FileDescriptorSet, now: &FileDescriptorSet) -> Vec<String> {
    let (kept, now) = (contract(kept), contract(now));
    let changed = kept.into_iter().filter(|(place, text)| now.get(place) != Some(text));
    changed.map(|(place, text)| format!("{place}: {text}")).collect()
}

fn read(path: &Path) -> FileDescriptorSet {
    FileDescriptorSet::decode(fs::read(path).unwrap().as_slice()).unwrap()
}

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Promise: the wire only grows. Whatever a kept version says or asks is there, at its number, with its type.
#[test]
fn every_kept_contract_is_held() {
    let now = read(&home().join("src/generated/descriptors.bin"));
    let kept: Vec<_> =
        fs::read_dir(home().join("kept")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!kept.is_empty());
    for path in kept {
        let old = read(&path);
        assert!(contract(&old).len() > 300, "{} holds little", path.display());
        assert_eq!(broken(&old, &now), Vec::<String>::new(), "{}", path.display());
    }
}

type Break = fn(&mut FileDescriptorSet);

/// Its control: each way to break a contract is found.
#[test]
fn a_broken_contract_is_noticed() {
    let kept = read(&home().join("src/generated/descriptors.bin"));
    let breaks: [(&str, Break); 5] = [
        ("field evenkeel.fleet.v1.CheckInRequest 2", |set| {
            fleet(set, "CheckInRequest").field.retain(|field| field.number() != 2);
        }),
        ("field evenkeel.fleet.v1.CheckInRequest 3", |set| {
            fleet(set, "CheckInRequest").field[2].number = Some(33);
        }),
        ("field evenkeel.fleet.v1.Commit 3", |set| {
            fleet(set, "Commit").field[2].name = Some("machine".to_owned());
        }),
        ("field evenkeel.fleet.v1.RetryAfter 1", |set| {
            fleet(set, "RetryAfter").field[0].r#type = Some(Type::Int32.into());
        }),
        ("rpc evenkeel.fleet.v1.FleetService/PutSections", |set| {
            file(set).service[0].method.retain(|method| method.name() != "PutSections");
        }),
    ];
    for (place, breaks) in breaks {
        let mut now = kept.clone();
        breaks(&mut now);
        let found = broken(&kept, &now);
        assert!(matches!(found.as_slice(), [one] if one.starts_with(place)), "{place}: {found:?}");
    }
    // What is added is no break.
    let mut now = kept.clone();
    let mut added = fleet(&mut now, "CheckInRequest").field[0].clone();
    (added.number, added.name) = (Some(900), Some("later".to_owned()));
    fleet(&mut now, "CheckInRequest").field.push(added);
    assert_eq!(broken(&kept, &now), Vec::<String>::new());
}

fn file(set: &mut FileDescriptorSet) -> &mut prost_types::FileDescriptorProto {
    set.file.iter_mut().find(|file| file.package() == "evenkeel.fleet.v1").unwrap()
}

fn fleet<'a>(set: &'a mut FileDescriptorSet, name: &str) -> &'a mut DescriptorProto {
    file(set).message_type.iter_mut().find(|message| message.name() == name).unwrap()
}
