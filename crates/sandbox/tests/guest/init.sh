#!/bin/sh
# The first program of the guest: see run.sh. From a root in memory, which nothing can pivot away
# from, it moves to the disk, and there runs the tests.
if [ ! -e /it ]; then
    for module in /modules/*; do busybox insmod "$module"; done
    busybox mount -t devtmpfs dev /dev
    busybox mount -t ext4 /dev/vda /disk
    exec busybox switch_root /disk /init
fi

export PATH=/usr/sbin:/usr/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o mode=755 run /run
busybox mount --make-rshared /
mount -t cgroup2 none /sys/fs/cgroup
for module in loop overlay squashfs veth dummy nf_tables nft_ct nft_connlimit nft_masq \
    nft_chain_nat nft_fib_inet nft_fib_ipv4 nft_fib_ipv6 nft_reject_inet; do
    busybox modprobe $module
done

# An address of the machine's own, that dynos must not reach; what goes elsewhere is not answered.
ip link set lo up
ip link add host0 type dummy
ip addr add 198.51.100.1/24 dev host0
ip link set host0 up
ip route add default via 198.51.100.254

ulimit -n 20000
status=0
for runtime in it runc; do
    echo "GUEST-BEGINS $runtime"
    # shellcheck disable=SC2046 # one argument each
    /$runtime $(cat /etc/tests-$runtime) || status=$?
done
echo "GUEST-DONE $status"
busybox poweroff -f
