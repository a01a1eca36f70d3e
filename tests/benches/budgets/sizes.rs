//! The sizes of what is shipped: the `dist` profile.

use std::fs;

use evenkeel_tests::harness::programs;

use crate::agent::float;
use crate::table::{Budget, Table, Unit};

pub(crate) fn run(table: &mut Table) {
    // The programs of this run lie beside those of other profiles.
    let release = programs::path("evenkeel-agent");
    let target = release.ancestors().nth(2).expect("it lies in target/PROFILE");
    for (program, budget) in [
        ("evenkeel-agent", Budget::AtMost(7e6)),
        ("evenkeel-collector", Budget::Nothing),
        ("evenkeel", Budget::Nothing),
    ] {
        match fs::metadata(target.join("dist").join(program)) {
            Ok(file) => table.row(&format!("size: {program}"), Unit::Bytes, budget, float(file.len())),
            Err(_) => {
                table.note(&format!("size of {program}: not built (cargo build --profile dist --bins)"));
            }
        }
    }
}
