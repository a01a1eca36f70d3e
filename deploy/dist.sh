#!/usr/bin/env bash
# Builds what is shipped into DIR (default target/shipped), and says how large the programs are:
#
#   evenkeel-agent-static     needs nothing on the host, not even a C library: for images
#   evenkeel-agent-glibc2.17  needs glibc 2.17 or newer
#   packages, RPMs, tarball   of the three programs for glibc 2.17, with an SBOM and SHA256SUMS (release.sh)
#
# Without cargo-zigbuild and zig (PyPI carries both: pip install cargo-zigbuild ziglang) the second is left out, and the
# packages need a C library as new as this machine's; both are said.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."

dir=${1:-target/shipped}
machine=$(uname -m)-unknown-linux-gnu
target=${CARGO_TARGET_DIR:-target}
programs=$target/$machine/shipped
rm -rf "$programs"
mkdir -p "$dir" "$programs"
# What an earlier version left would be of this release, too.
rm -f "$dir"/*.deb "$dir"/*.rpm "$dir"/*.tar.gz "$dir"/*.cdx.json "$dir"/evenkeel-agent-* "$dir"/SHA256SUMS

# Where this was built is nobody's business, and two who build the same get the same.
remap="--remap-path-prefix=$PWD=/evenkeel"
for sources in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    remap+=" --remap-path-prefix=$sources=/crates"
    CFLAGS+=" -ffile-prefix-map=$sources=/crates"
done
export CFLAGS

ship() {
    cp "$target/$machine/dist/$1" "$2"
    printf '%s: %d KiB\n' "$2" $(($(stat -c %s "$2") / 1024))
}

# A target of its own keeps the flags away from build scripts. A static program cannot look up the C library's getrandom
# by its name, and would open /dev/urandom, which an empty root lacks: it asks the kernel itself.
link=-Wl,-z,keep-text-section-prefix
# All of it is resident, so relocations are packed: they take a twentieth of the space. A static program unpacks them itself,
# with the C library of this machine.
libc=$(getconf GNU_LIBC_VERSION)
if printf 'glibc 2.36\n%s\n' "$libc" | sort -VC; then
    link+=,-z,pack-relative-relocs
else
    echo "dist.sh: evenkeel-agent-static is larger than it need be: $libc here does not unpack relocations (glibc 2.36)" >&2
fi
# Equal functions are there once. Only lld can do that, with which rustc links on x86_64; elsewhere it takes the machine's.
[[ $(uname -m) != x86_64 ]] || link+=,--icf=safe
RUSTFLAGS="-C target-feature=+crt-static --cfg getrandom_backend=\"linux_getrandom\" $remap" \
    cargo rustc --locked --profile dist --target "$machine" -p evenkeel-agent --bin evenkeel-agent -- \
    -C link-arg="$link"
ship evenkeel-agent "$dir/evenkeel-agent-static"

export RUSTFLAGS=$remap
build=(cargo build --target "$machine")
if command -v cargo-zigbuild >/dev/null; then
    build=(cargo-zigbuild zigbuild --target "$machine.2.17")
else
    echo "dist.sh: evenkeel-agent-glibc2.17 left out, and the packages need this machine's C library: there is no" \
        "cargo-zigbuild (pip install cargo-zigbuild ziglang)" >&2
fi
# The agent apart: what the others need of a crate that it uses, too, would make it larger.
"${build[@]}" --locked --profile dist -p evenkeel-agent
"${build[@]}" --locked --profile dist -p evenkeel-collector -p evenkeel-cli
for program in evenkeel-agent evenkeel-collector evenkeel; do
    ship "$program" "$programs/$program"
done
[[ ${build[0]} != cargo-zigbuild ]] || cp "$programs/evenkeel-agent" "$dir/evenkeel-agent-glibc2.17"

deploy/release.sh "$programs" "$dir"
