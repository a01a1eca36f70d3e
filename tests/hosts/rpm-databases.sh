#!/usr/bin/env bash
# Makes real rpm databases with a real rpm, and says what rpm itself finds in them.
#
#   rpm-databases.sh ROOT DIR
#
# ROOT is a root with rpm in it (debootstrap-root.sh trixie ROOT rpm; the rpm of older Debian releases writes no ndb).
# For each FORM of sqlite and ndb this makes DIR/FORM/var/lib/rpm, a database with packages of every kind: with and
# without epoch, for all architectures, for a foreign one, several versions side by side, upgraded, removed, with many
# files. DIR/FORM.txt has what `rpm -qa` says: name, architecture and version a line. Needs root, for chroot.
set -euo pipefail

root=${1:?usage: rpm-databases.sh ROOT DIR}
dir=${2:?usage: rpm-databases.sh ROOT DIR}
[[ $EUID -eq 0 ]] || { echo "rpm-databases.sh: chroot needs root; run it with sudo" >&2; exit 2; }

mkdir -p "$dir"
work=$(mktemp -d "$root/tmp/rpm.XXXXXX")
trap 'rm -rf "$work"' EXIT
inside=${work#"$root"}

# package NAME VERSION RELEASE ARCHITECTURE [EPOCH]: with a description of its own length, and a hundred files.
package() {
    local spec=$work/$1-$2-$3.spec
    {
        printf 'Name: %s\nVersion: %s\nRelease: %s\nSummary: a package of tests\nLicense: none\n' "$1" "$2" "$3"
        [[ $4 != noarch ]] || echo 'BuildArch: noarch'
        [[ -z ${5:-} ]] || echo "Epoch: $5"
        printf '%%description\n%s\n' "$(seq -s ' ' "$((RANDOM % 2000))")"
        # shellcheck disable=SC2016 # expanded by rpmbuild
        printf '%%install\nmkdir -p %%{buildroot}/opt/%s-%s\ncd %%{buildroot}/opt/%s-%s\ntouch $(seq 100)\n' "$1" "$2" "$1" "$2"
        printf '%%files\n/opt/%s-%s\n' "$1" "$2"
    } >"$spec"
    echo "$4 $inside/${spec##*/}" >>"$work/list"
}

RANDOM=1 # the same lengths each time
for number in $(seq 120); do
    package "plain-$number" "1.$number" 1 x86_64
done
package epochal 3.0 2 x86_64 32
package everywhere 2.1~rc1 4.fc40 noarch
package foreign 1.0 1 i686
package kernel 6.18.1 200 x86_64
package kernel 6.18.2 200 x86_64
package upgraded 1.0 1 x86_64
package upgraded 1.0^git1 1 x86_64
package removed 1.0 1 x86_64

cat >"$work/make.sh" <<'INSIDE'
set -euo pipefail
cd "$(dirname "$0")"
while read -r architecture spec; do
    rpmbuild -bb --quiet --define "_topdir $PWD/build" --target "$architecture" "$spec" </dev/null >build.log 2>&1 || { tail -n 3 build.log >&2; exit 1; }
done <list
packages=$PWD/build/RPMS
for form in sqlite ndb; do
    database=$PWD/$form/var/lib/rpm
    mkdir -p "$database"
    rpm() { command rpm --define "_db_backend $form" --dbpath "$database" "$@"; }
    rpm --initdb
    rpm -i --justdb --nodeps --ignorearch $(find "$packages" -name '*.rpm' ! -name '*^git1*')
    rpm -U --justdb --nodeps "$packages"/x86_64/upgraded-1.0^git1-1.x86_64.rpm
    rpm -e --justdb --nodeps removed $(seq -f 'plain-%g' 3 7 120)
    rpm -qa --qf '%{name} %{arch} %{evr}\n' | sort >"$form.txt"
done
INSIDE
chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/nonexistent bash "$inside/make.sh"
for form in sqlite ndb; do
    rm -rf "${dir:?}/$form"
    cp -r "$work/$form" "$work/$form.txt" "$dir/"
done
