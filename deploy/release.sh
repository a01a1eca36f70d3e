#!/usr/bin/env bash
# Makes a release of programs that are built: Debian packages, RPMs, a tarball, what is inside (SBOM), and checksums of all.
#
#   release.sh PROGRAMS OUT
#
# PROGRAMS is the directory with the three programs, OUT where the release goes: an empty directory, or one that holds what
# belongs to the release besides. LEVEL is how hard gzip tries, 1 to 9. The same tree, programs and SOURCE_DATE_EPOCH (else the
# last commit's time) make the same files, byte for byte. Needs dpkg-deb, python3, cargo and rpmbuild; without the last the
# RPMs are left out, and that is said.
set -euo pipefail
tree=$(dirname "$(dirname "$(realpath "$0")")")
# shellcheck source=deploy/about.sh
. "$tree/deploy/about.sh"

[[ $# -eq 2 ]] || { sed -n '2,9{s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
programs=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
version=$(workspace_version)
release=evenkeel-$version-linux-$(uname -m)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$tree/deploy/packages.sh" "$programs" "$out"
if command -v rpmbuild >/dev/null; then
    "$tree/deploy/rpms.sh" "$programs" "$out"
else
    echo "release.sh: RPMs left out: there is no rpmbuild (Debian: apt-get install rpm)" >&2
fi

"$tree/deploy/sbom.py" "$programs" >"$out/$release.cdx.json"
echo "$out/$release.cdx.json"

for package in "${names[@]}"; do
    "$tree/deploy/stage.sh" "$programs" "$package" "$work/$release"
done
doc=$work/$release/usr/share/doc/evenkeel
install -m 644 "$tree/LICENSE" "$doc"
install -m 644 "$out/$release.cdx.json" "$doc/sbom.cdx.json"
tar --create --directory="$work" --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    --mode=go-w "$release" | gzip "-${LEVEL:-9}n" >"$out/$release.tar.gz"
echo "$out/$release.tar.gz"

(cd "$out" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%f\0' | sort -z | xargs -0 sha256sum) >"$work/sums"
mv "$work/sums" "$out/SHA256SUMS"
echo "$out/SHA256SUMS"
