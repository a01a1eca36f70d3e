#!/usr/bin/env bash
# A booted systemd host in a container of systemd-nspawn: units, journald and a real boot, to install evenkeel on.
#
#   nspawn.sh up NAME ROOT [OPTION...]   boots ROOT and returns when systemd says that the start is over
#   nspawn.sh exec NAME CMD...           runs CMD in it, in place of this process
#   nspawn.sh leader NAME                prints the process id, seen from outside, of its process 1
#   nspawn.sh down [NAME...]             shuts these hosts down, or all, as a power button would
#
# ROOT is a root of debootstrap-root.sh with the packages systemd, systemd-sysv and dbus. It is only read: what the
# host changes lives in memory until `down`. If netns.sh made a namespace NAME, the host is in it and reaches its
# gateway; else it has no network. OPTIONs go to systemd-nspawn, for example --bind-ro=SOURCE:TARGET.
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

up() {
    local name=$1 root=$2 network=(--private-network) log=$run/$1.log state try
    [[ $name =~ ^[a-z0-9][a-z0-9-]{0,62}$ ]] || fail "'$name' is not a host name: lower-case letters, digits and '-'"
    [[ -x $root/lib/systemd/systemd ]] || fail "$root holds no systemd; make it with 'debootstrap-root.sh bookworm $root systemd systemd-sysv dbus'"
    ! running "$name" || return 0
    [[ ! -e /run/netns/evenkeel-$name ]] || network=("--network-namespace-path=/run/netns/evenkeel-$name")
    mkdir -p "$run"
    # --register=no --keep-unit: works where no machined or systemd runs outside, as in a container or on a CI machine.
    setsid systemd-nspawn --quiet --boot --directory="$root" --volatile=overlay --machine="$name" --console=pipe \
        --register=no --keep-unit "${network[@]}" "${@:3}" </dev/null >"$log" 2>&1 9>&- &
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
        rm -f "$run/$name.pid"
    done
}

command -v systemd-nspawn >/dev/null || fail "systemd-nspawn is not installed; run tests/hosts/install.sh"
[[ $EUID -eq 0 ]] || fail "a container with its own process 1 needs root; run it with sudo"
case "${1:-}:$#" in
    up:[0-2] | exec:[0-2] | leader:1) fail "$1 needs more arguments; see the head of this file" ;;
    up:*) up "${@:2}" ;;
    down:*) down "${@:2}" ;;
    leader:*) leader "$2" ;;
    exec:*) enter "${@:2}" ;;
    *)
        sed -n '2,12{s/^# \{0,1\}//;p}' "$0" >&2
        exit 2
        ;;
esac
