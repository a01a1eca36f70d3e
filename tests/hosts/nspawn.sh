#!/usr/bin/env bash
# A booted systemd host in a container of systemd-nspawn: units, journald and a real boot, to install evenkeel on.
#
#   nspawn.sh up NAME ROOT [OPTION...]   boots ROOT and returns when systemd says that the start is over
#   nspawn.sh exec NAME CMD...           runs CMD in it, in place of this process
#   nspawn.sh leader NAME                prints the process id, seen from outside, of its process 1
#   nspawn.sh reboot NAME                reboots it from inside, and returns when it is up again
#   nspawn.sh down [NAME...]             shuts these hosts down, or all, as a power button would
#
# ROOT is a root of debootstrap-root.sh with the packages systemd, systemd-sysv and dbus. It is only read: what the
# host changes is its own, outlasts a reboot, and goes with `down`. If netns.sh made a namespace NAME, the host is in it
# and reaches its gateway; else it has no network. OPTIONs go to systemd-nspawn, for example --bind-ro=SOURCE:TARGET.
set -euo pipefail

readonly run=/run/evenkeel-nspawn
boot_tries=300 # times 0.2 s: a boot takes half a second on an idle machine

fail() {
    echo "nspawn.sh: $1" >&2
    exit 2
}

running() { [[ -f $run/$1.pid ]] && kill -0 "$(<"$run/$1.pid")" 2>/dev/null; }

# systemd-nspawn's only child is the container's process 1.
leader() {
    local nspawn children
    running "$1" || fail "no host '$1' is up; boot it with 'nspawn.sh up $1 ROOT'"
    nspawn=$(<"$run/$1.pid")
    children=$(<"/proc/$nspawn/task/$nspawn/children")
    [[ -n $children ]] || return 1
    echo "${children%% *}"
}

enter() {
    local pid
    pid=$(leader "$1") || fail "host '$1' has no process 1 yet"
    exec nsenter --target "$pid" --mount --uts --ipc --net --pid --cgroup \
        --root --wd /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "${@:2}"
}

# What the host is, for a boot after the first: its root and systemd-nspawn's options, a line each.
up() {
    local name=$1 root
    [[ $name =~ ^[a-z0-9][a-z0-9-]{0,62}$ ]] || fail "'$name' is not a host name: lower-case letters, digits and '-'"
    root=$(realpath -m "$2")
    [[ -x $root/lib/systemd/systemd ]] || fail "$root holds no systemd; make it with 'debootstrap-root.sh bookworm $root systemd systemd-sysv dbus'"
    ! running "$name" || return 0
    rm -rf "${run:?}/$name.disk"
    mkdir -p "$run" "$run/$name.disk"/{changes,work,root}
    printf '%s\n' "$root" "${@:3}" >"$run/$name.host"
    boot "$name"
}

boot() {
    local name=$1 host=() network=(--private-network) disk=$run/$1.disk log=$run/$1.log state try
    mapfile -t host <"$run/$name.host"
    [[ ! -e /run/netns/evenkeel-$name ]] || network=("--network-namespace-path=/run/netns/evenkeel-$name")
    # In mounts of its own, so that its disk is gone with it. --register=no --keep-unit: works where no machined or systemd
    # runs outside, as in a container or on a CI machine; a host that reboots ends, and is booted again by who asked for it.
    # Its network's parameters can be set, as on a host of its own.
    # shellcheck disable=SC2016 # expanded by the inner shell
    SYSTEMD_NSPAWN_API_VFS_WRITABLE=network setsid unshare --mount bash -c 'mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/changes,workdir=$2/work" "$2/root"
        exec systemd-nspawn --quiet --boot --directory="$2/root" --console=pipe --register=no --keep-unit "${@:3}"' \
        - "${host[0]}" "$disk" --machine="$name" "${network[@]}" "${host[@]:1}" </dev/null >"$log" 2>&1 9>&- &
    echo $! >"$run/$name.pid"
    for ((try = 0; try < boot_tries; try++)); do
        running "$name" || break
        # Fails until the bus answers, then waits for the end of the start by itself.
        state=$(enter "$name" systemctl is-system-running --wait 2>/dev/null) || true
        case $state in
            running) return 0 ;;
            degraded | maintenance | stopping)
                enter "$name" systemctl --failed --no-legend --plain >&2 || true
                fail "host '$name' came up $state: the units above failed; its console is in $log"
                ;;
        esac
        sleep 0.2
    done
    tail -n 20 "$log" >&2
    running "$name" || fail "host '$name' did not boot: systemd-nspawn ended; its last lines are above, all in $log"
    down "$name"
    fail "host '$name' was not up after $boot_tries looks; its last lines are above, all in $log"
}

reboot() {
    local name=$1 pid
    running "$name" || fail "no host '$name' is up; boot it with 'nspawn.sh up $name ROOT'"
    pid=$(<"$run/$name.pid")
    # The bus may be gone before it has answered: what counts is that the host ends.
    (enter "$name" systemctl reboot) >/dev/null 2>&1 || true
    timeout 120 tail --pid="$pid" -s 0.1 -f /dev/null || fail "host '$name' does not go down; its console is in $run/$name.log"
    boot "$name"
}

down() {
    local names=("$@") name pid
    if [[ $# -eq 0 ]]; then
        mapfile -t names < <(find "$run" -name '*.pid' -printf '%f\n' 2>/dev/null | sed 's/\.pid$//')
    fi
    for name in "${names[@]}"; do
        if running "$name"; then
            pid=$(<"$run/$name.pid")
            kill -TERM "$pid" # an orderly power-off, of which systemd-nspawn tells process 1
            timeout 60 tail --pid="$pid" -s 0.1 -f /dev/null || kill -KILL "$pid"
        fi
        rm -rf "$run/$name.pid" "$run/$name.host" "${run:?}/$name.disk"
    done
}

command -v systemd-nspawn >/dev/null || fail "systemd-nspawn is not installed; run tests/hosts/install.sh"
[[ $EUID -eq 0 ]] || fail "a container with its own process 1 needs root; run it with sudo"
case "${1:-}:$#" in
    up:[0-2] | exec:[0-2] | leader:1 | reboot:1) fail "$1 needs more arguments; see the head of this file" ;;
    up:*) up "${@:2}" ;;
    down:*) down "${@:2}" ;;
    leader:*) leader "$2" ;;
    reboot:*) reboot "$2" ;;
    exec:*) enter "${@:2}" ;;
    *)
        sed -n '2,13{s/^# \{0,1\}//;p}' "$0" >&2
        exit 2
        ;;
esac
