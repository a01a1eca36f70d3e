#!/usr/bin/env bash
# Builds the three programs as images carry them, linked statically, and makes the images of them:
#
#   build.sh [OUT]      OUT is target/images unless given; see image.sh for what it makes and for several architectures
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/../.."

out=${1:-target/images}
machine=$(uname -m)-unknown-linux-gnu
target=${CARGO_TARGET_DIR:-target}

case $(uname -m) in
    x86_64) architecture=amd64 ;;
    aarch64) architecture=arm64 ;;
    *) architecture=$(uname -m) ;;
esac

# As deploy/dist.sh builds the agent, and for its reasons; without what only makes that smaller.
RUSTFLAGS='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"' \
    cargo build --profile dist --target "$machine" --workspace --bins
deploy/image/image.sh "$out" "$architecture=$target/$machine/dist"
