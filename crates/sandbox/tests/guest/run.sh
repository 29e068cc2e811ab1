#!/bin/bash
# Runs tests of real dynos in an emulated machine: Debian's own kernel, control groups version 2, and a
# squashfs that cannot be shown under other ids, whatever the host has. With both OCI runtimes.
#
#   crates/sandbox/tests/guest/run.sh                  what differs with the version of control groups
#   crates/sandbox/tests/guest/run.sh all              everything
#   crates/sandbox/tests/guest/run.sh NAME ...         tests whose names contain one of these
#
# It needs the packages qemu-system-x86, busybox-static, cpio and zstd besides those of the tests.
# The guest's programs are the host's, without Node and the like: the one test that needs those is
# left out, and so is the one that takes the time. The kernel is Debian's cloud kernel, fetched by apt and kept in $WORK (/var/tmp/hythe-guest);
# what the guest said is in $WORK/output. After LIMIT seconds (600) it gives up.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=${WORK:-/var/tmp/hythe-guest}
limit=${LIMIT:-600}
root=$work/root
mkdir -p "$work"
cd "$work"
# One at a time.
exec 9> lock
flock 9

# What asks the control groups, or depends on how they end, freeze and count; with the second runtime
# what it does by itself.
differing_it="limits:: freezing:: steps:: checks:: runtimes:: a_killed_shim a_frozen_dyno a_signal \
    runtime_at_work swept_away --skip what_one_dyno_exhausts"
differing_runc="freezing:: a_killed_shim a_command_runs a_memory_hog forks_stop programs_see"

fetch_kernel() {
    ls vmlinuz >/dev/null 2>&1 && return
    local package
    apt-cache show linux-image-cloud-amd64 > /dev/null 2>&1 || apt-get update -q > /dev/null
    package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ { print $2; exit }')
    apt-get download -q "$package"
    dpkg -x ./linux-image-*.deb kernel
    rm linux-image-*.deb
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
    mkdir -p "$root"/{etc/ssl/certs,proc,sys,dev,tmp,run,root,home,var/tmp,usr/{bin,sbin,lib,lib64}}
    chmod 1777 "$root/tmp" "$root/var/tmp"
    for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
    local programs=() name
    for name in awk bash busybox cat chmod cp crun cut dd dmesg echo env false find getent grep head \
        hostname id ip kill ls mkdir mkfs.ext4 mknod mksquashfs mount mv nft nsenter pgrep printf ps pwd \
        readlink rm sed seq setsid sh sleep sort stat stty su sync tail test timeout touch tr true tty \
        umount uname unshare wc whoami xargs; do
        programs+=("$(PATH=/usr/sbin:/usr/bin type -P "$name")")
    done
    programs+=(/usr/bin/runc)
    copy "${programs[@]}"
    copy_libraries "${programs[@]}" "$@"
    copy /usr/lib/x86_64-linux-gnu/libnss_files.so.2
    cp -a /etc/{nsswitch.conf,mke2fs.conf,ld.so.conf,ld.so.conf.d} "$root/etc/"
    echo 'root:x:0:0::/root:/bin/sh' > "$root/etc/passwd"
    echo 'root:x:0:' > "$root/etc/group"
    echo 'nameserver 192.0.2.53' > "$root/etc/resolv.conf"
    install -m 755 "$here/init.sh" "$root/init"
    cp -r kernel/lib/modules "$root/usr/lib/modules"
    busybox depmod -b "$root" "$version"
}

# The test programs and their helpers, at the paths that are compiled into them.
build_tests() {
    local built
    built=$(cd "$here" && cargo test --quiet -p sandbox --test it --test runc --no-run --message-format json)
    test_program() { grep -o "\"executable\":\"[^\"]*/$1-[^\"]*\"" <<< "$built" | cut -d '"' -f 4; }
    it=$(test_program it)
    runc=$(test_program runc)
    helpers=$(dirname "$(dirname "$it")")
}

put_tests() {
    mkdir -p "$root$helpers"
    cp "$helpers"/{shim,probe}-for-tests "$root$helpers"
    cp "$it" "$root/it"
    cp "$runc" "$root/runc"
    # Tests of the network use the same addresses: one at a time.
    local chosen_it="--test-threads 1" chosen_runc="--test-threads 1"
    case "${1:-}" in
    "") chosen_it="--test-threads 2 $differing_it" chosen_runc="--test-threads 2 $differing_runc" ;;
    all) ;;
    *) chosen_it="$chosen_it $*" chosen_runc="$chosen_runc $*" ;;
    esac
    local skipped="--skip languages_and_tools_run --skip a_start_is_quick"
    echo "$skipped $chosen_it" > "$root/etc/tests-it"
    echo "$skipped $chosen_runc" > "$root/etc/tests-runc"
}

# A disk, because files in memory cannot be shown under other ids by this kernel.
build_disk() {
    rm -f disk && truncate -s 3G disk
    mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=1,nodiscard -d "$root" disk
}

# The files of a module and of those that it needs, in the order in which they are loaded.
module_files() {
    local dependencies path
    path=$(grep -o "^[^:]*/$1\.ko" "$root/lib/modules/$version/modules.dep")
    dependencies=$(grep "^$path:" "$root/lib/modules/$version/modules.dep" | cut -d : -f 2)
    for path in $dependencies; do module_files "$(basename "$path" .ko)"; done
    grep -o "^[^:]*/$1\.ko" "$root/lib/modules/$version/modules.dep"
}

# What it takes to reach the disk.
build_initrd() {
    rm -rf first && mkdir -p first/{bin,dev,disk,modules}
    cp /bin/busybox first/bin/
    ln -s busybox first/bin/sh
    install -m 755 "$here/init.sh" first/init
    local module path number=100
    for module in virtio_pci virtio_blk; do module_files "$module"; done |
        awk '!seen[$0]++' | while read -r path; do
        number=$((number + 1))
        cp "$root/lib/modules/$version/$path" "first/modules/$number.ko"
    done
    (cd first && find . | cpio --quiet -o -H newc) | zstd -q -1 > initrd
}

fetch_kernel
version=$(ls kernel/lib/modules)
build_tests
build_root "$it" "$runc" "$helpers"/{shim,probe}-for-tests
put_tests "$@"
build_disk
build_initrd

began=$SECONDS
timeout --kill-after 5 "$limit" qemu-system-x86_64 -accel tcg,thread=multi -smp 2 -m 3072 -nographic \
    -no-reboot -nic none -kernel vmlinuz -initrd initrd \
    -drive file=disk,if=virtio,format=raw,cache=unsafe \
    -append "console=ttyS0 panic=-1 quiet" < /dev/null > output 2>&1 || true
rm -rf disk initrd first root
if ! grep -aq '^GUEST-DONE 0' output; then
    grep -a ' panicked at \|FAILED\|^test result' output || tail -n 40 output
    echo "dynos failed with control groups version 2, or took longer than $limit s: $work/output" >&2
    exit 1
fi
passed=$(grep -a '^test result: ok' output | awk '{ sum += $4 } END { print sum }')
echo "$passed tests passed with control groups version 2, in $((SECONDS - began)) s"
