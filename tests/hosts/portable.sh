#!/usr/bin/env bash
# Runs the agents that deploy/dist.sh made where they must run: the static one in a root that holds nothing else and in
# those of other Debian releases, the other in these. In each they print a snapshot, and find a collector by its name.
#
#   portable.sh DIR [ROOT...]
#
# Says "AGENT in ROOT: ok" for each, and fails at the first that is not. ROOTs are only read. Needs root.
set -euo pipefail

# In namespaces of its own: ROOT with changes that live in memory, and a name server that knows every name.
if [[ ${1:-} == --inside ]]; then
    agent=$2 root=$3 work=$4
    mount -t tmpfs tmpfs "$work"
    mkdir "$work"/{changes,work,root}
    mount -t overlay overlay -o "lowerdir=$root,upperdir=$work/changes,workdir=$work/work" "$work/root"
    mkdir -p "$work/root/etc"
    rm -f "$work/root/etc/resolv.conf"
    echo 'nameserver 127.0.0.1' >"$work/root/etc/resolv.conf"
    printf 'ek1.%064d.%s.%s' 0 00000000000000000000000000000000 00000000000000000000000000000000 >"$work/root/token"
    cp "$agent" "$work/root/.agent"
    chroot "$work/root" /.agent --version >/dev/null
    chroot "$work/root" /.agent collect |
        python3 -c 'import json, sys; assert json.load(sys.stdin)["schema"] == "evenkeel.snapshot/v1"'

    ip link set lo up
    coproc server { exec python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 53)); print("up", flush=True)
while True:
    q, who = s.recvfrom(512)
    end = q.index(b"\0", 12) + 5
    a = q[end-4:end-2] == b"\0\x01"
    answer = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01" if a else b""
    s.sendto(q[:2] + b"\x85\x80\0\x01" + (b"\0\x01" if a else b"\0\0") + b"\0\0\0\0" + q[12:end] + answer, who)
'; }
    read -r _ <&"${server[0]}"
    # It gets as far as a refused connection: the name was found, and nobody listens there.
    chroot "$work/root" /.agent enroll --collector https://collector.example:7444 --token-file /token >"$work/said" 2>&1 || :
    # shellcheck disable=SC2154 # coproc sets it
    kill "$server_PID"
    grep -qi refused "$work/said" || { cat "$work/said" >&2; exit 1; }
    exit
fi

dir=$(realpath "${1:?usage: portable.sh DIR [ROOT...]}")
shift
[[ $EUID -eq 0 ]] || { echo "portable.sh: namespaces and chroot need root; run it with sudo" >&2; exit 2; }
empty=$(mktemp -d)
work=$(mktemp -d)
trap 'rmdir "$empty" "$work"' EXIT

# runs_in ROOT AGENT
runs_in() {
    unshare --mount --net bash "$0" --inside "$dir/$2" "$(realpath "$1")" "$work"
    echo "$2 in $3: ok"
}

runs_in "$empty" evenkeel-agent-static "an empty root"
for root in "$@"; do
    runs_in "$root" evenkeel-agent-static "$root"
    [[ ! -e $dir/evenkeel-agent-glibc2.17 ]] || runs_in "$root" evenkeel-agent-glibc2.17 "$root"
done
