#!/usr/bin/env bash
# Runs the agents that deploy/dist.sh made where they must run: the static one in a root that holds nothing else, where
# it must also find a name by DNS; the other in the roots of older and newer Debian releases.
#
#   portable.sh DIR [ROOT...]
#
# Says "AGENT in ROOT: ok" for each, and fails at the first that is not. Needs root.
set -euo pipefail

dir=$(realpath "${1:?usage: portable.sh DIR [ROOT...]}")
shift
[[ $EUID -eq 0 ]] || { echo "portable.sh: namespaces and chroot need root; run it with sudo" >&2; exit 2; }
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT

# runs_in ROOT AGENT: it starts there, and what it prints is a snapshot.
runs_in() {
    cp "$dir/$2" "$1/.agent"
    chroot "$1" /.agent --version >/dev/null
    chroot "$1" /.agent collect | python3 -c 'import json, sys; assert json.load(sys.stdin)["schema"] == "evenkeel.snapshot/v1"'
    rm "$1/.agent"
    echo "$2 in $1: ok"
}

runs_in "$empty" evenkeel-agent-static
if [[ -e $dir/evenkeel-agent-glibc2.17 ]]; then
    for root in "$@"; do runs_in "$root" evenkeel-agent-glibc2.17; done
fi

# A name server that knows every name, on a loopback interface of its own; the agent gets as far as a refused connection.
mkdir "$empty/etc" && echo 'nameserver 127.0.0.1' >"$empty/etc/resolv.conf"
printf "ek1.%064d.%s.%s" 0 00000000000000000000000000000000 00000000000000000000000000000000 >"$empty/token"
cp "$dir/evenkeel-agent-static" "$empty/.agent"
# shellcheck disable=SC2016 # expanded by the inner shell
unshare --net bash -euc '
    ip link set lo up
    python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((\"127.0.0.1\", 53)); print(\"up\", flush=True)
while True:
    q, who = s.recvfrom(512)
    end = q.index(b\"\\0\", 12) + 5
    a = q[end-4:end-2] == b\"\\0\\x01\"
    answer = b\"\\xc0\\x0c\\0\\x01\\0\\x01\\0\\0\\0\\x3c\\0\\x04\\x7f\\0\\0\\x01\" if a else b\"\"
    s.sendto(q[:2] + b\"\\x85\\x80\\0\\x01\" + (b\"\\0\\x01\" if a else b\"\\0\\0\") + b\"\\0\\0\\0\\0\" + q[12:end] + answer, who)
" > >(cat >"$1/up") & server=$!
    until [[ -s $1/up ]]; do read -rt 0.05 <> <(:) || :; done
    chroot "$1" /.agent enroll --collector https://collector.example:7444 --token-file /token >"$1/said" 2>&1 || :
    kill "$server"' - "$empty"
grep -qi 'refused' "$empty/said" || { cat "$empty/said" >&2; exit 1; }
echo "evenkeel-agent-static finds a name by DNS in an empty root: ok"
