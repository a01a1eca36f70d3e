# shellcheck shell=bash disable=SC2034,SC2154 # sourced by what makes packages: it uses these, and says where the tree is
# What the packages are: for Debian's, RPMs and the tarball alike.

names=(evenkeel-agent evenkeel-collector evenkeel)

declare -A summary=(
    [evenkeel-agent]="reports what this machine really is"
    [evenkeel-collector]="says where dev, test, staging and prod differ"
    [evenkeel]="asks where dev, test, staging and prod differ"
)

declare -A description=(
    [evenkeel-agent]="The agent of evenkeel looks at the machine it runs on (kernel, C library,
sysctls, Go toolchains and programs, packages, time zone data) and reports to
a collector, which says where the environments differ."
    [evenkeel-collector]="The collector of evenkeel takes the reports of its agents, compares the
environments and says in plain words where they differ, on which nodes, and
since when. Its store is inside; it needs no other server."
    [evenkeel]="The command line of evenkeel: reports, diffs, gates for pipelines; of a
collector, or of snapshot files without one."
)

# The workspace's own version.
workspace_version() { sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$tree/Cargo.toml"; }

# When the last commit was made: the same tree makes the same packages, byte for byte.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$tree" log -1 --format=%ct 2>/dev/null || echo 0)}
