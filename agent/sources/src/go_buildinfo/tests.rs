//! The reader on programs of every kind, and on broken ones.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;

const MODINFO: &str = "path\tgithub.com/acme/pay\nmod\tgithub.com/acme/pay\tv1.4.0\th1:x=\ndep\tgolang.org/x/net\tv0.17.0\th1:y=\n\
                       build\tCGO_ENABLED=0\nbuild\t-ldflags=\"-s -w\"\n";

/// Every kind of program: both widths, both byte orders, both forms, with and without section names.
fn kinds() -> Vec<Minimal> {
    (0..16_u8)
        .map(|bits| Minimal {
            narrow: bits & 1 != 0,
            big_endian: bits & 2 != 0,
            pointers: bits & 4 != 0,
            nameless: bits & 8 != 0,
        })
        .collect()
}

#[test]
fn reads_every_kind_of_program() {
    for kind in kinds() {
        let info = read_from(&&kind.program("go1.21.6 X:rangefunc", MODINFO)[..]).unwrap().unwrap();
        assert_eq!(info.go_version, "1.21.6", "{kind:?}");
        assert_eq!(info.experiments, ["rangefunc"], "{kind:?}");
        assert_eq!(info.path, "github.com/acme/pay", "{kind:?}");
        assert_eq!(info.deps[0].version, "v0.17.0", "{kind:?}");
        assert_eq!(info.settings[1], ("-ldflags".to_owned(), "-s -w".to_owned()), "{kind:?}");
    }
}

#[test]
fn shrinking_keeps_the_build_info() {
    let original =
        Minimal { big_endian: true, pointers: true, ..Minimal::default() }.program("go1.16", MODINFO);
    let small = shrink(&&original[..]).unwrap().unwrap();
    assert_eq!(read_from(&&small[..]).unwrap(), read_from(&&original[..]).unwrap());
    assert_eq!(shrink(&&small[..]).unwrap().unwrap(), small);
}

#[test]
fn a_program_built_without_modules_has_a_version_only() {
    for kind in kinds() {
        let info = read_from(&&kind.program("go1.13", "")[..]).unwrap().unwrap();
        assert_eq!(info, BuildInfo { go_version: "1.13".into(), ..BuildInfo::default() });
    }
}

#[test]
fn other_files_are_not_go_programs() {
    let mut object_file = Minimal::default().program("go1.21.6", MODINFO);
    object_file[16] = 1;
    let no_magic = Minimal { nameless: true, ..Minimal::default() }.program("go1.21.6", MODINFO);
    let no_magic: Vec<u8> = no_magic.iter().map(|byte| if *byte == 0xff { 0 } else { *byte }).collect();
    for file in [&b""[..], b"#!/bin/sh\n", b"\x7fEL", &object_file, &no_magic] {
        assert_eq!(read_from(&file).unwrap(), None);
    }
}

#[test]
fn go_programs_that_hide_their_version_are_named() {
    let mut stripped = Minimal::default().program("go1.21.6", MODINFO);
    let magic = stripped.windows(14).position(|bytes| bytes == blob::MAGIC).unwrap();
    stripped[magic] = 0;
    assert!(matches!(read_from(&&stripped[..]), Err(BuildInfoError::NoBuildInfo)));
    assert!(matches!(read_from(&&Minimal::default().program("", "")[..]), Err(BuildInfoError::NoBuildInfo)));
}

#[test]
fn sizes_that_lie_are_refused() {
    let program = Minimal::default().program("go1.21.6", MODINFO);
    let magic = program.windows(14).position(|bytes| bytes == blob::MAGIC).unwrap();
    let patched = |at: usize, bytes: &[u8]| {
        let mut file = program.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        read_from(&&file[..]).map_err(|error| error.to_string())
    };
    let refusals = [
        (magic + 32, &[0xff; 10][..], "a build info string without its length"),
        (magic + 32, &[0xff, 0xff, 0xff, 0x7f], "a build info string that claims more than 4 MiB"),
        (magic + 32, &[0xff, 0x7f], "build info outside of the file"),
        (magic + 15, &[0], "build info with pointers of an unknown size"),
        (40, &[0xff; 8], "ELF headers outside of the file"),
        (56, &[0xff, 0xff], "ELF headers larger than 64 KiB"),
        (4, &[9], "an ELF file of no known class"),
        (54, &[0], "an ELF header that is broken"),
        // The section's address and size, and the segment's address.
        (64 + 56 + 64 + 16, &[0xff; 16], "a data section beyond all addresses"),
    ];
    for (at, bytes, why) in refusals {
        assert_eq!(patched(at, bytes), Err(why.to_owned()), "at {at}");
    }
}

#[test]
fn four_reads_are_enough() {
    struct Counted<'a>(&'a [u8], Cell<usize>);
    impl ReadAt for Counted<'_> {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            self.1.set(self.1.get() + 1);
            self.0.read_at(buffer, offset)
        }
    }
    for kind in kinds() {
        let modules = "dep\texample.com/m\tv1.0.0\th1:0000=\n".repeat(200);
        let file = kind.program("go1.21.6", &modules);
        let counted = Counted(&file, Cell::new(0));
        assert_eq!(read_from(&counted).unwrap().unwrap().deps.len(), 200);
        assert!(counted.1.get() <= 4, "{kind:?}: {} reads", counted.1.get());
    }
}

#[test]
fn versions_vendors_and_experiments_are_parted() {
    for (text, release, vendor, experiments) in [
        ("go1.21.6", "1.21.6", None, &[][..]),
        ("go1.21.6 X:rangefunc,arenas", "1.21.6", None, &["rangefunc", "arenas"]),
        ("go1.26.0-X:jsonv2", "1.26.0", None, &["jsonv2"]),
        ("go1.21.13 (Red Hat 1.21.13-3.el9_4)", "1.21.13", Some("Red Hat 1.21.13-3.el9_4"), &[]),
        ("go1.24rc1", "1.24rc1", None, &[]),
        ("go1.25-20250209-RC00 cl/7 +ff X:fieldtrack", "1.25-20250209-RC00 cl/7 +ff", None, &["fieldtrack"]),
        ("devel go1.23-abc Tue Jan 2 2024", "devel go1.23-abc Tue Jan 2 2024", None, &[]),
    ] {
        let (found, found_vendor, found_experiments) = split_version(text);
        assert_eq!((found.as_str(), found_vendor.as_deref()), (release, vendor), "{text}");
        assert_eq!(found_experiments, experiments, "{text}");
    }
}

#[test]
fn no_flipped_byte_and_no_cut_makes_it_panic() {
    for kind in kinds() {
        let program = kind.program("go1.21.6", MODINFO);
        for at in 0..program.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut file = program.clone();
                file[at] ^= flip;
                let _ = read_from(&&file[..]);
            }
            let _ = read_from(&&program[..at]);
        }
    }
}

proptest! {
    #[test]
    fn no_rewritten_word_makes_it_panic(
        bits in 0..16_usize,
        patches in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            any::<u64>(), Just(u64::MAX), Just(1 << 63), 0..4096_u64, Just(u64::from(u32::MAX)), Just(0x40_0000_u64)
        ], any::<bool>()), 1..6),
    ) {
        let mut file = kinds()[bits].program("go1.21.6", MODINFO);
        for (index, number, narrow) in patches {
            let at = index.index(file.len() - 8) & !3;
            if narrow {
                file[at..at + 4].copy_from_slice(&number.to_le_bytes()[..4]);
            } else {
                file[at..at + 8].copy_from_slice(&number.to_le_bytes());
            }
        }
        let _ = read_from(&&file[..]);
    }

    #[test]
    fn no_text_makes_the_module_parser_panic(text in "((path|mod|dep|=>|build|x)\t[a-z\"`\\\\=\t]{0,12}\n){0,8}") {
        let _ = modinfo::parse(&text);
    }
}
