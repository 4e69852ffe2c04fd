#!/bin/sh
# Becomes the first process of a machine of one's own: this host's files under a layer that takes every change, its own
# devices, network, processes and control groups, and then systemd. All of it is gone when that process ends.
# Usage, in new namespaces: boot.sh PLACE LAYER [SEEN=AS ...]: PLACE is an empty directory, LAYER holds files to lay over
# the host's, and each directory SEEN is seen AS another, read-only.
set -eu
place=$1 layer=$2
shift 2

mount --make-rprivate /
mount -t tmpfs -o mode=755 changes "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" machine "$place/root"
root=$place/root

# What a fresh host does not have: the mail, databases and settings of this one. systemd makes /run and /tmp.
for directory in /run /tmp /root /home /opt /var/tmp /var/log /var/lib/mysql /var/lib/prometheus /var/lib/lightmail /var/spool/postfix \
    /etc/lightmail /etc/letsencrypt; do
    mkdir -p "$root$directory"
    mount -t tmpfs -o mode=755 fresh "$root$directory"
done
chmod 1777 "$root/tmp" "$root/var/tmp"
chmod 700 "$root/root"
for pair in "$@"; do
    mkdir -p "$root${pair#*=}"
    mount --rbind "${pair%%=*}" "$root${pair#*=}"
    mount -o remount,bind,ro "$root${pair#*=}"
done
cp -R "$layer/." "$root/"

mount -t proc proc "$root/proc"
# The kernel is the host's: nothing in here may set it up anew.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 devices "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"

hostname mail.example.org
mkdir "$root/.host"
cd "$root"
pivot_root . .host
umount -l /.host
rmdir /.host
exec env -i container=machine PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=machine.target --log-target=console --log-level=notice --show-status=no
