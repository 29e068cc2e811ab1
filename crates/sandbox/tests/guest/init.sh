#!/bin/busybox sh
# The first program of the guest: see run.sh. The first time it moves everything out of the
# kernel's own root, which nothing can pivot away from; the second time it runs the tests.
if [ ! -e /moved ]; then
    /bin/busybox mkdir -p /new
    /bin/busybox mount -t tmpfs -o mode=755,size=90% new /new
    for entry in bin sbin lib lib64 usr etc var init it helpers; do /bin/busybox cp -a /$entry /new/; done
    /bin/busybox mkdir -p /new/proc /new/sys /new/dev /new/tmp /new/run /new/root /new/home
    /bin/busybox touch /new/moved
    exec /bin/busybox switch_root /new /init
fi

export PATH=/usr/sbin:/usr/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o mode=755 run /run
busybox mount --make-rshared /
mount -t cgroup2 none /sys/fs/cgroup
for module in virtio_pci virtio_blk loop overlay squashfs veth dummy nf_tables nft_ct nft_connlimit nft_masq \
    nft_chain_nat nft_fib_inet nft_fib_ipv4 nft_fib_ipv6 nft_reject_inet; do
    busybox modprobe $module
done

# A disk, because files in memory cannot be shown under other ids by this kernel.
mkfs.ext4 -q -F /dev/vda
mount /dev/vda /tmp
chmod 1777 /tmp
helpers=$(cat /etc/helpers)
mkdir -p /tmp/helpers "$helpers"
cp /helpers/* /tmp/helpers
mount --bind /tmp/helpers "$helpers"

# An address of the machine's own, that dynos must not reach.
ip link set lo up
ip link add host0 type dummy
ip addr add 198.51.100.1/24 dev host0
ip link set host0 up

ulimit -n 20000
tests=$(tr ' ' '\n' < /proc/cmdline | grep '^tests=' | cut -d= -f2 | tr ',' ' ')
/it --test-threads 1 --skip languages_and_tools_run $tests
echo "GUEST-DONE $?"
busybox poweroff -f
