#!/bin/sh
# Builds the programs of tests/hosts/go with every toolchain below DIR (see fetch-go.sh) into DIR/programs, once.
# Needs no network: dependencies are vendored. Every program is made in the ways in which real ones differ: strip
# and -trimpath, position-independent, from loose files, without modules, with a version control stamp, with an
# experiment, and for machines of another width and byte order.
set -u

dir=${1:?usage: build-go.sh DIR}
dir=$(cd "$dir" && pwd) || exit 2
source=$(cd "$(dirname "$0")/go/pay" && pwd)
failed=0

export GOENV=off GOTOOLCHAIN=local GOFLAGS=-mod=vendor GOPROXY=off GOWORK=off CGO_ENABLED=0
export GOCACHE="$dir/cache" GOPATH="$dir/path" GO111MODULE=on

# build NAME PACKAGE [FLAG...]: DIR/programs/NAME, made by $go in the current directory.
build() {
    out=$dir/programs/$1
    package=$2
    [ -x "$out" ] && return
    shift 2
    "$go" build -o "$out" "$@" "$package" || { echo "build-go: not built: $(basename "$out")" >&2; failed=1; }
}

for root in "$dir"/go*/root; do
    go=$root/bin/go
    [ -x "$go" ] || continue
    name=$(basename "$(dirname "$root")")
    cd "$source" || exit 2
    build "pay-$name" ./cmd/pay -buildvcs=false
    build "ledger-$name" ./cmd/ledger -buildvcs=false
    build "pay-$name-stripped" ./cmd/pay -buildvcs=false -trimpath -ldflags "-s -w -X 'main.version=1.4.0 (release)'"
    build "pay-$name-loose" cmd/ledger/main.go -buildvcs=false
    build "pay-$name-zones" ./cmd/pay -buildvcs=false -tags timetzdata
    build "pay-$name-pie" ./cmd/pay -buildvcs=false -buildmode=pie
done

# The rest needs one toolchain only: the newest.
cd "$source" || exit 2
for machine in 386 arm64 mips s390x; do
    GOARCH=$machine build "ledger-$name-$machine" ./cmd/ledger -buildvcs=false
done
GOEXPERIMENT=fieldtrack,preemptibleloops build "ledger-$name-experiment" ./cmd/ledger -buildvcs=false
# Linked by the C compiler's linker, as programs with cgo are.
if command -v cc >/dev/null; then
    CGO_ENABLED=1 build "pay-$name-external" ./cmd/pay -buildvcs=false -ldflags=-linkmode=external
    CGO_ENABLED=1 build "pay-$name-external-pie" ./cmd/pay -buildvcs=false -buildmode=pie \
        -ldflags='-linkmode=external -s -w'
fi
GO111MODULE=off GOFLAGS='' build "hello-$name-gopath" "$source/../hello.go"

if command -v git >/dev/null && [ ! -x "$dir/programs/pay-$name-stamped" ]; then
    rm -rf "$dir/stamped" && cp -r "$source" "$dir/stamped" && cd "$dir/stamped" || exit 2
    git -c init.defaultBranch=main init -q . && git add -Af . &&
        GIT_COMMITTER_DATE='2026-01-02T03:04:05Z' git -c user.name=pay -c user.email=pay@example.org \
            commit -q -m "Pay" --date '2026-01-02T03:04:05Z'
    build "pay-$name-stamped" ./cmd/pay -buildvcs=true
    rm -rf "$dir/stamped"
fi
exit "$failed"
