#!/usr/bin/env bash
# Runs a command as if on another host: its own root, mounts, processes, host name, IPC and (with --net) network.
#
#   enter.sh [--net NAME] [--bind SOURCE:TARGET]... ROOT STATE CMD...
#
# ROOT (of debootstrap-root.sh) is only read and may be shared by many hosts; what this host changes is kept in
# STATE, whose last part is also its host name, and is there again the next time; /run and /tmp start empty.
# NAME is a namespace of netns.sh. SOURCE, a file or directory outside, is seen at TARGET inside, read-only.
# CMD is process 1 inside.
#
# A program built for a newer glibc than ROOT has runs by the loader it was built with:
#   --bind /lib/x86_64-linux-gnu:/run/lib ... /run/lib/ld-linux-x86-64.so.2 --library-path /run/lib CMD...
#
# SIGTERM, SIGINT and SIGHUP are passed on to CMD; when this process is killed, CMD and all its children are too.
# The exit code is CMD's own.
set -euo pipefail

fail() {
    echo "enter.sh: $1" >&2
    exit 2
}

usage() {
    sed -n '2,15{s/^# \{0,1\}//;p}' "$0" >&2
    exit 2
}

# Inside the new namespaces and still in the old root: mounts what a host has, then becomes CMD there.
if [[ ${1:-} == --inside ]]; then
    root=$2 state=$3 binds=$4
    shift 4
    hostname=$(basename "$state")
    merged=$state/root
    mount -t overlay overlay -o "lowerdir=$root,upperdir=$state/changes,workdir=$state/work" "$merged"
    mount -t tmpfs tmpfs "$merged/run"
    mount -t tmpfs tmpfs "$merged/tmp"
    mount -t proc proc "$merged/proc"
    mount -t sysfs sysfs "$merged/sys" # a fresh one: /sys/class/net is of the network namespace it is made in
    mount --rbind /sys/fs/cgroup "$merged/sys/fs/cgroup"
    # What a booted host has, too; a kernel may be built without it.
    mount -t securityfs securityfs "$merged/sys/kernel/security" 2>/dev/null || true
    while IFS=: read -r source target; do
        [[ -n $source ]] || continue
        mkdir -p "$(dirname "$merged$target")"
        if [[ -d $source ]]; then mkdir -p "$merged$target"; else touch "$merged$target"; fi
        mount --bind "$source" "$merged$target"
        mount -o remount,bind,ro "$merged$target"
    done <<<"$binds"
    echo "$hostname" >/proc/sys/kernel/hostname
    echo "$hostname" >"$merged/etc/hostname"
    cd /
    exec chroot "$merged" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        HOME=/root TERM="${TERM:-dumb}" "$@"
fi

enter=() binds=
while [[ ${1:-} == --* ]]; do
    [[ $# -ge 2 ]] || usage
    case $1 in
        --net)
            [[ -e /run/netns/evenkeel-$2 ]] || fail "there is no network namespace '$2'; make it with 'netns.sh up $2'"
            enter=(nsenter "--net=/run/netns/evenkeel-$2" --)
            ;;
        --bind)
            [[ $2 == *:/* && -e ${2%%:*} ]] || fail "--bind $2: want SOURCE:TARGET, a SOURCE that exists and an absolute TARGET"
            binds+="$(realpath "${2%%:*}"):${2#*:}"$'\n'
            ;;
        *) usage ;;
    esac
    shift 2
done
[[ $# -ge 3 ]] || usage
[[ $EUID -eq 0 ]] || fail "another root and its mounts need root; run it with sudo"
root=$(realpath "$1")
state=$(realpath -m "$2")
[[ -d $root/etc ]] || fail "$root is no root file system; make one with debootstrap-root.sh"
mkdir -p "$state"/{changes,work,root}

# Killed with this process: unshare by its parent-death signal, and then CMD by --kill-child.
setpriv --pdeathsig KILL -- "${enter[@]}" unshare --mount --uts --ipc --pid --fork --kill-child \
    bash "$0" --inside "$root" "$state" "$binds" "${@:3}" <&0 &
child=$!

# unshare itself blocks signals; the command is its only child.
# shellcheck disable=SC2317 # called by the traps
pass_on() {
    local command
    command=$(<"/proc/$child/task/$child/children") || return 0
    [[ -z $command ]] || kill "-$1" "${command%% *}" 2>/dev/null || true
}
for signal in TERM INT HUP; do
    # shellcheck disable=SC2064 # the name is wanted now
    trap "pass_on $signal" "$signal"
done

# A trapped signal ends `wait` early; the command's end is what counts.
while :; do
    code=0
    wait "$child" || code=$?
    kill -0 "$child" 2>/dev/null || break
done
exit "$code"
