//! The checked-in code is what the `.proto` files give. `UPDATE_GOLDEN=1 cargo test -p evenkeel-proto` writes it anew.

use std::fs;
use std::path::Path;

use protox::prost::Message as _;

const FILES: [&str; 4] = [
    "evenkeel/enroll/v1/enroll.proto",
    "evenkeel/fleet/v1/fleet.proto",
    "evenkeel/report/v1/report.proto",
    "evenkeel/admin/v1/admin.proto",
];

/// Promise: nobody needs `protoc`, and the code never lags behind the contract.
#[test]
fn generated_code_is_up_to_date() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checked_in = home.join("src/generated");
    let fresh = home.join("../target/generated-proto");
    fs::create_dir_all(&fresh).unwrap();
    let descriptors = protox::compile(FILES.map(|file| home.join(file)), [home]).unwrap();
    fs::write(fresh.join("descriptors.bin"), descriptors.encode_to_vec()).unwrap();
    tonic_prost_build::configure()
        .out_dir(&fresh)
        .emit_rerun_if_changed(false)
        .codec_path("crate::codec::Codec")
        // They carry a token's secret: their Debug is written by hand.
        .skip_debug([
            "evenkeel.enroll.v1.EnrollRequest",
            "evenkeel.enroll.v1.EnrollUserRequest",
            "evenkeel.admin.v1.CreateTokenResponse",
            "evenkeel.admin.v1.InviteUserResponse",
        ])
        .compile_fds(descriptors)
        .unwrap();
    for entry in fs::read_dir(&fresh).unwrap() {
        let entry = entry.unwrap();
        let (new, old) = (fs::read(entry.path()).unwrap(), checked_in.join(entry.file_name()));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&old, &new).unwrap();
        }
        assert!(
            fs::read(&old).is_ok_and(|old| old == new),
            "{} is out of date: run UPDATE_GOLDEN=1 cargo test -p evenkeel-proto",
            old.display()
        );
    }
}
