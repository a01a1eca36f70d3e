#!/usr/bin/env bash
# Makes the Debian packages evenkeel-agent, evenkeel-collector and evenkeel (the command line) of programs that are built.
#
#   packages.sh PROGRAMS OUT [VERSION]
#
# PROGRAMS is the directory with the three programs, OUT where the packages go; VERSION is the workspace's unless given.
# LEVEL is how hard gzip tries, 1 to 9. The same programs, version and SOURCE_DATE_EPOCH make the same packages, byte for byte.
# Needs dpkg-deb and gzip.
set -euo pipefail
tree=$(dirname "$(dirname "$(realpath "$0")")")
# shellcheck source=deploy/about.sh
. "$tree/deploy/about.sh"

[[ $# -ge 2 ]] || { sed -n '2,8{s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
programs=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
version=${3:-$(workspace_version)}
architecture=$(dpkg-deb --version >/dev/null && dpkg --print-architecture)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What a package needs: for services systemd, and the C library that the program needs at least; nothing for one that is
# linked statically.
needs() {
    local newest
    [[ ! -e $work/$1/usr/lib/systemd ]] || printf 'systemd (>= 247), init-system-helpers, '
    newest=$(grep -ao 'GLIBC_2\.[0-9]*' "$programs/$1" | sort -Vu | tail -n 1)
    [[ -z $newest ]] || printf 'libc6 (>= %s), ' "${newest#GLIBC_}"
}

for package in "${names[@]}"; do
    root=$work/$package
    "$tree/deploy/stage.sh" "$programs" "$package" "$root"
    install -d -m 755 "$root/DEBIAN"
    if [[ -e $root/usr/lib/systemd ]]; then
        echo "/etc/evenkeel/${package#evenkeel-}.toml" >"$root/DEBIAN/conffiles"
        for script in postinst prerm postrm; do
            sed "s/@PACKAGE@/$package/g" "$tree/deploy/debian/service.$script" >"$root/DEBIAN/$script"
            chmod 755 "$root/DEBIAN/$script"
        done
    fi
    cat >"$root/DEBIAN/control" <<CONTROL
Package: $package
Version: $version
Architecture: $architecture
Maintainer: the evenkeel project <evenkeel@localhost>
Section: admin
Priority: optional
Installed-Size: $(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f 1)
Depends: $(needs "$package")
Description: ${summary[$package]}
 ${description[$package]//$'\n'/$'\n' }
CONTROL
    sed -i 's/^\(Depends: .*\), $/\1/; /^Depends: $/d' "$root/DEBIAN/control"
    (cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
    deb=$out/${package}_${version}_$architecture.deb
    dpkg-deb --root-owner-group -Zgzip "-z${LEVEL:-9}" --build "$root" "$deb" >/dev/null
    echo "$deb"
done
