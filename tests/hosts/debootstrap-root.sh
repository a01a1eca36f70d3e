#!/usr/bin/env bash
# Makes the root file system of another Debian release, for an agent to look at or to live in.
#
#   debootstrap-root.sh SUITE [DIR [PACKAGE...]]
#
# SUITE is bullseye (glibc 2.31), bookworm (2.36), trixie (2.41) or sid. DIR is the root, default
# tests/.cache/root-SUITE. Each PACKAGE is installed besides minbase, tzdata, libc-bin and procps.
# A root that already holds the packages is left alone; one that does not is made anew. The path of
# the root is the only line on stdout. Needs root and debootstrap. The mirror is the one apt uses.
set -euo pipefail

usage() { sed -n '2,9{s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }

# The site of this machine's own main archive, as apt has it configured.
apt_mirror() {
    # shellcheck disable=SC2016 # apt's fields, not the shell's
    apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk '$3 == "main" && $2 !~ /-/ { print $1; exit }'
}

[[ $# -ge 1 ]] || usage
suite=$1
root=${2:-$(dirname "$0")/../.cache/root-$suite}
shift $(($# < 2 ? $# : 2))
include=$(printf '%s\n' tzdata libc-bin procps "$@" | sort -u | paste -sd,)

if [[ $EUID -ne 0 ]]; then
    echo "debootstrap-root.sh: a root of $suite needs root (it makes devices and changes owners); run it with sudo" >&2
    exit 2
fi
if ! command -v debootstrap >/dev/null; then
    echo "debootstrap-root.sh: debootstrap is not installed; run tests/hosts/install.sh" >&2
    exit 2
fi

mkdir -p "$(dirname "$root")"
root=$(realpath -m "$root")
made=$root.made # what the finished root holds; beside it, so that the root itself stays untouched

# Two suites may ask for the same root at once: the second waits and finds it made.
exec 9>"$root.lock"
flock 9

if [[ ! -d $root || ! -f $made || $(<"$made") != "$suite $include" ]]; then
    mirror=$(apt_mirror)
    if [[ -z $mirror ]]; then
        echo "debootstrap-root.sh: apt knows no mirror (looked in 'apt-get indextargets'); configure one and run apt-get update" >&2
        exit 2
    fi
    packages=$(dirname "$root")/debs-$suite
    log=$root.log
    rm -rf --one-file-system "$root" "$root.partial" "$made"
    mkdir -p "$packages"
    if ! debootstrap --variant=minbase --include="$include" --cache-dir="$packages" \
        "$suite" "$root.partial" "$mirror" >"$log" 2>&1; then
        echo "debootstrap-root.sh: debootstrap of $suite from apt's mirror failed; its last lines (all in $log):" >&2
        tail -n 5 "$log" >&2
        exit 2
    fi
    # debootstrap copies these from the machine it runs on.
    rm -f "$root.partial"/etc/{hostname,resolv.conf}
    mv "$root.partial" "$root"
    printf '%s %s\n' "$suite" "$include" >"$made"
fi
printf '%s\n' "$root"
