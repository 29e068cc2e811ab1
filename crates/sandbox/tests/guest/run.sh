#!/bin/bash
# Runs the tests of real dynos in an emulated machine: Debian's own kernel, control groups version 2,
# and a squashfs that cannot be shown under other ids, whatever the host has. Takes about four minutes;
# after a quarter of an hour it gives up.
#
#   apt-get install qemu-system-x86 busybox-static cpio zstd e2fsprogs squashfs-tools crun runc nftables
#   crates/sandbox/tests/guest/run.sh [name of a test ...]
#
# What the guest said is in $WORK/output.
#
# The guest's programs are the host's, without Node and the like: the one test that needs those is
# left out. The kernel is Debian's cloud kernel, fetched by apt and kept in $WORK.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=${WORK:-/var/tmp/hythe-guest}
root=$work/root
mkdir -p "$work"
cd "$work"

fetch_kernel() {
    ls vmlinuz >/dev/null 2>&1 && return
    local package
    package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ { print $2; exit }')
    apt-get download "$package"
    dpkg -x ./linux-image-*.deb kernel
    cp kernel/boot/vmlinuz-* vmlinuz
}

# Copies programs and libraries, and the links that lead to them.
copy() {
    local file real
    for file in "$@"; do
        real=$(readlink -f "$file")
        mkdir -p "$root$(dirname "$real")"
        cp -a "$real" "$root$real"
        file=$(readlink -f "$(dirname "$file")")/$(basename "$file")
        mkdir -p "$root$(dirname "$file")"
        [ -e "$root$file" ] || ln -s "$real" "$root$file"
    done
}

copy_libraries() {
    local program
    for program in "$@"; do
        ldd "$program" 2>/dev/null | grep -o '/[^ ]*' || true
    done | sort -u | while read -r library; do copy "$library"; done
}

build_root() {
    rm -rf "$root"
    mkdir -p "$root"/{etc/ssl/certs,proc,sys,dev,tmp,run,root,var/tmp,usr/{bin,sbin,lib,lib64}}
    for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
    local programs=() name
    for name in awk bash busybox cat chmod cp crun cut dd dmesg echo env false find getent grep head \
        hostname id ip kill ls mkdir mkfs.ext4 mknod mksquashfs mount mv nft nsenter printf ps pwd readlink rm \
        runc sed seq setsid sh sleep sort stat stty su tail test touch tr true tty umount uname unshare \
        wc whoami xargs; do
        programs+=("$(PATH=/usr/sbin:/usr/bin type -P "$name")")
    done
    copy "${programs[@]}"
    copy_libraries "${programs[@]}" "$@"
    copy /usr/lib/x86_64-linux-gnu/libnss_files.so.2
    cp -a /etc/{nsswitch.conf,mke2fs.conf,ld.so.conf,ld.so.conf.d} "$root/etc/"
    echo 'root:x:0:0::/root:/bin/sh' > "$root/etc/passwd"
    echo 'root:x:0:' > "$root/etc/group"
    echo 'nameserver 192.0.2.53' > "$root/etc/resolv.conf"
    cp "$here/init.sh" "$root/init"
    cp -r kernel/lib/modules "$root/usr/lib/modules"
    busybox depmod -b "$root" "$(ls kernel/lib/modules)"
}

# The test program and its helpers, at the paths that are compiled into it.
build_tests() {
    local built
    built=$(cd "$here" && cargo test --quiet -p sandbox --test it --no-run --message-format json)
    tests=$(grep -o '"executable":"[^"]*/it-[^"]*"' <<< "$built" | cut -d '"' -f 4)
    helpers=$(dirname "$(dirname "$tests")")
}

fetch_kernel
build_tests
build_root "$tests" "$helpers"/{shim,probe}-for-tests
mkdir "$root/helpers"
cp "$helpers"/{shim,probe}-for-tests "$root/helpers"
cp "$tests" "$root/it"
echo "$helpers" > "$root/etc/helpers"
(cd "$root" && find . | cpio --quiet -o -H newc) | zstd -q -3 > initrd
rm -f disk && truncate -s 2G disk

only=$(IFS=,; echo "$*")
began=$SECONDS
timeout --kill-after 5 900 qemu-system-x86_64 -accel tcg,thread=multi -smp 2 -m 3072 -nographic \
    -no-reboot -nic none -kernel vmlinuz -initrd initrd -drive file=disk,if=virtio,format=raw \
    -append "console=ttyS0 panic=-1 quiet tests=$only" < /dev/null > output 2>&1 || true
rm -f disk initrd
if ! grep -aq '^GUEST-DONE 0' output; then
    tail -n 60 output
    echo "dynos failed with control groups version 2" >&2
    exit 1
fi
echo "$(grep -a '^test result: ok' output | cut -d ';' -f 1), with control groups version 2," \
    "in $((SECONDS - began)) s"
