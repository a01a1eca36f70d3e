#!/usr/bin/env bash
# Makes an image of each program, without an engine and without a registry: OUT/PROGRAM.tar, which docker load, podman load,
# ctr images import and skopeo copy oci-archive: take as it is.
#
#   image.sh OUT ARCH=PROGRAMS [ARCH=PROGRAMS]...
#
# PROGRAMS is a directory with the three programs, built for ARCH (amd64, arm64 ...): of several, an image of all is made, and
# each engine takes its own. VERSION is the workspace's unless set; LEVEL is how hard gzip tries, 1 to 9. CA_BUNDLE is what the
# collector believes receivers of alerts by; without that file it has none, and each receiver names its own roots.
# The same programs, version, bundle and SOURCE_DATE_EPOCH make the same images, byte for byte.
#
# An image holds its program (the collector's also `evenkeel`, to ask it with), a user that is not root, and nothing else. A
# program that is not linked statically brings its loader and libraries along: enough for tests, larger than need be.
set -euo pipefail
tree=$(dirname "$(dirname "$(dirname "$(realpath "$0")")")")

[[ $# -ge 2 && $2 == *=* ]] || { sed -n '2,15{s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
mkdir -p "$1"
out=$(realpath "$1")
shift
version=${VERSION:-$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$tree/Cargo.toml")}
bundle=${CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$tree" log -1 --format=%ct 2>/dev/null || echo 0)}
created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
readonly user=65532

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# archive DIR FILE...: a tar of these on stdout that says nothing of when and by whom it was made.
archive() {
    tar --create --directory "$1" --sort=name --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner "${@:2}"
}

# blob FILE MEDIA_TYPE: moves it to the image's blobs; `descriptor` is how others refer to it.
blob() {
    local size
    digest=$(sha256sum "$1" | cut -d ' ' -f 1)
    size=$(stat -c %s "$1")
    mv "$1" "$image/blobs/sha256/$digest"
    descriptor="\"mediaType\":\"$2\",\"digest\":\"sha256:$digest\",\"size\":$size"
}

put() { install -D -m 755 "$1/$2" "$root/usr/bin/$2"; libraries "$1/$2"; }

libraries() {
    local library needed
    needed=$(ldd "$1" 2>/dev/null | grep -o '/[^ ]*') || return 0
    echo "image.sh: $(basename "$1") is linked dynamically: its libraries come along" >&2
    for library in $needed; do
        install -D -m 755 "$library" "$root$library"
    done
}

# layer PROGRAM PROGRAMS: the whole file system, as one layer.
layer() {
    local root=$work/root state=var/lib/$1
    rm -rf "$root" && mkdir -p "$root/etc" "$root/var/lib"
    put "$2" "$1"
    printf 'root:x:0:0::/:/sbin/nologin\nevenkeel:x:%d:%d::/:/sbin/nologin\n' "$user" "$user" >"$root/etc/passwd"
    printf 'root:x:0:\nevenkeel:x:%d:\n' "$user" >"$root/etc/group"
    install -D -m 644 "$tree/LICENSE" "$root/usr/share/doc/$1/LICENSE"
    if [[ $1 == evenkeel-collector ]]; then
        put "$2" evenkeel
        [[ ! -r $bundle ]] || install -D -m 644 "$bundle" "$root/etc/ssl/certs/ca-certificates.crt"
    fi
    find "$root" -type d -exec chmod 755 {} +
    find "$root/etc" "$root/usr/share" -type f -exec chmod 644 {} +
    archive "$root" . >"$work/layer.tar"
    # Its own state is the user's; a volume that is mounted there takes after it.
    if [[ $1 != evenkeel ]]; then
        mkdir -p "$root/$state"
        tar --append --directory "$root" --file "$work/layer.tar" --format=gnu --mtime="@$SOURCE_DATE_EPOCH" --owner="$user" \
            --group="$user" --numeric-owner --mode=0700 "./$state"
    fi
    rm -rf "$root"
}

# settings PROGRAM: how a container of it runs.
settings() {
    local program=$1 env ports='' volumes='' check='' command='"--help"'
    env='"PATH=/usr/bin"'
    case $1 in
        evenkeel-agent)
            env+=',"EVENKEEL_STATE_DIR=/var/lib/evenkeel-agent"' command='"run"'
            ;;
        evenkeel-collector)
            env+=',"EVENKEEL_DATA_DIR=/var/lib/evenkeel-collector","SQLITE_TMPDIR=/var/lib/evenkeel-collector"' command='"run"'
            ports='"ExposedPorts":{"7443/tcp":{},"7444/tcp":{},"7480/tcp":{}},'
            ;;
    esac
    if [[ $1 != evenkeel ]]; then
        volumes="\"Volumes\":{\"/var/lib/$1\":{}},"
        # In nanoseconds: each minute, up to 10 s, three times in a row, and not before it has begun.
        check="\"Healthcheck\":{\"Test\":[\"CMD\",\"/usr/bin/$1\",\"health\"],\"Interval\":60000000000,\"Timeout\":10000000000"
        check+=',"StartPeriod":30000000000,"Retries":3},'
    fi
    cat <<JSON
{"User":"$user:$user","Env":[$env],"Entrypoint":["/usr/bin/$program"],"Cmd":[$command],"WorkingDir":"/",$ports$volumes$check"StopSignal":"SIGTERM","Labels":{"org.opencontainers.image.title":"$program","org.opencontainers.image.description":"$(description "$program")","org.opencontainers.image.version":"$version","org.opencontainers.image.licenses":"Apache-2.0","org.opencontainers.image.created":"$created","org.opencontainers.image.vendor":"the evenkeel project"}}
JSON
}

description() {
    case $1 in
        evenkeel-agent) echo "reports what this machine really is" ;;
        evenkeel-collector) echo "says where dev, test, staging and prod differ" ;;
        evenkeel) echo "asks where dev, test, staging and prod differ" ;;
    esac
}

# make PROGRAM ARCH=PROGRAMS...
make() {
    local program=$1 pair architecture diff manifests='' descriptor digest layer config file
    local image=$work/$1
    shift
    rm -rf "$image" && mkdir -p "$image/blobs/sha256"
    local legacy=''
    for pair in "$@"; do
        architecture=${pair%%=*}
        layer "$program" "$(realpath "${pair#*=}")"
        diff=$(sha256sum "$work/layer.tar" | cut -d ' ' -f 1)
        gzip "-${LEVEL:-9}" -n <"$work/layer.tar" >"$work/layer.gz"
        blob "$work/layer.gz" application/vnd.oci.image.layer.v1.tar+gzip
        layer=$descriptor file=$digest
        printf '{"created":"%s","architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"%s","created_by":"deploy/image/image.sh"}]}' \
            "$created" "$architecture" "$(settings "$program")" "$diff" "$created" >"$work/config"
        blob "$work/config" application/vnd.oci.image.config.v1+json
        config=$descriptor
        [[ $architecture != "$(own_architecture)" && $# -gt 1 ]] ||
            legacy="[{\"Config\":\"blobs/sha256/$digest\",\"RepoTags\":[\"$program:$version\"],\"Layers\":[\"blobs/sha256/$file\"]}]"
        printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{%s},"layers":[{%s}]}' \
            "$config" "$layer" >"$work/manifest"
        blob "$work/manifest" application/vnd.oci.image.manifest.v1+json
        manifests+="${manifests:+,}{$descriptor,\"platform\":{\"architecture\":\"$architecture\",\"os\":\"linux\"}}"
    done
    if [[ $# -gt 1 ]]; then
        printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}' "$manifests" >"$work/index"
        blob "$work/index" application/vnd.oci.image.index.v1+json
    fi
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{%s,"annotations":{"org.opencontainers.image.ref.name":"%s","io.containerd.image.name":"docker.io/library/%s:%s"}}]}' \
        "$descriptor" "$version" "$program" "$version" >"$image/index.json"
    printf '{"imageLayoutVersion":"1.0.0"}' >"$image/oci-layout"
    # For engines from before the layout above: of this machine's architecture.
    local parts=(oci-layout index.json blobs)
    [[ -z $legacy ]] || { printf '%s' "$legacy" >"$image/manifest.json" && parts+=(manifest.json); }
    archive "$image" "${parts[@]}" >"$out/$program.tar.part"
    mv "$out/$program.tar.part" "$out/$program.tar"
    printf '%s: %s:%s, %d KiB\n' "$out/$program.tar" "$program" "$version" $(($(stat -c %s "$out/$program.tar") / 1024))
}

own_architecture() {
    case $(uname -m) in
        x86_64) echo amd64 ;;
        aarch64) echo arm64 ;;
        *) uname -m ;;
    esac
}

for program in evenkeel-agent evenkeel-collector evenkeel; do
    make "$program" "$@"
done
