#!/usr/bin/env bash
# Makes the recorded hosts of the demo anew, from real ones: tests/recorded/{test,staging,prod}.
#
#   make.sh [CACHE]     CACHE keeps roots and toolchains between runs, default tests/.cache
#
# Each is the root of a Debian release in a network namespace of its own, with its own sysctls, a Go toolchain in
# /usr/local/go and a program built by it in /usr/local/bin, running; `evenkeel-agent record` sees it from inside.
# README.md beside this file says what is on which. Needs root and what tests/hosts/install.sh installs.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
hosts=$here/../hosts
cache=$(realpath -m "${1:-$here/../.cache}")
agent=$(realpath "${EVENKEEL_AGENT:-${CARGO_TARGET_DIR:-$here/../../target}/debug/evenkeel-agent}")
libraries=/lib/$(uname -m)-linux-gnu

fail() {
    echo "make.sh: $1" >&2
    exit 2
}

# The program, built by the toolchain GO for the host NAME.
build() {
    local go=$1 name=$2
    (cd "$hosts/go/pay" && env -i PATH=/usr/bin:/bin HOME=/nonexistent GOENV=off GOTOOLCHAIN=local GOPROXY=off \
        GOFLAGS=-mod=vendor CGO_ENABLED=0 GOCACHE="$work/cache" GOPATH="$work/path" \
        "$go/bin/go" build -trimpath -buildvcs=false -o "$work/$name.program/pay" ./cmd/pay)
}

# host NAME SUITE GO [SYSCTL=VALUE...]
host() {
    local name=$1 suite=$2 go root
    go=$(realpath "$cache/go/$3/root")
    [[ -x $go/bin/go ]] || fail "there is no toolchain $3 in $cache/go; tests/hosts/fetch-go.sh names why"
    root=$("$hosts/debootstrap-root.sh" "$suite" "$cache/root-$suite")
    mkdir -p "$work/$name.program"
    build "$go" "$name"
    "$hosts/netns.sh" up "$name" >/dev/null
    [[ $# -eq 3 ]] || "$hosts/netns.sh" exec "$name" sysctl -q -w "${@:4}"
    # An older release cannot load the agent by itself, so it comes with the libraries that it was built with.
    # shellcheck disable=SC2016 # expanded by the inner shell
    "$hosts/enter.sh" --net "$name" --bind "$(dirname "$agent"):/run/agent" --bind "$libraries:/run/lib" \
        --bind "$go:/run/go" --bind "$work/$name.program:/run/program" "$root" "$work/$name" \
        bash -euc '
            cp -r /run/go /usr/local/go
            cp /run/program/pay /usr/local/bin/pay
            tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
            # It runs until its standard input ends.
            exec {open}> >(exec /usr/local/bin/pay serve >/dev/null)
            loader=$(echo /run/lib/ld-linux-*.so.*)
            "$loader" --library-path /run/lib /run/agent/evenkeel-agent record --name "$1" /recording
            exec {open}>&-' - "$name"
    "$hosts/netns.sh" down "$name"
    redact "$work/$name/changes/recording"
    rm -rf "${here:?}/$name"
    cp -r "$work/$name/changes/recording" "$here/$name"
}

# Takes out what says on which machine it was made, and nothing about the host: the mark and the settings of whoever
# built its kernel. And what git does not keep: a clone must be what was recorded.
redact() {
    sed -i 's/^\([0-9.]*\).*/\1/' "$1/proc/sys/kernel/osrelease"
    rm -f "$1"/proc/sys/kernel/init_private*
    find "$1" -type d -empty -delete
}

[[ $EUID -eq 0 ]] || fail "hosts with their own root and network need root; run it with sudo"
[[ -x $agent ]] || fail "there is no $agent; build it with 'cargo build -p evenkeel-agent'"

work=$(mktemp -d)
trap '"$hosts/netns.sh" down test staging prod; rm -rf "$work"' EXIT
chmod 755 "$work"

host prod trixie go1.21.13 net.core.somaxconn=65535
host test trixie go1.21.13 net.core.somaxconn=65535
host staging bullseye go1.19
