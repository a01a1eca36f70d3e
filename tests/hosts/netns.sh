#!/usr/bin/env bash
# Hosts on one machine: network namespaces, each with its own net.* sysctls, joined by one bridge.
#
#   netns.sh up NAME            makes the namespace (or finds it) and prints its address
#   netns.sh exec NAME CMD...   runs CMD inside it, in place of this process
#   netns.sh gateway            prints the address of this side: where a collector listens for all of them
#   netns.sh down [NAME...]     removes these namespaces, or all; the bridge goes with the last one
#
# A namespace is called evenkeel-NAME, so that nobody else's is touched. Addresses are of 198.18.0.0/24, the
# range set aside for tests by RFC 2544; nothing is routed beyond the bridge. All state is the kernel's own.
# Processes inside belong to who started them: end them before `down`, or the namespace lives on without a name.
set -euo pipefail

readonly bridge=evenkeel0 prefix=evenkeel- network=198.18.0 length=24
readonly lock=/run/lock/evenkeel-netns.lock

fail() {
    echo "netns.sh: $1" >&2
    exit 2
}

namespaces() { ip netns list | awk -v prefix="$prefix" 'index($1, prefix) == 1 { print $1 }'; }

address() { ip -netns "$1" -4 -oneline address show dev eth0 2>/dev/null | awk '{ sub("/.*", "", $4); print $4 }'; }

make_bridge() {
    ip link show "$bridge" >/dev/null 2>&1 && return
    # Without an address of its own it takes the lowest of its ports, and another one when that port goes: whoever
    # remembers the old one reaches nobody for a minute.
    ip link add "$bridge" address 02:00:c6:12:00:01 type bridge
    ip address add "$network.1/$length" dev "$bridge"
    ip link set "$bridge" up
}

# The lowest address that no namespace holds.
free_address() {
    local taken namespace number
    taken=" $(for namespace in $(namespaces); do address "$namespace"; done | tr '\n' ' ')"
    for number in {2..254}; do
        if [[ $taken != *" $network.$number "* ]]; then
            echo "$network.$number"
            return
        fi
    done
    fail "all 253 addresses of $network.0/$length are taken; remove what is left over with 'netns.sh down'"
}

up() {
    local namespace=$prefix$1 address port
    [[ $1 =~ ^[a-z0-9][a-z0-9._-]{0,62}$ ]] || fail "'$1' is not a name: lower-case letters, digits, '.', '_' and '-'"
    address=$(address "$namespace" || true)
    if [[ -z $address ]]; then
        make_bridge
        address=$(free_address)
        # Interface names end at 15 characters, so the bridge's end is named by the address, which is unique.
        port=evenkeel${address##*.}
        ip netns add "$namespace" 2>/dev/null || true
        ip link add "$port" type veth peer name eth0 netns "$namespace"
        ip link set "$port" master "$bridge" up
        ip -netns "$namespace" link set lo up
        ip -netns "$namespace" address add "$address/$length" dev eth0
        ip -netns "$namespace" link set eth0 up
    fi
    echo "$address"
}

down() {
    local names=("$@") name namespace
    if [[ $# -eq 0 ]]; then
        mapfile -t names < <(namespaces | cut -c$((${#prefix} + 1))-)
    fi
    for name in "${names[@]}"; do
        namespace=$prefix$name
        [[ -e /run/netns/$namespace ]] || continue
        # With its port gone at once the address is free; the kernel takes the namespace apart later.
        ip -netns "$namespace" link delete eth0 2>/dev/null || true
        ip netns delete "$namespace"
    done
    [[ -n $(namespaces) ]] || ip link delete "$bridge" 2>/dev/null || true
}

command -v ip >/dev/null || fail "ip is not installed; run tests/hosts/install.sh"
[[ $EUID -eq 0 ]] || fail "network namespaces with addresses need root; run it with sudo"
verb=${1:-}
shift || true
case $verb in
    up | down)
        exec 9>"$lock" # suites run side by side: one at a time gives out addresses
        flock 9
        "$verb" "$@"
        ;;
    exec)
        [[ $# -ge 2 ]] || fail "exec needs a NAME and a command"
        exec ip netns exec "$prefix$1" "${@:2}"
        ;;
    gateway) echo "$network.1" ;;
    *)
        sed -n '2,11{s/^# \{0,1\}//;p}' "$0" >&2
        exit 2
        ;;
esac
