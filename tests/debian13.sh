#!/bin/sh
# SPDX-License-Identifier: MIT
# debian13.sh: builds brickd in a root of Debian 13, made by mmdebstrap below build/, and runs there
# what may differ: the unit, module, integration and install tests. As root, with unshare and
# mmdebstrap. The root stays for the next time, with what was built; remove build/debian13 for a new one.
set -eu
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || {
	echo "debian13.sh: run this as root" >&2
	exit 1
}
root=$PWD/build/debian13/root

if [ ! -e "$root/complete" ]; then
	rm -rf --one-file-system "$root"
	mkdir -p "$root"
	mmdebstrap --variant=minbase trixie "$root"
	: >"$root/complete"
fi
mkdir -p "$root/src"
find "$root/src" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} + # what is built there is good for the next time
tar --exclude=./build --exclude=./.git -cf - . | tar -C "$root/src" -xf -

# Everything is mounted in a namespace of its own, and gone with it.
# shellcheck disable=SC2016 # for the inner shell
exec unshare --mount --propagation private sh -euc '
	mount --rbind /dev "$1/dev"
	mount -t proc proc "$1/proc"
	mount --rbind /sys "$1/sys"
	mount -t tmpfs tmpfs "$1/tmp"
	mount -t tmpfs tmpfs "$1/run"
	cp -L /etc/resolv.conf "$1/etc/resolv.conf"
	cp /etc/apt/apt.conf.d/* "$1/etc/apt/apt.conf.d/"
	exec chroot "$1" env PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 sh -euc "
		cd /src
		tests/deps.sh
		[ -e build/gcc/build.ninja ] || meson setup --werror build/gcc
		ninja -C build/gcc -k 0
		exec meson test -C build/gcc --no-rebuild --num-processes $(($(nproc) * 2)) --timeout-multiplier 2 \
			--suite unit --suite module --suite abi --suite fuzz --suite install --suite integration
	"' sh "$root"
