#!/usr/bin/env bash
# Records what a kernel makes of machines of other sizes: boots Debian's kernel in qemu, without any hardware help, and keeps
# the parameters that are not the same on all of them, with memory and processors.
#
#   make.sh DIR      needs qemu-system-x86, busybox-static and cpio; takes a minute
set -euo pipefail

to=$(realpath "${1:?make.sh DIR}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
apt-get download "$kernel" >/dev/null
dpkg -x "$kernel"*.deb kernel
mkdir -p root/bin
cp /bin/busybox root/bin/
cat >root/init <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
# What the firmware has written stands on the line before.
echo
$b grep MemTotal /proc/meminfo | $b sed 's|^|proc/meminfo: |'
$b grep -E '^(processor|vendor_id|cpu family|model name|$)' /proc/cpuinfo | $b sed 's|^|proc/cpuinfo: |'
$b find /proc/sys -type f | $b sort | while read file; do
    value=$($b cat "$file" 2>/dev/null) && echo "${file#/}: $value" | $b head -n 1
done
$b poweroff -f
INIT
chmod +x root/init
(cd root && find . | cpio --quiet -o -H newc | gzip) >initrd

sizes="512m-1cpu 2048m-2cpu 8192m-4cpu 16384m-8cpu"
for size in $sizes; do
    memory=${size%m-*} processors=${size#*-}
    qemu-system-x86_64 -m "$memory" -smp "${processors%cpu}" -nographic -no-reboot -kernel kernel/boot/vmlinuz-* \
        -initrd initrd -append "console=ttyS0 quiet panic=-1" | tr -d '\r' | grep '^proc/' >"$size"
done
# What all have alike tells nothing; what is of one boot only tells of no size.
# shellcheck disable=SC2086 # words
sort $sizes | uniq -c | awk '$1 == 4 { sub(/^ *4 /, ""); print }' | grep '^proc/sys/' >alike
for size in $sizes; do
    grep -vxFf alike "$size" | grep -vE 'random/(boot_id|uuid)' >"$to/$size"
done
