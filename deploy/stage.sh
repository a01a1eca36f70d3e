#!/usr/bin/env bash
# Lays the files of one package out as they lie on a host: for Debian packages, RPMs and the tarball alike.
#
#   stage.sh PROGRAMS PACKAGE ROOT
#
# PROGRAMS is the directory with the three programs; PACKAGE is evenkeel-agent, evenkeel-collector or evenkeel (the command
# line); ROOT is where the files go.
set -euo pipefail
tree=$(dirname "$(dirname "$(realpath "$0")")")

[[ $# -eq 3 ]] || { sed -n '2,7{s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
programs=$1 package=$2 root=$3
umask 022

# put MODE FILE PATH: FILE becomes PATH of the package.
put() { install -D -m "$1" "$2" "$root/$3"; }

# Those of the program, and not those of another whose name begins alike.
pages() {
    local page name
    for page in "$tree/deploy/man/$package"*.1; do
        name=$(basename "$page")
        [[ $package == evenkeel && $name =~ ^evenkeel-(agent|collector) ]] && continue
        put 644 "$page" "usr/share/man/man1/$name"
        gzip -9n "$root/usr/share/man/man1/$name"
    done
}

completions() {
    local shell
    for shell in bash:usr/share/bash-completion/completions/evenkeel zsh:usr/share/zsh/vendor-completions/_evenkeel \
        fish:usr/share/fish/vendor_completions.d/evenkeel.fish; do
        install -d "$(dirname "$root/${shell#*:}")"
        "$programs/evenkeel" completions "${shell%%:*}" >"$root/${shell#*:}"
    done
}

service() {
    local name=${package#evenkeel-} drop_in
    put 644 "$tree/deploy/systemd/$package.service" "usr/lib/systemd/system/$package.service"
    put 644 "$tree/deploy/systemd/$package.sysusers.conf" "usr/lib/sysusers.d/$package.conf"
    put 644 "$tree/deploy/systemd/$package.tmpfiles.conf" "usr/lib/tmpfiles.d/$package.conf"
    for drop_in in "$tree/deploy/systemd/drop-ins/$package"/*.conf; do
        put 644 "$drop_in" "usr/share/$package/systemd/$(basename "$drop_in")"
    done
    put 644 "$tree/deploy/examples/$name.toml" "etc/evenkeel/$name.toml"
}

install -d -m 755 "$root"
put 755 "$programs/$package" "usr/bin/$package"
pages
put 644 "$tree/deploy/debian/copyright" "usr/share/doc/$package/copyright"
put 644 "$tree/CHANGELOG.md" "usr/share/doc/$package/changelog"
gzip -9n "$root/usr/share/doc/$package/changelog"
case $package in
    evenkeel-agent) service ;;
    evenkeel-collector)
        service
        for rules in "$tree"/deploy/prometheus/{alerting,recording}.yml; do
            put 644 "$rules" "usr/share/$package/prometheus/$(basename "$rules")"
        done
        put 644 "$tree/deploy/grafana/evenkeel.json" "usr/share/$package/grafana/evenkeel.json"
        ;;
    evenkeel)
        completions
        for policy in "$tree"/deploy/policies/*.toml; do
            put 644 "$policy" "usr/share/$package/policies/$(basename "$policy")"
        done
        # Alerts say where their runbook is: here.
        put 644 "$tree/README.md" "usr/share/doc/$package/README.md"
        for page in "$tree"/docs/*.md; do
            put 644 "$page" "usr/share/doc/$package/docs/$(basename "$page")"
        done
        ;;
esac
