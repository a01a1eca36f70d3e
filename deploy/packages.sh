#!/usr/bin/env bash
# Makes the Debian packages evenkeel-agent, evenkeel-collector and evenkeel (the command line) of programs that are built.
#
#   packages.sh PROGRAMS OUT [VERSION]
#
# PROGRAMS is the directory with the three programs, OUT where the packages go; VERSION is the workspace's unless given.
# LEVEL is how hard gzip tries, 1 to 9. The same programs, version and SOURCE_DATE_EPOCH make the same packages, byte for byte. Needs dpkg-deb and gzip.
set -euo pipefail
tree=$(dirname "$(dirname "$(realpath "$0")")")

[[ $# -ge 2 ]] || { sed -n '2,8{s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
programs=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
version=${3:-$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$tree/Cargo.toml")}
architecture=$(dpkg-deb --version >/dev/null && dpkg --print-architecture)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$tree" log -1 --format=%ct 2>/dev/null || echo 0)}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The C library that a program needs at least; nothing for one that is linked statically.
needs() {
    local newest
    newest=$(grep -ao 'GLIBC_2\.[0-9]*' "$1" | sort -Vu | tail -n 1)
    [[ -z $newest ]] || printf 'libc6 (>= %s), ' "${newest#GLIBC_}"
}

# put MODE FILE PATH: FILE becomes PATH of the package that is being made.
put() { install -D -m "$1" "$2" "$root/$3"; }

pages() { # those of the program, and not those of another whose name begins alike
    local page name
    for page in "$tree"/deploy/man/"$1"*.1; do
        name=$(basename "$page")
        [[ $1 == evenkeel && $name =~ ^evenkeel-(agent|collector) ]] && continue
        install -D -m 644 "$page" "$root/usr/share/man/man1/$name"
        gzip -9n "$root/usr/share/man/man1/$name"
    done
}

# begin PACKAGE: its root, its program, its papers.
begin() {
    package=$1 root=$work/$1
    install -d -m 755 "$root/DEBIAN"
    put 755 "$programs/$package" "usr/bin/$package"
    pages "$package"
    put 644 "$tree/deploy/debian/copyright" "usr/share/doc/$package/copyright"
    put 644 "$tree/CHANGELOG.md" "usr/share/doc/$package/changelog"
    gzip -9n "$root/usr/share/doc/$package/changelog"
}

service() {
    put 644 "$tree/deploy/systemd/$package.service" "usr/lib/systemd/system/$package.service"
    put 644 "$tree/deploy/systemd/$package.sysusers.conf" "usr/lib/sysusers.d/$package.conf"
    put 644 "$tree/deploy/systemd/$package.tmpfiles.conf" "usr/lib/tmpfiles.d/$package.conf"
    local drop_in script
    for drop_in in "$tree/deploy/systemd/$package.service.d"/*.conf; do
        put 644 "$drop_in" "usr/share/doc/$package/systemd/$(basename "$drop_in")"
    done
    put 644 "$tree/deploy/examples/${package#evenkeel-}.toml" "etc/evenkeel/${package#evenkeel-}.toml"
    echo "/etc/evenkeel/${package#evenkeel-}.toml" >"$root/DEBIAN/conffiles"
    for script in postinst prerm postrm; do
        sed "s/@PACKAGE@/$package/g" "$tree/deploy/debian/service.$script" >"$root/DEBIAN/$script"
        chmod 755 "$root/DEBIAN/$script"
    done
}

# finish DEPENDS SUMMARY, with the description on stdin.
finish() {
    cat >"$root/DEBIAN/control" <<CONTROL
Package: $package
Version: $version
Architecture: $architecture
Maintainer: the evenkeel project <evenkeel@localhost>
Section: admin
Priority: optional
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f 1)
Depends: $(needs "$programs/$package")$1
Description: $2
$(sed 's/^/ /')
CONTROL
    sed -i 's/^Depends: \(.*\), $/Depends: \1/; /^Depends: $/d' "$root/DEBIAN/control"
    (cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
    dpkg-deb --root-owner-group -Zgzip "-z${LEVEL:-9}" --build "$root" "$out/${package}_${version}_$architecture.deb" >/dev/null
    echo "$out/${package}_${version}_$architecture.deb"
}

begin evenkeel-agent
service
finish "systemd (>= 247)" "reports what this machine really is" <<'TEXT'
The agent of evenkeel looks at the machine it runs on (kernel, C library,
sysctls, Go toolchains and programs, packages, time zone data) and reports to
a collector, which says where the environments differ.
TEXT

begin evenkeel-collector
service
finish "systemd (>= 247)" "says where dev, test, staging and prod differ" <<'TEXT'
The collector of evenkeel takes the reports of its agents, compares the
environments and says in plain words where they differ, on which nodes, and
since when. Its store is inside; it needs no other server.
TEXT

begin evenkeel
for shell in bash:usr/share/bash-completion/completions/evenkeel zsh:usr/share/zsh/vendor-completions/_evenkeel \
    fish:usr/share/fish/vendor_completions.d/evenkeel.fish; do
    install -d "$(dirname "$root/${shell#*:}")"
    "$programs/evenkeel" completions "${shell%%:*}" >"$root/${shell#*:}"
done
finish "" "asks where dev, test, staging and prod differ" <<'TEXT'
The command line of evenkeel: reports, diffs, gates for pipelines; of a
collector, or of snapshot files without one.
TEXT
