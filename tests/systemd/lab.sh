#!/bin/sh
# SPDX-License-Identifier: MIT
#
# lab.sh [-r ROOT] [-b SOURCE:TARGET]... SCRIPT
#
# Boots a throw-away machine whose PID 1 is a real systemd and runs SCRIPT there as root, until it
# ends or for LAB_SECONDS. The exit status is the script's; 77, with the reason, where a machine
# cannot be had: it takes root and the right to make namespaces and mounts.
#
# The machine's root is an overlay: the files of the directory ROOT below, or of this system; above, a
# tmpfs that takes all writes.
# It has its own processes, cgroups and network (lo only), and starts none of the units that this
# system enables. -b shows it the SOURCE directory, read-only, at TARGET. Everything is mounted in a
# private namespace, so that nothing remains but a cgroup and an empty directory to remove.
set -eu
seconds=${LAB_SECONDS:-120}

skip() {
	echo "skipped: $*"
	exit 77
}

# --- on this system ---

probe() {
	[ "$(id -u)" = 0 ] || skip 'not root'
	[ -x "$below/lib/systemd/systemd" ] || skip 'systemd is not installed'
	# shellcheck disable=SC2016 # for the inner shell
	reason=$(unshare --mount --pid --fork --net --ipc --uts --cgroup sh -ec '
		mount -t proc proc /proc
		mount -t cgroup2 cgroup2 /mnt
		mount -t tmpfs tmpfs /mnt
		mkdir /mnt/upper /mnt/work
		mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt
	' 2>&1) || skip "no namespaces and mounts here: $reason"
}

# The root as the machine will see it, without what this system would start on boot.
make_root() {
	mkdir "$lab/upper" "$lab/work" "$lab/root"
	mount -t overlay -o "lowerdir=$below/,upperdir=$lab/upper,workdir=$lab/work" overlay "$lab/root"
	cd "$lab/root"
	rm -rf etc/systemd/system/*.wants etc/systemd/system/*.requires
	for unit in modprobe@.service systemd-logind.service systemd-udevd.service \
		dev-hugepages.mount sys-fs-fuse-connections.mount sys-kernel-config.mount \
		sys-kernel-debug.mount sys-kernel-tracing.mount; do
		ln -sf /dev/null "etc/systemd/system/$unit"
	done
	mkdir lab
	: >lab/output
	for bind in $binds; do
		mkdir -p ".${bind#*:}"
		mount --bind "${bind%%:*}" ".${bind#*:}"
		mount -o remount,bind,ro ".${bind#*:}"
	done
	# PID 1 of a container exits with the status of the unit that asks it to
	cat >etc/systemd/system/lab.service <<-EOF
		[Unit]
		SuccessAction=exit-force
		FailureAction=exit-force
		[Service]
		Type=oneshot
		TimeoutStartSec=$seconds
		ExecStart=sh -c 'exec $script >/lab/output 2>&1'
	EOF
}

main() {
	lab=$(mktemp -d)
	trap 'cd /; umount -l "$lab" 2>/dev/null; rmdir "$lab"' EXIT
	mount -t tmpfs -o mode=755 lab "$lab"
	(make_root)

	mkdir "$lab/cgroup"
	mount -t cgroup2 cgroup2 "$lab/cgroup"
	cgroup=$lab/cgroup/brickd-lab.$$
	mkdir "$cgroup"

	status=0
	timeout "$((seconds + 30))" unshare --mount --pid --fork --kill-child --net --ipc --uts \
		sh "$0" --enter "$lab" "$cgroup" </dev/null || status=$?
	cat "$lab/root/lab/output"
	find "$cgroup" -depth -type d -exec rmdir {} +
	exit $status
}

# --- in the machine: its PID 1 ---

# Joins the cgroup first, which then is the root of the cgroup namespace.
enter() {
	echo 0 >"$2/cgroup.procs"
	exec unshare --cgroup sh "$0" --boot "$1"
}

make_dev() {
	mount -t tmpfs -o mode=755,nosuid tmpfs dev
	for node in full null random tty urandom zero; do
		: >dev/$node
		mount --bind /dev/$node dev/$node
	done
	mkdir dev/pts dev/shm
	mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
	mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs dev/shm
	ln -s pts/ptmx dev/ptmx
	ln -s /proc/self/fd dev/fd
	ln -s fd/0 dev/stdin
	ln -s fd/1 dev/stdout
	ln -s fd/2 dev/stderr
	: >dev/console
}

boot() {
	cd "$1/root"
	mount -t proc -o nosuid,nodev,noexec proc proc
	for shared in proc/sys proc/sysrq-trigger; do # these belong to the whole kernel
		[ -e $shared ] || continue
		mount --bind $shared $shared
		mount -o remount,bind,ro $shared
	done
	mount -t sysfs -o nosuid,nodev,noexec sysfs sys
	mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
	mount -o remount,bind,ro sys
	make_dev
	mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
	mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs tmp
	mkdir run/old
	pivot_root . run/old
	cd /
	umount -l /run/old
	rmdir /run/old
	mount --make-rshared / # as on a booted machine: services get the mounts made later
	# PID 1 must not do to the kernel what a machine of its own would
	exec setpriv --bounding-set -sys_module,-sys_time,-sys_rawio,-syslog,-mac_admin,-mac_override \
		env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		/lib/systemd/systemd --system systemd.unit=lab.service </dev/null >/dev/null 2>&1
}

case ${1-} in
--enter) enter "$2" "$3" ;;
--boot) boot "$2" ;;
--main)
	below=$2 binds=$3 script=$4
	main
	;;
*)
	binds='' below=''
	while getopts b:r: option; do
		case $option in
		b) binds="$binds $OPTARG" ;;
		r) below=$OPTARG ;;
		*) exit 64 ;;
		esac
	done
	shift $((OPTIND - 1))
	probe
	exec unshare --mount --propagation private sh "$0" --main "$below" "$binds" "$1"
	;;
esac
