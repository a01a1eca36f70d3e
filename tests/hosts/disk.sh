#!/usr/bin/env bash
# A disk of one's own: ext4 in a file, that can lose its power, fill up or be slow.
#
#   disk.sh make DIR MIB     makes DIR/image and mounts it on DIR/mount
#   disk.sh cut DIR          cuts the power: what was not written through by then never will be
#   disk.sh again DIR        mounts it again, as a machine does that starts: end those who use it first
#   disk.sh slow DIR N       lets N writes a second through; 0: as many as it can
#   disk.sh remove DIR       unmounts it and deletes the image
#
# The cut is ext4's own (FS_IOC_SHUTDOWN without a last write of its log): of what is in memory nothing reaches the image any
# more. It takes a moment, in which some fdatasync() that were under way are reported as done and are not (seen with Linux 6.18,
# once in 8 cuts): what counts is what was acknowledged before. What was handed to the image without a flush stays there: a disk with a cache of its own would lose that, too.
set -euo pipefail

fail() {
    echo "disk.sh: $1" >&2
    exit 2
}

device() { findmnt --noheadings --output SOURCE --target "$dir/mount"; }

slow() {
    local limit=/sys/fs/cgroup/blkio/blkio.throttle.write_iops_device
    [[ -w $limit ]] || fail "no block device can be slowed down here: $limit is not writable"
    echo "$(cat "/sys/block/$(basename "$(device)")/dev") $1" >"$limit"
}

[[ $# -ge 2 ]] || fail "usage: disk.sh make|cut|again|slow|remove DIR [NUMBER]"
verb=$1 dir=$2
case $verb in
    make)
        mkdir -p "$dir/mount"
        truncate --size "${3:?MIB}M" "$dir/image"
        mkfs.ext4 -q -F -m 0 "$dir/image"
        mount -o loop "$dir/image" "$dir/mount"
        ;;
    # FS_IOC_SHUTDOWN is _IOR('X', 125, __u32); 2 is FS_SHUTDOWN_FLAGS_NOLOGFLUSH.
    cut) perl -e 'open(my $f, "<", $ARGV[0]) or die "$!\n"; my $how = pack("L", 2); ioctl($f, 0x8004587d, $how) or die "$!\n"' "$dir/mount" ;;
    again)
        # What it holds, on a disk that nobody knows: the old one lives on where a mount namespace was made meanwhile.
        cp --sparse=always "$dir/image" "$dir/next"
        umount "$dir/mount"
        mv "$dir/next" "$dir/image"
        mount -o loop "$dir/image" "$dir/mount"
        ;;
    slow) slow "${3:?N}" ;;
    remove)
        if mountpoint --quiet "$dir/mount"; then umount "$dir/mount"; fi
        rm -f "$dir/image"
        ;;
    *) fail "there is no $verb" ;;
esac
