#!/usr/bin/env bash
# The demo: one collector, this machine's own agent live as dev, and three recorded hosts as test, staging and prod.
#
#   run.sh PROGRAMS     PROGRAMS is the directory of evenkeel, evenkeel-agent and evenkeel-collector
#
# Everything happens in a temporary directory and on free ports of 127.0.0.1; nothing needs root and nothing is left.
# With EVENKEEL_DEMO_STAY set it stays up until Enter is pressed, to be asked more.
set -euo pipefail

shown=${1:?usage: run.sh DIRECTORY-OF-THE-PROGRAMS}
programs=$(realpath "$shown")
recorded=$(realpath "$(dirname "$(realpath "$0")")/../../tests/recorded")
readonly tries=200 # times 0.1 s: a second is enough on an idle machine

work=$(mktemp -d)
started=()
# shellcheck disable=SC2317 # called by the trap
clean_up() {
    [[ ${#started[@]} -eq 0 ]] || kill "${started[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap clean_up EXIT

export EVENKEEL_DATA_DIR=$work/collector
unset EVENKEEL_COLLECTOR EVENKEEL_STATE_DIR
PATH=$programs:$PATH

# Waits until the command succeeds, a bounded number of times.
await() {
    local try
    for ((try = 0; try < tries; try++)); do
        ! "${@:2}" || return 0
        sleep 0.1
    done
    echo "demo: $1 did not come to pass; the last lines of what ran:" >&2
    tail -n 5 "$work"/*.log >&2
    exit 2
}

# The port, from the collector's own log.
enrolment_address() { sed -n 's/.*"enroll": *"\([^"]*\)".*/\1/p' "$work/collector.log"; }
is_ready() { [[ -n $(enrolment_address) ]]; }
all_report() { [[ $(evenkeel nodes -o json | grep -c '"facts": [1-9]') -eq $1 ]]; }

bold='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then bold=$'\033[1m' plain=$'\033[0m'; fi

say() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }

# Shows a command as one would type it, and what it prints; its exit code is kept in $code.
show() {
    printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"
    code=0
    "$@" || code=$?
}

# node ENVIRONMENT ROOT: enrols an agent with a token of its environment, and starts it.
node() {
    local environment=$1 root=$2
    evenkeel token create --env "$environment" --token-file "$work/$environment.token" 2>>"$work/$environment.log"
    evenkeel-agent enroll --collector "https://$(enrolment_address)" --token-file "$work/$environment.token" \
        --state-dir "$work/$environment" --root "$root" >>"$work/$environment.log" 2>&1
    evenkeel-agent run --state-dir "$work/$environment" --root "$root" --interval 1s 2>>"$work/$environment.log" &
    started+=($!)
}

: >"$work/collector.log"
evenkeel-collector run --listen 127.0.0.1:0 --enroll-listen 127.0.0.1:0 --http-listen 127.0.0.1:0 \
    2>>"$work/collector.log" &
started+=($!)
await "the start of the collector" is_ready
node dev /
for environment in test staging prod; do
    node "$environment" "$recorded/$environment"
done
await "a report of each of the four nodes" all_report 4

say "One collector, four machines: this one, live, as dev, and three recorded ones."
show evenkeel nodes
say "What works on staging fails in prod when the clocks change. How do they differ?"
show evenkeel report --severity critical
say "Who has which Go, and which rule says that it matters?"
show evenkeel explain go.version
say "In a pipeline: test may be promoted to prod, staging may not."
show evenkeel gate --from test --to prod
echo "exit code $code"
show evenkeel gate --from staging --to prod --fail-on critical
echo "exit code $code"

if [[ -n ${EVENKEEL_DEMO_STAY:-} ]]; then
    say "Ask more from another terminal; Enter ends the demo."
    # shellcheck disable=SC2016 # for the reader's shell to expand
    printf '  export EVENKEEL_DATA_DIR=%s PATH=%s:$PATH\n' "$EVENKEEL_DATA_DIR" "$programs"
    read -r || true
fi

say "Nothing of this is left. Next, with your own machines (README.md has the rest):"
cat <<END
  $shown/evenkeel-collector run
  $shown/evenkeel token create --env dev --token-file dev.token
  $shown/evenkeel-agent enroll --token-file dev.token \\
      --collector https://127.0.0.1:7444
END
