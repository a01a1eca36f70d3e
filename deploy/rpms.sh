#!/usr/bin/env bash
# Makes RPMs of the same content as the Debian packages, with rpmbuild.
#
#   rpms.sh PROGRAMS OUT [VERSION]
#
# PROGRAMS is the directory with the three programs, OUT where the packages go; VERSION is the workspace's unless given.
# LEVEL is how hard gzip tries, 1 to 9. The same programs, version, rpmbuild and SOURCE_DATE_EPOCH make the same packages.
# Needs rpmbuild (Debian's package rpm will do) and gzip.
set -euo pipefail
tree=$(dirname "$(dirname "$(realpath "$0")")")
# shellcheck source=deploy/about.sh
. "$tree/deploy/about.sh"

[[ $# -ge 2 ]] || { sed -n '2,8{s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
programs=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
version=${3:-$(workspace_version)}
version=${version//-/\~} # what comes before a release sorts before it

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Directories that are ours alone, and every file; settings that were edited stay.
files() {
    (cd "$1" && find . -mindepth 1 \( -type d \( -path './usr/share/evenkeel*' -o -path './usr/share/doc/evenkeel*' -o -path ./etc/evenkeel \) -printf '%%dir /%P\n' \) -o \
        \( -type f -path './etc/*' -printf '%%config(noreplace) /%P\n' \) -o \( -type f -printf '/%P\n' \)) | sort
}

for package in "${names[@]}"; do
    root=$work/$package
    "$tree/deploy/stage.sh" "$programs" "$package" "$root"
    if [[ -d $root/usr/share/zsh ]]; then # where zsh looks, elsewhere than on Debian
        mv "$root/usr/share/zsh/vendor-completions" "$root/usr/share/zsh/site-functions"
    fi
    spec=$work/$package.spec
    {
        cat <<SPEC
# The programs are as they are shipped: nothing is stripped, split or compiled again.
%global debug_package %{nil}
%global __os_install_post %{nil}
%global _build_id_links none
%global use_source_date_epoch_as_buildtime 1
%global clamp_mtime_to_source_date_epoch 1
%global _buildhost localhost
%global _binary_payload w${LEVEL:-9}.gzdio
Name: $package
Version: $version
Release: 1
Summary: ${summary[$package]}
License: Apache-2.0
$([[ ! -e $root/usr/lib/systemd ]] || echo 'Requires: systemd')
%description
${description[$package]}
%install
mkdir -p %{buildroot}
cp -a $root/. %{buildroot}/
%files
$(files "$root")
SPEC
        [[ ! -e $root/usr/lib/systemd ]] || sed "s/@PACKAGE@/$package/g" "$tree/deploy/rpm/service.spec"
    } >"$spec"
    if ! rpmbuild -bb --quiet --define "_topdir $work/build" "$spec" >"$work/log" 2>&1; then
        cat "$work/log" >&2
        exit 2
    fi
done
find "$work/build/RPMS" -name '*.rpm' -exec mv -t "$out" {} + -printf "$out/%f\n" | sort
