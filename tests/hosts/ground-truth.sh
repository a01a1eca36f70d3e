#!/usr/bin/env bash
# What a platform's own tools say of it, as JSON: the truth that the agent's facts are held against.
#
#   ground-truth.sh [--go GO] [PROGRAM...]      GO is the `go` that reads the PROGRAMs, default: the one on PATH
#
# Run it inside the host in question (enter.sh, nspawn.sh exec, netns.sh exec). It wants bash and awk only, so that it
# runs in a minbase root. Every value is raw text, as the tool printed it; null is a tool that is not there or
# failed; a sysctl that prints several lines has them joined by line feeds; one that may not be read is not listed.
#
#   { "uname": {"release", "version", "machine", "nodename"}, "sysctl": {KEY: TEXT}, "getconf": {"GNU_LIBC_VERSION"},
#     "os_release": {NAME: TEXT}, "tzdata": {"package", "zi"}, "localtime", "nproc", "memory_bytes",
#     "dpkg": LINES of state, name, architecture, version, "go_version_m": {PROGRAM: TEXT} }
set -euo pipefail
export LC_ALL=C

# For awk: text as it stands inside a JSON string. Bytes above 127 pass: they are UTF-8 already.
# shellcheck disable=SC2016 # awk's fields, not the shell's
readonly quote='
    BEGIN { for (i = 1; i < 32; i++) escape[sprintf("%c", i)] = sprintf("\\u%04x", i)
            escape["\""] = "\\\""; escape["\\"] = "\\\\" }
    function quote(text,   i, c, out) {
        for (i = 1; i <= length(text); i++) { c = substr(text, i, 1); out = out ((c in escape) ? escape[c] : c) }
        return out
    }'

# stdin as one JSON string, without the last line feed.
json_string() {
    awk "$quote"' BEGIN { printf "\"" } { printf "%s%s", (NR > 1) ? "\\n" : "", quote($0) } END { printf "\"" }'
}

# One member: what the command printed, or null.
member() {
    local name=$1 text
    shift
    printf '%s: ' "$(json_string <<<"$name")"
    if text=$("$@" 2>/dev/null); then json_string <<<"$text"; else printf null; fi
}

# `sysctl -a` says "key = value"; it repeats the key for each line of a value.
sysctls() {
    command -v sysctl >/dev/null || { printf null; return; }
    { sysctl -a 2>/dev/null || true; } | awk "$quote"'
        BEGIN { printf "{" }
        { at = index($0, " =")
          if (!at) next
          key = substr($0, 1, at - 1); value = substr($0, at + 2); sub(/^ /, "", value)
          if (key == last) { printf "\\n%s", quote(value); next }
          printf "%s\n    \"%s\": \"%s", (last == "") ? "" : "\",", quote(key), quote(value)
          last = key }
        END { printf "%s}", (last == "") ? "" : "\"" }'
}

# The specification says that os-release is read by a shell, so a shell reads it.
os_release() {
    local file=/etc/os-release name separator=
    [[ -r $file ]] || file=/usr/lib/os-release
    [[ -r $file ]] || { printf null; return; }
    printf '{'
    while read -r name; do
        printf '%s' "$separator"
        # shellcheck disable=SC2016 # expanded by the inner shell
        member "$name" env -i bash -c '. "$1"; printf %s "${!2}"' - "$file" "$name"
        separator=', '
    done < <(sed -n 's/^\([A-Z0-9_]\{1,\}\)=.*/\1/p' "$file")
    printf '}'
}

programs() {
    local go=$1 program separator=
    shift
    printf '{'
    for program in "$@"; do
        printf '%s' "$separator"
        member "$program" "$go" version -m "$program"
        separator=', '
    done
    printf '}'
}

memory_bytes() { awk '$1 == "MemTotal:" { printf "%.0f\n", $2 * 1024 }' /proc/meminfo; }
zi_version() { head -n 1 /usr/share/zoneinfo/tzdata.zi; }
# shellcheck disable=SC2016 # dpkg's fields, not the shell's
dpkg_packages() { dpkg-query -W -f '${db:Status-Status} ${Package} ${Architecture} ${Version}\n'; }
localtime() { readlink -f /etc/localtime; }

go=go
if [[ ${1:-} == --go ]]; then
    go=${2:?--go needs the path of a go command}
    shift 2
fi

printf '{ "uname": {%s, %s, %s, %s},\n' "$(member release uname -r)" "$(member version uname -v)" \
    "$(member machine uname -m)" "$(member nodename uname -n)"
printf '  "sysctl": %s,\n' "$(sysctls)"
printf '  "getconf": {%s},\n' "$(member GNU_LIBC_VERSION getconf GNU_LIBC_VERSION)"
printf '  "os_release": %s,\n' "$(os_release)"
# shellcheck disable=SC2016 # dpkg's field, not the shell's
printf '  "tzdata": {%s, %s},\n' "$(member package dpkg-query -W -f '${Version}' tzdata)" "$(member zi zi_version)"
printf '  %s,\n  %s,\n  %s,\n' "$(member localtime localtime)" "$(member nproc nproc)" "$(member memory_bytes memory_bytes)"
printf '  %s,\n' "$(member dpkg dpkg_packages)"
printf '  "go_version_m": %s }\n' "$(programs "$go" "$@")"
