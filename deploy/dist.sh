#!/usr/bin/env bash
# Builds the agent as it is shipped, twice, into DIR (default target/shipped), and says how large each is:
#
#   evenkeel-agent-static     needs nothing on the host, not even a C library: for images
#   evenkeel-agent-glibc2.17  needs glibc 2.17 or newer: for packages. Left out, and said so, without cargo-zigbuild and
#                             zig (PyPI carries both: pip install cargo-zigbuild ziglang)
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."

dir=${1:-target/shipped}
machine=$(uname -m)-unknown-linux-gnu
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$dir"

ship() {
    cp "$target/$machine/dist/evenkeel-agent" "$dir/$1"
    printf '%s: %d KiB\n' "$dir/$1" $(($(stat -c %s "$dir/$1") / 1024))
}

# A target of its own keeps the flags away from build scripts. A static program cannot look up the C library's getrandom
# by its name, and would open /dev/urandom, which an empty root lacks: it asks the kernel itself.
RUSTFLAGS='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"' cargo build --profile dist --target "$machine" -p evenkeel-agent
ship evenkeel-agent-static

if command -v cargo-zigbuild >/dev/null; then
    cargo-zigbuild zigbuild --profile dist --target "$machine.2.17" -p evenkeel-agent
    ship evenkeel-agent-glibc2.17
else
    echo "dist.sh: evenkeel-agent-glibc2.17 left out: there is no cargo-zigbuild (pip install cargo-zigbuild ziglang)" >&2
fi
